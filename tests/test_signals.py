"""SIGTERM and SIGINT in the middle of a run: an exit code of their own, nothing lost, nothing held."""

from __future__ import annotations

import json
import signal
from itertools import cycle

import pytest

from tests import crash_toy, killed
from tests.killed import At
from tests.toys import SOURCE, toy
from tests.warehouse import Ask, contents, faults
from tests.workspace import Result, Workspace

RUN = ("run", "crash", "--env", "test")
NAMED = (*RUN, "--run-id", "stopped")
MOMENTS = {
    "extract": At("pipelines.rows.quarantine:Intercept.__call__", nth=2),
    "committing the extract": At("dlt.extract.extract:Extract.commit_packages"),
    "normalize": At("dlt.normalize.normalize:Normalize.spool_files"),
    "normalize, at its end": At("dlt.normalize.normalize:Normalize.run", "after"),
    "load, before a job": At("dlt.load.load:Load.start_new_jobs"),
    "load, in a job": At("dlt.destinations.impl.duckdb.duck:DuckDbCopyJob.run"),
    "load, at its end": At("dlt.load.load:Load.complete_package", "after"),
}
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """What a run without a signal loads."""
    workspace = crash_toy.install(Workspace(tmp_path_factory.mktemp("unbroken") / "a workspace"))
    assert killed.run(workspace, *RUN).code == 3
    return contents(Ask(workspace), "crash")


@pytest.fixture
def engine(workspace):
    return crash_toy.install(workspace())


@pytest.mark.parametrize(("moment", "number"), [*zip(MOMENTS.values(), cycle(CODES))], ids=MOMENTS)
def test_a_signal_ends_a_run_and_the_next_one_completes_it(engine, unbroken, moment, number):
    """The two signals in turns: what differs between them is the exit code."""
    result = killed.start(engine, *NAMED, moment=moment, act=number).ended()
    assert_stopped(engine, result, number)
    assert killed.run(engine, *RUN).code in (0, 3)
    assert contents(Ask(engine), "crash") == unbroken
    assert faults(Ask(engine), "crash") == []


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a_signal_from_outside_ends_a_run_that_reads(engine, unbroken, number):
    engine.variables["SOURCES__CRASH__PAUSE_SECONDS"] = "0.2"
    process = killed.start(engine, *NAMED)
    process.until(lambda: any(engine.root.glob(".dlt/state/test/crash/normalize/*/*/new_jobs")))
    process.signal(number)
    assert_stopped(engine, process.ended(), number)
    del engine.variables["SOURCES__CRASH__PAUSE_SECONDS"]
    assert killed.run(engine, *RUN).code == 3
    assert contents(Ask(engine), "crash") == unbroken


def test_a_signal_at_the_end_of_one_spec_stops_before_the_next(engine):
    crash_toy.twin(engine, "zebra")
    at_the_end = MOMENTS["load, at its end"]
    result = killed.start(engine, "run", "--all", "--env", "test", moment=at_the_end, act=signal.SIGTERM).ended()
    assert (result.code, "zebra" in result.out) == (143, False)


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a_signal_before_a_run_has_begun_ends_it_in_the_same_way(workspace, number):
    made = workspace()
    toy(made, [])
    made.write(
        "sources/toy.py", f"import os\n\nos.kill(os.getpid(), {int(number)})\n{SOURCE.format(name='toy', columns={})}"
    )
    said = "etl: stopped by a signal; nothing is half-loaded, run again for the rest\n"
    assert made.etl("plan", "toy", "--env", "test") == Result(CODES[number], "", said)


def test_a_signal_in_a_text_that_python_runs_ends_with_its_code(workspace):
    """Python remembers such a Ctrl-C as one that nobody caught, and would end itself by it in the end."""
    made = workspace()
    toy(made, [])
    killing = "exec('import os; os.kill(os.getpid(), 2); [0 for _ in range(9)]')"
    made.write("sources/toy.py", f"{killing}\n{SOURCE.format(name='toy', columns={})}")
    assert made.run("plan", "toy", "--env", "test").code == 130


def assert_stopped(engine, result, number):
    """The run said so everywhere, in one line, and holds nothing."""
    assert result.code == CODES[number], result
    assert result.err == "ERROR: crash: stopped by a signal; nothing is half-loaded, run again for the rest\n"
    folder = engine.root / "runs" / "stopped"
    manifest, error = (json.loads((folder / f"{name}.json").read_text()) for name in ("manifest", "error"))
    assert (manifest["status"], manifest["exit_code"]) == ("interrupted", CODES[number])
    assert error["retry_command"] == "etl run crash --env test"
    assert engine.query("SELECT status, exit_code FROM _etl.runs") == [("interrupted", CODES[number])]
    assert not (engine.root / "warehouse.duckdb.lock.json").exists()
