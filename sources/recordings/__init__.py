"""Lists of call recordings in CSV files, one row per recording URL; `audio` says how what they name is stored.

Two schemas, told apart by the header (names trimmed, in any case): *flat* has one URL per row in `location`
or `url` (`location` wins where both are filled), *grouped* has the URLs of a phone number in one
`recording_urls` cell, a line each, or parted by `;`, `,`, `|` or a blank; where `total_recordings` is filled they must
be as many. What a file does not have is null.

* Identity: `url_sha1`, the SHA-1 of the URL as it stands, without blanks around it. A row belongs to the file
  that named its URL first; a changed version of that file updates it (empty cells erase nothing), other files
  fill only what is still null. `source_line` is where its record started when the row was last written.
* `recording_id` is the cell of a flat list, null where there is none; for a grouped list it is the
  `PR_<uuid>` of the URL, the form in which the vendor's other exports name a recording.
* `phone` stays the text of its cell, without blanks around it, with `+` and leading zeros.
* `duration_seconds` is computed from both times where the list has none. Times without an offset are local
  to `timezone` (see `kit.cells.instants` for the hours around a change of the clock); a call that
  would end before it started ended when that hour came again.
* Cursor: a file is not opened when its size, its version (ETag or time of change) and the settings are those
  of its last whole reading. With `since` or `until` every file is read, only rows that started in the window
  are loaded, and nothing is remembered.

Credentials of a remote `csv_path` are those of dlt's filesystem, in `[sources.recordings.credentials]`.
"""

from __future__ import annotations

import codecs
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.extract import DltResource

from sources.kit import notices
from sources.kit.errors import BadSetting, Unreadable
from sources.kit.given import bound
from sources.kit.resources import Resource
from sources.recordings.files import ListFile, find
from sources.recordings.ledger import SCHEMA, Ledger
from sources.recordings.reader import Item, Reading, items
from sources.recordings.rows import READ

from .audio import audio as audio  # relative, as `etl validate` looks for what a spec names

TABLE = "recordings"
RESOURCES = {TABLE: Resource("files of csv_path", "size and version of each file", "One row per recording URL.")}
TYPES = {"string": "text", "double": "double", "int64": "bigint", "timestamp[us, tz=UTC]": "timestamp"}
MEANING = {
    "recording_id": "the vendor's name of the recording; of a grouped list the `PR_<uuid>` in the URL",
    "url": "where the audio is, as the list has it",
    "url_sha1": "key: SHA-1 of `url`",
    "phone": "as the list has it, with `+` and leading zeros",
    "campaign_name": "the campaign the call belongs to",
    "duration_seconds": "from `started` and `stopped` where the list has none",
    "started": "when the call began (UTC)",
    "stopped": "when it ended (UTC)",
    "source_row_id": "the row's number in the vendor's database, `recordings_row_id` of a flat list",
    "source_file": "the list that named the URL first",
    "source_line": "the line of that list on which its record starts",
}
COLUMNS: Any = {
    field.name: {"data_type": TYPES[str(field.type)], "nullable": field.nullable, "description": MEANING[field.name]}
    for field in SCHEMA
}


@dataclass(frozen=True)
class Window:
    """The recordings that started from `since` on and before `until`; None is open."""

    since: datetime | None
    until: datetime | None

    def __bool__(self) -> bool:
        return self.since is not None or self.until is not None

    def of(self, rows: pa.Table) -> pa.Table:
        """The rows inside; a row without a start is outside of every window."""
        if self.since is not None:
            rows = rows.filter(pc.greater_equal(rows["started"], pa.scalar(self.since)))
        if self.until is not None:
            rows = rows.filter(pc.less(rows["started"], pa.scalar(self.until)))
        return rows


@dlt.source(section="recordings", name="recordings")
def recordings(
    csv_path: str = dlt.config.value,
    timezone: str = "UTC",
    delimiter: str | None = None,
    encoding: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> DltResource:
    """The recordings named by the lists at `csv_path`: a file, a glob or an fsspec URL.

    `delimiter` is one character or `tab`; without it and `encoding` each file tells its own.
    """
    zone = _zone(timezone)
    reading = Reading(zone, _delimiter(delimiter), _encoding(encoding))
    window = Window(bound("recordings.since", since, zone), bound("recordings.until", until, zone))

    @dlt.resource(
        name=TABLE,
        primary_key="url_sha1",
        columns=COLUMNS,
        write_disposition={"disposition": "merge", "strategy": "upsert"},
    )
    def listed() -> Iterator[Item]:
        yield from _new_or_changed(find(csv_path), reading, window)

    return listed()


def _new_or_changed(files: list[ListFile], reading: Reading, window: Window) -> Iterator[Item]:
    """Read what has changed, yield what that changes; remember the files only once all of it is out."""
    read_before: dict[str, Any] = dlt.current.resource_state().setdefault("files", {})
    due = [file for file in files if window or _is_due(file, reading, read_before)]
    if not due:
        return
    done: list[ListFile] = []
    with tempfile.TemporaryDirectory(prefix="recordings-") as folder, Ledger(Path(folder)) as ledger:
        for file in due:
            if (yield from _into(ledger, file, reading, window)):
                done.append(file)
        with ledger.at_once():
            for rows in _known_rows():
                ledger.remember(rows)
        if repeats := ledger.repeats():
            yield [notices.warning(_repeated(name, count)) for name, count in repeats]
        yield from ledger.changes()
    if not window:
        read_before.update({file.name: reading.mark(file) for file in done})


def _is_due(file: ListFile, reading: Reading, read_before: dict[str, Any]) -> bool:
    """A file whose store tells no version is read each time."""
    return file.version is None or read_before.get(file.name) != reading.mark(file)


def _known_rows() -> Iterator[pa.Table]:
    """The rows of the destination, unless this run is the first, replaces the table, or is none."""
    try:
        package = dlt.current.load_package_state()["state"]
    except CurrentLoadPackageStateNotAvailable:
        return
    loaded = dlt.current.source_schema().data_table_names(seen_data_only=True)
    if TABLE in loaded and "refresh" not in package:
        relation = dlt.current.pipeline().dataset().table(TABLE).select(*READ.names)
        for rows in relation.iter_arrow(chunk_size=50_000):
            yield rows.select(READ.names).cast(READ)


def _into(ledger: Ledger, file: ListFile, reading: Reading, window: Window) -> Generator[Item, None, bool]:
    """Read one file into the ledger; whether it was read to its end. What it yields are notices."""
    try:
        with ledger.at_once():
            for item in items(file, reading):
                if isinstance(item, list):
                    yield item
                else:
                    ledger.add(window.of(item))
    except Unreadable as problem:
        yield [notices.failed(file.name, str(problem))]
    except (OSError, UnicodeError) as problem:
        yield [notices.failed(file.name, f"cannot be read: {problem}; check the file and the rights to read it")]
    else:
        return True
    return False


def _repeated(name: str, count: int) -> str:
    return f"{name}: {count} rows name a URL that stands in the file before; their filled cells win"


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as unknown:
        raise BadSetting(
            f"recordings.timezone: {name!r} is no time zone; use a name such as Europe/Berlin"
        ) from unknown


def _delimiter(value: str | None) -> str | None:
    delimiter = {"tab": "\t", "\\t": "\t"}.get(value or "", value)
    if delimiter is None or (len(delimiter) == 1 and delimiter not in '"\r\n\0 '):
        return delimiter
    raise BadSetting(f"recordings.delimiter: {value!r} is not one character that can part cells; use e.g. ';' or tab")


def _encoding(name: str | None) -> str | None:
    if name is None:
        return None
    try:
        "".encode(name)
        codecs.getincrementaldecoder(name)
    except LookupError as unknown:
        raise BadSetting(f"recordings.encoding: {name!r} is no encoding; use e.g. utf-8, utf-16, cp1252") from unknown
    return codecs.lookup(name).name
