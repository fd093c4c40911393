"""kill -9 between any two steps of raw files, then whatever runs next: each row once, and no file forgotten.

Points are named; ETL_KILLS of each verb are taken, by a seed.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.crash_toy import move_to
from tests.killed import At, killed, run, start
from tests.landing_toy import Yard
from tests.warehouse import Ask, faults
from tests.workspace import Workspace

KILLS = int(os.environ.get("ETL_KILLS", "1"))
STORE, LOAD = "pipelines.landing.store:Store", "pipelines.load:Load"
RUN = "dlt.load.load:Load"
FETCHING = {
    "a file is begun": At(f"{STORE}.create", nth=2),
    "rows are in files that nobody sees": At(f"{LOAD}.set_aside"),
    "some files are there": At(f"{STORE}._rename", nth=2),
    "all files are there, the manifest is not": At(f"{STORE}.commit"),
    "the manifest is being written": At(f"{STORE}._rename", nth=3),
    "the manifest is there": At(f"{STORE}.commit", "after"),
}
INGESTING = {
    "the landing is signed": At(f"{STORE}.signed", "after"),
    "nothing is read": At("pipelines.landing.one_fetch:OneFetch.load"),
    "all is read": At(f"{LOAD}.set_aside"),
    "bad rows are in quarantine": At(f"{LOAD}.set_aside", "after"),
    "the load has begun": At(f"{RUN}.start_new_jobs"),
    "the load is not counted": At(f"{RUN}.complete_package"),
    "the load is counted": At(f"{RUN}.complete_package", "after"),
    "nothing is archived": At(f"{STORE}.archive"),
    "a file is archived": At(f"{STORE}.archive", "after"),
    "two files are archived": At(f"{STORE}.archive", "after", 2),
    "all files are archived, the manifest is not": At(f"{STORE}.archive_manifest"),
    "the manifest is archived": At(f"{STORE}.archive_manifest", "after"),
    "the second load has begun": At(f"{RUN}.start_new_jobs", nth=2),
    "the second is counted": At(f"{RUN}.complete_package", "after", 2),
    "the second is half archived": At(f"{STORE}.archive", "after", 6),
}
REBUILDING = {
    "the tables are dropped": At(f"{RUN}.start_new_jobs"),
    "the first fetch is loaded": At(f"{RUN}.complete_package", "after"),
    "the second fetch is read": At(f"{LOAD}.set_aside", nth=2),
    "both are loaded, it has not ended": At("pipelines.landing.rebuild:_Rebuild._end"),
}
POINTS = {"fetch": FETCHING, "ingest": INGESTING, "rebuild": REBUILDING}
THEN = {"fetch": ("fetch", "ingest"), "ingest": ("ingest",), "rebuild": ("run",)}


def chosen() -> list[tuple[str, str]]:
    """Some points of each verb."""
    chance = random.Random("raw files")
    return [
        (verb, name) for verb, points in POINTS.items() for name in chance.sample(sorted(points), len(points))[:KILLS]
    ]


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Path:
    """A workspace in which two days are fetched."""
    yard = Yard(Workspace(tmp_path_factory.mktemp("ready") / "a workspace"))
    for day in (1, 2):
        move_to(yard.workspace, day)
        yard.etl("fetch", code=0)
    return yard.workspace.root


@pytest.fixture(scope="module")
def ingested(ready, tmp_path_factory) -> Path:
    """The same, ingested while nothing dies."""
    yard = at(ready, tmp_path_factory.mktemp("ingested"))
    yard.etl("ingest")
    return yard.workspace.root


@pytest.fixture(scope="module")
def whole(ingested):
    """What is in its warehouse."""
    return Yard(Workspace(ingested), 2).tables()


def at(there: Path, folder: Path) -> Yard:
    """A copy of a workspace."""
    shutil.copytree(there, folder / "a workspace")
    return Yard(Workspace(folder / "a workspace"), 2)


@pytest.mark.parametrize(("verb", "point"), chosen())
def test_a_kill_loses_nothing_and_doubles_nothing(ready, ingested, whole, tmp_path, verb, point):
    yard = at(ingested if verb == "rebuild" else ready, tmp_path)
    killed(yard.workspace, POINTS[verb][point], verb, "crash", "--env", "test")
    for after in THEN[verb]:
        assert run(yard.workspace, after, "crash", "--env", "test").code in (0, 3)
    assert yard.tables() == whole
    assert faults(Ask(yard.workspace), "crash") == []
    assert not yard.waits()
    names = [file.name for file in yard.home.rglob("*.jsonl.zst")]
    assert len(names) == len(set(names)), "a file is in two places"


def test_of_two_at_once_one_is_told_to_wait(ready, whole, tmp_path):
    yard = at(ready, tmp_path)
    first = start(yard.workspace, "ingest", "crash", "--env", "test", moment=INGESTING["nothing is archived"], act=0)
    first.until_waiting()
    for verb in ("ingest", "fetch", "rebuild"):
        yard.etl(verb, code=7)
    assert first.go_on().ended().code == 3
    assert yard.tables() == whole


def test_a_rebuild_gives_up_no_rows_unasked(tmp_path):
    """Those of a run that came after raw files; not of one that loaded raw files alone."""
    yard = Yard(Workspace(tmp_path / "a workspace"))
    yard.etl("fetch", "--select", "events,levels", code=0)
    yard.etl("run", "--select", "events", "--run-id", "of-files", code=0)
    modes = "SELECT mode FROM _etl.runs WHERE run_id = 'of-files'"
    assert yard.workspace.query(modes) == [("ingest+incr",)], "it found nothing new itself"
    yard.etl("fetch", "--select", "levels", code=0)
    dies = ("run", "crash", "--env", "test", "--select", "levels", "--run-id", "dead")
    killed(yard.workspace, INGESTING["the second is counted"], *dies)
    assert "run dead loaded rows that no raw file holds, or died and may have" in yard.etl("rebuild", code=2).err
    yard.etl("run", "--select", "levels", "--run-id", "plain", code=0)
    refused = yard.etl("rebuild", code=2)
    assert "run plain loaded rows" in refused.err
    assert "--drop-direct" in refused.err
    loaded = yard.tables()
    yard.etl("rebuild", "--drop-direct", "--yes", code=0)
    assert yard.tables() == loaded
    advised = "set keep_raw = true in [test] and read the upstream again with etl run crash --env test --full-refresh, "
    assert advised in refused.err
    destinations = yard.workspace.root / "destinations.toml"
    destinations.write_text(destinations.read_text().replace("[test]", "[test]\nkeep_raw = true"))
    yard.etl("run", "--full-refresh")
    again = yard.tables()
    yard.etl("rebuild")
    assert yard.tables() == again
