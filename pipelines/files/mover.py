"""Move files: read each, verify it, store it once, and tell what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pipelines.files.stores import Store
from sources.kit.files import FileItem, Stored

if TYPE_CHECKING:
    from pipelines.files.audio import Sound

Kind = Literal["transient", "permanent", "quarantined"]


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
    retry_after_seconds: float = 300
    """The longest `Retry-After` that is obeyed; a host that asks for more is left for a later run."""
    backoff_seconds: float = 1
    """The first wait is random and at most so long, each further one at most twice the last."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A file is verified and stored."""

    item: FileItem
    stored: Stored


@dataclass(frozen=True, slots=True)
class NotMoved:
    """A file is not stored.

    transient    a later run may have it (`retry_after`: seconds its host asks for, if it said so)
    permanent    refused for good as far as this run can tell: 403, 404, 410 … (it may appear late: count the runs)
    quarantined  its bytes are not what they should be; they are at `quarantine_key`
    """

    item: FileItem
    kind: Kind
    reason: str
    """One line without secrets."""
    http_status: int | None = None
    quarantine_key: str | None = None
    retry_after: float | None = None


Outcome = Moved | NotMoved


class Journal(Protocol):
    """What is told before and after an object is stored, from any thread."""

    def intends(self, item: FileItem, bytes: int, sha256: str) -> None:
        """A PUT of these bytes at `item.key` comes next; durable on return."""

    def stored(self, item: FileItem, stored: Stored) -> None:
        """The object is there."""


Inspect = Callable[[memoryview, str], "Sound"]
"""`pipelines.files.audio.inspect`: what a file of such a `FileItem.media` is, or `Suspicious`."""


class Mover:
    """Moves files by threads: one GET and one PUT each, no HEAD and no LIST as long as the store answers."""

    def __init__(self, store: Store, settings: Settings, journal: Journal, inspect: Inspect) -> None:
        self._store, self._settings, self._journal, self._inspect = store, settings, journal, inspect

    def move(self, items: Iterable[FileItem]) -> Iterator[Outcome]:
        """Outcomes as they come; close it, or let an error pass, and the transfers end within a second or two.

        Items are drawn from `items` in the caller's thread, a thousand or so ahead. What concerns all of them stops it:
        after the outcomes of what was finished, `SignInNeeded` (401), `CapExceeded`, `TryLater` (nothing gets through),
        `SettingError` (the bucket refuses the key) or an OSError (the disk is full) is raised.
        """
        raise NotImplementedError
