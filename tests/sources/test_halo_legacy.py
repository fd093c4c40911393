"""What older programs kept of Halo's matches: inputs that overlap, repeat themselves, are broken or still in use."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sources.halo_legacy.inputs import Input, inputs
from sources.halo_legacy.merge import Merge
from sources.kit.errors import BadSetting
from sources.kit.notices import KEY
from tests import killed
from tests.killed import At, Step

OWNER, OTHER = "2533274800000001", "2533274800000002"
GENERATED = """
CREATE TABLE MatchStats (
    ResponseBody TEXT, MatchId TEXT GENERATED ALWAYS AS (json_extract(ResponseBody, '$.MatchId')) VIRTUAL
);
CREATE TABLE PlayerMatchStats (ResponseBody TEXT, MatchId TEXT);
CREATE TABLE HighlightEvents (MatchId TEXT NOT NULL, ResponseBody TEXT NOT NULL);
CREATE TABLE Maps (ResponseBody TEXT);
CREATE TABLE XuidAliases (Xuid TEXT PRIMARY KEY, Gamertag TEXT NOT NULL, LastSeen TEXT, Source TEXT, UpdatedAt TEXT);
CREATE TABLE SyncMeta (Key TEXT PRIMARY KEY, Value TEXT, UpdatedAt TEXT);
"""
PLAIN = re.sub(r",\s+MatchId TEXT GENERATED.*VIRTUAL", "", GENERATED)  # which takes rows that are no JSON
CACHE = (
    "CREATE TABLE MatchCache "
    "(match_id TEXT, xuid TEXT, last_team_id INTEGER, kills INTEGER, my_team_score INTEGER, start_time TEXT)"
)


def match(name: str, *xuids: str) -> str:
    players = [{"PlayerId": f"xuid({xuid})", "LastTeamId": 11, "PlayerTeamStats": []} for xuid in xuids or (OWNER,)]
    return json.dumps({"MatchId": name, "MatchInfo": {"StartTime": "2024-01-01T00:00:00Z"}, "Players": players})


def skill(*xuids: str) -> str:
    return json.dumps({"Value": [{"Id": f"xuid({one})", "ResultCode": 0, "Result": {"TeamMmr": 9.5}} for one in xuids]})


def event(at: int) -> str:
    return json.dumps({"xuid": int(OWNER), "gamertag": "Owner", "event_type": "kill", "time_ms": at})


def database(path: Path, script: str = GENERATED, **tables: Sequence[Any]) -> Path:
    with closing(sqlite3.connect(path)) as made:
        made.executescript(script)
        for table, rows in tables.items():
            columns = [c[1] for c in made.execute(f"PRAGMA table_xinfo({table})") if c[6] == 0]
            cells = [row if isinstance(row, tuple) else (row,) for row in rows]
            into = f"INSERT INTO {table} ({', '.join(columns[: len(cells[0])])})" if cells else ""
            made.executemany(f"{into} VALUES ({', '.join('?' * len(cells[0]))})", cells) if cells else None
        made.commit()
    return path


def merged(*paths: Path) -> Merge:
    return Merge(inputs([str(path) for path in paths]), "en-US")


def rows(merge: Merge, table: str) -> list[dict[str, Any]]:
    return [row for piece in merge.pieces(table) for row in merge.rows(piece)[table]]


def counts(merge: Merge) -> dict[tuple[str, str], tuple[int, ...]]:
    names = ("total", "taken", "repeated", "empty", "rejected")
    return {(p.input.name, p.table): tuple(p.counts[name] for name in names) for p in merge.parts if p.keys.rows}


def test_databases_that_overlap_give_each_match_once(tmp_path):
    """Defect 3 of the original: 10 and 4 matches, 4 of them the same, became 14, and skill was there twice."""
    first = [match(f"m{n}", OWNER, OTHER) for n in range(10)]
    a = database(tmp_path / "a.db", MatchStats=first, PlayerMatchStats=[(skill(OWNER), f"m{n}") for n in range(10)])
    b = database(
        tmp_path / "b.db",
        MatchStats=[*first[6:], match("m10"), first[9]],
        PlayerMatchStats=[(skill(OWNER), "m9")] * 2,
        Maps=[json.dumps({"AssetId": "map", "VersionId": "1", "PublicName": "Map"})] * 2,
    )
    merge = merged(a, b)
    assert sorted(row["match_id"] for row in rows(merge, "match_stats")) == sorted(f"m{n}" for n in range(11))
    assert len(rows(merge, "match_skill")) == 10
    assert [row["public_name"] for row in rows(merge, "assets")] == ["Map"]
    assert counts(merge) == {
        ("a.db", "MatchStats"): (10, 10, 0, 0, 0),
        ("a.db", "PlayerMatchStats"): (10, 10, 0, 0, 0),
        ("b.db", "MatchStats"): (6, 1, 5, 0, 0),
        ("b.db", "PlayerMatchStats"): (2, 0, 2, 0, 0),
        ("b.db", "Maps"): (2, 1, 1, 0, 0),
    }


def test_a_skill_that_is_known_wins_over_one_that_is_not(tmp_path):
    nobody = json.dumps({"Value": [{"Id": f"xuid({OWNER})", "ResultCode": 1, "Result": None}]})
    a = database(tmp_path / "a.db", PlayerMatchStats=[(nobody, "m1"), ('{"Value": null}', "m2"), (None, "m3")])
    b = database(tmp_path / "b.db", PlayerMatchStats=[(skill(OWNER), "m1"), (skill(OWNER, OTHER), "m2")])
    merge = merged(a, b)
    assert [(row["match_id"], row["team_mmr"]) for row in rows(merge, "match_skill") if KEY not in row] == [
        ("m1", 9.5), ("m2", 9.5), ("m2", 9.5),
    ]  # fmt: skip
    assert counts(merge)["a.db", "PlayerMatchStats"] == (3, 0, 0, 2, 1)


def test_events_that_were_copied_are_there_once_and_those_that_are_alike_stay(tmp_path):
    """Defect 3: a merge without keys copied the events; a real film has two that are alike in all."""
    film = [event(10), event(20), event(20)]
    a = database(tmp_path / "a.db", HighlightEvents=[("m1", body) for body in film * 2])
    b = database(tmp_path / "b.db", HighlightEvents=[("m1", event(10)), ("m2", event(30))])
    merge = merged(b, a)
    found = [(row["match_id"], row["event_index"], row["time_ms"]) for row in rows(merge, "highlight_events")]
    assert sorted(found) == [("m1", 0, 10), ("m1", 1, 20), ("m1", 2, 20), ("m2", 0, 30)]
    assert counts(merge) == {
        ("b.db", "HighlightEvents"): (2, 1, 1, 0, 0),
        ("a.db", "HighlightEvents"): (6, 3, 3, 0, 0),
    }


def test_rows_that_are_no_json_are_refused_alone(tmp_path):
    """Also those that SQLite takes for JSON: half of a character, a number without end, text that is no UTF-8."""
    lone, endless = match("m2").replace("xuid(", "\\ud800("), match("m3").replace("11", "1e999")
    a = database(tmp_path / "a.db", PLAIN, MatchStats=["{not", "{}", match("m1"), None, lone, endless])
    with closing(sqlite3.connect(a)) as other:
        other.execute("INSERT INTO MatchStats VALUES (CAST(? AS TEXT))", (match("m4").encode() + b" \xff",))
        other.execute("INSERT INTO XuidAliases VALUES (?, CAST(? AS TEXT), NULL, 'api', NULL)", (OTHER, b"Na\xffme"))
        other.commit()
    merge = merged(a)
    assert [row["gamertag"] for row in rows(merge, "aliases")] == ["Na\ufffdme"]
    found = rows(merge, "match_stats")
    assert [row["match_id"] for row in found if KEY not in row] == ["m1"]
    assert [row["where"] for row in found if KEY in row] == [f"a.db:MatchStats:{n}" for n in (1, 2, 4, 5, 6, 7)]


@pytest.mark.parametrize(
    ("tables", "name", "expected"),
    [
        ({"SyncMeta": [("player_xuid", OTHER)]}, "a.db", {OTHER}),
        ({"XuidAliases": [(OTHER, "Other One")]}, "spnkr_gt_other one.db", {OTHER}),
        ({}, "a.db", {OWNER}),
    ],
)
def test_a_match_stands_in_the_history_of_whose_database_it_is(tmp_path, tables, name, expected):
    matches = [match("m1", OWNER, OTHER), match("m2", OWNER)]
    merge = merged(database(tmp_path / name, MatchStats=matches, **tables))
    found = rows(merge, "match_history")
    assert {row["xuid"] for row in found} == expected
    assert found[0] == {
        "xuid": found[0]["xuid"], "match_id": "m1", "start_time": "2024-01-01T00:00:00Z", "last_team_id": 11,
    }  # fmt: skip


def test_sums_stand_in_where_nobody_has_the_match(tmp_path):
    """Defects 4 and 5 of the original: 7820 was somebody's own score, and a team 11 was refused."""
    cached = [("m1", OWNER, 0, 5, 7820), ("m2", f"xuid({OWNER})", 11, 6, 1), ("m3", None, 0, 1, 1)]
    a = database(tmp_path / "a.db", GENERATED + CACHE, MatchStats=[match("m1")], MatchCache=cached)
    facts = tmp_path / "match_facts" / f"player={OWNER}" / "year=2024" / "month=01" / "data.parquet"
    facts.parent.mkdir(parents=True)
    told = {"match_id": ["m2", "m4", None], "kills": [6, 7, 8], "team_id": [11, 0, 0], "day": [date(2024, 1, 1)] * 3}
    pq.write_table(pa.table(told), facts)
    merge = merged(a, tmp_path / "match_facts")
    stints = {row["match_id"]: (row["xuid"], row["team_id"], row["kills"]) for row in rows(merge, "match_stints")}
    assert stints == {"m2": (OWNER, 11, 6), "m4": (OWNER, 0, 7)}
    assert rows(merge, "match_teams") == []
    assert counts(merge)["a.db", "MatchCache"] == (3, 1, 1, 0, 1)
    assert counts(merge)["data.parquet", "match_facts"] == (3, 1, 1, 0, 1)
    refused = [row for row in rows(merge, "match_stats") if KEY in row]
    assert [row["reason"] for row in refused] == ["has no match_id or no xuid"] * 2
    assert [row["row"].get("day") for row in refused] == [None, "2024-01-01"], "as JSON has it"


def test_of_a_name_the_time_counts_at_which_it_was_seen_last(tmp_path):
    seen = [(OWNER, "Before", "2024-01-01", "api"), (OTHER, " ", None, None)]
    a = database(tmp_path / "a.db", XuidAliases=seen[:1])
    b = database(tmp_path / "b.db", XuidAliases=[(OWNER, "Before", "2025-01-01T10:00:00Z", "api"), seen[1]])
    names = tmp_path / "xuid_aliases.json"
    told = json.dumps({OTHER: "Other", "nobody": "X", OWNER: "", "622331684": "a medal's label"})
    names.write_text(told.replace("}", f', "{OTHER}": "Twice"}}'))
    merge = merged(a, b, names)
    found = {
        (row["xuid"], row["gamertag"]): (row["source"], row.get("seen_at"))
        for row in rows(merge, "aliases")
        if KEY not in row
    }
    assert found == {(OWNER, "Before"): ("api", "2025-01-01T10:00:00+00:00"), (OTHER, "Other"): ("migrated", None),
                     (OTHER, "Twice"): ("migrated", None)}  # fmt: skip
    assert counts(merge)["xuid_aliases.json", "aliases"] == (5, 2, 0, 1, 2)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.json", b"[1]", "is no object of names by xuid"),
        ("db_profiles.json", b'{"profiles": {"Me": {"xuid": "2533"}}}', "names players, who belong in `players` of"),
        ("a.json", b"{broken", "is neither a database, nor Parquet, nor JSON"),
        ("a.parquet", b"PAR1 and no more", "is no whole Parquet file"),
        ("a.db", b"SQLite format 3\x00" + bytes(100), "is no whole SQLite database"),
    ],
)
def test_an_input_that_cannot_be_read_is_told_and_the_others_are_read(tmp_path, name, content, why):
    """Defect 8 of the original: names that could not be read were 0 names, and the exit code 0."""
    (tmp_path / name).write_bytes(content)
    merge = merged(tmp_path / name, database(tmp_path / "b.db", MatchStats=[match("m1")]))
    assert [row["match_id"] for row in rows(merge, "match_stats")] == ["m1"]
    ((notice,), again) = merge.told(), merge.told()
    assert (notice["item"], notice["reason"].startswith(why), again) == (name, True, [])


def test_medals_get_their_names_of_a_file_of_the_game(tmp_path):
    """Matches have but their numbers."""
    told = [{"nameId": 4294967290, "name": {"value": "New", "translations": {"fr-FR": "Neuve"}}}, {"nameId": "x"}, 5]
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps({"medals": told, "types": [], "note": name}))
    merge = merged(tmp_path / "a.json", tmp_path / "b.json")
    medals = rows(merge, "medals")
    assert [(row["name_id"], row["name"]) for row in medals if KEY not in row] == [(4294967290, "New")]
    assert [row["where"] for row in medals if KEY in row][:2] == ["a.json:medals:1", "a.json:medals:2"]
    labels = {row["locale"]: row["name"] for row in rows(merge, "medal_labels")}
    assert labels == {"en-US": "New", "fr-FR": "Neuve"}
    assert counts(merge) == {("a.json", "medals"): (3, 1, 0, 0, 2), ("b.json", "medals"): (3, 0, 1, 0, 2)}


def test_what_is_not_there_is_a_mistake_of_who_asks(tmp_path):
    for path in (tmp_path / "none.db", tmp_path):
        with pytest.raises(BadSetting, match=r"^halo_legacy\.files: "):
            inputs([str(path)])


def test_inputs_are_left_as_they_are_also_while_a_program_writes_them(tmp_path):
    """What a program has not yet moved from its log into the database is read, too."""
    path = database(tmp_path / "a.db", MatchStats=[match("m1")])
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        before = Input(path).sha256
        writer.execute("INSERT INTO MatchStats VALUES (?)", (match("m2"),))
        writer.commit()
        files = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in tmp_path.iterdir()}
        merge = merged(path)
        assert [row["match_id"] for row in rows(merge, "match_stats")] == ["m1", "m2"]
        assert {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in tmp_path.iterdir()} == files
        assert Input(path).sha256 != before


def test_an_import_fills_the_tables_of_the_matches_and_is_not_repeated(workspace, tmp_path):
    """Twice the same changes nothing, ids included; a new input adds what it alone has; sums give way to matches.

    Killed while it reads and while it loads, an import is finished by the next one, and nobody has touched an input.
    Defect 10: of two copies of a row any one was kept.
    """
    made = workspace("halo_legacy")
    cached = [(name, OWNER, 0, 5, 1, f"2024-01-02T1{hour}:00:00") for hour, name in enumerate(("m2", "m3"))]
    a = database(tmp_path / "a.db", GENERATED + CACHE, MatchStats=[match("m1")], MatchCache=cached)
    b = database(tmp_path / "b.db", PLAIN, MatchStats=[match("m1"), match("m2"), "{not"], SyncMeta=[("xuid", OWNER)])

    def run(*paths: Path, code: int = 0):
        files = ",".join(map(str, paths))
        result = made.etl("run", "halo_legacy", "--env", "test", "--with", f"files={files}", "--output", "json")
        assert result.code == code, result
        return result.json[0]["tables"]

    ids = "SELECT match_id, player_id, _dlt_id FROM spnkr.match_players ORDER BY 1, 2"
    inputs = (a.read_bytes(), b.read_bytes())
    for moment in (At("sources.halo_legacy.merge:Merge._made", nth=3), Step("load", 25)):
        killed.killed(made, moment, "run", "halo_legacy", "--env", "test", "--with", f"files={a}")
    assert run(a)["match_players"] == 3
    first = made.query(ids)
    sessions = made.query("SELECT matches FROM spnkr.sessions ORDER BY started_at")
    assert sessions == [(1,), (2,)], "a sum does not say when it ended"
    assert made.query("SELECT count(*) FROM spnkr.medals_earned") == [(0,)], "also while nobody has named a medal"
    moved = a.rename(tmp_path / "moved.db")
    assert (run(moved), made.query(ids)) == ({}, first)
    run(moved, b, code=3)
    assert [row[:2] for row in made.query(ids)] == [(name, f"xuid({OWNER})") for name in ("m1", "m2", "m3")]
    assert made.query(ids)[0] == first[0]
    payloads = made.query("SELECT match_id, part, source FROM spnkr.match_payloads ORDER BY 1")
    assert payloads == [(name, "stats", "legacy") for name in ("m1", "m2")], "or `spnkr` asks for them again"
    told = "SELECT input, input_table, total, taken, repeated, rejected FROM spnkr.legacy_imports"
    assert made.query(f"{told} WHERE total > 0 ORDER BY 1, 2") == [
        ("a.db", "MatchCache", 2, 2, 0, 0),
        ("a.db", "MatchStats", 1, 1, 0, 0),
        ("b.db", "MatchStats", 3, 1, 1, 1),
    ]
    assert (moved.read_bytes(), b.read_bytes()) == inputs
    again = made.etl("run", "halo_legacy", "--env", "test", "--full-refresh", "--yes", "--with", f"files={b}")
    assert (again.code, "would drop the tables of spnkr" in again.err) == (2, True)


def test_an_import_adds_to_what_the_warehouse_has_and_undoes_none_of_it(workspace, sandbox, tmp_path):
    """Matches that the API gave stay as they are, ids included; events of fewer than are there are left out.

    Then nobody is left who was erased, in no table that either filled, and not in what came from both.
    """
    made = workspace("halo_legacy")
    made.point_at(sandbox.settings("halo_legacy") | sandbox.settings("spnkr"))
    tables = ("match_stats", "match_players", "highlight_events")
    selected = [f"--select={table}" for table in (*tables, "match_payloads", "match_skill_tiers", "aliases", "assets")]
    assert made.etl("run", "spnkr", "--env", "test", *selected).code == 0
    rows = {table: set(made.query(f"SELECT match_id, _dlt_id FROM spnkr.{table}")) for table in tables}
    assert made.etl("run", "halo_legacy", "--env", "test", *selected, "--select=legacy_imports").code == 0
    for table in tables:
        assert rows[table] <= set(made.query(f"SELECT match_id, _dlt_id FROM spnkr.{table}")), table
    assert made.query("SELECT count(*) FROM spnkr.match_stats") == made.query(
        "SELECT count(DISTINCT match_id) FROM spnkr.match_payloads WHERE part = 'stats'"
    )
    assert made.query("SELECT DISTINCT owners FROM spnkr.legacy_imports") == [(OWNER,), (None,)]
    before = {table: holding(made, OTHER, table) for table in ("match_players", "match_skill_tiers")}
    ((name,),) = made.query(f"SELECT gamertag FROM spnkr.gamertags WHERE xuid = '{OWNER}'")
    refused = made.etl("erase", "--player", name, "--env", "test", "--yes")
    assert (refused.code, "another xuid" in refused.err, name in refused.err) == (2, True, False), refused
    assert {table: holding(made, OTHER, table) for table in before} == before
    by_xuid = ("erase", "--player", OWNER, "--env", "test", "--output", "json")
    dry, erased = made.etl(*by_xuid, "--dry-run"), made.etl(*by_xuid, "--yes")
    assert erased.code == 0, erased
    assert dry.json["counts"] == erased.json["counts"], "rows of tables that two specs fill are counted once"
    tables = [table for (table,) in made.query("FROM (SHOW ALL TABLES) SELECT name WHERE schema = 'spnkr'")]
    assert [table for table in tables if holding(made, OWNER, table)] == []
    assert {table: holding(made, OTHER, table) for table in before} == before
    assert made.etl("erase", "--player", name, "--env", "test", "--dry-run").code == 0, "nobody knows it any more"
    contributors = "SELECT DISTINCT contributors FROM spnkr.assets WHERE contributors IS NOT NULL"
    assert made.query(contributors) == [('"[erased]"',)]


def holding(made: Any, value: str, table: str) -> int:
    """The rows of a table in which a value stands."""
    ((count,),) = made.query(f"SELECT count(*) FROM spnkr.{table} AS row WHERE row::VARCHAR LIKE '%{value}%'")
    return count
