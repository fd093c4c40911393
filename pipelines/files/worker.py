"""A second process that carries transfers: what Python does in one process takes one core, however many its threads.

It reads, verifies and stores. Whose turn it is, and what is noted of it, stays with the process of the run: a worker
stores nothing before the journal has it, and ends with that process, however it ends.
"""

from __future__ import annotations

import os
import pickle
import select
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pipelines.errors import EtlError, TryLater
from pipelines.files.bucket import Bucket
from pipelines.files.curl import BUNDLES, CERTIFICATES
from pipelines.files.lane import Lane
from pipelines.files.steps import Patience, Steps
from pipelines.files.stores import Store
from pipelines.files.transfer import Again, Carrier, Inspect, Journal, Moved, NotMoved, Outcome
from pipelines.files.turns import Task
from pipelines.logs import LOGGER
from sources.kit.files import FileItem, Stored

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
LOOK = 0.25  # seconds that tell whether a thread has its hands full
BUSY = 0.5  # of a core
GRACE = 7.0  # seconds for a worker that is told to end: uploads in parts are broken off
SLICE = 16  # messages at once; a pipe that can be written has room for so many
PROGRAM = """
import signal, sys
for number in signal.SIGINT, signal.SIGTERM:  # of a whole group: the process of the run says when to end
    signal.signal(number, signal.SIG_IGN)
from pipelines.files.worker import serve
serve(int(sys.argv[1]))
"""
GONE = "the second process that moved files was ended from outside; run again"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a worker needs to know of all its transfers."""

    store: Store
    inspect: Inspect
    spool: Path
    in_memory: int
    kept: int
    stall_seconds: int

    @property
    def sent(self) -> bytes | None:
        """As a worker gets it; None where there can be none, or it would have no core of its own."""
        if CORES == 1 or sys.platform != "linux" or not isinstance(self.store, Bucket):
            return None
        with suppress(pickle.PicklingError, AttributeError, TypeError):  # `inspect` may be of this process alone
            return pickle.dumps(self)
        return None


@dataclass
class Worker:
    """Up to `width()` transfers in a process that is started once the thread which tends it has its hands full.

    `take` gives the next task or None for now, `ended` is told what each came to. Once nothing waits, it is ended.
    """

    terms: bytes
    width: Callable[[], int]
    waiting: Callable[[], int]
    take: Callable[[], tuple[Task, Patience] | None]
    ended: Callable[[tuple[Task, Outcome | Again]], None]
    journal: Journal

    def __post_init__(self) -> None:
        self.is_up = self._is_given_up = False
        self.later: list[tuple[float, str]] = []
        """When its transfers go on that wait for a time, by `time.monotonic()`, and why."""
        self._link: Connection | None = None
        self._tasks: dict[str, Task] = {}
        self._looked = self._used = 0.0

    def descriptor(self) -> int | None:
        """What can be read from once it has said something."""
        return self._link.fileno() if self._link else None

    def tend(self) -> bool:
        """Hear what it says, note that, and give it what it may have; whether it said anything.

        To be called often, and by one thread. An error that none of its transfers caught is raised here.
        """
        try:
            if self._link is None:
                if self._is_wanted():
                    self._start()
                return False
            if heard := bool(self._comes.poll(0)):
                self._hear(self._link)
            if not self.is_up:
                return False
            if len(self._tasks) < self.width() and (items := list(self._taken())):
                _say(self._link, "items", items)
            elif not (self._tasks or self.waiting()):
                self.leave()
        except (EOFError, OSError) as gone:
            if not self.is_up:
                self._give_up(gone)
                return False
            if isinstance(gone, EOFError | ConnectionError):
                raise TryLater(GONE) from gone
            raise
        return heard

    def leave(self) -> None:
        """End it: what is under way is broken off, what was finished is heard."""
        if self._link is None:
            return
        link, until = self._link, time.monotonic() + GRACE
        with suppress(Exception):  # its last word, or why it ended: nothing depends on it any more
            if self._tasks:
                _say(link, "stop", None)
            while self._tasks and link.poll(max(0.0, until - time.monotonic())):
                self._hear(link)
        self._link, self.is_up, self.later = None, False, []
        self._process.kill()
        self._process.wait()
        link.close()

    def _give_up(self, why: BaseException) -> None:
        """One process can move all files, too: nothing was given to this one."""
        self._is_given_up = True
        self.leave()
        LOGGER.warning("files are moved by one process alone: a second one did not start (%s)", why or "it ended")

    def _is_wanted(self) -> bool:
        """Whether there is work for it, and this thread was busy for a while."""
        now = time.monotonic()
        if self._is_given_up or now - self._looked < LOOK:
            return False
        used = time.thread_time()
        is_busy = used - self._used >= BUSY * (now - self._looked)
        self._looked, self._used = now, used
        return is_busy and self.width() > 0

    def _start(self) -> None:
        here, there = Pipe()
        path = os.pathsep.join(part or str(Path.cwd()) for part in sys.path)  # the same code as here
        environment = {**os.environ, "PYTHONPATH": path, BUNDLES[0]: CERTIFICATES}
        command = [sys.executable or "python", "-P", "-c", PROGRAM, str(there.fileno())]
        try:
            with there:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, env=environment, pass_fds=[there.fileno()]
                )
        except OSError:
            here.close()
            raise
        self._link, self._comes = here, _watch(here)
        here.send_bytes(self.terms)

    def _taken(self) -> Iterator[tuple[FileItem, Patience]]:
        while len(self._tasks) < self.width() and (taken := self.take()):
            task, patience = taken
            self._tasks[task.item.key] = task
            yield task.item._replace(row={}, headers=dict(task.item.headers)), patience

    def _hear(self, link: Connection) -> None:
        """Note what it says, and answer once that is written."""
        noted = []
        for what, *told in link.recv():
            match what:
                case "ready":
                    self.is_up = True
                case "later":
                    self.later = told[0]
                case "intends":
                    noted.append(told[0])
                    self.journal.intends(self._tasks[told[1]].item, *told[2:])
                case "aside":
                    noted.append(told[0])
                    self.journal.puts_aside(told[1])
                case "refused":
                    self.journal.refused(self._tasks[told[0]].item)
                case "ended":
                    self._end(self._tasks.pop(told[0]), told[1])
                case "failed":
                    raise told[0]
        if noted:
            self.journal.flush()
            _say(link, "noted", noted)

    def _end(self, task: Task, told: tuple[Any, ...] | NotMoved | Again) -> None:
        if isinstance(told, NotMoved | Again):
            self.ended((task, _about(task.item, told)))
        else:
            stored = Stored(*told)
            self.journal.stored(task.item, stored)
            self.ended((task, Moved(task.item, stored)))


def _say(link: Connection, what: str, told: Any) -> None:
    """Tell a worker; one that has ended is still to be heard: its last word says why."""
    with suppress(ConnectionError):
        link.send((what, told))


def _watch(link: Connection, is_written: bool = False) -> select.poll:
    watched = select.poll()
    watched.register(link.fileno(), select.POLLIN | select.POLLOUT * is_written)
    return watched


def _about(item: Any, outcome: NotMoved | Again) -> NotMoved | Again:
    """The same of an item, which stays with the process of the run."""
    if isinstance(outcome, Again):
        return Again(outcome.not_moved._replace(item=item), outcome.retry_after)
    return outcome._replace(item=item)


def serve(link: int) -> None:
    """Be a worker, at the other end of a pipe."""
    _Serving(Connection(link)).run()


class _Serving:
    """A worker: a lane, and the journal as its transfers see it."""

    def __init__(self, link: Connection) -> None:
        self._link, self._comes, self._goes = link, _watch(link), _watch(link, is_written=True)
        self._later: list[tuple[float, str]] = []
        self._heard = False
        with self._or_end():
            terms: Terms = pickle.loads(link.recv_bytes())
        self._carrier = Carrier(
            terms.store, self, terms.inspect, terms.spool, terms.in_memory, terms.kept, terms.stall_seconds
        )
        self._items: deque[tuple[FileItem, Patience]] = deque()
        self._numbers, self._unnoted = count(), dict[int, Future[None]]()
        self._told: list[tuple[Any, ...]] = [("ready",)]
        self._stopped = threading.Event()

    def run(self) -> None:
        """Carry what it is given until it is told to stop."""
        with ThreadPoolExecutor(1) as calls:
            lane = Lane(lambda: sys.maxsize, self._begin, self._ended, lambda: self._tell(lane), self._stopped, calls)
            lane.hear, lane.wakes = self._hear, self._link.fileno
            try:
                lane.run()
            except BaseException as error:  # noqa: BLE001
                self._told.append(("failed", _portable(error)))
        self._carrier.close()
        self.flush()

    def _tell(self, lane: Lane[Any]) -> None:
        """What has come of the transfers, and what they wait for."""
        if (later := lane.later()) != self._later:
            self._later = later
            self._told.append(("later", later))
        self.flush()

    def flush(self) -> None:
        """Tell what there is to tell; two that write to each other and do not read would wait for ever."""
        with self._or_end():
            while self._told:
                ((_, events),) = self._goes.poll()
                if events & ~select.POLLOUT:
                    self._take_in()
                if events & select.POLLOUT:
                    self._link.send(self._told[:SLICE])
                    del self._told[:SLICE]

    def intends(self, item: FileItem, bytes: int, sha256: str) -> Future[None]:
        """Done when it is noted."""
        return self._asks("intends", item.key, bytes, sha256)

    def puts_aside(self, key: str) -> Future[None]:
        """Done when it is noted."""
        return self._asks("aside", key)

    def stored(self, item: FileItem, stored: Stored) -> None:
        """Told as what became of it."""

    def refused(self, item: FileItem) -> None:
        """Told before what became of it."""
        self._told.append(("refused", item.key))

    def _asks(self, what: str, *told: Any) -> Future[None]:
        number = next(self._numbers)
        self._told.append((what, number, *told))
        self._unnoted[number] = Future()
        return self._unnoted[number]

    def _hear(self) -> bool:
        with self._or_end():
            while self._comes.poll(0):
                self._take_in()
        heard, self._heard = self._heard, False
        return heard

    def _take_in(self) -> None:
        self._heard = True
        match self._link.recv():
            case "items", items:
                self._items.extend(items)
            case "noted", numbers:
                for unnoted in map(self._unnoted.pop, numbers):
                    if unnoted.set_running_or_notify_cancel():  # False where its transfer is broken off
                        unnoted.set_result(None)
            case _:
                self._stopped.set()

    @contextmanager
    def _or_end(self) -> Iterator[None]:
        """Where the process of the run is gone: what this one stored now would come after the next run has looked."""
        try:
            yield
        except (EOFError, OSError):
            os._exit(1)

    def _begin(self) -> Steps[tuple[str, Outcome | Again]] | None:
        return self._steps(*self._items.popleft()) if self._items else None

    def _steps(self, item: FileItem, patience: Patience) -> Steps[tuple[str, Outcome | Again]]:
        return item.key, (yield from self._carrier.transfer(item, patience))

    def _ended(self, ended: tuple[str, Outcome | Again]) -> None:
        key, outcome = ended
        told = tuple(outcome.stored) if isinstance(outcome, Moved) else _about(None, outcome)
        self._told.append(("ended", key, told))


def _portable(error: BaseException) -> BaseException:
    """An error that another process can raise."""
    if not isinstance(error, EtlError | OSError):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001
        return RuntimeError("".join(traceback.format_exception(error)))
    return error
