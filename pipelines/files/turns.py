"""Whose turn it is: items wait by host, so that a host with its hands full, or who asks for time, holds up no other."""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from urllib.parse import urlsplit

from sources.kit.files import FileItem


def host_of(url: str) -> str:
    """Host and port of a URL; empty where it is none that can be asked."""
    end = url.find("/", len("https://"))
    return _named_in(url if end < 0 else url[:end])


@lru_cache(maxsize=1024)
def _named_in(beginning: str) -> str:
    try:
        parts = urlsplit(beginning)
    except ValueError:
        return ""
    return parts.netloc if parts.scheme in ("http", "https") and parts.hostname else ""


@dataclass(slots=True)
class Task:
    """An item, and how often it was asked for."""

    item: FileItem
    host: str
    tried: int = 0
    until: float = 0.0
    """When its time is up, by `time.monotonic()`; 0 before it began."""
    trouble: str = ""
    """Why it was asked for in vain last."""


@dataclass(slots=True)
class _Host:
    waiting: deque[Task] = field(default_factory=deque)
    busy: int = 0
    rests_until: float = 0.0


class Turns:
    """Hands out tasks to any thread, so many at once; each comes back as `done` or is to be had `again`."""

    def __init__(self, per_host: int | None, at_once: int) -> None:
        self._per_host, self._at_once, self._busy = per_host, at_once, 0
        self._hosts: dict[str, _Host] = {}
        self._later: list[tuple[float, int, Task]] = []
        self._number = count()
        self._lock = threading.Lock()

    def add(self, item: FileItem) -> None:
        """One more item, at the end of its host's line."""
        task = Task(item, host_of(item.url))
        with self._lock:
            if task.host not in self._hosts:
                self._hosts[task.host] = _Host()
            self._hosts[task.host].waiting.append(task)

    def take(self) -> Task | None:
        """The next task whose time has come, if there is one."""
        now = time.monotonic()
        with self._lock:
            while self._later and self._later[0][0] <= now:
                task = heapq.heappop(self._later)[2]
                self._hosts[task.host].waiting.appendleft(task)
            if self._busy == self._at_once:
                return None
            for name, host in self._hosts.items():
                if host.waiting and host.rests_until <= now and host.busy != self._per_host:
                    host.busy += 1
                    self._busy += 1
                    if len(self._hosts) > 1:
                        self._hosts[name] = self._hosts.pop(name)  # the other hosts come first now
                    return host.waiting.popleft()
        return None

    def waiting(self) -> int:
        """How many tasks could be had at once, were it not for others."""
        with self._lock:
            return sum(len(host.waiting) for host in self._hosts.values())

    def later(self) -> list[tuple[float, str]]:
        """When tasks are to be had again, by `time.monotonic()`, and why."""
        with self._lock:
            return [(when, f"{task.item.id}: {task.trouble}") for when, _, task in self._later]

    def done(self, task: Task) -> None:
        """Nothing more is asked of the host for this task."""
        with self._lock:
            self._hosts[task.host].busy -= 1
            self._busy -= 1

    def again(self, task: Task, seconds: float, rest: float | None = None) -> None:
        """The task is to be had once more, after a while; its host may `rest` so long from all."""
        now = time.monotonic()
        with self._lock:
            host = self._hosts[task.host]
            host.busy -= 1
            self._busy -= 1
            host.rests_until = max(host.rests_until, now + (rest or 0))
            heapq.heappush(self._later, (now + seconds, next(self._number), task))
