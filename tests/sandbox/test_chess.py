"""The manners of the chess stand-in, and what the clock does to it."""

from __future__ import annotations

import socket
import time
from collections import Counter

import pytest
import requests

from sandbox import chess, chess_games
from sandbox.server import Request, Sandbox, World

ANNA = "/chess/player/demo_anna"
BORIS = "/chess/player/demo_boris"


def months(get, player: str) -> list[str]:
    """The paths of a player's months, from the archive list."""
    found = get(f"{player}/games/archives").json()["archives"]
    assert all(url.startswith("https://api.chess.com/pub/player/") for url in found)
    return [f"{player}/games/{url[-7:]}" for url in found]


def games(get, player: str) -> list[dict]:
    return [game for month in months(get, player) for game in get(month).json()["games"]]


@pytest.mark.parametrize(
    ("agent", "status"),
    [
        ("", 403),
        ("python-requests/2.34", 403),
        ("etl (a@example.org)", 200),
        ("etl (+https://example.org)", 200),
    ],
)
def test_a_contact_is_asked_for(sandbox, agent, status):
    reply = requests.get(sandbox.url + ANNA, headers={"User-Agent": agent}, timeout=10)
    assert reply.status_code == status
    if status == 403:
        assert reply.headers["Content-Type"] == "text/html"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/player/nobody_here", 404),
        ("/player/nobody_here/games/archives", 404),
        ("/player/gone_for_good/stats", 410),
        ("/player/demo_anna/games/2024/13", 404),
        ("/player/demo_anna/shoes", 404),
        ("/leaderboards", 404),
        ("/player/demo_anna/games/2019/01", 200),
        ("/player/someone_added_later/games/archives", 200),
    ],
)
def test_statuses(get, path, status):
    reply = get(f"/chess{path}")
    assert reply.status_code == status
    assert isinstance(reply.json(), dict)


def test_upper_case_moves(sandbox, get):
    reply = get("/chess/player/Demo_Anna/stats", allow_redirects=False)
    assert (reply.status_code, reply.headers["Location"]) == (301, f"{sandbox.url}{ANNA}/stats")
    assert get("/chess/player/Demo_Anna/stats").json() == get(f"{ANNA}/stats").json()


@pytest.mark.parametrize("page", ["", "/stats", "/games/archives", "/games/2024/03", "/clubs", "/tournaments"])
def test_not_modified(get, page):
    first = get(ANNA + page)
    etag, changed = first.headers["ETag"], first.headers["Last-Modified"]
    for condition in (
        {"If-None-Match": etag},
        {"If-None-Match": f'"x", {etag}'},
        {"If-Modified-Since": changed},
    ):
        known = get(ANNA + page, headers=condition)
        assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", etag)
    for condition in (
        {"If-None-Match": '"x"', "If-Modified-Since": changed},
        {"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"},
    ):
        assert get(ANNA + page, headers=condition).content == first.content


def test_two_requests_at_once_are_refused(sandbox, get):
    sandbox.fault("stats", "slow", seconds=600)
    with socket.create_connection(sandbox.url.removeprefix("http://").split(":"), 10) as other:
        other.sendall(f"GET {ANNA}/stats HTTP/1.1\r\nUser-Agent: a@b\r\n\r\n".encode())
        while not sandbox.requests:
            time.sleep(0.01)
        refused = get(BORIS)
    assert (refused.status_code, refused.json()) == (429, {"code": 429, "message": "Too Many Requests"})
    assert "Retry-After" not in refused.headers
    statuses = iter(lambda: get(BORIS).status_code, 200)
    assert set(statuses) <= {429}, "429 only until the sandbox has seen the other client leave"


def test_requests_in_turn_on_new_connections_are_never_refused(sandbox):
    statuses = {
        requests.get(sandbox.url + ANNA, headers={"User-Agent": "a@b"}, timeout=10).status_code for _ in range(50)
    }
    assert statuses == {200}


@pytest.mark.parametrize("player", [ANNA, BORIS])
def test_the_history(get, player):
    found = games(get, player)
    assert len(found) == 100
    assert len({game["uuid"] for game in found}) == len({game["url"] for game in found}) == 100
    for month in months(get, player):
        ends = [game["end_time"] for game in get(month).json()["games"]]
        assert ends == sorted(ends)
    name = player.rpartition("/")[2]
    for game in found:
        assert sum(game[side]["username"].lower() == name for side in ("white", "black")) == 1


def test_some_months_are_missing_and_one_is_empty(get):
    listed = [month[-7:] for month in months(get, ANNA)]
    assert listed[-1] == "2024/03"
    assert not {"2023/06", "2023/10"} & set(listed)
    assert get(f"{ANNA}/games/2023/08").json() == {"games": []}
    assert "2023/08" in listed
    assert get(f"{ANNA}/games/2023/06").json() == {"games": []}


def test_games_between_the_two_are_in_both_archives_word_for_word(get):
    anna, boris = ({game["uuid"]: game for game in games(get, player)} for player in (ANNA, BORIS))
    both = anna.keys() & boris.keys()
    assert len(both) == 10
    assert all(anna[uuid] == boris[uuid] for uuid in both)


def test_some_games_have_the_optional_keys_and_some_names_are_cased(get):
    found = games(get, ANNA)
    have = Counter(key for game in found for key in game)
    for key in ("accuracies", "start_time", "tournament", "match", "eco"):
        assert 0 < have[key] < len(found)
    assert {game["time_class"] for game in found if "start_time" in game} == {"daily"}
    assert {game["rules"] for game in found} == {"chess", "chess960"}
    sides = [game[side] for game in found for side in ("white", "black")]
    assert any(side["username"] != side["@id"].rpartition("/")[2] for side in sides)
    assert all(side["username"].lower() == side["@id"].rpartition("/")[2] for side in sides)


@pytest.mark.parametrize("player", [ANNA, BORIS])
def test_stats_count_the_games(get, player):
    stats = get(f"{player}/stats").json()
    records = [shape["record"] for kind, shape in stats.items() if kind.startswith("chess")]
    assert sum(record["win"] + record["loss"] + record["draw"] for record in records) == 100
    assert (stats["puzzle_rush"], stats["fide"]) == ({}, 0)
    assert stats["tactics"]["highest"]["rating"] > stats["tactics"]["lowest"]["rating"]
    assert stats["chess_rapid"]["last"]["rating"] <= stats["chess_rapid"]["best"]["rating"]


def test_an_account_without_games():
    with Sandbox(World(records=0)) as running:

        def get(path: str) -> requests.Response:
            return requests.get(running.url + path, headers={"User-Agent": "a@b"}, timeout=10)

        assert games(get, ANNA) == []
        assert set(get(f"{ANNA}/stats").json()) == {"fide", "tactics", "puzzle_rush"}
        assert get(ANNA).json()["last_online"] == get(ANNA).json()["joined"]


def test_day_2(sandbox, get):
    before = {path: get(path) for path in months(get, ANNA)}
    tournaments = get(f"{ANNA}/tournaments").json()
    sandbox.move_to(2)
    after = {path: get(path) for path in months(get, ANNA)}

    assert before.keys() == after.keys()
    changed = {path[-7:] for path in before if before[path].headers["ETag"] != after[path].headers["ETag"]}
    assert changed == {"2024/02", "2024/03"}
    february = after[f"{ANNA}/games/2024/02"]
    assert [game["end_time"] for game in february.json()["games"]][-1] == 1_709_251_198
    assert february.headers["Last-Modified"] == "Sat, 02 Mar 2024 12:00:00 GMT"
    assert len(after[f"{ANNA}/games/2024/03"].json()["games"]) > len(before[f"{ANNA}/games/2024/03"].json()["games"])

    moved = get(f"{ANNA}/tournaments").json()
    names = {state: {entry["@id"] for entry in entries} for state, entries in tournaments.items()}
    names_now = {state: {entry["@id"] for entry in entries} for state, entries in moved.items()}
    assert names_now["in_progress"] - names["in_progress"] == names["registered"] - names_now["registered"]
    assert names_now["in_progress"] > names["in_progress"]
    assert len(get(f"{ANNA}/clubs").json()["clubs"]) == 3


def test_what_was_readable_stays_word_for_word(sandbox, get):
    before = {game["uuid"]: game for game in games(get, ANNA)}
    sandbox.move_to(30)
    after = {game["uuid"]: game for game in games(get, ANNA)}
    assert {uuid: after[uuid] for uuid in before} == before
    assert len(after) == 100 + 1 + 29


def test_the_first_day_of_a_month_brings_a_game_of_the_old_one(sandbox, get):
    sandbox.move_to(31)
    march = get(f"{ANNA}/games/2024/03")
    sandbox.move_to(32)
    later = get(f"{ANNA}/games/2024/03")
    assert later.headers["ETag"] != march.headers["ETag"]
    assert later.json()["games"][-1]["end_time"] == 1_711_929_597


def test_the_moves_agree_in_both_notations():
    for opening in chess_games.OPENINGS:
        assert len(opening.moves.split()) == len(opening.squares.split())
    assert chess_games._tcn("e2") + chess_games._tcn("e4") == "mC"


def test_an_answer_depends_on_the_request_and_the_world_alone():
    asked = Request("GET", "/player/demo_anna/stats", headers={"user-agent": "a@b"})
    first = chess.answer(asked, World(seed=5, records=20))
    chess_games.games_of.cache_clear()
    assert chess.answer(asked, World(seed=5, records=20)) == first
