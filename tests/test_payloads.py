"""Recorded answers of the upstreams through the whole program: `etl run`, and the rows they must become."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from sandbox.sound import mp3
from tests import files_toy
from tests.scripted_server import Asked, Steps, reply, serving
from tests.served import served

ROWS = {"player_profile": 1, "player_stats": 7, "games": 2, "clubs": 2, "tournaments": 4}


@pytest.fixture
def chess(payloads: Path):
    """The recorded answers behind the paths of the API."""
    folder = payloads / "chess"
    files = {
        "/player/player_one": "player_profile",
        "/player/player_one/stats": "player_stats",
        "/player/player_one/games/archives": "archives",
        "/player/player_one/games/2024/01": "games_2024_01",
        "/player/player_one/clubs": "clubs",
        "/player/player_one/tournaments": "tournaments",
    }
    with served(lambda asked: (folder / f"{files.get(asked.path, 'games_empty_month')}.json").read_bytes()) as url:
        yield url


@pytest.mark.parametrize("env", ["test", "pg"])
def test_chess(workspace, chess, postgres_url, env):
    made = workspace("chess")
    made.postgres(postgres_url)
    settings = {
        "SOURCES__CHESS__BASE_URL": chess.rstrip("/"),
        "SOURCES__CHESS__PLAYERS": json.dumps(["player_one"]),
        "SOURCES__CHESS__CONTACT": "tests@example.org",
    }
    first = made.etl("run", "chess", "--env", env, "--output", "json", **settings)
    assert (first.code, first.json[0]["tables"]) == (0, ROWS), first.err
    second = made.etl("run", "chess", "--env", env, "--output", "json", **settings)
    assert (second.code, second.json[0]["rejected"]) == (0, {})


@pytest.mark.parametrize(
    ("name", "code", "says", "then"),
    [
        ("chess_304_not_modified", 0, "", (0, {})),
        ("chess_403_no_user_agent", 1, "answered 403, as it does to a User-Agent without a contact", (0, {"games": 2})),
        ("chess_404_unknown_user", 3, "not found (404); check `players`", (0, {"games": 2})),
        ("chess_410_gone", 3, "gone for good (410); check `players`", (0, {})),
        ("chess_429_parallel", 5, "429", (0, {"games": 2})),
    ],
)
def test_chess_refuses(workspace, payloads, name, code, says, then):
    """What it answers in place of a page, and what the next run makes of it."""
    made, refusing = workspace("chess"), [False]

    def answer(asked: Asked):
        if refusing[0] and (code or "if-none-match" in asked.headers):
            return refusal(payloads, name)
        page = {"/player/player_one/games/archives": "archives", "/player/player_one/games/2024/01": "games_2024_01"}
        content = (payloads / "chess" / f"{page.get(asked.path, 'games_empty_month')}.json").read_bytes()
        return reply(200, content, {"ETag": 'W/"1"'})

    with serving(answer) as upstream:
        words = ("run", "chess", "--env", "test", "--output", "json", "--select", "games")
        settings = {
            "SOURCES__CHESS__BASE_URL": upstream.url,
            "SOURCES__CHESS__PLAYERS": '["player_one"]',
            "SOURCES__CHESS__CONTACT": "tests@example.org",
            "SOURCES__CHESS__HTTP__BACKOFF_SECONDS": "0.01",
        }
        if code == 0:
            assert made.etl(*words, **settings).code == 0
        refusing[0] = True
        refused = made.etl(*words, **settings)
        refusing[0] = False
        again = made.etl(*words, **settings)
    assert (refused.code, says in refused.err + refused.out) == (code, True), refused
    assert (again.code, again.json[0]["tables"]) == then, again


@pytest.mark.parametrize("env", ["test", "pg"])
def test_recordings(workspace, payloads, postgres_url, env):
    made = workspace("recordings")
    made.postgres(postgres_url)
    lists = ["--with", f"csv_path={payloads}/csv_recordings/*.csv"]
    with (payloads / "csv_recordings" / "flat_location.csv").open(encoding="utf-8", newline="") as flat:
        seconds = {urlsplit(row["location"]).path: float(row["duration_seconds"]) for row in csv.DictReader(flat)}
    with files_toy.host() as host:
        host.bodies = {path: mp3(path, length) for path, length in seconds.items()}
        lists += ["--with", f"base_url={host.url}"]
        first = made.etl("run", "recordings", "--env", env, "--output", "json", *lists)
        tables = first.json[0]["tables"]
        assert (first.code, tables["recordings"], tables["audio_files"]) == (3, 25, len(seconds)), first.err
        second = made.etl("run", "recordings", "--env", env, "--output", "json", *lists)
        assert (second.code, second.json[0]["tables"]) == (0, {})
    (known,) = (made.root / "audio").rglob("*ef2b83240984259190db5ea22dffb4bf.mp3")
    assert known.relative_to(made.root / "audio").as_posix() == (
        "audio/+4915000000001/20250603_075800__Campaign_A_28.05__ef2b83240984259190db5ea22dffb4bf.mp3"
    )


@pytest.mark.parametrize("env", ["test", "pg"])
def test_spinoco(workspace, payloads, postgres_url, env):
    made = workspace("spinoco")
    made.postgres(postgres_url)
    page = json.loads((payloads / "spinoco" / "task_query_page_1.json").read_text("utf-8"))
    following = [page.pop("next")]

    def answer(asked: Asked) -> Steps:
        if asked.path == "/task/query":
            start = int(json.loads(asked.body).get("query", {}).get("from", {"L": "9" * 13})["L"])
            listed = [task for task in page["result"] if task["lastUpdate"] >= start]
            return reply(body={"result": listed, **({"next": following.pop()} if following else {})})
        return reply(404, {}) if "recording" in asked.path else reply(body={})

    with serving(answer) as server:
        settings = {"SOURCES__SPINOCO__BASE_URL": server.url, "SOURCES__SPINOCO__TOKEN": "a-token-of-a-user"}
        first = made.etl("run", "spinoco", "--env", env, "--output", "json", **settings)
        loaded = {"calls": 5, "call_recordings": 5, "recording_failures": 5}
        assert (first.code, first.json[0]["tables"]) == (3, loaded), first.err
        second = made.etl("run", "spinoco", "--env", env, "--output", "json", **settings)
    assert (second.code, second.json[0]["tables"]) == (0, {})


def spotify_answers(folder: Path):
    """The recorded answers of two accounts, `old` as before 2026 and `new` as since then, one page each."""
    paths = {
        "/me": ("user_profile", "user_profile_2026"),
        "/me/player/recently-played": ("recently_played", "recently_played_2026_fields"),
        "/me/tracks": ("saved_tracks", "saved_tracks_page"),
        "/me/albums": ("saved_albums_page", "saved_albums_page"),
        "/me/playlists": ("playlists", "playlists_page"),
        "/playlists/3sPyrAW9PVUMxL9i6QFbaV/items": ("playlist_items", ""),
        "/me/top/artists": ("top_artists", "top_artists_page"),
        "/me/following": ("followed_artists", "followed_artists_empty"),
    }

    def answer(asked: Asked):
        address = urlsplit(asked.path)
        query, is_new = parse_qs(address.query), asked.headers["authorization"] == "Bearer new"
        if address.path == "/me/top/tracks":  # not recorded: a list of the tracks that were
            plays = json.loads((folder / "spotify/recently_played.json").read_text())["items"]
            return reply(body={"items": [play["track"] for play in plays], "next": None, "offset": 0, "total": 20})
        if {"before", "after"} & query.keys():
            empty = "followed_artists_empty" if "following" in address.path else "recently_played_empty"
            return reply(body=(folder / f"spotify/{empty}.json").read_bytes())
        name = paths.get(address.path, ("", ""))[is_new]
        if not name:
            return refusal(folder, "spotify_403_playlist_items")
        content = (folder / f"spotify/{name}.json").read_text()
        if query.get("offset", ["0"]) != ["0"]:
            return reply(body={**json.loads(content), "items": [], "next": None})
        return reply(
            body=(content.replace('"tracks"', '"items"') if is_new and "playlists" in name else content).encode()
        )

    return answer


def refusal(folder: Path, name: str):
    told = json.loads((folder / f"errors/{name}.json").read_text())
    return reply(told["status"], told["body"], told.get("headers"))


def signed_in(url: str, *accounts: str) -> dict[str, str]:
    tokens = {f"SOURCES__SPOTIFY__{name}__TOKEN".upper(): json.dumps({"access_token": name}) for name in accounts}
    return {
        "SOURCES__SPOTIFY__BASE_URL": url,
        "SOURCES__SPOTIFY__ACCOUNTS": json.dumps(accounts),
        "SOURCES__SPOTIFY__HISTORY_ACCOUNT": "old",
        **tokens,
    }


SPOTIFY = {
    "user_profile": (1, 1),
    "recently_played": (20, 5),
    "saved_tracks": (3, 1),
    "saved_albums": (1, 1),
    "playlists": (5, 2),
    "playlist_items": (2, 0),
    "top_artists": (30, 30),
    "top_tracks": (60, 60),
    "followed_artists": (1, 0),
    "streaming_history": (2, 0),
    "gaps": (0, 0),
}


def test_spotify(workspace, payloads, tmp_path):
    made = workspace("spotify")
    export = tmp_path / "Streaming_History_Audio_2019-2024_0.json"
    export.write_bytes((payloads / "spotify/extended_streaming_history_sample.json").read_bytes())
    with serving(spotify_answers(payloads)) as upstream:
        settings = signed_in(upstream.url, "old", "new")
        words = ("--env", "test", "--output", "json", "--with", f"history_path={tmp_path}")
        first = made.etl("run", "spotify", *words, **settings)
        second = made.etl("run", "spotify", *words, **settings)
    assert (first.code, first.json[0]["rejected"], first.json[0]["errors"]) == (0, {}, []), first.err
    assert (second.code, second.json[0]["tables"]) == (0, {})
    ask = made.query
    for table, (old, new) in SPOTIFY.items():
        counts = dict(ask(f"SELECT account, count(*) FROM spotify.{table} GROUP BY 1"))
        assert (counts.get("old", 0), counts.get("new", 0)) == (old, new), table
        assert "removed_at" not in first.json[0]["tables"]
    assert ask("SELECT name, items__total FROM spotify.playlists WHERE account = 'new' ORDER BY 1") == [
        ("Another Playlist", 58),
        ("My Big Playlist", 30),
    ]
    assert ask("SELECT account, account_id, country, followers__total FROM spotify.user_profile ORDER BY 1") == [
        ("new", "acct_000000000000000000000000", None, None),
        ("old", None, "SE", 3829),
    ]
    filled = "SELECT account, count(track__popularity), count(track__available_markets) FROM spotify.recently_played"
    assert ask(f"{filled} GROUP BY 1 ORDER BY 1") == [("new", 0, 0), ("old", 20, 20)]
    artists = "spotify.saved_albums__album__artists"
    assert ask(f"SELECT DISTINCT name FROM {artists}") == [("Abidaz",)]


ENDED = "etl auth login spotify --env test"


@pytest.mark.parametrize(
    ("name", "at_token", "code", "says"),
    [
        ("spotify_429_rate_limit", False, 5, "asks to wait 17 s, a run waits 5 s at most"),
        ("spotify_429_quota", False, 5, "the quota of the developer's account is used up (QUOTA_EXCEEDED)"),
        ("spotify_403_playlist_items", False, 1, "answered 403; sign in again so that every scope is granted"),
        ("spotify_refresh_invalid_grant", True, 6, ENDED),
        ("spotify_invalid_client", True, 2, "the upstream does not know the app"),
        ("spotify_refresh_ok_without_new_refresh_token", True, 0, ""),
    ],
)
def test_spotify_refuses(workspace, payloads, name, at_token, code, says):
    """What it answers in place of a page; the next run completes."""
    made, refusing = workspace("spotify"), [True]
    profile = (payloads / "spotify/user_profile.json").read_bytes()

    def answer(asked: Asked):
        is_token = asked.path == "/token"
        if refusing[0] and is_token == at_token:
            return refusal(payloads, name)
        return reply(body={"access_token": "good", "token_type": "Bearer"} if is_token else profile)

    with serving(answer) as upstream:
        words = ("run", "spotify", "--env", "test", "--select", "user_profile", "--output", "json")
        settings = {
            "SOURCES__SPOTIFY__BASE_URL": upstream.url,
            "SOURCES__SPOTIFY__TOKEN_URL": f"{upstream.url}/token",
            "SOURCES__SPOTIFY__HTTP__RETRY_AFTER_CAP_SECONDS": "5",
            "SPOTIFY_CLIENT_ID": "app",
            **({} if at_token else {"SOURCES__SPOTIFY__TOKEN": json.dumps({"access_token": "good"})}),
            "SPOTIFY_REFRESH_TOKEN": "refreshing",
        }
        result, asked = made.etl(*words, **settings), len(upstream.paths)
        assert result.code == code, result
        assert says in f"{result.json[0]['message']} {result.json[0]['errors']}"
        assert asked == (2 if code == 0 else 1)
        if code == 0:
            kept = json.loads((made.root / ".dlt/tokens/test/spotify.json").read_text())
            assert kept["refresh_token"] == "refreshing"
            return
        refusing[0] = False
        again = made.etl(*words, **settings)
    assert (again.code, again.json[0]["tables"]) == (0, {"user_profile": 1}), again
