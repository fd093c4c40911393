"""A clock for many threads whose time passes only while all of them wait for it: a day takes as long as its work."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count


class Clock:
    """The time everybody has; it stands still while one is at work."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._lock = threading.Lock()
        self._at_work = 0
        self._asleep: list[tuple[datetime, int, threading.Event]] = []
        self._turns = count()

    def start(self, work: Callable[[], None]) -> threading.Thread:
        """Begin some work in a thread of its own; time waits for it until it ends."""
        with self._lock:
            self._at_work += 1
        thread = threading.Thread(target=self._done, args=(work,), daemon=True)
        thread.start()
        return thread

    def sleep(self, seconds: float) -> None:
        """Wait; for threads begun by `start` alone."""
        self.sleep_until(self.now + timedelta(seconds=seconds))

    def sleep_until(self, moment: datetime) -> None:
        """Wait until the clock shows a moment, or not at all if it is over."""
        woken = threading.Event()
        with self._lock:
            heapq.heappush(self._asleep, (max(moment, self.now), next(self._turns), woken))
            self._rest()
        woken.wait()

    def _done(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._lock:
                self._rest()

    def _rest(self) -> None:
        """One is at work no longer; if nobody is, go on to the moment for which the next ones wait."""
        self._at_work -= 1
        if self._at_work or not self._asleep:
            return
        self.now = self._asleep[0][0]
        while self._asleep and self._asleep[0][0] == self.now:
            self._at_work += 1
            heapq.heappop(self._asleep)[2].set()
