"""Halo matches through the whole program: no hole, no match asked for twice, and a sign-in that renews itself."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from urllib.parse import quote

import duckdb
import pytest

from sandbox import spnkr as stand_in
from sandbox.halo_matches import PEOPLE, Games
from sandbox.server import Sandbox, World
from sources.spnkr.ledger import ABSENT, GONE, PENDING, UNREADABLE, Ledger, Match
from tests import killed
from tests.killed import Step
from tests.signed_in import Person
from tests.workspace import Result, Workspace

FIRST, SECOND, THIRD = PEOPLE
STATS = ("--select=match_history", "--select=match_stats")
QUICK = {"SOURCES__SPNKR__HTTP__BACKOFF_SECONDS": "0.01", "SOURCES__SPNKR__HTTP__MAX_ATTEMPTS": "2"}
MATCHES = int(os.environ.get("ETL_MATCHES", "30"))
KILLS = int(os.environ.get("ETL_KILLS", "1"))
PACE = 20 if MATCHES < 1000 else 100
AT_SIZE = {
    "matches_per_run": max(10, MATCHES // 4), "http.requests_per_second": PACE,
    "spartan_token": "", "clearance_token": "",
}  # fmt: skip
LARGE = ("match_history", "match_stats", "match_players", "match_skill", "highlight_events", "match_parts", "aliases")


@pytest.fixture
def site(workspace, sandbox) -> Workspace:
    """A workspace with the spec and without its models, pointed at the sandbox."""
    made = workspace("spnkr")
    (made.root / "models" / "spnkr").unlink()
    made.point_at(sandbox.settings("spnkr"))
    return made


def run(site: Workspace, *words: str, **variables: str):
    chosen = words if any("--select" in word for word in words) else (*STATS, *words)
    result = site.etl("run", "spnkr", "--env", "test", "--output", "json", *chosen, **{**QUICK, **variables})
    return result.code, (result.json[0] if result.out else {}), result.err


def players(*xuids: str) -> dict[str, str]:
    return {"SOURCES__SPNKR__PLAYERS": json.dumps(xuids)}


def asked(sandbox: Sandbox, part: str = "/stats") -> Counter[str]:
    """How often each match was asked for, by its id, and whether it answered."""
    return Counter(
        seen.path.split("/")[5] for seen in sandbox.requests if seen.path.endswith(part) and seen.status == 200
    )


def games_of(sandbox: Sandbox, *xuids: str) -> set[str]:
    """The ids of the matches of some people that can be asked for."""
    games = Games(sandbox.world)
    return {game.id for xuid in xuids for game in games.of(xuid, "all") if game.is_ready}


def loaded(site: Workspace) -> set[str]:
    return {match for (match,) in site.query("SELECT match_id FROM spnkr.match_stats")}


# --- no hole --------------------------------------------------------------------------------------------------


def test_a_match_that_failed_behind_one_that_did_not_is_read_by_the_next_run(site, sandbox):
    """Defect 1: the newest match ok, the second fails with 503, and the next delta stops at the first it knows."""
    games = Games(sandbox.world)
    second = games.of(FIRST, "all")[2].id
    sandbox.fault(f"/matches/{second}/stats", "503", 100)
    code, report, _ = run(site, **players(FIRST))
    assert code == 3
    assert [error["unit"] for error in report["errors"]] == [f"match_stats:stats of {second}"]
    assert loaded(site) == games_of(sandbox, FIRST) - {second}
    sandbox.clear_faults()
    sandbox.forget_requests()
    assert run(site, **players(FIRST))[0] == 0
    assert loaded(site) == games_of(sandbox, FIRST)
    assert asked(sandbox) == {second: 1}


def test_a_match_that_another_person_has_ends_nobodys_history(site, sandbox):
    """Defect 1: in a merged database a match that was loaded for one ends the other's delta on page 1."""
    assert run(site, **players(FIRST))[0] == 0
    sandbox.forget_requests()
    assert run(site, **players(FIRST, SECOND, THIRD))[0] == 0
    assert loaded(site) == games_of(sandbox, *PEOPLE)
    assert asked(sandbox).keys() == games_of(sandbox, SECOND, THIRD) - games_of(sandbox, FIRST)
    assert set(asked(sandbox).values()) == {1}, "a shared match is fetched twice"


def test_another_type_of_match_has_a_history_of_its_own(site, sandbox):
    """What was listed of custom matches alone hides none of the others."""
    assert run(site, "--with", "match_type=custom", **players(FIRST))[0] == 0
    assert 0 < len(loaded(site)) < len(games_of(sandbox, FIRST))
    assert run(site, **players(FIRST))[0] == 0
    assert loaded(site) == games_of(sandbox, FIRST)


def test_what_was_read_before_the_upstream_failed_is_loaded(site, sandbox):
    """Defect 8: an importer that dies loses what it had."""
    sandbox.fault("/halostats/hi/matches/", "503", 1000, after=6)
    code, report, _ = run(site, "--with", "matches_per_run=100")
    assert code == 5
    assert len(loaded(site)) == report["tables"]["match_stats"] > 2
    sandbox.clear_faults()
    sandbox.forget_requests()
    before = loaded(site)
    assert run(site)[0] == 0
    assert loaded(site) == games_of(sandbox, *PEOPLE)
    assert not before & asked(sandbox).keys()


def test_a_match_that_the_history_hides_is_missed_and_found_again(site, sandbox, monkeypatch):
    """What the API counts and the history does not list is told, exit 3; once it is listed, however old, it is read."""
    old = Games(sandbox.world).of(FIRST, "all")[-1]
    sandbox.world.memory["halo_hidden"] = {old.number}
    counted = stand_in._count
    pages = {key: _one_more if page is counted else page for key, page in stand_in.PAGES.items()}
    monkeypatch.setattr(stand_in, "PAGES", pages)
    with_count = ("--select=match_history", "--select=match_stats", "--select=match_count")
    code, report, _ = run(site, *with_count, **players(FIRST))
    assert code == 3
    assert report["errors"][0]["unit"] == f"match_history:{FIRST}: 1 matches are missing"
    sandbox.world.memory.clear()
    assert run(site, *with_count, **players(FIRST))[0] == 0
    assert old.id in loaded(site)


def _one_more(request, games, asked):
    counts = stand_in._count(request, games, asked)
    hidden = len(games.world.memory.get("halo_hidden", ()))
    return {name: count + (hidden if name == "MatchesPlayedCount" else 0) for name, count in counts.items()}


def test_a_fresh_404_is_asked_for_again_an_old_one_and_a_410_are_not(site, sandbox):
    """A 404 on what is younger than three days says "not ready"."""
    games = Games(sandbox.world)
    newest, gone, absent = games.of(FIRST, "all")[0].id, games.game(0).id, games.game(1).id
    sandbox.fault(f"/matches/{gone}/stats", "410", 100)
    sandbox.world.memory["halo_ids"] = {game.id: game.number for game in map(games.game, range(games.count))}
    sandbox.fault(f"/matches/{absent}/stats", "404", 100)
    long_ago = {"SOURCES__SPNKR__PLAYERS": json.dumps([FIRST])}
    sandbox.move_to(4)
    code, _, told = run(site, *STATS, "--select=match_parts", **long_ago)
    assert (code, "1 part of a match is not ready yet (404)" in told) == (0, True), told
    found = dict(site.query("SELECT match_id, status FROM spnkr.match_parts WHERE part = 'stats' AND status <> 'done'"))
    assert (found[gone], found[absent]) == ("gone", "absent")
    assert [status for match, status in found.items() if match not in (gone, absent)] == ["pending"]
    assert newest not in found, "it was ready on a later day"
    sandbox.clear_faults()
    sandbox.forget_requests()
    sandbox.move_to(5)
    run(site, *STATS, "--select=match_parts", **long_ago)
    assert not {gone, absent} & asked(sandbox).keys()


# --- at size --------------------------------------------------------------------------------------------------


@pytest.fixture
def years(workspace, tmp_path, monkeypatch) -> Iterator[tuple[Workspace, Sandbox]]:
    """Three people's `MATCHES`, read by whoever has signed in, whose tokens end again and again."""
    monkeypatch.setattr(killed, "SECONDS", 3600)
    monkeypatch.setattr(stand_in, "TOKEN_REQUESTS", 500 if MATCHES > 1000 else 60)
    with Sandbox(World(records=10 * MATCHES), folder=tmp_path / "sandbox") as sandbox:
        made = workspace("spnkr")
        (made.root / "models" / "spnkr").unlink()
        made.point_at(sandbox.settings("spnkr") | {f"sources.spnkr.{name}": value for name, value in AT_SIZE.items()})
        made.variables |= QUICK
        yield made, sandbox


@pytest.mark.timeout(300 if MATCHES < 1000 else 0)
def test_a_history_of_years_is_whole_in_the_end_however_often_it_is_killed(years, monkeypatch):
    """503s, a match that fails for a while, 404s, tokens that end: each match is there once, as it was answered.

    So many matches a run as `matches_per_run` says; each is asked for once, save what a killed run had, and at no
    moment has a host had more requests than its pace allows.
    """
    site, sandbox = years
    monkeypatch.setattr(sys, "stdin", Person(None))
    roll = random.Random(MATCHES)
    games = Games(sandbox.world)
    for number in roll.sample(range(MATCHES), MATCHES // 20):
        sandbox.fault(f"/matches/{games.game(number).id}/", "503", roll.choice((1, 3)))
    codes: list[int] = []
    answered: Counter[str] = Counter()
    for kill in [True] * KILLS + [False] * (10 + 2 * KILLS):
        if not codes or codes[-1] == 6:
            assert site.etl("auth", "login", "spnkr", "--env", "test", "--no-browser").code == 0
        ended = _read(site, sandbox, roll if kill else None)
        codes.append(ended.code)
        _check_pace(sandbox)
        assert ended.code != 5 or "reads all with --with matches_per_run=" in ended.out
        if codes[-1] >= 0:
            answered += asked(sandbox)
        sandbox.forget_requests()
        if codes[-1] == 0:
            break
    assert (codes.count(-signal.SIGKILL) > 0, codes[-1], set(codes) <= {-signal.SIGKILL, 5, 3, 6, 0}) == (True, 0, True)
    assert codes.count(5) < MATCHES / AT_SIZE["matches_per_run"], "what is waited for takes the place of what is new"
    assert max(answered.values()) == 1, "a match is asked for again"
    wanted = games_of(sandbox, *PEOPLE)
    print(f"{len(wanted)} matches, runs ended with {codes}")
    assert site.query("SELECT count(*), count(DISTINCT match_id) FROM spnkr.match_stats") == [(len(wanted),) * 2]
    assert loaded(site) == wanted
    players = {(game.id, player) for game in map(games.game, range(games.count)) for player in game.players}
    found = site.query("SELECT match_id, player_id FROM spnkr.match_players")
    assert len(found) == len(set(found))
    assert set(found) == {(match, player) for match, player in players if match in wanted}
    parts = site.query("SELECT part, status, count(*) FROM spnkr.match_parts WHERE status <> 'done' GROUP BY ALL")
    assert {(part, status) for part, status, _ in parts} <= {("stats", "pending"), ("skill", "pending"),
        ("names", "pending"), ("film", "pending"), ("film", "absent"), ("skill", "absent")}  # fmt: skip


def _read(site: Workspace, sandbox: Sandbox, roll: random.Random | None) -> Result:
    """How a run ended, which was killed after so many requests, or at a moment of its load, if at all."""
    words = ("run", "spnkr", "--env", "test", *(f"--select={table}" for table in LARGE))
    if roll is None or roll.random() < 0.3:
        return killed.start(site, *words, moment=roll and Step("load", roll.randrange(2, 40))).ended()
    last, run = roll.randrange(5, 4 * AT_SIZE["matches_per_run"]), killed.start(site, *words)
    run.until(lambda: len(sandbox.requests) > last)
    run.signal(signal.SIGKILL)
    return run.ended()


def _check_pace(sandbox: Sandbox) -> None:
    """No host had a request sooner than its pace allows, counted from the first one of the run."""
    taken: Counter[str] = Counter()
    seen = [one for one in sandbox.requests if "/hi/" in one.path or "/users" in one.path or "/ugcstorage" in one.path]
    for one in seen:
        host = one.path.split("/")[2]
        taken[host] += 1
        assert taken[host] <= 1 + PACE * (one.at - seen[0].at), f"{host} had too many requests"


def test_nobody_loses_rows_to_a_token_that_is_refused(site, sandbox):
    """Defect 2: the database was deleted before the tokens were checked, and bad ones left 0 rows."""
    assert run(site, **players(THIRD))[0] == 0
    before = site.query("SELECT match_id, _dlt_id FROM spnkr.match_stats ORDER BY 1")
    code, _, told = run(site, "--full-refresh", "--yes", SOURCES__SPNKR__SPARTAN_TOKEN="v4=ended", **players(THIRD))
    assert (code, "lasts four hours" in told) == (6, True)
    assert site.query("SELECT match_id, _dlt_id FROM spnkr.match_stats ORDER BY 1") == before


# --- parts and tables -----------------------------------------------------------------------------------------


def test_a_table_that_is_wanted_later_gets_its_history(site, sandbox):
    """Defect 7: what is enabled later is never filled, as known matches are filtered before."""
    assert run(site, "--select=match_stats")[0] == 0
    assert run(site, "--select=match_stats", "--select=match_medals")[0] == 0
    matches = {match for (match,) in site.query("SELECT DISTINCT match_id FROM spnkr.match_medals")}
    assert matches == loaded(site) == games_of(sandbox, *PEOPLE)


def test_a_film_that_cannot_be_read_is_told_once_and_an_asset_that_failed_is_asked_for_again(site, sandbox):
    """Defect 7: a bit is set "done" though the fetch failed, and nobody comes back. A newer reader tries again."""
    sandbox.fault("/filmChunk2", "html", 1)
    arena = Games(sandbox.world).of(THIRD, "all")[0].asset("map")["AssetId"]
    sandbox.fault(f"/maps/{arena}", "503", 100)
    chosen = ("--select=highlight_events", "--select=match_parts", "--select=assets")
    code, report, _ = run(site, *chosen, **players(THIRD))
    units = [error["unit"].split()[0] for error in report["errors"]]
    assert (code, units) == (3, ["highlight_events:film", "assets:map"])
    assert "film version 38 cannot be read" in report["errors"][0]["message"]
    sandbox.clear_faults()
    sandbox.forget_requests()
    code, report, _ = run(site, *chosen, **players(THIRD))
    assert (code, report["tables"]["assets"]) == (0, 1)
    assert not asked(sandbox, "/filmChunk2")
    versions = [seen.path.split("/")[5] for seen in sandbox.requests if "/versions/" in seen.path]
    assert versions == [arena], "what is known is asked for"
    states = dict(site.query("SELECT status, count(*) FROM spnkr.match_parts WHERE part = 'film' GROUP BY 1"))
    assert states["unreadable"] == 1


def test_a_private_history_and_a_name_that_nobody_has_are_told_and_the_others_are_read(site, sandbox):
    sandbox.fault(f"xuid\\({SECOND}\\)/matches\\?", "403", 10)
    code, report, _ = run(site, **players("Nobody At All", SECOND, THIRD))
    assert code == 3
    assert [error["unit"] for error in report["errors"]] == ["match_history:Nobody At All", f"match_history:{SECOND}"]
    assert "private" in report["errors"][1]["message"]
    sandbox.fault(f"xuid\\({SECOND}\\)/rewardtracks/operations", "403", 10)
    code, report, _ = run(site, "--select=operations", **players(SECOND, THIRD))
    assert (code, report["tables"]["operations"], report["errors"][0]["unit"]) == (3, 2, f"operations:{SECOND}")
    assert "--exclude operations" in report["errors"][0]["message"]
    assert loaded(site) == games_of(sandbox, THIRD)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A warehouse with all tables and models of a small world."""
    folder = tmp_path_factory.mktemp("whole")
    with Sandbox(World(records=150), folder=folder / "sandbox") as sandbox:
        made = Workspace(folder / "a workspace", ("spnkr",))
        made.point_at(sandbox.settings("spnkr"))
        result = made.etl("run", "spnkr", "--env", "test", **QUICK)
        assert result.code == 0, result
    with duckdb.connect(str(made.root / "warehouse.duckdb"), read_only=True) as warehouse:
        yield warehouse.execute("USE spnkr")


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        # a medal and a mode that nobody knows
        ("count(*) > 0, min(name) IS NULL FROM medals_earned WHERE name_id = 4294967290", (True, True)),
        ("DISTINCT game_variant_category FROM match_stats WHERE game_variant_category > 90", (99,)),
        ("DISTINCT balls_hovered, time_hovering_seconds FROM match_player_modes WHERE mode = 'hoverball'", (2, 120.5)),
        # custom matches have no playlist and no skill, free-for-all twelve teams of which the answer tells none
        ("count(*) FROM match_skill JOIN match_stats USING (match_id) WHERE playlist_id IS NULL", (0,)),
        ("max(last_team_id), count(DISTINCT my_team_score) FROM participants WHERE kda IS NOT NULL", (11, 2)),
        ("count(DISTINCT team_id) FROM match_skill_mmrs", (12,)),
        ("sum(is_bot::INT) > 0, count(xuid) < count(*) FROM match_players", (True, True)),
        # who changed the team is one participant, with the sum of both
        ("max(stints) FROM participants", (2,)),
        ("min(count) FROM medals_earned JOIN participants USING (match_id, player_id) "
         "WHERE stints = 2 AND name_id = 1512363953", (2,)),
        ("count(*) FROM participants JOIN (SELECT match_id, player_id, sum(kills) AS k FROM match_stints GROUP BY ALL) "
         "USING (match_id, player_id) WHERE k <> kills", (0,)),
        # 0 is a team score
        ("min(my_team_score) FROM player_matches WHERE game_variant_category = 15", (0,)),
        ("count(*) FROM player_matches WHERE is_firefight <> (playlist_name = 'Firefight')", (0,)),
        ("count(*) FROM player_matches WHERE is_ranked <> (playlist_name = 'Ranked Arena')", (0,)),
        ("bool_or(is_ranked), bool_or(is_firefight) FROM player_matches", (True, True)),
        ("min(performance_score) >= 0, max(performance_score) <= 100 FROM player_matches", (True, True)),
        # defect 6: one rule for sessions, of one person alone: at most two hours between two matches
        ("count(*) > 0, "
         "bool_and((a.session_number = b.session_number) = (b.start_time <= a.end_time + INTERVAL 2 HOUR)) "
         "FROM player_matches AS a JOIN player_matches AS b ON a.xuid = b.xuid AND a.start_time < b.start_time",
         (True, True)),
        ("max(matches), count(DISTINCT xuid), sum(matches) = (SELECT count(*) FROM player_matches) FROM sessions",
         (2, 3, True)),
        # defect 4: lives were cut to whole seconds
        ("DISTINCT avg_life_seconds FROM match_facts", (35.6,)),
        # defect 10: only French was told
        ("count(DISTINCT locale) FROM medal_labels", (2,)),
        ("count(*) > 0, bool_and(killer_xuid <> victim_xuid) FROM killer_victim", (True, True)),
        ("max(rank), max(api_rank) FROM career_progress", (272, 271)),
        ("count(*) FROM assets WHERE language <> 'en-US' OR public_name IS NULL", (0,)),
        ("name FROM medal_labels WHERE locale = 'fr-FR' AND name_id = 1512363953", ("Sans faute",)),
        ("gamertag FROM gamertags WHERE xuid = '2533274800000001'", ("Demo Spartan",)),
        ("count(*) > 0, count(gamertag) = count(*) FROM teammates", (True, True)),
        ("max(length(column_name)) <= 63, max(length(table_name)) <= 63 FROM information_schema.columns", (True, True)),
    ],
)  # fmt: skip
def test_tables_and_models_say(whole, sql, wanted):
    assert whole.sql(f"SELECT {sql}").fetchall() == [wanted]


# --- signing in -----------------------------------------------------------------------------------------------


def test_a_token_that_ends_in_mid_run_is_renewed(site, sandbox, monkeypatch):
    """Defect 8: at hour 4 an expired token ends the import. The rotated refresh token is kept.

    Defect 9: the redirect URI of the environment was not read.
    """
    monkeypatch.setattr(stand_in, "TOKEN_REQUESTS", 8)
    site.point_at({"sources.spnkr.spartan_token": "", "sources.spnkr.clearance_token": ""})
    monkeypatch.setattr(sys, "stdin", Person(None))
    home = "https://localhost:8443/back"
    result = site.etl("auth", "login", "spnkr", "--env", "test", "--no-browser", SPNKR_AZURE_REDIRECT_URI=home)
    assert (result.code, quote(home, safe="") in result.err) == (0, True), result
    kept = site.root / ".dlt/tokens/test/spnkr.json"
    before = json.loads(kept.read_text())
    assert run(site)[0] == 0
    assert loaded(site) == games_of(sandbox, *PEOPLE)
    refused = [seen for seen in sandbox.requests if seen.status == 401]
    assert len(refused) >= 2, "no token ended"
    after = json.loads(kept.read_text())
    assert after["refresh_token"] != before["refresh_token"]
    assert "granted" not in after["extra"]


# --- the ledger -----------------------------------------------------------------------------------------------


MATCH = Match("63391382-6b88-43f9-9ff4-6313404c419c", None, True, ("1",))


def test_a_ledger_asks_for_what_a_table_lacks():
    memory, stats, medals = {}, {}, {}
    first = Ledger(memory, {"stats": {"match_stats": stats}}, "1")
    assert first.wanted(MATCH.match_id) == ["stats"]
    first.read(MATCH, "stats")
    first.close()
    with_medals = {"stats": {"match_stats": stats, "match_medals": medals}}
    assert Ledger(memory, {"stats": {"match_stats": stats}}, "1").wanted(MATCH.match_id) == []
    second = Ledger(memory, with_medals, "1")
    assert (second.is_level, second.wanted(MATCH.match_id)) == (False, ["stats"])
    second.read(MATCH, "stats")
    second.close()
    third = Ledger(json.loads(json.dumps(memory)), with_medals, "1")
    assert (third.is_level, third.wanted(MATCH.match_id)) == (True, [])


@pytest.mark.parametrize(
    ("status", "same_reader", "newer_reader"),
    [(PENDING, ["film"], ["film"]), (ABSENT, [], []), (GONE, [], []), (UNREADABLE, [], ["film"])],
)
def test_a_ledger_knows_what_is_not_to_be_asked_for_again(status, same_reader, newer_reader):
    memory, films = {}, {"film": {"highlight_events": {}}}
    assert Ledger(memory, films, "1").note(MATCH, "film", status)
    assert not Ledger(memory, films, "1").note(MATCH, "film", status), "it is no news"
    assert Ledger(memory, films, "1").wanted(MATCH.match_id) == same_reader
    assert Ledger(memory, films, "2").wanted(MATCH.match_id) == newer_reader
    assert list(Ledger(memory, films, "1").waiting()) == ([MATCH] if status == PENDING else [])
