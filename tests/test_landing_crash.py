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
THEN = {"fetch": ("fetch", "ingest"), "ingest": ("ingest",), "rebuild": ("ingest",)}


def chosen() -> list[tuple[str, str]]:
    """Some points of each verb."""
    chance = random.Random("raw files")
    return [
        (verb, name) for verb, points in POINTS.items() for name in chance.sample(sorted(points), len(points))[:KILLS]
    ]


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Path:
    """A workspace in which day 1 is ingested, and days 2 and 3 are fetched."""
    yard = Yard(Workspace(tmp_path_factory.mktemp("ready") / "a workspace"))
    yard.etl("fetch", code=0)
    yard.etl("ingest")
    for day in (2, 3):
        move_to(yard.workspace, day)
        yard.etl("fetch", code=0)
    return yard.workspace.root


@pytest.fixture(scope="module")
def whole(ready, tmp_path_factory):
    """What is in the warehouse when nothing dies."""
    yard = at(ready, tmp_path_factory.mktemp("whole"))
    yard.etl("ingest")
    return yard.tables()


def at(ready: Path, folder: Path) -> Yard:
    """A copy of the workspace."""
    shutil.copytree(ready, folder / "a workspace")
    return Yard(Workspace(folder / "a workspace"), 3)


@pytest.mark.parametrize(("verb", "point"), chosen())
def test_a_kill_loses_nothing_and_doubles_nothing(ready, whole, tmp_path, verb, point):
    yard = at(ready, tmp_path)
    if verb == "rebuild":
        yard.etl("ingest")
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


def test_a_rebuild_that_died_is_ended_by_a_run(ready, whole, tmp_path):
    yard = at(ready, tmp_path)
    yard.etl("ingest")
    killed(yard.workspace, REBUILDING["the first fetch is loaded"], "rebuild", "crash", "--env", "test")
    yard.etl("run", "--select", "levels")
    assert yard.tables() == whole


def test_a_rebuild_gives_up_no_rows_unasked(ready, whole, tmp_path):
    yard = at(ready, tmp_path)
    yard.etl("run", "--run-id", "plain")
    refused = yard.etl("rebuild", code=2)
    assert "run plain loaded rows that no raw file holds" in refused.err
    assert "--drop-direct" in refused.err
    assert yard.tables() == whole
    yard.etl("rebuild", "--drop-direct")
    assert yard.tables() == whole
