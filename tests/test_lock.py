"""One at a time: who runs, who is refused and what it is told, and how a lock comes free."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace

import pytest

from pipelines import configuration, environment, lock
from pipelines.errors import Locked
from pipelines.ledger import Ledger, open_ledger
from pipelines.lock import Holder
from tests import crash_toy, killed
from tests.killed import WAIT, At
from tests.warehouse import Ask, contents
from tests.workspace import Workspace

READING = At("dlt.pipeline.pipeline:Pipeline.extract")
HOLDER = r"run first of crash \(pid {pid} on {host}, since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\)"


@pytest.fixture(params=["test", "pg"], ids=["duckdb", "postgres"])
def site(request, workspace):
    """A workspace with two specs on DuckDB, on Postgres."""
    made = crash_toy.install(workspace())
    crash_toy.twin(made, "zebra")
    url = request.getfixturevalue("postgres_url") if request.param == "pg" else None
    if url:
        made.postgres(url)
    return SimpleNamespace(workspace=made, env=request.param, ask=Ask(made, url), url=url)


def run(site, spec: str = "crash", *words: str) -> tuple[str, ...]:
    return ("run", spec, "--env", site.env, *words)


@contextmanager
def holding(site, *words: str) -> Iterator[killed.Run]:
    """A run that stands still while it holds its lock."""
    command = run(site, "crash", "--run-id", "first", *words)
    holder = killed.start(site.workspace, *command, moment=READING, act=WAIT).until_waiting()
    try:
        yield holder
    finally:
        holder.end()


def assert_refused(result, holder, spec: str) -> None:
    """Exit 7 and one line that names who runs."""
    assert result.code == 7, result
    (line,) = result.err.splitlines()
    named = HOLDER.format(pid=holder.pid, host=re.escape(socket.gethostname()))
    assert re.fullmatch(rf"ERROR: {spec}: \S+ is held by {named}; let it end, or use etl run --wait 10m", line), line


def test_a_second_run_of_a_spec_is_refused_and_told_by_whom(site):
    with holding(site) as holder:
        assert_refused(killed.run(site.workspace, *run(site, "crash", "--run-id", "second")), holder, "crash")
        error = json.loads((site.workspace.root / "runs/second/error.json").read_text())
        assert (error["exit_code"], error["retry_command"]) == (7, f"etl run crash --env {site.env}")
        assert holder.go_on().ended().code == 3
    assert killed.run(site.workspace, *run(site)).code == 3
    assert site.ask("SELECT count(*) FROM crash.things") == [(18,)]
    assert site.ask("SELECT status, exit_code FROM _etl.runs WHERE run_id = 'second'") == [("locked", 7)]


def test_two_specs_share_postgres_but_not_a_duckdb_file(site):
    with holding(site) as holder:
        other = killed.run(site.workspace, *run(site, "zebra"))
        if site.url:
            assert other.code == 3, other
        else:
            assert_refused(other, holder, "zebra")
        assert holder.go_on().ended().code == 3


def test_of_runs_started_together_one_runs_and_none_fails(site):
    together = [killed.start(site.workspace, *run(site)) for _ in range(3)]
    codes = [each.ended().code for each in together]
    assert 3 in codes
    assert set(codes) <= {3, 7}
    alone = crash_toy.install(Workspace(site.workspace.root.parent / "alone"))
    assert killed.run(alone, "run", "crash", "--env", "test").code == 3
    assert contents(site.ask, "crash") == contents(Ask(alone), "crash")


def test_a_run_that_waits_runs_when_the_other_has_ended(site):
    with holding(site) as holder:
        second = killed.start(site.workspace, *run(site, "crash", "--run-id", "second", "--wait", "60s"))
        second.until((site.workspace.root / "runs/second/progress.json").exists)
        assert holder.go_on().ended().code == 3
        assert second.ended().code == 3
    assert len(site.ask("SELECT run_id FROM _etl.runs WHERE status = 'partial'")) == 2


def test_a_signal_ends_waiting(site):
    with holding(site) as holder:
        second = killed.start(site.workspace, *run(site, "crash", "--run-id", "second", "--wait", "60s"))
        second.until((site.workspace.root / "runs/second/progress.json").exists)
        second.signal(signal.SIGTERM)
        assert second.ended().code == 143
        assert holder.go_on().ended().code == 3


def test_waiting_ends(site):
    with holding(site) as holder:
        result = killed.run(site.workspace, *run(site, "crash", "--wait", "0.5s"))
        assert_refused(result, holder, "crash")


def test_a_holder_killed_frees_its_lock(site):
    with holding(site) as holder:
        holder.signal(signal.SIGKILL)
        assert holder.ended().code == -signal.SIGKILL
    wait = ("--wait", "30s") if site.url else ()  # the server has to notice first
    assert killed.run(site.workspace, *run(site, "crash", *wait)).code == 3
    statuses = site.ask("SELECT run_id, status FROM _etl.runs WHERE run_id = 'first'")
    assert statuses == [("first", "crashed")]


def test_a_run_that_waits_is_not_called_dead(site):
    """Its folder says that it runs and it has no lock; the one that has it must not take it for crashed."""
    second = ("crash", "--run-id", "second")
    waiting = killed.start(site.workspace, *run(site, *second), moment=At("pipelines.run:held"), act=WAIT)
    waiting.until_waiting()
    assert killed.run(site.workspace, *run(site)).code == 3
    folder = site.workspace.root / "runs/second"
    assert json.loads((folder / "manifest.json").read_text())["status"] == "running"
    assert not (folder / "error.json").exists()
    assert waiting.go_on().ended().code == 3


def test_reading_while_a_run_goes_on_is_refused_in_one_line_or_works(site):
    assert killed.run(site.workspace, *run(site)).code == 3
    commands = ("status", "quarantine list", "state show crash", "plan crash")
    with holding(site):
        results = [killed.run(site.workspace, *words.split(), "--env", site.env) for words in commands]
    for result in results:
        if result.code:
            assert (result.code, len(result.err.splitlines())) == (7, 1), result
            assert not site.url
        assert "Traceback" not in result.err


def test_a_lock_file_that_cannot_be_written_is_one_line(workspace):
    engine = crash_toy.install(workspace())
    (engine.root / "warehouse.duckdb.lock").mkdir()
    result = killed.run(engine, "run", "crash", "--env", "test")
    assert (result.code, len(result.err.splitlines())) == (1, 1), result
    assert "warehouse.duckdb.lock: Is a directory; move what is in the way" in result.err


# the lease, meant for BigQuery


@pytest.fixture(params=["test", "pg", "bq"], ids=["duckdb", "postgres", "bigquery"])
def leases(request, workspace):
    """An environment whose ledger is at hand, for leases."""
    made = workspace()
    if request.param == "pg":
        made.postgres(request.getfixturevalue("postgres_url"))
    if request.param == "bq":
        made.bigquery(request.getfixturevalue("bigquery").variables)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in made.variables.items():
            patched.setenv(name, value)
        found = environment.load(made.root, request.param)
        configuration.activate(found)
        yield found


def holder(run_id: str, host: str = socket.gethostname(), pid: int = os.getpid()) -> Holder:
    return Holder("crash", run_id, host, pid, datetime.now(UTC).isoformat())


def put(ledger: Ledger, mine: Holder, expires_in: timedelta) -> None:
    """Write the row of a lease."""
    sql = "INSERT INTO {locks} (name, run_id, host, pid, since, expires_at) VALUES (%s, %s, %s, %s, %s, %s)"
    now = datetime.now(UTC)
    ledger.execute(sql, mine.name, mine.run_id, mine.host, mine.pid, now, now + expires_in)


def held_by(ledger: Ledger) -> list[str]:
    return [row[0] for row in ledger.execute("SELECT run_id FROM {locks} WHERE name = 'crash' ORDER BY run_id")]


def test_a_lease_is_held_by_one_and_given_back(leases):
    with lock._leased(leases, holder("a"), 0):
        with pytest.raises(Locked, match="crash is held by run a of crash"), lock._leased(leases, holder("b"), 0):
            raise AssertionError("held by two")
        with open_ledger(leases) as ledger:
            assert held_by(ledger) == ["a"]
    with lock._leased(leases, holder("b"), 0), open_ledger(leases) as ledger:
        assert held_by(ledger) == ["b"]
    with open_ledger(leases) as ledger:
        assert held_by(ledger) == []


@cache
def dead() -> int:
    """The id of a process that is over."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("host", "alive", "minutes", "free"),
    [
        ("elsewhere", True, 1, False),
        ("elsewhere", False, 1, False),
        ("elsewhere", True, -1, True),
        (socket.gethostname(), True, 1, False),
        (socket.gethostname(), False, 1, True),
        (socket.gethostname(), False, -1, True),
    ],
)
def test_a_lease_left_behind(leases, host, alive, minutes, free):
    with open_ledger(leases) as ledger:
        put(ledger, holder("old", host, os.getpid() if alive else dead()), timedelta(minutes=minutes))
        assert lock._lease(ledger, holder("new")) is free
        assert held_by(ledger) == ["new" if free else "old"]


def test_two_that_found_the_place_empty_both_step_back(leases):
    """BigQuery has no unique key: two MERGEs at once may both insert."""
    with open_ledger(leases) as ledger:
        put(ledger, holder("mine"), timedelta(minutes=1))
        put(ledger, holder("other"), timedelta(minutes=1))
        assert lock._lease(ledger, holder("mine")) is False
        assert held_by(ledger) == ["other"]


def test_expired_rows_of_two_are_taken_over(leases):
    with open_ledger(leases) as ledger:
        for run_id in ("a", "b"):
            put(ledger, holder(run_id, "elsewhere"), timedelta(minutes=-1))
        assert lock._lease(ledger, holder("new")) is True
        lock._strike(ledger, holder("new"))
        assert held_by(ledger) == []


def test_a_heartbeat_renews_the_lease(leases, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
    with lock._leased(leases, holder("a"), 0), open_ledger(leases) as ledger:

        def expires() -> datetime:
            return ledger.execute("SELECT expires_at FROM {locks} WHERE name = 'crash'")[0][0]

        first = expires()
        killed.until(lambda: expires() > first)


THIEF = """\
import threading

import dlt
import duckdb


@dlt.source(name="toy", section="toy")
def toy(warehouse: str = dlt.config.value):
    yield dlt.resource(rows(warehouse), name="things", primary_key="id", write_disposition="merge")


def rows(warehouse):
    if warehouse:
        with duckdb.connect(warehouse) as connection:
            connection.execute("UPDATE _etl.locks SET run_id = 'thief'")
        for thread in threading.enumerate():
            if thread.name == "lease":  # ends when it sees that the lease is gone
                thread.join()
    yield [{"id": 1}]
"""


@pytest.mark.parametrize(
    ("stolen", "lease", "code", "said"),
    [
        (True, lock.LEASE, 7, r"ERROR: toy: its lease on the destination is lost to run thief of toy \(pid .*\); "),
        (False, timedelta(0), 5, "ERROR: toy: the lease on the destination could not be renewed in time; "),
        (False, lock.LEASE, 0, ""),
    ],
)
def test_a_run_that_loses_its_lease_loads_nothing_more(workspace, monkeypatch, stolen, lease, code, said):
    """A DuckDB file stands for BigQuery: its lock is a lease here."""
    monkeypatch.setattr(lock, "_beside_file", lock._leased)
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(lock, "LEASE", lease)
    made = workspace()
    made.source("toy", THIEF)
    file = str(made.root / "warehouse.duckdb") if stolen else ""
    result = made.etl("run", "toy", "--env", "test", SOURCES__TOY__WAREHOUSE=file)
    assert result.code == code, result
    assert re.match(said, result.err), result.err
    if code:
        assert result.err.endswith("nothing more is loaded, run again\n")
    loaded = made.query("SELECT 1 FROM information_schema.tables WHERE table_name = 'things'")
    assert bool(loaded) is (code == 0)


def test_contenders_hold_a_lease_one_after_the_other(leases, monkeypatch):
    monkeypatch.setattr(lock, "POLL_SECONDS", 0.01)
    inside, most, errors = [], [], []

    def contend(run_id: str) -> None:
        try:
            for turn in range(3):
                with lock._leased(leases, holder(f"{run_id}{turn}"), 60):
                    inside.append(run_id)
                    most.append(len(inside))
                    inside.remove(run_id)
        except BaseException as error:  # noqa: BLE001 a thread has no other way to tell
            errors.append(error)

    with open_ledger(leases):
        threads = [threading.Thread(target=contend, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (errors, most) == ([], [1] * 9)
