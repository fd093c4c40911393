"""Raw files where runs die half-way, go other ways, or come from two machines: each row once, and none undone."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.crash_toy import move_to
from tests.killed import At, killed
from tests.landing_toy import RAW, Yard
from tests.warehouse import Ask, contents, faults
from tests.workspace import DESTINATIONS, Result, Workspace

STORE, RUN = "pipelines.landing.store:Store", "dlt.load.load:Load"
EVENTS, TWO = ("--select", "events"), ("--select", "events,levels")
DIRECT = DESTINATIONS + RAW.format(compression="").replace("keep_raw = true", "")


def etl(yard: Yard, verb: str, *options: str, env: str = "test") -> Result:
    """A command that may be partial or not."""
    result = yard.workspace.etl(verb, "crash", "--env", env, *options)
    assert result.code in (0, 3), result
    return result


def test_appended_rows_that_were_left_out_are_in_no_archive(yard, direct):
    """A rebuild would load them beside those that were fetched in their place; so dlt does without a key, too."""
    visits = ("--select", "visits")
    yard.etl("fetch", *visits, code=0)
    (file,) = yard.files(of="visits")
    move_to(yard.workspace, 2)
    yard.etl("fetch", *visits, code=0)
    file.write_bytes(file.read_bytes()[:-20])
    for verb in ("ingest", "fetch", "ingest"):
        etl(yard, verb, *visits)
    assert yard.tables()["visits"] == direct[2]["visits"]
    etl(yard, "rebuild")
    assert yard.tables()["visits"] == direct[2]["visits"]


def test_a_rebuild_ends_the_archiving_of_an_ingest_that_died(yard, direct):
    yard.etl("run", *TWO, env="raw", code=0)
    move_to(yard.workspace, 2)
    yard.etl("fetch", *TWO, code=0)
    killed(yard.workspace, At(f"{STORE}.archive", "after"), "ingest", "crash", "--env", "test")
    yard.etl("rebuild", code=0)
    for table in ("events", "levels"):
        assert yard.tables()[table] == direct[2][table]
    assert not yard.waits()


FAILS = ["pipelines.load.Load.set_aside", "dlt.load.load.Load.start_new_jobs", "pipelines.load.Load._count"]


@pytest.mark.parametrize("fails", FAILS)
def test_a_direct_run_that_failed_may_have_loaded(yard, direct, monkeypatch, fails):
    """Its rows are counted nowhere; what it left to load is loaded by whatever comes next."""
    yard.etl("run", *EVENTS, env="raw", code=0)
    move_to(yard.workspace, 2)
    yard.workspace.write("destinations.toml", DIRECT)
    with monkeypatch.context() as broken:
        broken.setattr(fails, Mock(side_effect=OSError("no space left")))
        yard.etl("run", *EVENTS, env="raw", code=1)
    assert "--drop-direct" in yard.etl("rebuild", env="raw", code=2).err
    assert yard.tables()["events"] == direct[2]["events"]


def test_a_direct_run_that_ended_before_its_load_has_not(yard):
    """One that died while it loaded raw files, and one that failed at the upstream."""
    yard.etl("fetch", *EVENTS, code=0)
    killed(yard.workspace, At(f"{RUN}.start_new_jobs"), "run", "crash", "--env", "test", *EVENTS)
    (yard.workspace.root / "crash.json").write_text("{}")
    yard.etl("run", *EVENTS, code=1)
    yard.etl("rebuild", code=0)


def test_a_run_loads_first_what_a_run_through_raw_files_left(yard, direct):
    killed(yard.workspace, At("pipelines.landing.one_fetch:OneFetch.load"), "run", "crash", "--env", "raw", *EVENTS)
    yard.workspace.write("destinations.toml", DIRECT)
    move_to(yard.workspace, 2)
    yard.etl("run", *EVENTS, env="raw", code=0)
    assert not yard.waits()
    assert yard.tables()["events"] == direct[2]["events"]


def test_a_strange_file_is_known_by_what_is_in_it(yard):
    """Loaded once, though it is touched between load and archive, and put there again later."""
    file = yard.home / "landing/2024_01_02_09_00_crash_events.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text('{"number": 1}\n')
    killed(yard.workspace, At(f"{STORE}.archive"), "ingest", "crash", "--env", "test")
    file.chmod(0o600)
    os.utime(file, (1, 1))
    yard.etl("ingest", code=0)
    file.write_text('{"number": 1}\n')
    assert "is in the archive already" in yard.etl("ingest", code=0).err
    assert not yard.waits()
    assert yard.workspace.query("SELECT number FROM crash.events") == [(1,)]


# -- two machines with one warehouse


def beside(yard: Yard, folder: Path, landing: str) -> Yard:
    """Another clone of the workspace, on the same warehouse."""
    root, other = yard.workspace.root, Workspace(folder / "machine b")
    for part in ("specs", "sources"):
        shutil.copytree(root / part, other.root / part, dirs_exist_ok=True)
    text = (root / "destinations.toml").read_text().replace('"warehouse.duckdb"', f'"{root}/warehouse.duckdb"')
    other.write("destinations.toml", text.replace('"landing"', f'"{landing}"'))
    made = Yard.__new__(Yard)
    made.workspace = move_to(other, 2)
    return made


MOMENTS = [At(f"{RUN}.start_new_jobs"), At(f"{RUN}.complete_package", "after")]


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_another_machine_goes_on_with_the_same_raw_files(yard, tmp_path, direct, moment):
    other = beside(yard, tmp_path, f"{yard.workspace.root}/landing")
    yard.etl("fetch", *EVENTS, code=0)
    killed(yard.workspace, moment, "ingest", "crash", "--env", "test")
    for machine, verb in ((other, "fetch"), (other, "ingest"), (yard, "ingest")):
        machine.etl(verb, *EVENTS, code=0)
    assert yard.tables()["events"] == direct[2]["events"]
    assert faults(Ask(yard.workspace), "crash") == []


def test_a_fetch_undoes_nothing_that_another_machine_has_loaded_since(yard, tmp_path, direct):
    other = beside(yard, tmp_path, "landing")
    some = ("--select", "things,events")
    yard.etl("fetch", *some, code=0)
    other.etl("run", *some)
    move_to(yard.workspace, 2)
    for verb in ("ingest", "run"):
        yard.etl(verb, *some)
    for table in ("things", "things__tags", "events"):
        assert yard.tables()[table] == direct[2][table]


def test_a_rebuild_that_died_is_ended_where_its_files_are(yard, tmp_path):
    other = beside(yard, tmp_path, "landing")
    for day in (1, 2):
        move_to(yard.workspace, day)
        yard.etl("run", *EVENTS, env="raw", code=0)
    killed(yard.workspace, At("pipelines.load:Load.set_aside", nth=2), "rebuild", "crash", "--env", "test")
    told = other.etl("run", *EVENTS, code=1).err
    assert "end it where that is, or give it up with etl state reset crash" in told
    assert other.workspace.etl("state", "reset", "crash", "--env", "test").code == 0
    other.etl("run", *EVENTS, code=0)


def test_a_rebuild_gives_up_no_rows_of_another_landing(yard, tmp_path, direct):
    """Until the archives are put together."""
    other = beside(yard, tmp_path, "landing")
    yard.etl("run", *EVENTS, env="raw", code=0)
    other.etl("run", *EVENTS, env="raw", code=0)
    for here, there in ((yard, other), (other, yard)):
        refused = here.etl("rebuild", env="raw", code=2).err
        assert f"{there.home} are in the tables" in refused
        assert "let all machines share one landing" in refused
    shutil.copytree(other.home / "archive", yard.home / "archive", dirs_exist_ok=True)
    yard.etl("rebuild", env="raw", code=0)
    assert yard.tables()["events"] == direct[2]["events"]
    other.etl("rebuild", env="raw", code=2)


# -- sources of other kinds


def kept(workspace: Workspace, name: str, text: str, more: str = "") -> Workspace:
    """A workspace with a source, and the environment `raw`."""
    workspace.write("destinations.toml", DESTINATIONS + RAW.format(compression=""))
    workspace.source(name, text, more)
    return workspace


def give(workspace: Workspace, name: str, rows: list[dict[str, Any]]) -> None:
    workspace.variables[f"SOURCES__{name.upper()}__ROWS_FILE"] = str(workspace.write("rows.json", json.dumps(rows)))


HEAD = '''\
"""Rows from a JSON file."""

import json
from pathlib import Path

import dlt


@dlt.source(name="{name}", section="{name}")
def {name}(rows_file: str = dlt.config.value):
    return {resources}


def read(rows_file):
    return json.loads(Path(rows_file).read_text())
'''
HISTORY = (
    HEAD.format(name="hist", resources="levels(rows_file)")
    + """

@dlt.resource(write_disposition={"disposition": "merge", "strategy": "scd2"})
def levels(rows_file):
    yield read(rows_file)
"""
)


def test_history_is_rebuilt_as_it_was(workspace):
    made, sql = (
        kept(workspace(), "hist", HISTORY),
        "SELECT v, _dlt_valid_from, _dlt_valid_to FROM hist.levels ORDER BY v",
    )
    for version in (1, 2):
        give(made, "hist", [{"id": 1, "v": version}])
        assert made.etl("run", "hist", "--env", "raw").code == 0
    before = made.query(sql)
    assert made.etl("rebuild", "hist", "--env", "raw").code == 0
    assert made.query(sql) == before
    give(made, "hist", [{"id": 1, "v": 3}])
    assert made.etl("run", "hist", "--env", "test").code == 0
    (_, begun, ended), (_, next_begun, _) = made.query(sql)[1:]
    assert begun < ended == next_begun


OWN = (
    HEAD.format(name="own", resources="events(rows_file), things(rows_file)")
    + """

@dlt.resource(write_disposition="append", primary_key="number")
def events(rows_file):
    state = dlt.current.source_state()
    fresh = [row for row in read(rows_file) if row["number"] > state.get("last", 0)]
    state["last"] = len(read(rows_file))
    yield fresh


@dlt.resource(write_disposition="merge", primary_key="number")
def things(rows_file, number=dlt.sources.incremental("number", initial_value=0)):
    yield [row for row in read(rows_file) if row["number"] >= number.start_value]
"""
)


def test_a_cursor_of_the_source_moves_though_its_files_are_loaded_one_by_one(workspace):
    made = kept(workspace(), "own", OWN, "resources: {events: {append_reason: what happened does not change}}\n")
    for last, verbs in ((2, ["fetch"]), (4, ["fetch", "ingest --select things", "ingest"]), (6, ["fetch", "ingest"])):
        give(made, "own", [{"number": number} for number in range(1, last + 1)])
        for verb in verbs:
            assert made.etl(verb.split()[0], "own", "--env", "test", *verb.split()[1:]).code == 0
    assert made.query("SELECT number FROM own.events ORDER BY 1") == [(number,) for number in range(1, 7)]


MENDED = (
    HEAD.format(name="mend", resources="things(rows_file)")
    + """

@dlt.resource(primary_key="id", write_disposition="merge", columns={"id": {"data_type": "bigint"}})
def things(rows_file, at=dlt.sources.incremental("at", initial_value=0)):
    yield read(rows_file)
"""
)


def test_replayed_rows_that_no_raw_file_holds_come_back_to_quarantine(workspace):
    made = kept(workspace(), "mend", MENDED)
    give(made, "mend", [{"id": 1, "at": 1}, {"id": 2, "at": "x"}])
    assert made.etl("run", "mend", "--env", "raw").code == 3
    made.source("mend", MENDED.replace('dlt.sources.incremental("at", initial_value=0)', "None"))
    assert made.etl("quarantine", "replay", "mend", "--env", "raw").code == 0
    rebuilt = made.etl("rebuild", "mend", "--env", "raw")
    assert rebuilt.code == 3
    assert "1 row replayed before, in no raw file" in rebuilt.err
    assert made.etl("quarantine", "replay", "mend", "--env", "raw").code == 0
    assert made.query("SELECT id FROM mend.things ORDER BY id") == [(1,), (2,)]


NAMES = """
import dlt


@dlt.source(name="names", section="names")
def names():
    for name in ("a/b", "../out", "Größe", "_manifests", "a#b?c", "a*[b]"):
        yield dlt.resource([{"id": 1, "of": name}], name=name, primary_key="id", write_disposition="merge")
"""


def test_a_resource_may_have_any_name(workspace):
    made = kept(workspace(), "names", '"""Names."""\n' + NAMES)
    assert made.etl("run", "names", "--env", "raw").code == 0
    before = contents(Ask(made), "names")
    assert made.etl("rebuild", "names", "--env", "raw").code == 0
    assert contents(Ask(made), "names") == before
    assert {file.name for file in (made.root / "landing").iterdir()} == {"names"}


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"schema": "etl.landing.v1"}', "\xff"])
def test_a_manifest_that_is_none(yard, text):
    (yard.home / "landing").mkdir(parents=True)
    (yard.home / "landing/2024_01_01_00_00_crash_x.manifest.json").write_bytes(text.encode("latin1"))
    assert "is no manifest of raw files; move it away" in yard.etl("ingest", code=1).err
