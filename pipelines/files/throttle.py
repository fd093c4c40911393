"""So many bytes a second, by all transfers together."""

from __future__ import annotations

import threading
import time


class Throttle:
    """Makes whoever takes bytes wait for its turn, until it is stopped."""

    def __init__(self, bytes_per_second: int, stopped: threading.Event) -> None:
        self._rate, self._stopped = bytes_per_second, stopped
        self._paid_until = 0.0
        self._lock = threading.Lock()

    def take(self, amount: int) -> None:
        """Return once these bytes may come."""
        now = time.monotonic()
        with self._lock:
            self._paid_until = max(self._paid_until, now) + amount / self._rate
            wait = self._paid_until - now
        self._stopped.wait(wait)
