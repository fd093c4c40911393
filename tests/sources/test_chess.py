"""Chess.com against a loopback API with ETags, a clock of its own and players who come, move and go."""

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import format_datetime
from hashlib import sha256
from pathlib import Path

import dlt
import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.common.pipeline import StateInjectableContext
from dlt.pipeline.exceptions import PipelineStepFailed

from sources.chess import _remember_listed, _with_removals, chess, estimate
from sources.kit.errors import BadSetting, SourceError, TryLater
from sources.kit.notices import KEY
from tests.scripted_server import Asked, Server, reply, serving

API = "https://api.chess.com/pub"
LISTS = ("player_profile", "player_stats", "games", "clubs", "tournaments")


@dataclass
class Site:
    """The API as a test sets it up: documents, statuses and redirects by path, and a clock."""

    pages: dict[str, object] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    moves: dict[str, str] = field(default_factory=dict)
    now: datetime | None = datetime(2024, 3, 15, 12, tzinfo=UTC)
    etags: bool = True

    def add(self, player, number, **months):
        """A player with a page of each kind, and games by month: `m2024_01=[…]`."""
        home = f"/player/{player}"
        self.pages |= {
            home: {"player_id": number, "@id": API + home, "username": player, "joined": 1389043258},
            f"{home}/stats": {"chess_rapid": {"last": {"rating": 1200, "date": 1700000000}}, "fide": 0},
            f"{home}/clubs": {"clubs": [club("a"), club("b")]},
            f"{home}/tournaments": {"finished": [], "in_progress": [], "registered": [tournament("t")]},
            f"{home}/games/archives": {"archives": []},
        }
        for month, games in months.items():
            self.play(player, month[1:].replace("_", "/"), games)

    def play(self, player, month, games):
        """The games of a month; addresses are those of the real API, as behind a proxy."""
        home = f"/player/{player}/games"
        archives = self.pages[f"{home}/archives"]["archives"]
        archives += [url for url in [f"{API}{home}/{month}"] if url not in archives]
        self.pages[f"{home}/{month}"] = {"games": games}

    def answer(self, asked: Asked):
        headers = {"Date": format_datetime(self.now, usegmt=True)} if self.now else {}
        if asked.path in self.moves:
            return reply(301, headers={**headers, "Location": self.moves[asked.path]})
        if asked.path in self.statuses or asked.path not in self.pages:
            return reply(self.statuses.get(asked.path, 404), {"code": 0}, headers)
        body = json.dumps(self.pages[asked.path]).encode()
        if self.etags:
            headers["ETag"] = f'W/"{sha256(body).hexdigest()}"'
            if asked.headers.get("if-none-match") == headers["ETag"]:
                return reply(304, headers=headers)
        return reply(200, body, headers)


def club(name):
    return {"@id": f"{API}/club/{name}", "name": name, "joined": 1600000000}


def tournament(name):
    return {"@id": f"{API}/tournament/{name}", "status": "registered"}


def game(name, end="2024-01-10T00:00:00Z"):
    side = {"rating": 1500, "result": "win", "@id": f"{API}/player/x", "username": "x", "uuid": "u"}
    end_time = int(datetime.fromisoformat(end).timestamp())
    return {"uuid": name, "url": f"https://c/{name}", "end_time": end_time, "white": side, "black": side}


@dataclass
class World:
    """A site, the server it stands behind, and what a source keeps from one read to the next."""

    site: Site
    server: Server
    folder: Path
    state: dict = field(default_factory=dict)
    notices: list[dict] = field(default_factory=list)

    def read(self, *resources, players=("ann",), **window):
        """Rows by resource of one read, outside of a pipeline."""
        rows = {name: [] for name in resources or LISTS}
        source = self._watched(chess(players=list(players), **window).with_resources(*rows), rows)
        with Container().injectable_context(StateInjectableContext(state=self.state)):
            list(source)
        self.state = json.loads(json.dumps(self.state))
        return rows

    def run(self, *resources, players=("ann",), limit=None):
        """One load into DuckDB; the rows that the load carried, by table."""
        rows = {name: [] for name in resources or LISTS}
        self.pipeline.run(self._watched(chess(players=list(players)).with_resources(*rows), rows, limit))
        counts = self.pipeline.last_trace.last_normalize_info.row_counts
        return {name: count for name, count in counts.items() if not name.startswith("_dlt")}

    @property
    def pipeline(self):
        database = dlt.destinations.duckdb(str(self.folder / "warehouse.duckdb"))
        return dlt.pipeline("chess", pipelines_dir=str(self.folder), destination=database, dataset_name="c")

    def select(self, sql):
        with self.pipeline.sql_client() as client:
            return client.execute_sql(sql)

    def _watched(self, source, rows, limit=None):
        """The source without notices in its rows; they and what is asked are those of this read."""
        self.notices.clear()
        self.server.asked.clear()
        for name, resource in source.selected_resources.items():
            resource.add_filter(self._sieve(rows[name], limit))
        return source

    def _sieve(self, rows, limit):
        def keep(row):
            (self.notices if KEY in row else rows).append(row)
            return KEY not in row and (limit is None or len(rows) <= limit)

        return keep

    @property
    def asked(self):
        return [path.removeprefix("/player/") for path in self.server.paths]

    @property
    def told(self):
        return [(one[KEY], one.get("item")) for one in self.notices if one[KEY] != "covered"]

    @property
    def covered(self):
        """What was asked for of whom, without midnights."""
        units = [(one["part"], one["unit"].replace("T00:00:00+00:00", "")) for one in self.notices if "part" in one]
        return sorted(units)


@pytest.fixture
def world(tmp_path, monkeypatch):
    site = Site()
    with serving(site.answer) as server:
        monkeypatch.setenv("SOURCES__CHESS__BASE_URL", server.url)
        monkeypatch.setenv("SOURCES__CHESS__CONTACT", "me@example.org")
        monkeypatch.setenv("SOURCES__CHESS__HTTP__BACKOFF_SECONDS", "0.01")
        monkeypatch.setenv("SOURCES__CHESS__HTTP__MAX_ATTEMPTS", "3")
        monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
        monkeypatch.setenv("RUNTIME__LOG_LEVEL", "CRITICAL")
        yield World(site, server, tmp_path)


def ids(rows, key="uuid"):
    return [row[key] for row in rows]


# --- the recorded payloads ---------------------------------------------------------------------------------


@pytest.fixture
def recorded(world):
    folder = os.environ.get("ETL_PAYLOADS")
    if not folder:
        pytest.skip("ETL_PAYLOADS is not set: the recorded payloads are elsewhere")
    home = "/player/player_one"
    names = {
        "": "player_profile",
        "/stats": "player_stats",
        "/clubs": "clubs",
        "/tournaments": "tournaments",
        "/games/archives": "archives",
        "/games/2024/01": "games_2024_01",
        **dict.fromkeys([f"/games/2023/{m}" for m in ("01", "02", "05", "11", "12")], "games_empty_month"),
    }
    for rest, name in names.items():
        world.site.pages[home + rest] = json.loads((Path(folder) / "chess" / f"{name}.json").read_text("utf-8"))
    return world


def test_the_recorded_payloads_load(recorded):
    loaded = recorded.run(players=["Player_One"])
    assert loaded == {"player_profile": 1, "player_stats": 7, "games": 2, "clubs": 2, "tournaments": 4}
    assert {notice["_etl_notice"] for notice in recorded.notices} == {"covered"}
    assert len(recorded.asked) == 5 + 6
    assert recorded.select("select player_id, title, joined, fide from player_profile") == [
        (1000001, "GM", datetime(2014, 1, 6, 21, 20, 58, tzinfo=UTC), None)
    ]
    assert recorded.select(
        "select category, rules, time_class, rating, last__rating, snapshot_date from player_stats order by 1"
    ) == [
        ("chess_blitz", "chess", "blitz", None, 1134, date(2024, 3, 15)),
        ("chess_bullet", "chess", "bullet", None, 929, date(2024, 3, 15)),
        ("chess_daily", "chess", "daily", None, 1157, date(2024, 3, 15)),
        ("chess_rapid", "chess", "rapid", None, 1241, date(2024, 3, 15)),
        ("fide", None, None, 0, None, date(2024, 3, 15)),
        ("puzzle_rush", None, None, None, None, date(2024, 3, 15)),
        ("tactics", None, None, None, None, date(2024, 3, 15)),
    ]
    assert recorded.select(
        "select uuid, end_time, start_time, white__id_url, accuracies__white, rules from games order by 2"
    ) == [
        (
            "66400cca-a8b3-11ee-8c7e-6cfe544c0428",
            datetime(2024, 1, 1, 14, 53, 9, tzinfo=UTC),
            None,
            "https://api.chess.com/pub/player/player_two",
            60.51,
            "chess",
        ),
        (
            "66400cca-a8b3-11ee-8c7e-6cfe544c0429",
            datetime(2024, 1, 2, 14, 40, tzinfo=UTC),
            datetime(2023, 12, 19, 15, 33, 20, tzinfo=UTC),
            "https://api.chess.com/pub/player/player_one",
            None,
            "chess960",
        ),
    ]
    assert recorded.select("select state, count(*) from tournaments group by 1 order by 1") == [
        ("finished", 2),
        ("in_progress", 1),
        ("registered", 1),
    ]
    assert recorded.select("select count(distinct id_url), min(last_activity) from clubs") == [
        (2, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC))
    ]


def test_the_recorded_payloads_a_second_time_change_nothing(recorded):
    recorded.run(players=["Player_One"])
    assert recorded.run(players=["Player_One"]) == {}


# --- through a pipeline ------------------------------------------------------------------------------------


def test_a_second_run_loads_nothing_and_asks_for_changes_only(world):
    world.site.add("ann", 1, m2024_01=[game("g1")], m2024_03=[game("g3")])
    assert world.run() == {"player_profile": 1, "player_stats": 2, "games": 2, "clubs": 2, "tournaments": 1}
    assert world.run() == {}
    pages = ["ann", "ann/clubs", "ann/games/2024/03", "ann/games/archives", "ann/stats", "ann/tournaments"]
    assert sorted(world.asked) == pages


def test_declared_columns_exist_while_nothing_fills_them(world):
    world.site.add("ann", 1, m2024_01=[game("g1")])
    world.run()
    columns = world.select(
        "select table_name || '.' || column_name, data_type from information_schema.columns where "
        "column_name in ('accuracies__white', 'start_time', 'twitch_url', 'highest__date', 'points_awarded')"
    )
    assert dict(columns) == {
        "games.accuracies__white": "DOUBLE",
        "games.start_time": "TIMESTAMP WITH TIME ZONE",
        "player_profile.twitch_url": "VARCHAR",
        "player_stats.highest__date": "TIMESTAMP WITH TIME ZONE",
        "tournaments.points_awarded": "DOUBLE",
    }


def test_a_player_added_later_gets_the_whole_history(world):
    world.site.add("ann", 1, m2024_01=[game("a1")], m2024_03=[game("a3")])
    world.site.add("bob", 2, m2023_05=[game("b5")], m2024_01=[game("b1")])
    world.run()
    assert world.run(players=["ann", "bob"])["games"] == 2
    assert world.select("select uuid from games order by 1") == [("a1",), ("a3",), ("b1",), ("b5",)]


def test_what_is_remembered_moves_only_with_the_load(world):
    world.site.add("ann", 1, m2024_01=[game("a1")], m2024_02=[game("a2")])
    world.site.statuses["/player/ann/games/2024/02"] = 503
    with pytest.raises(PipelineStepFailed) as raised:
        world.run()
    assert isinstance(raised.value.__cause__.__cause__, TryLater)
    world.site.statuses.clear()
    assert world.run() == {"player_profile": 1, "player_stats": 2, "games": 2, "clubs": 2, "tournaments": 1}


def test_a_club_that_was_left_disappears_and_only_that(world):
    world.site.add("ann", 1)
    world.site.add("bob", 2)
    world.run("clubs", players=["ann", "bob"])
    world.site.pages["/player/ann/clubs"] = {"clubs": [club("b"), club("c")]}
    world.run("clubs", players=["ann", "bob"])
    standing = "select player_id, name from clubs order by all"
    assert world.select(standing) == [(1, "b"), (1, "c"), (2, "a"), (2, "b")]
    world.site.pages["/player/bob/clubs"] = {"clubs": []}
    world.run("clubs", players=["ann", "bob"])
    assert world.select(standing) == [(1, "b"), (1, "c")]
    world.site.pages["/player/ann/clubs"] = {"clubs": [club("a"), club("b"), club("c")]}
    world.run("clubs", players=["ann", "bob"])
    assert world.select(standing) == [(1, "a"), (1, "b"), (1, "c")]


def test_a_limited_list_takes_no_standing_row_away(world):
    world.site.add("ann", 1)
    world.run("clubs")
    world.site.pages["/player/ann/clubs"] = {"clubs": [club("b"), club("a"), club("c")]}
    world.run("clubs", limit=1)
    assert world.select("select name from clubs order by 1") == [("a",), ("b",)]


# --- games -------------------------------------------------------------------------------------------------


def test_months_are_asked_for_until_they_cannot_grow(world):
    site = world.site
    site.add("ann", 1, m2023_12=[game("g12")], m2024_01=[game("g1")], m2024_02=[game("g2")], m2024_03=[])
    months = [f"ann/games/2024/0{m}" for m in range(1, 6)]
    assert ids(world.read("games")["games"]) == ["g12", "g1", "g2"]

    site.play("ann", "2024/03", [game("g3")])  # the running month grows
    assert ids(world.read("games")["games"]) == ["g3"]
    assert world.asked[1:] == months[1:3]  # the last month once more, to see it unchanged

    assert world.read("games")["games"] == []
    assert world.asked[1:] == months[2:3]

    site.now = datetime(2024, 4, 1, 0, 30, tzinfo=UTC)  # a cache may still hold an old March
    assert world.read("games")["games"] == []
    assert world.asked[1:] == months[2:3]
    site.play("ann", "2024/03", [game("g3"), game("late")])
    assert ids(world.read("games")["games"]) == ["g3", "late"]

    site.now = datetime(2024, 4, 3, tzinfo=UTC)
    assert world.read("games")["games"] == []
    assert world.asked[1:] == months[2:3]
    assert world.read("games")["games"] == []
    assert world.asked[1:] == []


def test_a_month_left_open_is_read_once_more_long_after(world):
    world.site.add("ann", 1, m2024_03=[game("early")])
    world.read("games")
    world.site.now = datetime(2024, 8, 1, tzinfo=UTC)
    world.site.play("ann", "2024/03", [game("early"), game("late")])
    assert ids(world.read("games")["games"]) == ["early", "late"]
    world.read("games")
    assert world.asked == ["ann/games/archives"]


def test_without_etags_the_running_month_is_read_again_and_old_ones_are_not(world):
    world.site.etags = False
    world.site.add("ann", 1, m2024_01=[game("g1")], m2024_02=[game("g2")], m2024_03=[game("g3")])
    world.read("games")
    assert ids(world.read("games")["games"]) == ["g2", "g3"]


def test_without_a_date_the_clock_of_this_machine_counts(world):
    world.site.now = None
    world.site.add("ann", 1, m2024_01=[game("g1")])
    world.read("games")
    world.read("games")
    assert world.asked == ["ann/games/archives"]


def test_a_month_that_is_listed_and_absent_is_told_and_the_rest_goes_on(world):
    world.site.add("ann", 1, m2024_01=[game("g1")], m2024_02=[game("g2")], m2024_03=[game("g3")])
    world.site.statuses |= {"/player/ann/games/2024/01": 404, "/player/ann/games/2024/02": 410}
    assert ids(world.read("games")["games"]) == ["g3"]
    assert world.told == [("failed", "ann 2024/01"), ("failed", "ann 2024/02")]
    world.site.statuses.clear()
    assert ids(world.read("games")["games"]) == ["g1"]  # 404 is asked for again, 410 never
    assert [notice["message"] for notice in world.notices if "message" in notice] == [
        "chess: ann 2024/02: gone since 2024-03-15 (410), not asked for"
    ]


def test_a_game_without_uuid_is_known_by_its_url(world):
    world.site.add("ann", 1, m2024_01=[{**game("g1"), "uuid": ""}, game("g2")])
    assert ids(world.read("games")["games"]) == ["https://c/g1", "g2"]


WINDOWS = [
    ({"since": "2024-01-31T00:00:00Z"}, ["edge", "feb", "mar"]),
    ({"until": "2024-01-31T00:00:00Z"}, ["dec", "jan"]),
    ({"since": "2024-01-31T01:00:00+01:00", "until": "2024-02-10T00:00:00Z"}, ["edge"]),
    ({"since": "2024-02-10T00:00:00Z", "until": "2024-02-10T00:00:01Z"}, ["feb"]),
    ({"since": "2025-01-01T00:00:00Z"}, []),
]


@pytest.mark.parametrize(("window", "expected"), WINDOWS)
def test_a_window_is_half_open_and_ignores_what_is_remembered(world, window, expected):
    world.site.add(
        "ann",
        1,
        m2023_12=[game("dec", "2023-12-20T00:00:00Z")],
        m2024_01=[game("jan", "2024-01-30T23:59:59Z"), game("edge", "2024-01-31T00:00:00Z")],
        m2024_02=[game("feb", "2024-02-10T00:00:00Z")],
        m2024_03=[game("mar", "2024-03-10T00:00:00Z")],
    )
    world.read("games")
    before = json.dumps(world.state, sort_keys=True)
    assert ids(world.read("games", **window)["games"]) == expected
    assert json.dumps(world.state, sort_keys=True) == before


def test_a_window_asks_only_for_its_months(world):
    world.site.add("ann", 1, m2023_12=[], m2024_01=[], m2024_02=[], m2024_03=[])
    world.read("games", since="2024-01-05T00:00:00Z", until="2024-01-20T00:00:00Z")
    assert world.asked == ["ann/games/archives", "ann/games/2024/01"]


UNLISTED = [("ann", "2007-05-01/2023-12-01"), ("ann", "2024-03-01/2024-03-13T12:00:00+00:00")]
COVERED = [
    ({}, ["2023-12-01/2024-01-01", "2024-01-01/2024-02-01"]),
    ({"since": "2024-01-05T00:00:00Z"}, ["2024-01-05/2024-02-01"]),
    ({"until": "2023-12-05T00:00:00Z"}, ["2023-12-01/2023-12-05"]),
]


@pytest.mark.parametrize(("window", "asked"), COVERED)
def test_what_was_asked_for_is_told(world, window, asked):
    world.site.add("ann", 1, m2023_12=[], m2024_01=[game("g1")], m2024_02=[])
    world.site.statuses["/player/ann/games/2024/02"] = 404
    world.read("games", **window)
    failed = [] if window.get("until") else [("ann", "2024-02")]
    assert world.covered == sorted([*UNLISTED, *failed, *(("ann", unit) for unit in asked)])


def test_the_month_that_runs_is_told_of_as_far_as_an_answer_is_sure_to_go(world):
    world.site.add("ann", 1, m2024_03=[game("g1")])
    world.read("games")
    assert world.covered == [("ann", "2007-05-01/2024-03-01"), ("ann", "2024-03-01/2024-03-13T12:00:00+00:00")]
    assert world.read("games")["games"] == []
    assert ("ann", "2024-03-01/2024-03-13T12:00:00+00:00") in world.covered  # unchanged, and asked for all the same


def test_a_window_is_only_for_games(world):
    world.site.add("ann", 1)
    rows = world.read(since="2030-01-01T00:00:00Z")
    assert {name: len(found) for name, found in rows.items()} == {
        "player_profile": 1, "player_stats": 2, "games": 0, "clubs": 2, "tournaments": 1,
    }  # fmt: skip


# --- statistics, tournaments, profile ----------------------------------------------------------------------


def test_statistics_are_kept_when_they_change(world):
    world.site.add("ann", 1)
    stats = world.site.pages["/player/ann/stats"]
    assert ids(world.read("player_stats")["player_stats"], "category") == ["chess_rapid", "fide"]
    world.site.now = datetime(2024, 3, 16, 1, tzinfo=UTC)
    assert world.read("player_stats")["player_stats"] == []
    stats["chess_rapid"] = {"last": {"rating": 1201, "date": 1700000100, "rd": 30}}
    assert world.read("player_stats")["player_stats"] == [
        {
            "player_id": 1,
            "username": "ann",
            "snapshot_date": "2024-03-16",
            "category": "chess_rapid",
            "rules": "chess",
            "time_class": "rapid",
            "last": {"rating": 1201, "date": "2023-11-14T22:15:00Z", "rd": 30},
        }
    ]


def test_statistics_without_etags_are_compared(world):
    world.site.etags = False
    world.site.add("ann", 1)
    world.read("player_stats")
    assert world.read("player_stats")["player_stats"] == []


def test_a_statistic_of_unknown_shape_is_set_aside(world):
    world.site.add("ann", 1)
    world.site.pages["/player/ann/stats"] = {"fide": None, "league": "wood", "chess960_daily": {"last": {}}}
    rows = world.read("player_stats")["player_stats"]
    assert [(row["category"], row.get("rules"), row.get("rating")) for row in rows] == [
        ("fide", None, None),
        ("chess960_daily", "chess960", None),
    ]
    assert [(one[KEY], one["row"], one["where"]) for one in world.notices] == [
        ("rejected", {"league": "wood"}, "statistics of ann")
    ]


def test_a_tournament_moves_from_list_to_list_and_can_be_left(world):
    world.site.add("ann", 1)
    lists = world.site.pages["/player/ann/tournaments"]
    lists["registered"] = [tournament("t"), tournament("u")]
    world.run("tournaments")
    lists |= {"registered": [], "in_progress": [tournament("t")], "finished": [tournament("t")]}
    world.run("tournaments")
    assert world.select("select id_url, state from tournaments") == [(f"{API}/tournament/t", "finished")]


def test_times_leave_as_utc_and_the_id_with_a_name(world):
    world.site.add("ann", 1)
    world.site.pages["/player/ann"] |= {
        "last_online": "yesterday",
        "streaming_platforms": [{"@id": "x", "date": 0}],
    }
    assert world.read("player_profile")["player_profile"] == [
        {
            "player_id": 1,
            "id_url": f"{API}/player/ann",
            "username": "ann",
            "joined": "2014-01-06T21:20:58Z",
            "last_online": "yesterday",
            "streaming_platforms": [{"id_url": "x", "date": "1970-01-01T00:00:00Z"}],
        }
    ]


def test_one_list_alone_asks_who_the_player_is_once(world):
    world.site.add("ann", 1)
    assert ids(world.read("clubs")["clubs"], "player_id") == [1, 1]
    assert world.asked == ["ann/clubs", "ann"]
    world.site.pages["/player/ann/clubs"] = {"clubs": [club("c"), club("b"), club("a")]}
    world.read("clubs")
    assert world.asked == ["ann/clubs"]


# --- players who are not there -----------------------------------------------------------------------------


def test_an_unknown_player_is_told_once_and_the_others_go_on(world):
    world.site.add("ann", 1, m2024_01=[game("g1")])
    rows = world.read(players=["nobody", "ann"])
    assert {name: len(found) for name, found in rows.items()} == {
        "player_profile": 1, "player_stats": 2, "games": 1, "clubs": 2, "tournaments": 1,
    }  # fmt: skip
    assert world.told == [("failed", "nobody")]
    assert world.notices[0]["reason"] == "not found (404); check `players` of chess"
    world.site.add("nobody", 3)
    assert len(world.read("clubs", players=["nobody"])["clubs"]) == 2


def test_a_player_who_is_gone_is_never_asked_for_again(world):
    world.site.add("ann", 1)
    world.site.statuses |= {
        f"/player/bob{rest}": 410 for rest in ("", "/stats", "/clubs", "/tournaments", "/games/archives")
    }
    world.read(players=["bob", "ann"])
    assert world.told == [("failed", "bob")]
    world.read(players=["bob", "ann"])
    assert world.told == [("warning", None)]
    assert "bob: gone since 2024-03-15 (410)" in world.notices[0]["message"]
    assert not [path for path in world.asked if path.startswith("bob")]


def test_a_move_for_good_is_remembered(world):
    world.site.add("new", 1, m2024_03=[game("g1")])
    pages = ("", "/stats", "/clubs", "/tournaments", "/games/archives")
    world.site.moves = {f"/player/old{rest}": f"/player/new{rest}" for rest in pages}
    assert ids(world.read("games", "clubs", players=["old"])["games"]) == ["g1"]
    world.site.play("new", "2024/03", [game("g1"), game("g2")])
    assert ids(world.read("games", "clubs", players=["old"])["games"]) == ["g1", "g2"]
    assert sorted(world.asked) == ["new/clubs", "new/games/2024/03", "new/games/archives"]


def test_a_remembered_move_that_leads_nowhere_is_forgotten(world):
    world.site.add("new", 1)
    world.site.moves = {"/player/old/clubs": "/player/new/clubs", "/player/old": "/player/new"}
    world.read("clubs", players=["old"])
    world.site.moves.clear()
    world.site.pages.clear()
    world.read("clubs", players=["old"])
    assert world.told == [("failed", "old")]
    world.site.add("old", 1)
    world.site.pages["/player/old/clubs"] = {"clubs": [club("z")]}
    assert world.read("clubs", players=["old"])["clubs"][0]["name"] == "z"


# --- refusals ----------------------------------------------------------------------------------------------


def test_403_says_what_to_do(world):
    world.site.statuses["/player/ann"] = 403
    with pytest.raises(Exception, match="check that `contact`") as raised:
        world.read("player_profile")
    assert isinstance(raised.value.__cause__, SourceError)


def test_429_is_repeated(world):
    world.site.add("ann", 1)
    refusals = [429, 429]
    with serving(lambda asked: reply(refusals.pop()) if refusals else world.site.answer(asked)) as server:
        rows = world.read("player_profile", base_url=server.url)
    assert ids(rows["player_profile"], "player_id") == [1]


@pytest.mark.parametrize("wrong", [[], {"games": []}, {"archives": None}, {"archives": [1]}, {"archives": ["x"]},
                                   {"archives": ["http://127.0.0.1:9/pub/player/ann/games/2024/01"]}])  # fmt: skip
def test_an_answer_of_another_shape_is_one_line(world, wrong):
    world.site.pages["/player/ann/games/archives"] = wrong
    with pytest.raises(Exception, match="the API may have changed") as raised:
        world.read("games")
    assert isinstance(raised.value.__cause__, SourceError)


def test_entries_without_a_name_are_left_to_the_check_of_rows():
    rows, memory = [{"id_url": ["x"]}, {"id_url": None}, {"id_url": "a"}, {}], {"listed": ["a", "b"]}
    told = _with_removals(rows, {"player_id": 1}, memory)
    _remember_listed(rows, memory)
    assert [(row.get("id_url"), row.get("removed")) for row in told[2:]] == [("a", None), (None, None), ("b", True)]
    assert (len(told), memory) == (5, {"listed": ["a"]})


def test_the_contact_and_lower_case_names_go_out(world):
    world.site.add("ann", 1)
    world.read("player_profile", players=["ANN", " ann "])
    assert world.asked == ["ann"]
    assert world.server.asked[0].headers["user-agent"].startswith("etl/")
    assert world.server.asked[0].headers["user-agent"].endswith(" (+me@example.org)")


def test_a_strange_name_stays_in_its_place(world):
    world.read("player_profile", players=["a/b?c"])
    assert world.asked == ["a%2Fb%3Fc"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"contact": ""}, "set SOURCES__CHESS__CONTACT=you@example.org"),
        ({"contact": "  "}, "set SOURCES__CHESS__CONTACT=you@example.org"),
        ({"contact": "a@b\r\nX: 1"}, "printable ASCII"),
        ({"players": []}, "players: names nobody"),
        ({"players": ["ann", " "]}, "players: names nobody"),
        ({"since": "soon"}, "since: 'soon' is no ISO 8601 time"),
        ({"base_url": "api.chess.com"}, "chess.base_url: no address that can be asked"),
    ],
)
def test_settings_that_cannot_work_are_named(world, arguments, says):
    with pytest.raises(BadSetting, match=says.replace("(", r"\(")):
        chess(**{"players": ["ann"], **arguments})


def test_a_contact_is_needed(world, monkeypatch):
    monkeypatch.delenv("SOURCES__CHESS__CONTACT")
    with pytest.raises(ConfigFieldMissingException, match="SOURCES__CHESS__CONTACT"):
        chess(players=["ann"])


def test_building_asks_nothing(world):
    assert list(chess(players=["ann"]).resources) == list(LISTS)
    assert world.asked == []


def test_the_estimate_is_what_the_next_read_asks(world):
    assert estimate({}, ["ann", "Ann"], base_url="x") == dict.fromkeys(LISTS, 1)
    world.site.add("ann", 1, m2023_12=[], m2024_01=[], m2024_02=[], m2024_03=[])
    world.read()
    known = estimate(world.state["sources"]["chess"], ["ann"])
    world.read()
    assert known == {**dict.fromkeys(LISTS, 1), "games": 3}
    assert len(world.asked) == sum(known.values())


def test_the_estimate_counts_nobody_who_is_gone():
    memory = {"gone": "2024-01-01", "months": {"2023/12": {}}}
    state = {"resources": {name: {"players": {"ann": memory}} for name in LISTS}}
    assert estimate(state, ["ann", "bob"]) == dict.fromkeys(LISTS, 1)
