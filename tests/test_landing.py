"""Raw files: what is fetched is what a run would load, once, whatever dies between two steps."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import Mock

import pyarrow as pa
import pytest

from pipelines.landing.manifest import RawFile, resource_of, was_cut_off
from pipelines.landing.one_fetch import OneFetch
from pipelines.landing.reader import Unreadable, pages
from pipelines.landing.store import Store
from tests.crash_toy import move_to
from tests.crash_toy import rows as crash_rows
from tests.landing_toy import Yard
from tests.warehouse import Ask, faults
from tests.workspace import DESTINATIONS


def test_all_ways_lead_to_the_same_tables(yard, direct):
    """Two fetches before one ingest, and a rebuild: rows as runs would load them."""
    yard.etl("fetch", code=0)
    assert json.loads((yard.workspace.root / "runs").glob("*/manifest.json").__next__().read_text())["raw_files"]
    move_to(yard.workspace, 2)
    yard.etl("fetch", code=0)
    yard.etl("ingest")
    assert yard.tables() == direct[2]
    assert not yard.waits()
    yard.etl("rebuild")
    assert yard.tables() == direct[2]
    assert faults(Ask(yard.workspace), "crash") == []
    asked = yard.etl("run", "--select", "things,events,visits", "--output", "json")
    assert set(asked.json[0]["tables"]) <= {"things", "things__tags", "things__tags__notes", "things__links"}


RESULT = ["service", "environment", "data_types", "timestamp", "success", "files_ingested", "files_failed", "error"]
ONE = ("--select", "things")
TWO = ("--select", "events,levels")


def of(tables: dict[str, Any], *resources: str) -> dict[str, Any]:
    """The tables of some resources."""
    return {table: rows for table, rows in tables.items() if table.startswith(resources)}


def ids(yard: Yard) -> list[int]:
    return [row[0] for row in yard.workspace.query("SELECT id FROM crash.things ORDER BY id")]


def test_a_fetch_goes_on_where_the_last_one_ended(yard):
    told = yard.etl("fetch", "--select", "events", code=0).out
    assert f"crash: raw files are in {yard.home}" in told.splitlines()
    yard.etl("fetch", "--select", "events", code=0)
    first, second = (json.loads(file.read_text()) for file in yard.files(of=".manifest.json"))
    assert ([file["rows"] for file in first["files"]], second["files"]) == ([17], [])
    assert second["resources"] == ["events"], "a fetch that finds nothing says so"
    assert yard.etl("ingest", code=0).out.startswith("crash.events")
    assert yard.workspace.query("SELECT count(*) FROM crash.events") == [(17,)]
    yard.etl("fetch", "--select", "events", "--to", "elsewhere", code=0)
    (third,) = (yard.workspace.root / "elsewhere/crash/landing").iterdir()
    told = json.loads(third.read_text())
    assert (told["resources"], told["files"], told.get("state")) == (["events"], [], None), "wherever its files go"


def test_a_part_moves_no_cursor(yard):
    for part, code in (("--limit 2", 0), ("--days 3", 3), ("--to elsewhere", 0)):
        yard.etl("fetch", *ONE, *part.split(), code=code)
        home = yard.workspace.root / "elsewhere/crash" if "--to" in part else yard.home
        newest = max(
            (home / "landing").glob("*.manifest.json"), key=lambda file: json.loads(file.read_text())["fetched_at"]
        )
        assert "state" not in json.loads(newest.read_text()), part
    yard.etl("fetch", *ONE, code=0)
    yard.etl("ingest")
    assert ids(yard) == list(range(1, 19))


def test_a_cursor_that_was_moved_elsewhere_stays(yard):
    """What was fetched from one place is no ground to go on from another."""
    yard.etl("run", *ONE)
    move_to(yard.workspace, 2)
    yard.etl("fetch", *ONE, code=0)
    yard.workspace.etl("state", "reset", "crash", "--env", "test")
    yard.etl("ingest")
    state = yard.workspace.etl("state", "show", "crash", "--env", "test").json["state"]
    assert state.get("resources", {}) == {}


def test_a_run_loads_first_what_waits(yard, direct):
    """Else the older rows would come after it, and stay."""
    yard.etl("fetch", *ONE, code=0)
    move_to(yard.workspace, 2)
    yard.etl("run", *ONE)
    assert not yard.waits()
    assert of(yard.tables(), "things") == of(direct[2], "things")


def test_a_fetch_that_fails_leaves_no_file(yard):
    (yard.workspace.root / "crash.json").write_text("{}")
    yard.etl("fetch", code=1)
    assert [file.name for file in yard.home.rglob("*") if file.is_file()] == []


def test_a_dry_run_tells_and_changes_nothing(yard):
    yard.etl("fetch", *ONE, code=0)
    before = yard.files()
    listed = yard.etl("ingest", "--dry-run", "--output", "json", code=0).json
    assert [(each["resource"], each["rows"]) for each in listed] == [("things", 20)]
    assert yard.files() == before
    assert "crash: 1 raw file in landing, not loaded yet" in yard.workspace.etl("status", "--env", "test").out
    assert "loads 1 raw file in landing first" in yard.workspace.etl("plan", "crash", "--env", "test").out


def test_selected_files_are_loaded_and_the_others_wait(yard, direct):
    yard.etl("fetch", *TWO, code=0)
    yard.etl("ingest", "--select", "events", code=0)
    assert of(yard.tables(), "events", "levels") == of(direct[1], "events")
    assert yard.waits()
    refused = yard.etl("rebuild", code=2).err
    assert "events is loaded from raw files that still wait" in refused
    yard.etl("ingest", "--exclude", "events", code=0)
    assert not yard.waits()
    assert of(yard.tables(), "events", "levels") == of(direct[1], "events", "levels")


def test_a_file_that_cannot_be_read_is_put_aside(yard, direct):
    """The others are loaded, and its rows are fetched again since its cursor stayed."""
    yard.etl("fetch", *TWO, code=0)
    (file,) = yard.files(of="events")
    file.write_bytes(file.read_bytes()[:-20])
    result = yard.etl("ingest")
    assert f"crash.events: {file.name}: " in result.out
    assert not yard.waits()
    rejected, told = yard.files("rejected")
    assert (rejected.name, told.name) == (file.name, f"{file.name}.error.json")
    assert json.loads(told.read_text())["retry_command"] == "etl fetch crash --env test --select events"
    assert of(yard.tables(), "events", "levels") == of(direct[1], "levels")
    yard.etl("fetch", "--select", "events", code=0)
    yard.etl("ingest", code=0)
    assert of(yard.tables(), "events", "levels") == of(direct[1], "events", "levels")


CONFIRMED, ASKED = "holds no raw files", "add --yes to confirm"
REBUILDS = {
    "": CONFIRMED,
    "--drop-direct": ASKED,
    "--drop-direct --yes": CONFIRMED,
    "in a protected environment": ASKED,
    "in a protected environment -y": CONFIRMED,
}


@pytest.mark.parametrize("how", REBUILDS)
def test_a_rebuild_asks_where_the_environment_is_protected_and_for_rows_that_are_given_up(yard, how):
    if "protected" in how:
        yard.workspace.write("destinations.toml", DESTINATIONS.replace("[test]\n", "[test]\nprotected = true\n"))
    options = [word for word in how.split() if word.startswith("-")]
    assert REBUILDS[how] in yard.etl("rebuild", *options, code=2).err


LINES = b'{"id": 1}\n{"id": 2}\n'
ZSTD = pa.compress(LINES, "zstd", asbytes=True)
BROKEN = {
    "is not there any more": ("a.jsonl", None),
    "has 2 rows, and its manifest says 3": ("a.jsonl", LINES),
    "cannot be read": ("a.jsonl.zst", ZSTD[:-4]),
    "is no zstd file": ("a.jsonl.zst", b""),
    "is no zstd file, though": ("a.jsonl.zst", LINES),
    "cannot be read: Parquet magic bytes not found": ("a.parquet", LINES + b"no parquet"),
    "cannot be read: Parquet file size is 0 bytes": ("a.parquet", b""),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_what_cannot_be_read(tmp_path, reason):
    name, content = BROKEN[reason]
    store = Store.__new__(Store)
    store.is_local = True
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(Unreadable, match=reason):
        list(pages(store, str(tmp_path / name), RawFile("things", name, 3), tmp_path, parsed=False))


def test_a_table_that_is_replaced_whole_is_not_cut(yard, direct):
    yard.etl("run", "--select", "levels", env="raw", code=0)
    move_to(yard.workspace, 2)
    yard.etl("fetch", "--select", "levels", code=0)
    (file,) = yard.files(of="levels")
    file.unlink()
    yard.etl("ingest")
    assert of(yard.tables(), "levels") == of(direct[1], "levels")


def test_strange_files(yard):
    """Those of the original, called by time, service and type, and what else lies about."""
    folder = yard.home / "landing"
    folder.mkdir(parents=True)
    lines = [{"id": 7, "changed": "2024-01-01T00:00:07Z", "amount": 1.5}, {"id": None}]
    text = "\n".join([*map(json.dumps, lines), "{broken"])
    files = {
        "2024_01_02_09_00_crash_player_one_things.jsonl": text,
        "2026_08_01_to_2026_09_01_HISTORICAL_crash_visits_2.jsonl": '{"number": 1}\n',
        "2024_01_02_09_00_crash_others.jsonl": "{}",
        "notes.txt": "",
    }
    for name, content in files.items():
        (folder / name).write_text(content)
    (told,) = yard.etl("ingest", "--output", "json").json
    assert {key: told[key] for key in RESULT} == {
        "service": "crash", "environment": "test", "data_types": ["things", "events", "visits", "levels"],
        "timestamp": told["finished_at"], "success": False, "files_ingested": 2, "files_failed": 2,
        "error": "2 rows in quarantine, 2 items failed",
    }  # fmt: skip
    assert ids(yard) == [7]
    assert yard.workspace.query("SELECT number FROM crash.visits") == [(1,)]
    aside = yard.workspace.query("SELECT place, payload FROM _etl.quarantine ORDER BY place")
    assert [place for place, _ in aside] == [f"landing/{next(iter(files))}:{line}" for line in (2, 3)]
    assert [file.name for file in yard.files("archive/things")] == [next(iter(files))]
    reasons = {file.name: json.loads(file.read_text())["reason"] for file in yard.files("rejected", ".error.json")}
    assert reasons.keys() == {"notes.txt.error.json", "2024_01_02_09_00_crash_others.jsonl.error.json"}
    assert "none of events, levels, things, visits" in reasons["2024_01_02_09_00_crash_others.jsonl.error.json"]
    (folder / next(iter(files))).write_text('{"id": 8, "changed": "2024-01-01T00:00:08Z"}\n')
    (told,) = yard.etl("ingest", "--output", "json", code=0).json
    assert [told[key] for key in ("success", "files_ingested", "files_failed", "error")] == [True, 1, 0, None]
    assert ids(yard) == [7, 8], "another file of a name that was loaded is loaded, too"
    assert [file.name.split(".")[1] for file in yard.files("archive/things")] == ["2", "jsonl"]
    yard.etl("rebuild", code=3)
    assert ids(yard) == [7, 8]


def test_a_full_refresh_begins_anew_however_often_it_is_cut_off(yard, direct):
    """Without it, rows that are appended would come twice; that another landing had some is forgotten."""
    yard.etl("run", "--select", "events", env="raw", code=0)
    (sign,) = (yard.home / "archive").glob("*.landing")
    sign.rename(sign.with_name("another.landing"))
    move_to(yard.workspace, 2)
    quarantine: dict[str, Any] = {"quarantine": {}}
    expected = direct[2] | quarantine
    with pytest.MonkeyPatch.context() as cut:
        cut.setattr(OneFetch, "load", Mock(side_effect=SystemExit))
        yard.etl("run", "--full-refresh", env="raw", code=1)
    for select in (ONE, ()):
        yard.etl("ingest", *select, env="raw", code=3 if select else 0)
    assert {**yard.tables(), **quarantine} == expected
    yard.etl("rebuild", env="raw")
    assert {**yard.tables(), **quarantine} == expected


def test_a_table_that_would_be_emptied_stays(yard, direct):
    """A run would load nothing at all; of raw files the others are loaded, since they are not read again."""
    spec = yard.workspace.root / "specs/crash.yaml"
    levels = "resources: {levels: {columns: {level: {data_type: bigint}}}, "
    spec.write_text(spec.read_text().replace("resources: {", levels))
    yard.etl("run", *TWO, env="raw", code=0)
    given = {**crash_rows(2), "levels": [{"level": "none"}, {"level": "at all"}]}
    yard.workspace.write("crash.json", json.dumps(given))
    result = yard.etl("run", *TWO, env="raw")
    assert "crash.levels: 2 rows in quarantine" in result.out
    assert "every row was set aside, and the table is replaced whole: it stays as it was" in result.out
    assert of(yard.tables(), "events", "levels") == {**of(direct[1], "levels"), **of(direct[2], "events")}


NAMES = {
    "2024_01_02_09_00_chess_some_one_player_stats.jsonl": "player_stats",
    "2024_01_02_09_00_chess_games_fan_player_stats.jsonl": "player_stats",
    "2024_01_02_09_00_chess_stats_2024.jsonl.gz": "stats",
    "2026_08_01_to_2026_09_01_HISTORICAL_garmin_hrv.jsonl": "hrv",
    "2026_09_03_06_00_garmin_activity_splits.jsonl": "activity_splits",
    "2026_09_03_06_00_garmin_splits_of_activity.jsonl": "splits",
    "hrv.parquet": "hrv",
    "2026_09_03_06_00_garmin_hrvs.jsonl": None,
}


@pytest.mark.parametrize(("name", "resource"), NAMES.items())
def test_the_resource_of_a_file(name, resource):
    assert resource_of(name, ["activity_splits", "games", "hrv", "player_stats", "splits", "stats"]) == resource


RUN = "01JD8QNMBXF3WQSTQ60S9JYZ2T"
DIED = {
    f"2024_01_02_09_00_crash_things_{RUN}.jsonl.zst": True,
    f"2024_01_02_09_00_crash_things_{RUN}.2.parquet": True,
    "2024_01_02_09_00_crash_things_nightly.jsonl": True,
    "2024_01_02_09_00_crash_things.jsonl": False,
    f"2024_01_02_09_00_chess_things_{RUN}.jsonl": False,
}


@pytest.mark.parametrize(("name", "died"), DIED.items())
def test_a_file_whose_fetch_died(name, died):
    assert was_cut_off(name, "crash", ["nightly"]) is died
