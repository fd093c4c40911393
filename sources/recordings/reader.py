"""A file to typed rows, page by page, and the notices about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import pyarrow as pa

from sources.kit import notices
from sources.kit.delimited import Broken, Records, encoding_of
from sources.recordings.files import ListFile, local_copy
from sources.recordings.rows import Notice, Page, recognise, typed

Item: TypeAlias = pa.Table | list[Notice]


@dataclass(frozen=True)
class Reading:
    """The settings under which files are read."""

    zone: ZoneInfo
    delimiter: str | None
    encoding: str | None

    def mark(self, file: ListFile) -> dict[str, Any]:
        """What must be as before for a file to be left alone."""
        settings = [self.zone.key, self.delimiter, self.encoding]
        return {"size": file.size, "version": file.version, "settings": settings}


def items(file: ListFile, reading: Reading) -> Iterator[Item]:
    """The typed rows of a file and the notices about it; Unreadable when none of it can be used."""
    odd: dict[str, list[int]] = {}
    with local_copy(file) as path:
        encoding = encoding_of(path, reading.encoding)
        with path.open(encoding=encoding, newline="") as stream:
            records = Records(stream, reading.delimiter)
            layout = recognise(records.header)
            if layout.ignored:
                yield [notices.warning(f"{file.name}: columns that nothing reads: {', '.join(layout.ignored)}")]
            for batch in records.batches():
                rows = typed(Page(file.name, layout, batch, reading.zone))
                if refused := rows.refused + [_broken(file, record) for record in batch.broken]:
                    yield refused
                yield rows.table
                for what, lines in rows.odd.items():
                    odd.setdefault(what, []).extend(lines)
    if odd:
        yield [notices.warning(_oddity(file, what, lines)) for what, lines in odd.items()]


def _broken(file: ListFile, record: Broken) -> Notice:
    return notices.rejected({"text": record.text}, record.reason, f"{file.name}:{record.line}")


def _oddity(file: ListFile, what: str, lines: list[int]) -> str:
    return f"{file.name}: {what}: {len(lines)} rows, the first on line {min(lines)}"
