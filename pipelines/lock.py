"""One run at a time: a file beside a DuckDB file, an advisory lock in Postgres, a lease row elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dlt.common.destination.exceptions import DestinationException
from dlt.destinations.exceptions import DatabaseTransientException
from filelock import FileLock, Timeout

from pipelines.atomic import write_json
from pipelines.environment import Environment
from pipelines.errors import Locked, TryLater
from pipelines.ledger import Ledger, open_ledger

LEASE = timedelta(minutes=3)
HEARTBEAT_SECONDS = 30.0
POLL_SECONDS = 1.0
SMALLEST_DATABASE = 12288  # bytes of a DuckDB file with nothing in it
AGAIN = "nothing more is loaded, run again"
Check = Callable[[], None]
OUTRUN = re.compile("conflict|serializ|concurrent", re.I)


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, for the message of those who wait."""

    name: str
    run_id: str
    host: str
    pid: int
    since: str

    @classmethod
    def me(cls, name: str, run_id: str) -> Holder:
        return cls(name, run_id, socket.gethostname(), os.getpid(), datetime.now(UTC).isoformat(timespec="seconds"))

    def __str__(self) -> str:
        return f"run {self.run_id} of {self.name} (pid {self.pid} on {self.host}, since {self.since})"


@contextmanager
def held(environment: Environment, spec: str, run_id: str, wait_seconds: float = 0) -> Iterator[Check]:
    """Hold the destination for one run of one spec; Locked names the holder when it is taken.

    Yields what raises once the lock is lost; to be called before every step that changes something.
    """
    me = Holder.me(spec, run_id)
    guard = {"duckdb": _beside_file, "postgres": _advisory}.get(environment.kind, _leased)
    with guard(environment, me, wait_seconds) as still_held:
        yield still_held


def holder_of(database: Path) -> Holder | None:
    """Who runs on a DuckDB file right now, as far as the note beside it tells."""
    try:
        return Holder(**json.loads(_note(database).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def _beside_file(environment: Environment, me: Holder, wait_seconds: float) -> Iterator[Check]:
    database = environment.duckdb_file
    assert database is not None
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{database}.lock")
        lock.acquire(timeout=wait_seconds)
    except Timeout:
        raise Locked(_taken(me, f"{database.name}", holder_of(database))) from None
    try:
        _remove_stub(database)
        write_json(_note(database), asdict(me))
        yield lambda: None
    finally:
        _note(database).unlink(missing_ok=True)
        lock.release()


def _remove_stub(database: Path) -> None:
    """Take away what a disk that filled up left of a DuckDB file at its creation; it never held a row."""
    if not database.is_file() or database.stat().st_size >= SMALLEST_DATABASE:
        return
    content = database.read_bytes()
    if not content or (content[8:12] == b"DUCK" and not database.with_name(f"{database.name}.wal").exists()):
        database.unlink()


def _note(database: Path) -> Path:
    return database.with_name(f"{database.name}.lock.json")


@contextmanager
def _advisory(environment: Environment, me: Holder, wait_seconds: float) -> Iterator[Check]:
    """Postgres frees the lock when the session ends, however it ends."""
    with open_ledger(environment, "locks") as ledger:
        key = int.from_bytes(hashlib.sha256(_lock_name(environment, me).encode()).digest()[:8], signed=True)

        def take() -> bool:
            return bool(ledger.execute("SELECT pg_try_advisory_lock(%s)", key)[0][0])

        _until(take, wait_seconds, lambda: Locked(_taken(me, me.name, _row(ledger, me.name))))
        try:
            _sign(ledger, me, datetime.now(UTC))
            yield lambda: _answers(ledger)
        finally:
            _strike(ledger, me)
            ledger.execute("SELECT pg_advisory_unlock(%s)", key)


def _answers(ledger: Ledger) -> None:
    """A session that is gone has taken its lock along."""
    ledger.execute("SELECT 1")


@contextmanager
def _leased(environment: Environment, me: Holder, wait_seconds: float) -> Iterator[Check]:
    """A row that must be renewed: whoever dies loses it when the lease ends, or at once on the same host."""
    with open_ledger(environment, "locks") as ledger:
        _until(
            lambda: _lease(ledger, me),
            wait_seconds,
            lambda: Locked(_taken(me, me.name, _row(ledger, me.name))),
        )
    try:
        with _heartbeat(environment, me) as lease:
            yield lease.check
    finally:
        with open_ledger(environment, create=False) as ledger:
            _strike(ledger, me)


def _lease(ledger: Ledger, me: Holder) -> bool:
    """Take the lease, or see that it cannot be had now: another holds it, or was quicker to write the same row."""
    try:
        return _leases(ledger, me)
    except DatabaseTransientException as error:
        if OUTRUN.search(str(error)):
            return False
        raise


def _leases(ledger: Ledger, me: Holder) -> bool:
    now = datetime.now(UTC)
    current = _row(ledger, me.name)
    if current and current.host == me.host and not alive(current.pid):
        _strike(ledger, current)
    ledger.execute(
        "MERGE INTO {locks} AS t USING (SELECT %s AS name) AS s ON t.name = s.name "
        "WHEN MATCHED AND t.expires_at < %s "
        "THEN UPDATE SET run_id = %s, host = %s, pid = %s, since = %s, expires_at = %s "
        "WHEN NOT MATCHED THEN INSERT (name, run_id, host, pid, since, expires_at) VALUES (%s, %s, %s, %s, %s, %s)",
        me.name, now, me.run_id, me.host, me.pid, now, now + LEASE,
        me.name, me.run_id, me.host, me.pid, now, now + LEASE,
    )  # fmt: skip
    holders = {row[0] for row in ledger.execute("SELECT run_id FROM {locks} WHERE name = %s", me.name)}
    if me.run_id in holders and len(holders) > 1:  # two found the place empty at once: neither takes it
        _strike(ledger, me)
    return holders == {me.run_id}


class _Lease:
    """A lease that is ours as long as it is renewed in time and nobody else has taken it."""

    def __init__(self, me: Holder) -> None:
        self._me, self.lost, self._renewed = me, "", time.monotonic()

    def renew(self, ledger: Ledger) -> None:
        """Make it last longer, or see that another run has it."""
        asked = time.monotonic()
        if _renew(ledger, self._me):
            self._renewed = asked
        else:
            taken_by = _row(ledger, self._me.name) or "another run"
            self.lost = f"its lease on the destination is lost to {taken_by}; {AGAIN}"

    def check(self) -> None:
        """Raise when it is lost, or may be."""
        if self.lost:
            raise Locked(f"{self._me.name}: {self.lost}")
        if time.monotonic() - self._renewed >= (LEASE - timedelta(seconds=HEARTBEAT_SECONDS)).total_seconds():
            raise TryLater(f"{self._me.name}: the lease on the destination could not be renewed in time; {AGAIN}")


@contextmanager
def _heartbeat(environment: Environment, me: Holder) -> Iterator[_Lease]:
    stop, lease = threading.Event(), _Lease(me)

    def beat() -> None:
        while not lease.lost and not stop.wait(HEARTBEAT_SECONDS):
            with suppress(DestinationException), open_ledger(environment, create=False) as ledger:
                lease.renew(ledger)

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        stop.set()
        thread.join()


def _until(take: Callable[[], bool], wait_seconds: float, refused: Callable[[], Locked]) -> None:
    deadline = time.monotonic() + wait_seconds
    while not take():
        if time.monotonic() >= deadline:
            raise refused()
        time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))


def _row(ledger: Ledger, name: str) -> Holder | None:
    rows = ledger.execute("SELECT name, run_id, host, pid, since FROM {locks} WHERE name = %s", name)
    if not rows:
        return None
    owner, run_id, host, pid, since = rows[0]
    return Holder(owner, run_id, host, pid, since.isoformat(timespec="seconds"))


def _sign(ledger: Ledger, me: Holder, now: datetime) -> None:
    ledger.execute("DELETE FROM {locks} WHERE name = %s", me.name)
    sql = "INSERT INTO {locks} (name, run_id, host, pid, since, expires_at) VALUES (%s, %s, %s, %s, %s, NULL)"
    ledger.execute(sql, me.name, me.run_id, me.host, me.pid, now)


def _renew(ledger: Ledger, me: Holder) -> bool:
    """Write a later end of the lease; whether it is still ours."""
    sql = "UPDATE {locks} SET expires_at = %s WHERE name = %s AND run_id = %s"
    ledger.execute(sql, datetime.now(UTC) + LEASE, me.name, me.run_id)
    return ledger.execute("SELECT run_id FROM {locks} WHERE name = %s", me.name) == [(me.run_id,)]


def _strike(ledger: Ledger, holder: Holder) -> None:
    ledger.execute("DELETE FROM {locks} WHERE name = %s AND run_id = %s", holder.name, holder.run_id)


def _lock_name(environment: Environment, me: Holder) -> str:
    return f"etl:{environment.layout}:{me.name}"


def _taken(me: Holder, what: str, holder: Holder | None) -> str:
    by = f"held by {holder}" if holder else "held by another run"
    return f"{me.name}: {what} is {by}; let it end, or use etl run --wait 10m"


def alive(pid: int) -> bool:
    """Whether a process of this host runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
