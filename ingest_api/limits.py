"""How often one device may come: so many uploads a minute, evenly, after as many at once."""

from __future__ import annotations

import time
from collections.abc import Callable

MINUTE = 60.0


class Pace:
    """A clock per device, which every upload sets forward; memory grows with the devices that are known, only."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._each, self._clock = MINUTE / per_minute, clock
        self._due: dict[str, float] = {}

    def taken(self, who: str) -> float:
        """Take a turn: 0, or the seconds to wait for one."""
        now = self._clock()
        due = max(self._due.get(who, now), now)
        wait = due - now - (MINUTE - self._each)
        if wait > 1e-9:
            return wait
        self._due[who] = due + self._each
        return 0.0
