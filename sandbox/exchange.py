"""What a stand-in sees and says: the world it serves, a request, a reply."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

FIRST_NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)  # the last month has just ended, and may still grow


@dataclass(frozen=True)
class World:
    """The seed, the size and the day; everything that is served follows from these three.

    Save what an upstream must know of earlier requests: that is in its `memory`.
    """

    seed: int = 1
    records: int = 100
    day: int = 1
    memory: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.day < 1 or self.records < 0:
            raise ValueError(f"world: day {self.day}, records {self.records}; days start at 1, records at 0")

    @property
    def now(self) -> datetime:
        """Noon of the day the clock stands on."""
        return noon(self.day)

    def random(self, *names: object) -> random.Random:
        """A generator of numbers that depends on the seed and these names alone."""
        return random.Random("/".join(map(str, (self.seed, *names))))


def noon(day: int) -> datetime:
    """Noon of a day, where day 1 is the fixed date the world starts on."""
    return FIRST_NOON + timedelta(days=day - 1)


@dataclass(frozen=True)
class Request:
    """What a client asks; header names are in lower case."""

    method: str
    path: str
    query: dict[str, list[str]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What a stand-in answers; a dict or list travels as JSON, a string as plain text."""

    status: int = 200
    body: bytes | str | dict[str, Any] | list[Any] = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        """The body as it travels."""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else as_json(self.body)).encode()

    def content_type(self) -> str:
        """What the body is when no header says so."""
        if isinstance(self.body, bytes):
            return "application/octet-stream"
        return "text/plain; charset=utf-8" if isinstance(self.body, str) else "application/json; charset=utf-8"


def as_json(value: Any) -> str:
    """Compact JSON, its keys in the order they were written."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
