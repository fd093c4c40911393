"""Commands that only read: they neither write nor lock, and stand in the way of no run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pytest

from tests import crash_toy, killed
from tests.killed import WAIT, At
from tests.passwords import ask
from tests.toys import rows, toy
from tests.workspace import Workspace

OPEN = (
    "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); print('open', flush=True); sys.stdin.read()"
)
READERS = ["status", "quarantine list", "state show crash", "plan crash", "doctor"]
BUSY = {
    "status": (0, r"WARNING: status: {held}; let it end; these are the runs of this machine\n", "first +"),
    "status crash": (0, r"WARNING: status: {held}; .*\n", "running"),
    "quarantine list": (7, r"quarantine: {held}; let it end\n", ""),
    "quarantine list crash": (7, r"crash: {held}; let it end\n", ""),
    "quarantine show a": (7, r"quarantine: {held}; let it end\n", ""),
    "state show crash": (7, r"crash: {held}; let it end\n", ""),
    "plan crash": (0, "", r"  destination: could not be reached: crash: {held}; let it end\n"),
    "doctor": (0, "", r"OK    warehouse \(duckdb\): {held}; let it end\n"),
}


@contextmanager
def reading(workspace: Workspace) -> Iterator[subprocess.Popen[str]]:
    """An analyst who has the DuckDB file open."""
    command = [sys.executable, "-c", OPEN, str(workspace.root / "warehouse.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdin
        assert reader.stdout
        reader.stdout.readline()
        yield reader
        reader.stdin.close()


def test_while_a_run_goes_on_readers_say_which_or_know_without_the_file(workspace):
    made = crash_toy.install(workspace())
    assert made.etl("run", "crash", "--env", "test", "--run-id", "earlier").code == 3
    moment = At("dlt.pipeline.pipeline:Pipeline.extract")
    command = ("run", "crash", "--env", "test", "--run-id", "first")
    run = killed.start(made, *command, moment=moment, act=WAIT).until_waiting()
    held = rf"warehouse\.duckdb is held by run first of crash \(pid {run.pid} on \S+, since \S+\)"
    try:
        for words, (code, err, out) in BUSY.items():
            result = made.etl(*words.split(), "--env", "test")
            assert result.code == code, result
            assert re.fullmatch(err.format(held=held), result.err), result
            assert re.search(out.format(held=held), result.out), result
        newest = made.etl("status", "--env", "test", "--output", "json").json
        assert [(each["run_id"], each["status"]) for each in newest] == [("first", "running"), ("earlier", "partial")]
    finally:
        ended = run.go_on().ended()
    assert ended.code == 3


def test_readers_read_beside_a_reader(workspace):
    made = crash_toy.install(workspace())
    assert made.etl("run", "crash", "--env", "test").code == 3
    with reading(made):
        for words in (*READERS, "quarantine show " + made.query("SELECT id FROM _etl.quarantine")[0][0]):
            result = made.etl(*words.split(), "--env", "test")
            assert (result.code, result.err) == (0, ""), (words, result)
            assert "could not be reached" not in result.out


def test_a_run_waits_for_a_reader_to_close_the_file(workspace, monkeypatch):
    made = workspace()
    toy(made, rows(2))
    assert made.etl("run", "toy", "--env", "test").code == 0
    with reading(made) as reader:
        with monkeypatch.context() as hasty:
            hasty.setattr("pipelines.ledger.PATIENCE_SECONDS", 0.1)
            result = made.etl("run", "toy", "--env", "test")
        told = f"ERROR: toy: the DuckDB file is open in process {reader.pid}, which is no run"
        assert (result.code, result.err.startswith(told)) == (7, True), result
        patient = killed.start(made, "run", "toy", "--env", "test")
        patient.until((made.root / "warehouse.duckdb.lock.json").exists)
        reader.stdin.close()
        assert patient.ended().code == 0


@pytest.mark.parametrize("words", [words.replace("crash", "toy") for words in READERS])
def test_readers_leave_a_warehouse_as_it_is(workspace, words):
    made = workspace()
    toy(made, rows(2))
    with duckdb.connect(str(made.root / "warehouse.duckdb")) as warehouse:
        warehouse.execute("CREATE TABLE mine (n BIGINT)")
    before = (made.root / "warehouse.duckdb").read_bytes()
    assert made.etl(*words.split(), "--env", "test").code == 0
    assert (made.root / "warehouse.duckdb").read_bytes() == before
    assert not (made.root / ".dlt/state").exists()


def test_readers_write_nothing_into_postgres(workspace, postgres_url):
    made = workspace()
    toy(made, rows(2))
    made.postgres(postgres_url)
    for words in READERS:
        assert made.etl(*words.replace("crash", "toy").split(), "--env", "pg").code == 0
    assert ask(postgres_url, "SELECT 1 FROM information_schema.schemata WHERE schema_name IN ('_etl', 'toy')") == []
