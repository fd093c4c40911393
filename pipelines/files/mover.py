"""Move files: read each, verify it, store it once, and tell what became of it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from pipelines.errors import TryLater
from pipelines.files.lane import Lane
from pipelines.files.steps import Patience, Steps
from pipelines.files.stores import Store
from pipelines.files.throttle import Throttle
from pipelines.files.transfer import (
    UNAUTHORIZED,
    Again,
    Carrier,
    Inspect,
    Journal,
    Kind,
    Moved,
    NotMoved,
    Outcome,
    sign_in_needed,
)
from pipelines.files.turns import Task, Turns
from pipelines.files.worker import Terms, Worker
from pipelines.printing import counted
from sources.kit.files import FileItem

__all__ = ["Inspect", "Journal", "Kind", "Moved", "Mover", "NotMoved", "Outcome", "Settings"]

LANES = 2  # threads; more wait for the interpreter's lock
MANY = 500  # files that wait; fewer are moved before a second process is there
SHARE = 5 / 8  # of the transfers, in a second process: each of them waits twice for the first one
LARGE = 256 * 1024  # bytes; hashing shorter files takes less than two threads lose by waiting for each other
RECENT = 1000  # files that tell whether files are large
LOOK_AHEAD = 1000
IN_MEMORY = 8 * 2**20  # of one body
ALL_IN_MEMORY = 128 * 2**20
KEPT, ALL_KEPT = 32 * 2**20, 512 * 2**20  # of the files that the next long bodies may have
CALLS = 16  # of a store that is no S3, at once
QUIET_SECONDS = 10.0
GATHERS = 0.005  # seconds in which outcomes gather: whoever is woken by each of them takes the lanes' turn each time
GATHERS_MANY = 0.05  # while so much is under way that nobody waits for more
OUTAGE = 20  # files in a row
Ended = tuple[Task, Outcome | Again]


@dataclass(frozen=True, slots=True)
class Settings:
    """How files are moved."""

    spool: Path
    """The folder for bodies that are too long for memory; nothing in it outlives its process."""
    transfers: int = 32
    """Files at once."""
    bwlimit: int | None = None
    """Bytes a second, read from the sources by all transfers together."""
    tries: int = 9
    """How often one file is asked for, and how often it is offered to the store."""
    per_host: int | None = None
    """Transfers at once from one host."""
    deadline_seconds: float = 3600
    """For one file with all its tries."""
    stall_seconds: int = 60
    """Longest time with less than 1,000 bytes a second; without meaning under a `bwlimit`."""
    retry_after_seconds: float = 60
    """The longest wait; a host that asks for more is left for a later run."""
    backoff_seconds: float = 1
    """The first wait is random and at most so long, each further one at most twice as long as that before."""


class Mover:
    """Moves files, one GET and one PUT each: no HEAD and no LIST as long as the store answers."""

    def __init__(self, store: Store, settings: Settings, journal: Journal, inspect: Inspect) -> None:
        self._store, self._settings, self._journal, self._inspect = store, settings, journal, inspect

    def move(
        self, items: Iterable[FileItem], quiet: Callable[[str], None] = lambda waits: None
    ) -> Generator[Outcome, None, None]:
        """Outcomes as they come; close it, or let an error pass, and the transfers end within a second.

        `quiet` is called every ten seconds in which there is none, with what is waited for, if that is another try.
        Items are drawn from `items` in the caller's thread, up to a thousand ahead; no two may have the same key.
        What concerns all of them stops it: after the outcomes of what was finished, `SignInNeeded` (401),
        `CapExceeded`, `TryLater` (nothing gets through), `SettingError` (the bucket refuses the key) or an OSError (the
        disk is full) is raised.
        """
        moving = _Moving(self._settings)
        with moving.lanes(self._store, self._journal, self._inspect):
            yield from moving.outcomes(iter(items), quiet)
        yield from moving.left()
        if moving.failure:
            raise moving.failure


class _Moving:
    """One `move` under way: what its lanes and its caller share."""

    def __init__(self, settings: Settings) -> None:
        self.failure: BaseException | None = None
        self._settings = settings
        self._turns = Turns(settings.per_host, settings.transfers)
        self._moved = self._bytes = 0
        self._results: SimpleQueue[Outcome | BaseException] = SimpleQueue()
        self._lanes: list[Lane[Ended]] = []
        self._worker: Worker | None = None
        self._here: deque[Task] = deque()
        self._makes_some = False
        self._stopped = threading.Event()

    @contextmanager
    def lanes(self, store: Store, journal: Journal, inspect: Inspect) -> Iterator[None]:
        """Threads that carry transfers; at the end of the block they have left off."""
        settings, stopped = self._settings, self._stopped
        throttle = Throttle(settings.bwlimit, stopped) if settings.bwlimit else None
        in_memory = min(IN_MEMORY, ALL_IN_MEMORY // settings.transfers)
        kept = min(KEPT, ALL_KEPT // settings.transfers)
        stall = 0 if throttle else settings.stall_seconds
        calls, threads = ThreadPoolExecutor(min(CALLS, settings.transfers)), ThreadPoolExecutor(LANES)
        carrier = Carrier(store, journal, inspect, settings.spool, in_memory, kept, stall, throttle)
        try:
            begin = partial(self._begin, carrier)
            terms = Terms(store, inspect, settings.spool, in_memory, kept, stall).sent
            if terms and throttle is None:
                width, waiting = self._width_apart, self._turns.waiting
                self._worker = Worker(terms, width, waiting, self._take_apart, self._ended, journal)
            for number in range(LANES):
                lane = Lane(partial(self._width, number), begin, self._ended, journal.flush, stopped, calls)
                if self._worker and number == 0:
                    lane.hear, lane.wakes = self._worker.tend, self._worker.descriptor
                self._lanes.append(lane)
                threads.submit(lane.run).add_done_callback(self._left_off)
            yield
        finally:
            stopped.set()
            threads.shutdown()
            try:
                if self._worker:
                    self._worker.leave()
            finally:
                calls.shutdown(cancel_futures=True)
                carrier.close()

    def _width(self, lane: int) -> int:
        """How many transfers a lane may carry: as long as files are small, the first one all that no worker does."""
        if self._is_large:
            return (self._settings.transfers + lane) // LANES
        apart = self._width_apart() if self._is_apart else 0
        return self._settings.transfers - apart if lane == 0 else 0

    def _width_apart(self) -> int:
        """How many a worker may carry: half of many small ones."""
        if self._is_large or self._makes_some or not (self._is_apart or self._turns.waiting() >= MANY):
            return 0
        return int(self._settings.transfers * SHARE)

    @property
    def _is_apart(self) -> bool:
        return self._worker is not None and self._worker.is_up

    @property
    def _is_large(self) -> bool:
        return self._bytes >= LARGE * self._moved

    def outcomes(self, items: Iterator[FileItem], quiet: Callable[[str], None]) -> Iterator[Outcome]:
        """What becomes of each item, until all are through or one has found what stops them all."""
        under_way, in_a_row, more = 0, 0, True
        while True:
            if under_way <= LOOK_AHEAD * 0.9:  # many in a row: each alone, between bodies, costs far more
                while more and under_way < LOOK_AHEAD:
                    item = next(items, None)
                    if more := item is not None:
                        self._turns.add(item)
                        under_way += 1
            if not under_way:
                return
            outcome = self._next(under_way, quiet)
            if not isinstance(outcome, (Moved, NotMoved)):
                self.failure = outcome
                return
            under_way -= 1
            yield outcome
            if isinstance(outcome, Moved) or outcome.kind != "transient":
                in_a_row = 0
                continue
            if (
                outcome.http_status == UNAUTHORIZED
            ):  # noted as failed, lest one file without a token keep all from moving
                self.failure = sign_in_needed(outcome.item)
                return
            in_a_row += 1
            if in_a_row == OUTAGE:
                self.failure = TryLater(f"{OUTAGE} files in a row failed, the last: {outcome.reason}; run again later")
                return

    def _next(self, under_way: int, quiet: Callable[[str], None]) -> Outcome | BaseException:
        if self._results.empty():
            time.sleep(GATHERS_MANY if under_way > LOOK_AHEAD / 2 else GATHERS)
        while True:
            try:
                return self._results.get(timeout=QUIET_SECONDS)
            except Empty:
                quiet(self._waits())

    def _waits(self) -> str:
        """What waits for another try, in words; empty where nothing does."""
        apart = self._worker.later if self._worker else []
        later = sorted([*self._turns.later(), *(wait for lane in self._lanes for wait in lane.later()), *apart])
        if not later:
            return ""
        when, why = later[0]
        tries = "waits for another try" if len(later) == 1 else "wait for another try, the first"
        return f"{counted(len(later), 'file')} {tries} in {max(0, when - time.monotonic()):.0f} s: {why}"

    def left(self) -> Iterator[Outcome]:
        """What was finished and not yet told when they left off."""
        while not self._results.empty():
            outcome = self._results.get()
            if isinstance(outcome, (Moved, NotMoved)):
                yield outcome

    def _begin(self, carrier: Carrier) -> Steps[Ended] | None:
        task = self._here.popleft() if self._here else self._take()
        return self._steps(task, carrier) if task else None

    def _take_apart(self) -> tuple[Task, Patience] | None:
        """One for a worker; what is made by a function is made in this process."""
        while (task := self._take()) and (task.item.content or not task.host):
            self._makes_some |= task.item.content is not None
            self._here.append(task)
        return (task, self._patience(task)) if task else None

    def _take(self) -> Task | None:
        task = self._turns.take()
        if task is None:
            return None
        task.until = task.until or time.monotonic() + self._settings.deadline_seconds
        task.tried += 1
        return task

    def _steps(self, task: Task, carrier: Carrier) -> Steps[Ended]:
        if not task.host:
            return task, NotMoved(task.item, "permanent", "its URL begins with neither http:// nor https://")
        return task, (yield from carrier.transfer(task.item, self._patience(task)))

    def _ended(self, ended: Ended) -> None:
        task, outcome = ended
        if isinstance(outcome, Again):
            wait = self._patience(task).wait(task.tried, outcome.retry_after)
            if wait is not None and (outcome.retry_after or 0) <= self._settings.retry_after_seconds:
                task.trouble = outcome.not_moved.reason
                self._turns.again(task, wait, outcome.retry_after)
                return
            outcome = outcome.not_moved
        if isinstance(outcome, Moved):
            self._moved, self._bytes = self._moved + 1, self._bytes + outcome.stored.bytes
            if self._moved >= RECENT:
                self._moved, self._bytes = self._moved // 2, self._bytes // 2
        self._turns.done(task)
        self._results.put(outcome)

    def _left_off(self, lane: Future[None]) -> None:
        if error := lane.exception():
            self._results.put(error)

    def _patience(self, task: Task) -> Patience:
        settings = self._settings
        return Patience(settings.tries, settings.backoff_seconds, settings.retry_after_seconds, task.until)
