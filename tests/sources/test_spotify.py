"""Spotify through the whole program: what a day brings, what is gone, what may be missing, and who is asked."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZipFile

import pytest

from sandbox import spotify as stand_in
from sandbox.oauth import SERVER
from sources.kit.errors import BadSetting
from sources.spotify import spotify
from sources.spotify.plays import mark, remember
from sources.spotify.removals import _nested
from sources.spotify.tables import told_entry, told_playlist
from tests.scripted_server import reply, serving
from tests.signed_in import Person, choose
from tests.warehouse import Ask

NEVER_REPEATED = {"SOURCES__SPOTIFY__HTTP__BACKOFF_SECONDS": "0.01", "SOURCES__SPOTIFY__HTTP__MAX_ATTEMPTS": "2"}


@pytest.fixture
def site(workspace, sandbox):
    """A workspace with the spec, pointed at the sandbox."""
    made = workspace("spotify")
    made.point_at(sandbox.settings("spotify"))
    return made


def run(site, *words, **variables):
    result = site.etl("run", "spotify", "--env", "test", "--output", "json", *words, **{**NEVER_REPEATED, **variables})
    return result.code, (result.json[0] if result.out else {}), result.err


def account(site, name):
    """Only one of the two."""
    site.point_at({"sources.spotify.accounts": [name], "sources.spotify.history_account": name})


ROWS = {  # of two people; `gaps` is there without rows
    "user_profile": 2, "recently_played": 100, "saved_tracks": 40, "saved_albums": 12, "playlists": 8,
    "playlist_items": 150, "top_artists": 180, "top_tracks": 180, "followed_artists": 110, "streaming_history": 70,
}  # fmt: skip


# --- a day later --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_days(tmp_path_factory):
    """A warehouse after the first day, which came through raw files, and a run on the second; what that one asked."""
    from sandbox.server import Sandbox, World
    from tests.workspace import Workspace

    folder = tmp_path_factory.mktemp("two days")
    with Sandbox(World(records=20), folder=folder / "sandbox") as sandbox:
        site = Workspace(folder / "a workspace", ("spotify",))
        site.point_at(sandbox.settings("spotify"))
        assert site.etl("fetch", "spotify", "--env", "test").code == 0
        first = site.etl("ingest", "spotify", "--env", "test", "--output", "json").json[0]["tables"]
        assert {name: rows for name, rows in first.items() if "__" not in name} == ROWS
        sandbox.move_to(2)
        sandbox.forget_requests()
        code, report, _ = run(site)
        assert (code, report["rejected"], report["errors"]) == (0, {}, [])
        yield site.query, [seen.path.removeprefix("/spotify") for seen in sandbox.requests]


def test_the_new_plays_are_there_and_the_one_that_came_late(two_days):
    query, asked = two_days
    plays = query(
        "SELECT account, count(*), count(*) FILTER (played_at > '2024-03-01 12:00:00+00'), "
        "count(*) FILTER (played_at = '2024-03-01 08:28:59.983+00') FROM spotify.recently_played GROUP BY 1 ORDER BY 1"
    )
    assert plays == [("anna", 58, 7, 1), ("boris", 58, 7, 1)]
    assert query("SELECT count(*) FROM spotify.gaps") == [(0,)]
    assert asked.count("/me/player/recently-played?limit=50") == 2


@pytest.mark.parametrize(
    ("table", "name", "gone", "left"),
    [
        ("saved_tracks", "track__name", "Demo Track 5", 20),
        ("playlists", "name", "Forgotten", 3),
        ("playlist_items", "track__name", "Demo Track 22", 69 + 6),
        ("followed_artists", "name", "Demo Artist 3", 54),
        ("saved_albums", "album__name", None, 7),
    ],
)
def test_what_is_gone_stays_with_the_moment_that_was_seen(two_days, table, name, gone, left):
    query, _ = two_days
    rows = query(f"SELECT account, {name}, removed_at FROM spotify.{table} WHERE removed_at IS NOT NULL ORDER BY 1")
    noon = datetime(2024, 3, 2, 12, tzinfo=UTC)
    assert rows == ([("anna", gone, noon), ("boris", gone, noon)] if gone else [])
    standing = query(f"SELECT account, count(*) FROM spotify.{table} WHERE removed_at IS NULL GROUP BY 1 ORDER BY 1")
    assert standing == [("anna", left), ("boris", left)]


def test_a_row_that_is_gone_keeps_all_it_said(two_days):
    query, _ = two_days
    said = (
        "SELECT t.account, t.track__album__name, t.added_at, t.track__popularity, t.track__album__images, a.name "
        "FROM spotify.{} t JOIN spotify.{}__track__artists a ON a._dlt_parent_id = t._dlt_id WHERE t.track__name = {} "
        "ORDER BY 1, a._dlt_list_idx"
    )
    [first, second] = query(said.format("saved_tracks", "saved_tracks", "'Demo Track 5'"))
    added = datetime(2024, 2, 24, 12, tzinfo=UTC)
    image = '[{"height":640,"url":"https://i.scdn.example/album","width":640}]'
    assert first[:3] == ("anna", "Demo Album 5", added)
    assert first[3] is not None
    assert first[4:] == (image, "Demo Artist 5")
    assert second == ("boris", "Demo Album 5", added, None, image, "Demo Artist 5")


def test_both_shapes_of_playlists_give_the_same_rows(two_days):
    query, _ = two_days
    columns = "name, items__total, owner__display_name IS NULL, removed_at"
    items = "playlist_id, item_uri, occurrence, position, track__name, is_local, removed_at"
    for table, what in (("playlists", columns), ("playlist_items", items)):
        by_account = [
            set(query(f"SELECT {what} FROM spotify.{table} WHERE account = '{name}'")) for name in ("anna", "boris")
        ]
        assert by_account[0] == by_account[1]
    assert query(
        "SELECT DISTINCT position, occurrence, track__id, track__name, item_uri FROM spotify.playlist_items i JOIN "
        "spotify.playlists p ON p.id = i.playlist_id WHERE p.name = 'Mixed' AND position BETWEEN 0 AND 4 "
        "AND position <> 1 ORDER BY 1"
    )[1:] == [
        (2, 2, stand_in_code("track", 3), "Demo Track 3", f"spotify:track:{stand_in_code('track', 3)}"),
        (3, 1, None, "Rehearsal", stand_in.LOCAL),
        (4, 1, None, None, "unknown"),
    ]


def stand_in_code(*names):
    from sandbox.server import World

    return stand_in._code(World(records=20), *names)


def test_only_what_may_have_changed_is_asked_for(two_days):
    _, asked = two_days
    playlists = [path for path in asked if path.startswith("/playlists/")]
    assert all(stand_in_code("playlist", "mixed") not in path for path in playlists)
    assert Counter(path.split("?")[0] for path in asked if "/me/" in path) == Counter(
        {
            "/me/player/recently-played": 2,
            "/me/tracks": 2,
            "/me/albums": 2,
            "/me/playlists": 2,
            "/me/top/artists": 6,
            "/me/top/tracks": 6,
            "/me/following": 4,
        }
    )


def test_tops_are_kept_by_day_range_and_rank(two_days):
    query, _ = two_days
    for table in ("top_artists", "top_tracks"):
        assert query(
            f"SELECT account, snapshot_date::text, time_range, count(*), min(rank), max(rank) FROM spotify.{table} "
            "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        ) == [
            (name, day, time_range, 30, 1, 30)
            for name in ("anna", "boris")
            for day in ("2024-03-01", "2024-03-02")
            for time_range in ("long_term", "medium_term", "short_term")
        ]


def test_no_play_is_in_the_model_twice(two_days):
    query, _ = two_days
    told = dict(query("SELECT told_by, count(*) FROM spotify.plays WHERE account = 'anna' GROUP BY 1"))
    exported = 30 + 1 + 39  # plays, of which the API had told 20, an episode, and older plays
    local = query("SELECT count(*) FROM spotify.streaming_history WHERE item_uri = 'unknown' AND ts > '2024-02-01'")
    assert query("SELECT count(*) FROM spotify.streaming_history") == [(exported,)]
    assert told["api"] == 58
    assert exported - 20 <= told["export"] <= exported - 20 + local[0][0]
    assert query("SELECT count(DISTINCT uri) - count(*) FROM spotify.tracks") == [(0,)]
    assert query(
        "SELECT DISTINCT release_date, released_on::text FROM spotify.albums WHERE uri IS NOT NULL ORDER BY 1"
    ) == [
        ("1983", "1983-01-01"),
        ("1999-07", "1999-07-01"),
        ("2013-01-01", "2013-01-01"),
    ]


# --- holes, limits and quotas -------------------------------------------------------------------------------


def test_tables_without_rows_come_through_raw_files_too(site):
    """The model of all plays reads one of them; a rebuild makes them again, and so does a fetch where they lack."""
    account(site, "anna")
    some = ("--select", "recently_played,gaps,streaming_history", "--env", "test")
    for wanted in ([], ["gaps"]):
        assert site.etl("fetch", "spotify", *some, **NEVER_REPEATED).code == 0
        (manifest,) = site.root.glob("landing/spotify/landing/*.manifest.json")
        left = json.loads(manifest.read_text())
        assert "gaps" in left["tables"]
        manifest.write_text(json.dumps({**left, "tables": wanted}))  # at first as an older version had left it
        assert site.etl("ingest", "spotify", "--env", "test").code == 0
    for verb in ("ingest", "rebuild"):
        assert site.etl(verb, "spotify", "--env", "test").code == 0
        assert site.query("SELECT count(*) FROM spotify.gaps") == [(0,)]
        assert site.query("SELECT count(*) > 0 FROM spotify.plays") == [(True,)]


def test_a_hole_is_a_row_and_a_warning_once(site, sandbox):
    some = ("--select", "recently_played,gaps")
    account(site, "anna")
    assert run(site, *some)[1]["warnings"] == []
    newest = site.query("SELECT max(played_at) FROM spotify.recently_played")[0][0]
    sandbox.move_to(12)
    code, report, _ = run(site, *some)
    oldest = site.query(f"SELECT min(played_at) FROM spotify.recently_played WHERE played_at > '{newest}'")[0][0]
    assert (code, report["tables"]["gaps"]) == (0, 1)
    assert re.fullmatch("spotify: anna: plays may be missing between .* and .*history_path.*", report["warnings"][0])
    gaps = "SELECT account, since, until, found_at FROM spotify.gaps"
    assert site.query(gaps) == [("anna", newest, oldest, datetime(2024, 3, 12, 12, tzinfo=UTC))]
    assert (oldest - newest).days == 4
    assert run(site, *some)[1]["warnings"] == []
    assert len(site.query(gaps)) == 1


def test_a_hole_that_is_found_while_gaps_are_left_out_comes_with_the_next_run(site, sandbox):
    account(site, "boris")
    run(site, "--select", "recently_played")
    sandbox.move_to(12)
    assert len(run(site, "--select", "recently_played")[1]["warnings"]) == 1
    assert run(site, "--select", "gaps")[1]["tables"] == {"gaps": 1}


def test_a_quota_keeps_what_was_read_and_the_next_run_goes_on(site, sandbox):
    account(site, "anna")
    some = ("--select", "saved_tracks,saved_albums")
    sandbox.world = replace(sandbox.world, records=120)
    sandbox.fault("^/spotify/", "quota", 100, after=1)
    code, report, err = run(site, *some)
    assert code == 5
    assert "QUOTA_EXCEEDED" in err + json.dumps(report["errors"])
    assert sum(seen.status == 429 for seen in sandbox.requests) == 1
    read = report["tables"].get("saved_tracks", 0)
    assert read >= 50
    sandbox.clear_faults()
    sandbox.forget_requests()
    code, report, _ = run(site, *some)
    offsets = re.findall(r"/me/tracks\?limit=50&offset=(\d+)", " ".join(seen.path for seen in sandbox.requests))
    assert (code, offsets[0]) == (0, "50")
    assert site.query("SELECT count(*), count(removed_at) FROM spotify.saved_tracks") == [(90, 0)]
    assert site.query("SELECT count(*) FROM spotify.saved_albums") == [(6,)]


SAVED = {"items": [{"added_at": "2024-01-01T00:00:00Z", "track": {"uri": "a"}}] * 50, "next": "there is more"}
FOLLOWED = {"items": [{"id": "a"}], "next": "more", "cursors": {"after": "x"}, "total": 2}


@pytest.mark.parametrize(
    ("table", "answers", "code", "says"),
    [
        ("saved_tracks", [SAVED], 1, "answered with a page that was read before"),
        ("saved_albums", [{**SAVED, "offset": 0, "total": 10**9}], 1, "answered with a page that was read before"),
        ("followed_artists", [{"artists": FOLLOWED}, {"artists": {**FOLLOWED, "cursors": {"after": "y"}}}], 0, ""),
        ("recently_played", [{**SAVED, "cursors": "x"}], 3, ""),
        ("playlist*", [{"items": [{"id": ["a"], "uri": ["b"]}], "next": None}], 3, ""),
    ],
)
def test_pages_that_lead_nowhere_end(workspace, table, answers, code, says):
    made = workspace("spotify")
    made.point_at({"sources.spotify.client_id": "app", "sources.spotify.token": {"access_token": "good"}})
    with serving(lambda asked: reply(200, answers[len(upstream.asked) % len(answers)])) as upstream:
        result = made.etl("run", "spotify", "--env", "test", "--select", table, SOURCES__SPOTIFY__BASE_URL=upstream.url)
    assert (result.code, says in result.err, len(upstream.asked) < 4) == (code, True, True), result


def test_a_wait_longer_than_the_cap_ends_the_run(site, sandbox):
    sandbox.fault("^/spotify/me/tracks", "429", retry_after=86400)
    code, report, _ = run(site, "--select", "saved_tracks")
    assert code == 5
    assert "asks to wait 86400 s, a run waits 120 s at most" in report["message"]


def test_a_list_that_changes_while_it_is_read_takes_nothing_for_gone(site, sandbox):
    account(site, "anna")
    sandbox.world = replace(sandbox.world, records=120)
    assert run(site, "--select", "followed_artists,saved_tracks")[0] == 0
    sandbox.move_to(2)
    sandbox.fault("^/spotify/me/following", "drift", field="total")
    run(site, "--select", "followed_artists")
    assert site.query("SELECT count(removed_at) FROM spotify.followed_artists") == [(0,)]
    assert run(site, "--select", "followed_artists")[0] == 0
    assert site.query("SELECT count(removed_at) FROM spotify.followed_artists") == [(1,)]


# --- the export ---------------------------------------------------------------------------------------------


def test_an_export_is_taken_up_where_a_bad_file_was(site, sandbox, tmp_path):
    packed = sandbox.folder / "spotify" / stand_in.EXPORT
    folder = tmp_path / "an export"
    with ZipFile(packed) as archive:
        archive.extractall(folder)
    whole = folder / stand_in.FOLDER / "Streaming_History_Audio_2022-2023_1.json"
    good = whole.read_bytes()
    whole.write_bytes(good[:500])
    account(site, "anna")
    some = ("--select", "streaming_history", "--with", f"history_path={folder}")
    code, report, _ = run(site, *some)
    assert (code, report["tables"]) == (3, {"streaming_history": 31})
    assert report["errors"][0]["unit"].endswith("Streaming_History_Audio_2022-2023_1.json")
    whole.write_bytes(good)
    assert run(site, *some)[1]["tables"] == {"streaming_history": 39}
    assert run(site, *some)[1]["tables"] == {}
    shutil.rmtree(folder)
    code, report, _ = run(site, "--select", "streaming_history")  # the same as the zip it came in
    assert (code, report["tables"]) == (0, {})
    assert site.query(
        "SELECT item_uri, started_at, ts, ms_played, ip_addr FROM spotify.streaming_history WHERE episode_name <> ''"
    ) == [
        (
            "spotify:episode:512ojhOuo1ktJprKbVcKyQ",
            datetime(2023, 12, 2, 11, 59, 55, 790000, tzinfo=UTC),
            datetime(2023, 12, 2, 12, tzinfo=UTC),
            4210,
            "192.0.2.1",
        )
    ]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "no Streaming_History_*.json in it"),
        (lambda path: path.write_text("[]"), "is no folder and no zip file"),
    ],
)
def test_an_export_that_is_none_is_named(site, tmp_path, make, says):
    make(tmp_path / "export")
    code, report, _ = run(site, "--select", "streaming_history", "--with", f"history_path={tmp_path / 'export'}")
    assert code == 2
    assert says in report["message"]


def test_an_export_without_a_name_is_none(site):
    account(site, "boris")
    code, report, _ = run(site, "--select", "streaming_history", "--with", "history_path=")
    assert (code, report["tables"]) == (0, {})


def test_a_file_of_an_export_that_is_encrypted_is_named(site, tmp_path):
    account(site, "boris")
    packed = tmp_path / "export.zip"
    with ZipFile(packed, "w") as archive:
        archive.writestr("Streaming_History_Audio_0.json", "[]")
    content = packed.read_bytes()
    for begin, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(begin) + flags
        content = content[:at] + b"\x01" + content[at + 1 :]
    packed.write_bytes(content)
    code, report, _ = run(site, "--select", "streaming_history", "--with", f"history_path={packed}")
    assert (code, report["errors"][0]["unit"]) == (3, "streaming_history:Streaming_History_Audio_0.json")


def test_a_play_that_is_none_goes_to_quarantine(site, tmp_path):
    account(site, "boris")
    plays = [{"ts": "soon", "ms_played": 1}, 7, {"ts": "2024-01-01T00:00:00Z", "ms_played": 40000}]
    (tmp_path / "Streaming_History_Audio_0.json").write_text(json.dumps(plays))
    code, report, _ = run(site, "--select", "streaming_history", "--with", f"history_path={tmp_path}")
    assert (code, report["tables"], report["rejected"]) == (3, {"streaming_history": 1}, {"streaming_history": 2})


# --- signing in ---------------------------------------------------------------------------------------------


@pytest.fixture
def stranger(workspace, sandbox):
    """A workspace where nobody has signed in yet."""
    made = workspace("spotify")
    settings = sandbox.settings("spotify")
    chosen = ("base_url", "authorize_url", "token_url")
    made.point_at({name: value for name, value in settings.items() if name.rpartition(".")[2] in chosen})
    return made


PROFILE = ("--select", "user_profile")


def test_the_names_of_other_programs_will_do(stranger, sandbox):
    choose(stranger, "test", "environment")
    stranger.point_at({"engine.tokens_key": "k" * 40})
    refresh = SERVER.standing(sandbox.world, "spotify anna").refresh
    names = {"SPOTIFY_CLIENT_ID": "sandbox-app", "SPOTIFY_CLIENT_SECRET": "sandbox-app-secret"}
    code, report, _ = run(stranger, *PROFILE, **names, SPOTIFY_REFRESH_TOKEN=refresh)
    assert (code, report["tables"]) == (0, {"user_profile": 1})
    assert stranger.query("SELECT account, id FROM spotify.user_profile") == [("me", "demo_anna")]
    sent = [seen.headers.get("authorization", "") for seen in sandbox.requests if seen.path == "/oauth/token"]
    assert [text.split()[0] for text in sent] == ["Basic"]
    empty, _, said = run(stranger, *PROFILE, **names, SPOTIFY_REFRESH_TOKEN="")
    assert (empty, "nobody has signed in" in said) == (6, True), "an empty variable is as good as none"
    wrong = {**names, "SPOTIFY_CLIENT_SECRET": "another-secret"}
    code, report, _ = run(stranger, *PROFILE, **wrong, SPOTIFY_REFRESH_TOKEN=f"{refresh}x")
    assert (code, "client_id of [sources.spotify]" in report["message"]) == (2, True)


def test_an_account_whose_sign_in_has_ended_costs_no_other_its_plays(site):
    site.point_at({"sources.spotify.accounts": ["carl", "boris"], "sources.spotify.history_account": "boris"})
    code, report, _ = run(site, "--select", "recently_played,gaps,user_profile")
    assert (code, report["tables"]["user_profile"], "recently_played" in report["tables"]) == (6, 1, True)
    assert [error["message"].split(";")[0] for error in report["errors"]] == ["spotify (carl): nobody has signed in"]
    assert report["message"] == report["errors"][0]["message"]


def test_a_sign_in_that_has_ended_asks_for_a_person(stranger):
    code, report, _ = run(stranger, *PROFILE, SPOTIFY_CLIENT_ID="sandbox-app", SPOTIFY_REFRESH_TOKEN="long-gone")
    assert code == 6
    assert "(invalid_grant)" in report["message"]
    assert report["message"].endswith("etl auth login spotify --env test")


def test_a_person_signs_in_with_pkce_and_is_told_of_the_end(stranger, monkeypatch):
    stranger.point_at({"sources.spotify.client_id": "sandbox-app"})
    monkeypatch.setattr("sys.stdin", Person(None))
    done = stranger.etl("auth", "login", "spotify", "--env", "test", "--no-browser")
    assert (done.code, "ends in 179 days" in done.out) == (0, True), done
    assert "user-read-recently-played" in done.err
    assert run(stranger, *PROFILE)[1]["warnings"] == []
    file = Path(stranger.root) / ".dlt/tokens/test/spotify.json"
    kept = json.loads(file.read_text())
    soon = datetime.now(UTC).replace(microsecond=0).isoformat()
    file.write_text(json.dumps({**kept, "refresh_expires_at": soon}))
    told = "spotify: the sign-in has ended; run: etl auth login spotify --env test"
    assert run(stranger, *PROFILE)[1]["warnings"] == [told]
    file.rename(file.with_stem("spotify.me"))  # of an account that the spec calls so
    stranger.point_at({"sources.spotify.accounts": ["me"]})
    assert run(stranger, *PROFILE)[0] == 0


# --- small things -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"accounts": ["anna", " "]}, "accounts: one has no name"),
        (
            {"accounts": ["anna", "boris"], "history_path": "x"},
            "history_account: say whose plays these are: anna, boris",
        ),
        ({"accounts": ["anna"], "history_account": "eve"}, "history_account: 'eve' is none of the accounts: anna"),
    ],
)
def test_settings_that_cannot_work_are_named(arguments, says):
    with pytest.raises(BadSetting, match=says):
        spotify(**arguments)


@pytest.mark.parametrize(
    ("told", "row", "expected"),
    [
        (told_playlist, {"tracks": {"total": 1}}, {"items": {"total": 1}}),
        (told_playlist, {"items": {"total": 2}}, {"items": {"total": 2}}),
        (told_playlist, {"items": {"total": 2}, "tracks": {"total": 1}}, {"items": {"total": 2}}),
        (told_playlist, {"id": "x"}, {"id": "x"}),
        (told_entry, {"item": {"uri": "a"}}, {"track": {"uri": "a"}}),
        (told_entry, {"track": {"uri": "a"}, "item": {"uri": "a"}}, {"track": {"uri": "a"}}),
        (told_entry, {"track": None, "item": {"uri": "a"}}, {"track": {"uri": "a"}}),
        (told_entry, {"item": None}, {"track": None}),
    ],
)
def test_one_of_two_names_stays(told, row, expected):
    assert told(row) == expected


def test_cells_become_the_row_they_were():
    cells = {"_dlt_id": "x", "account": "a", "track__album__name": "b", "track__name": "c", "track__rank__v_text": "1"}
    assert _nested(cells) == {"account": "a", "track": {"album": {"name": "b"}, "name": "c", "rank": "1"}}


def test_the_newest_plays_are_remembered():
    plays = [{"played_at": f"2024-03-01T{hour:02}:{minute:02}:00.000Z", "track": {"uri": "u"}}
             for hour in range(2) for minute in range(40)]  # fmt: skip
    memory: dict = {}
    from sources.spotify.plays import Recent

    remember(Recent(plays, None), memory)
    assert len(memory["newest"]) == 50
    assert memory["newest"][0] == mark(plays[-1])


def test_all_of_the_library_is_read_again_after_some_days(site, sandbox):
    account(site, "boris")
    sandbox.world = replace(sandbox.world, records=120)
    some = ("--select", "saved_tracks")
    run(site, *some)
    for words, tables, pages in (([], {}, 1), (["--with", "whole_pass_days=0"], {"saved_tracks": 90}, 2)):
        sandbox.forget_requests()
        code, report, _ = run(site, *some, *words)
        loaded = {table: rows for table, rows in report["tables"].items() if "__" not in table}
        assert (code, loaded, len(sandbox.requests)) == (0, tables, pages)


def test_every_playlist_is_accounted_for(site):
    assert run(site, "--select", "playlist*")[0] == 0
    told = site.etl("coverage", "spotify", "--env", "test")
    assert (told.code, told.out.splitlines()[0]) == (0, "spotify.playlist_items: 4 items: 3 loaded, 1 empty")


def test_what_is_gone_is_seen_on_postgres_too(site, sandbox, postgres_url):
    site.postgres(postgres_url)
    account(site, "anna")
    words = ("run", "spotify", "--env", "pg", "--select", "saved_tracks,followed_artists")
    assert site.etl(*words).code == 0
    ask, whole = Ask(site, postgres_url), "SELECT * FROM spotify.saved_tracks WHERE track__name = 'Demo Track 5'"
    [before] = ask(whole)
    sandbox.move_to(2)
    told = site.etl(*words)
    assert told.code == 0, told.err
    columns = [name for (name,) in ask(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'spotify' "
        "AND table_name = 'saved_tracks' ORDER BY ordinal_position"
    )]  # fmt: skip
    [after] = ask(whole)
    changed = {name for name, old, new in zip(columns, before, after, strict=True) if old != new}
    assert changed - {"_dlt_id", "_dlt_load_id"} == {"removed_at"}
    assert ask("SELECT name FROM spotify.followed_artists WHERE removed_at IS NOT NULL") == [("Demo Artist 3",)]
    artists = "SELECT count(*) FROM spotify.saved_tracks__track__artists a JOIN spotify.saved_tracks t "
    assert ask(f"{artists} ON a._dlt_parent_id = t._dlt_id WHERE t.track__name = 'Demo Track 5'") == [(1,)]
