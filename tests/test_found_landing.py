"""Raw files: what hostile use of them has found."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.crash_toy import SOURCE, install, move_to
from tests.killed import At, killed
from tests.landing_toy import RAW, Yard
from tests.warehouse import Ask, contents, faults
from tests.workspace import DESTINATIONS, Workspace

STORE = "pipelines.landing.store:Store"
RUN = "dlt.load.load:Load"


@pytest.fixture
def yard(workspace) -> Yard:
    return Yard(workspace())


@pytest.fixture(scope="module")
def direct(tmp_path_factory):
    """What runs without raw files leave after each day, days one after the other."""
    made, found = Yard(Workspace(tmp_path_factory.mktemp("direct") / "a workspace")), {}
    for day in (1, 2, 3):
        move_to(made.workspace, day)
        made.etl("run")
        found[day] = made.tables()
    return found


def any_code(yard: Yard, *words: str, env: str = "test"):
    return yard.workspace.etl(words[0], "crash", "--env", env, *words[1:])


def test_e_rows_left_out_are_not_doubled_by_a_rebuild(yard, direct):
    yard.etl("fetch", code=0)
    (file,) = yard.files(of="events")
    move_to(yard.workspace, 2)
    yard.etl("fetch", code=0)
    file.write_bytes(file.read_bytes()[:-20])
    yard.etl("ingest")
    yard.etl("fetch", code=0)
    yard.etl("ingest")
    assert yard.tables() == direct[2]
    any_code(yard, "rebuild")
    assert yard.tables() == direct[2]


@pytest.mark.parametrize("nth", [1, 3])
def test_i_a_rebuild_of_half_archived_files(yard, direct, nth):
    yard.etl("run", env="raw")
    move_to(yard.workspace, 2)
    yard.etl("fetch", code=0)
    killed(yard.workspace, At(f"{STORE}.archive", "after", nth), "ingest", "crash", "--env", "test")
    r = any_code(yard, "rebuild")
    print(r)
    r = any_code(yard, "ingest")
    print(r)
    assert yard.tables() == direct[2]
    any_code(yard, "rebuild")
    assert yard.tables() == direct[2]


def test_j_a_direct_run_that_died_after_its_load(yard, direct):
    yard.etl("run", env="raw")
    move_to(yard.workspace, 2)
    killed(yard.workspace, At(f"{RUN}.complete_package", "after"), "run", "crash", "--env", "raw", "--with", "pause_seconds=0") if False else None
    yard.workspace.write("destinations.toml", DESTINATIONS + RAW.format(compression="").replace("keep_raw = true", ""))
    killed(yard.workspace, At(f"{RUN}.complete_package", "after"), "run", "crash", "--env", "raw")
    r = any_code(yard, "rebuild", env="raw")
    print(r, yard.workspace.query("select mode,status,rows_loaded from _etl.runs order by started_at"))
    assert r.code == 2
    assert yard.tables() == direct[2]


def test_j2_a_direct_package_loaded_by_a_fetch(yard, direct):
    yard.etl("run", env="raw")
    move_to(yard.workspace, 2)
    yard.workspace.write("destinations.toml", DESTINATIONS + RAW.format(compression="").replace("keep_raw = true", ""))
    killed(yard.workspace, At(f"{RUN}.start_new_jobs"), "run", "crash", "--env", "raw")
    any_code(yard, "ingest", env="raw")
    r = any_code(yard, "rebuild", env="raw")
    print(r, yard.workspace.query("select mode,status,rows_loaded from _etl.runs order by started_at"))
    assert r.code == 2
    assert yard.tables() == direct[2]


def test_w_the_same_file_twice(yard):
    folder = yard.home / "landing"
    folder.mkdir(parents=True)
    for _ in range(2):
        (folder / "2024_01_02_09_00_crash_events.jsonl").write_text('{"number": 1}\n')
        yard.etl("ingest", code=0)
    before = yard.tables()
    yard.etl("rebuild", code=0)
    assert yard.tables() == before


def test_w2_a_touch_between_load_and_archive(yard):
    folder = yard.home / "landing"
    folder.mkdir(parents=True)
    file = folder / "2024_01_02_09_00_crash_events.jsonl"
    file.write_text('{"number": 1}\n')
    killed(yard.workspace, At(f"{STORE}.archive"), "ingest", "crash", "--env", "test")
    file.chmod(0o600)
    os.utime(file, (1, 1))
    yard.etl("ingest", code=0)
    assert yard.workspace.query("SELECT number FROM crash.events") == [(1,)]


def test_h_a_killed_keep_raw_run_then_a_direct_one(yard, direct):
    killed(yard.workspace, At("pipelines.landing.one_fetch:OneFetch.load"), "run", "crash", "--env", "raw")
    yard.workspace.write("destinations.toml", DESTINATIONS + RAW.format(compression="").replace("keep_raw = true", ""))
    move_to(yard.workspace, 2)
    yard.etl("run", env="raw")
    any_code(yard, "ingest", env="raw")
    assert yard.tables() == direct[2]


SCD = '''
import json
from pathlib import Path
import dlt

@dlt.source(name="hist", section="hist")
def hist(rows_file: str = dlt.config.value):
    return levels(rows_file)

@dlt.resource(write_disposition={"disposition": "merge", "strategy": "scd2"})
def levels(rows_file):
    yield json.loads(Path(rows_file).read_text())
'''


def test_n_scd2_rebuilt(workspace):
    w = workspace()
    w.write("destinations.toml", DESTINATIONS + RAW.format(compression=""))
    w.source("hist", SCD)
    for n in (1, 2, 3):
        f = w.write("rows.json", json.dumps([{"id": 1, "v": n}, {"id": 2, "v": 0}]))
        w.variables["SOURCES__HIST__ROWS_FILE"] = str(f)
        assert w.etl("run", "hist", "--env", "raw").code == 0
    sql = "SELECT id, v, _dlt_valid_from, _dlt_valid_to FROM hist.levels ORDER BY ALL"
    before = w.query(sql)
    assert w.etl("rebuild", "hist", "--env", "raw").code == 0
    after = w.query(sql)
    print(before, after)
    assert before == after


OWN = '''
import json
from pathlib import Path
import dlt

@dlt.source(name="own", section="own")
def own(rows_file: str = dlt.config.value):
    return events(rows_file), things(rows_file)

@dlt.resource(write_disposition="append", primary_key="number")
def events(rows_file):
    state = dlt.current.source_state()
    rows = [r for r in json.loads(Path(rows_file).read_text()) if r["number"] > state.get("last", 0)]
    yield rows
    if rows:
        state["last"] = max(r["number"] for r in rows)

@dlt.resource(write_disposition="merge", primary_key="number")
def things(rows_file, number=dlt.sources.incremental("number", initial_value=0)):
    yield [r for r in json.loads(Path(rows_file).read_text()) if r["number"] >= number.start_value]
'''


def own(workspace):
    w = workspace()
    w.write("destinations.toml", DESTINATIONS + RAW.format(compression=""))
    w.source("own", OWN, "resources: {events: {append_reason: what happened does not change}}\n")
    return w


def to(w, n):
    f = w.write("rows.json", json.dumps([{"number": i} for i in range(1, n + 1)]))
    w.variables["SOURCES__OWN__ROWS_FILE"] = str(f)


def test_s_source_state_and_select(workspace):
    w = own(workspace)
    for n in (2, 4):
        to(w, n)
        assert w.etl("fetch", "own", "--env", "test").code == 0
    print(w.etl("ingest", "own", "--env", "test", "--select", "things"))
    print(w.etl("ingest", "own", "--env", "test"))
    to(w, 6)
    assert w.etl("fetch", "own", "--env", "test").code == 0
    print(w.etl("ingest", "own", "--env", "test"))
    assert w.query("SELECT number FROM own.events ORDER BY 1") == [(i,) for i in range(1, 7)]
    assert w.etl("rebuild", "own", "--env", "test").code == 0
    assert w.query("SELECT number FROM own.events ORDER BY 1") == [(i,) for i in range(1, 7)]


NAMES = '''
import dlt
NAMES = {names!r}

@dlt.source(name="names", section="names")
def names():
    for name in NAMES:
        yield dlt.resource([{{"id": 1, "of": name}}], name=name, primary_key="id", write_disposition="merge")
'''


@pytest.mark.parametrize("name", ["a/b", "../out", "a b", "Größe", "select", "_manifests", "x" * 180, "a'b\"c", ".hid", "a%2Fb", "landing", "a#b?c", "a*[b]", "things.part"])
def test_names(workspace, name):
    w = workspace()
    w.write("destinations.toml", DESTINATIONS + RAW.format(compression=""))
    w.source("names", NAMES.format(names=[name, "plain"]))
    plain = w.etl("run", "names", "--env", "test")
    if plain.code:
        pytest.skip(str(plain))
    before = contents(Ask(w), "names")
    w2 = Workspace(w.root.parent / "other workspace")
    w2.write("destinations.toml", DESTINATIONS + RAW.format(compression=""))
    w2.source("names", NAMES.format(names=[name, "plain"]))
    r = w2.etl("run", "names", "--env", "raw")
    print(r)
    assert r.code in (0, 2)
    if r.code == 2:
        return
    assert contents(Ask(w2), "names") == before
    assert w2.etl("rebuild", "names", "--env", "raw").code == 0
    assert contents(Ask(w2), "names") == before
    print([str(f.relative_to(w2.root)) for f in (w2.root / "landing").rglob("*")])
