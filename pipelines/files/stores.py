"""Where files are stored: a filesystem destination of the environment, behind five calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from pipelines.errors import TryLater

QUARANTINE = "quarantine"
"""The folder of the store for bytes that are not what they should be."""


class CapExceeded(TryLater):
    """The account's daily cap is used up; nothing goes on until it is reset, at 00:00 GMT."""


@dataclass(frozen=True, slots=True)
class About:
    """What an object says of itself."""

    content_type: str
    sha256: str
    source_id: str
    """`FileItem.id`."""
    reason: str | None = None
    """Why it is in quarantine."""


@dataclass(frozen=True, slots=True)
class Put:
    """What a store answers to an object it took."""

    etag: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """An object in the store; `listed` knows no more than key, bytes, etag of a bucket's."""

    key: str
    bytes: int
    sha256: str | None = None
    source_id: str | None = None
    content_type: str | None = None
    etag: str | None = None
    version: str | None = None


class Body(Protocol):
    """The bytes of one file, in memory or on disk."""

    size: int

    def stream(self) -> BinaryIO:
        """All of it from the start; it is closed with the body."""

    def view(self) -> AbstractContextManager[memoryview]:
        """All of it at once."""


class Store(Protocol):
    """Objects by key, below the destination's `bucket_url`; every call may be made from any thread."""

    def put(self, key: str, body: Body, about: About) -> Put:
        """Store an object whole, or nothing; `Weather` when it may be tried again."""

    def head(self, key: str) -> Head | None:
        """What is there, or None. A folder reads the whole file for its hash."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""

    def listed(self, prefix: str) -> Iterator[Head]:
        """The objects whose keys begin so; costs class C calls in a bucket."""

    def read(self, key: str) -> bytes:
        """All bytes of an object."""


def opened(destination: str) -> Store:
    """The store of a filesystem destination of the active environment, e.g. `audio`."""
    raise NotImplementedError
