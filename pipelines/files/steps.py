"""What a transfer waits for, one step at a time: it is a generator that yields steps and is sent what they gave.

So one thread carries many transfers, and the same transfer may be performed alone, step by step, in any thread.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")
Bytes = bytes | memoryview


class Broken(Exception):
    """No whole answer came: refused, reset, cut short, too slow or too late."""


class Untrusted(Broken):
    """Who answers cannot show who it is: another try will not change that."""


class Readable(Protocol):
    """Bytes to send; libcurl goes back in them when it must send them again."""

    def read(self, size: int) -> Bytes:
        """The next bytes, none at the end."""

    def seek(self, offset: int, origin: int = 0) -> None:
        """Go on from there, counted from the start: libcurl's `origin` is never another."""


class Sink(Protocol):
    """Takes the bytes of an answer as they come."""

    def expect(self, size: Callable[[], int | None]) -> None:
        """Bytes are coming; while they are, `size` tells how many in all, if that is known."""

    def write(self, chunk: Bytes) -> int | None:
        """Take bytes, which are gone after the call; anything but None breaks the request off."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Whose key signs a request, for which region."""

    region: str
    key: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(slots=True)
class Request:
    """One HTTP request; it is sent as it is then."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Readable | None = None
    size: int = 0
    into: Sink | None = None
    """Takes the bytes of the answer; without it they come with the answer."""
    signature: Signature | None = None
    until: float = math.inf
    """When it must be through, by `time.monotonic()`."""
    stall_seconds: int = 60
    """Longest time with less than 1,000 bytes a second; 0 for no limit."""
    fresh: bool = False
    """On a connection of its own making."""


@dataclass(slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    lines: Sequence[bytes]
    """Of its head, and of interim ones before it."""
    body: bytes = b""
    content_type: str | None = None
    """Where it is asked for by a file."""
    redirect: str | None = None
    """The absolute URL it points to."""
    retry_after: float | None = None
    """Seconds."""

    @property
    def headers(self) -> dict[str, str]:
        """By their names in lower case."""
        headers: dict[str, str] = {}
        for line in self.lines:
            name, colon, value = line.decode("latin-1").partition(":")
            if colon:
                headers[name.lower()] = value.strip()
            elif name.startswith("HTTP/"):
                headers.clear()
        return headers


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds, and why."""

    seconds: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """Wait for a function that blocks."""

    function: Callable[[], Any]


Step = Request | Pause | Call | Future[Any]
Steps = Generator[Step, Any, T]


class Patience(NamedTuple):
    """How often and how long to try again."""

    tries: int = 9
    backoff_seconds: float = 1.0
    longest_seconds: float = 60.0
    """Of one wait, whatever a `Retry-After` says."""
    until: float = math.inf
    """By `time.monotonic()`."""

    def wait(self, tried: int, retry_after: float | None = None) -> float | None:
        """Seconds to wait after so many tries, or None when it is time to give up.

        Full jitter: anything up to twice as long as the last time, so that many who failed together come back apart.
        """
        backoff = random.uniform(0, min(self.longest_seconds, self.backoff_seconds * 2 ** (tried - 1)))
        seconds = max(backoff, min(retry_after or 0.0, self.longest_seconds))
        return seconds if tried < self.tries and time.monotonic() + seconds < self.until else None


def is_weather(status: int) -> bool:
    """Whether an answer with this status may be another one soon."""
    return status in (408, 425, 429) or (status >= 500 and status not in (501, 505))
