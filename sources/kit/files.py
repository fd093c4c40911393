"""What a source tells the engine of files to move: which, from where, under which name, and what a receipt says.

A spec's `files:` names a function of the source that returns a `Files`; the engine moves what that lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

Row = Mapping[str, Any]
Content = bytes
OF_OBJECT: Any = {
    "object_key": {"data_type": "text", "nullable": False, "description": "name of the object in the bucket"},
    "bytes": {"data_type": "bigint", "nullable": False},
    "sha256": {"data_type": "text", "description": "of the object, hexadecimal; null where an adopted one tells none"},
    "content_type": {"data_type": "text"},
    "etag": {"data_type": "text"},
    "version": {"data_type": "text"},
    "stored_at": {"data_type": "timestamp", "nullable": False},
}
"""What a receipt says of its object, as dlt's column hints."""
OF_SOUND: Any = {
    "codec": {"data_type": "text"},
    "seconds": {"data_type": "double", "description": "length found in the audio"},
    "sample_rate": {"data_type": "bigint"},
    "channels": {"data_type": "bigint"},
}
"""What a receipt says of the audio in it."""


class NoFile(Exception):
    """Why a file could not be made this time; with the status of the answer where there was one."""

    def __init__(self, reason: str, http_status: int | None = None) -> None:
        super().__init__(reason)
        self.http_status = http_status


class FileItem(NamedTuple):
    """One file to move."""

    id: str
    """Identity of its row: the value of `Files.identity`."""
    url: str
    key: str
    """Name of the object in the bucket."""
    row: Row
    """What its table says of it."""
    headers: Mapping[str, str] = MappingProxyType({})
    """Sent to the host of `url` alone: a redirect to another host goes without."""
    media: str = "any"
    """What it must be to be stored: `ogg`, `mp3`, `wav`, `audio` (one of these), `png` or `any`."""
    content: Callable[[], Content] | None = None
    """Where the file is no answer of `url` but made of one: makes it, in any thread, or raises NoFile."""
    bytes: int | None = None
    sha256: str | None = None
    seconds: float | None = None
    """Its length as the source knows it; it may differ by a second or 2 %."""


class Stored(NamedTuple):
    """A file as it was verified and stored."""

    key: str
    bytes: int
    sha256: str
    """Hexadecimal."""
    content_type: str
    stored_at: datetime
    etag: str | None = None
    version: str | None = None
    codec: str | None = None
    """`vorbis`, `opus`, `flac`, `mp3`, `pcm`; None where nobody looked."""
    seconds: float | None = None
    sample_rate: int | None = None
    channels: int | None = None

    def told(self) -> dict[str, Any]:
        """What it is, by the columns of `OF_OBJECT` and `OF_SOUND`."""
        return {
            "object_key": self.key,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "content_type": self.content_type,
            "etag": self.etag,
            "version": self.version,
            "stored_at": self.stored_at,
            "codec": self.codec,
            "seconds": self.seconds,
            "sample_rate": self.sample_rate,
            "channels": self.channels,
        }


def receipt_of(columns: Iterable[str], item: FileItem, stored: Stored) -> dict[str, Any]:
    """The row of a stored file: what its object is, and for the rest what its source says of it."""
    told = stored.told()
    return {name: told[name] if name in told else item.row.get(name) for name in columns}


@dataclass(frozen=True, slots=True)
class Lines:
    """What the folder of a run is to have of the rows that it has loaded into a table."""

    file: str
    """Of JSON lines."""
    line: Callable[[Row], dict[str, Any]]
    """What a row of the table is there; a row of the resource's own table stands for a file that was moved, too."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a receipt are called that say which object it stands for."""

    key: str = "object_key"
    """A row of the table where this is null is no receipt: its file is still to be moved."""
    bytes: str = "bytes"
    sha256: str = "sha256"
    stored_at: str = "stored_at"
    etag: str = "etag"
    """`column.key` where it is a key of a JSON column."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that an older program has fetched, as its own records say."""

    id: str
    names: tuple[str, ...]
    """What the file may be called, without its folders."""
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """How a file is deleted at its source, which nothing but `etl files release` does."""

    delete: Callable[[Row], str | None]
    """Delete a file by its receipt, or say why it is still there; one that is gone already is deleted."""
    column: str
    """Of the receipts: when it was deleted there, null until then."""


@dataclass(frozen=True)
class Files:
    """The files of one resource."""

    identity: str
    """The column that names an item, in the resource's table and in that of the receipts, whose key it is."""
    items: Callable[[Iterable[Row]], Iterator[FileItem]]
    """The files of rows of the resource's table; a row without a file (yet) gives none."""
    receipt: Callable[[FileItem, Stored], dict[str, Any]]
    """The row that says a file is stored."""
    columns: dict[str, Any]
    """dlt's column hints of the receipts."""
    same: tuple[str, ...] = ()
    """Further columns both tables have: a row whose value a receipt has too has its file already.

    Of several rows with one value only the first (by `identity`) is moved.
    """
    when: str | None = None
    """The column of the resource's table with the time of an item: `--since` and `--until` go by it, oldest first."""
    there: str | None = None
    """The column of the resource's table that is true where a row has a file by now."""
    names: tuple[str, ...] = ()
    """Further columns by whose values `--only` finds an item."""
    about: tuple[str, ...] = ()
    """Columns of a receipt that a failure has as well, say whose call it was: `etl erase` goes by them."""
    told: Callable[[Row], str] | None = None
    """What a person finds a file by that failed, beside its identity; it is logged, so nothing that may not be."""
    release: Release | None = None
    """None where the source keeps its files for good."""
    lines: Mapping[str, Lines] = field(default_factory=dict)
    """By table. One that is not among them has no file, save the resource's own, whose rows are there as they are."""
    kept_as: Callable[[Row], str] | None = None
    """What a file is called where runs keep their audio, by its receipt; otherwise as its object."""
    offline: bool = False
    """Whether the rows stand in files of this machine, so that a dry run may read them."""
    named: Columns = Columns()
    ranks: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    """Columns that `items` finds in its rows: the place of a row, from 1, among all rows of the resource's table with
    the same value of one column, in the order of others (and of `identity`); null where that one is null."""
    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By kind of warehouse: statements, to be run as often as one likes, that make the tables as others know them
    before dlt adds what it lacks. They say `{dataset}`, `{receipts}` and `{failures}`, which are quoted names."""
    recognise: Callable[[Row], str | None] | None = None
    """The identity of a row that an older program wrote into such a table; None where it stands for no file."""
    kept: Callable[[Path], Iterator[Kept]] | None = None
    """What the records of an older program, a file of its own, say it has."""
    alike: Callable[[str], str] = str
    """What the key of an object has in common with the one that an older program gave to the same file."""
