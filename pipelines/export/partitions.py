"""Rows ordered by their partitions, cut where one begins; a time may be told by its year, month or day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from pipelines.errors import UsageError

NULL = "__HIVE_DEFAULT_PARTITION__"
UNITS = {"year": "%Y", "month": "%Y-%m", "day": "%Y-%m-%d"}
LONGEST = 255  # bytes of a name on most filesystems
MOST = 2000  # folders of a table: five years of days


Piece = tuple[str, bool, pa.RecordBatch]


@dataclass(frozen=True)
class Part:
    """What a table is cut by: a column, or the `unit` of a column of times, which then stays in the files."""

    column: str
    unit: str = ""

    @classmethod
    def of(cls, text: str) -> Part:
        """`started` or `started:month`."""
        column, _, unit = text.partition(":")
        if unit not in UNITS and text != column:
            raise UsageError(f"--partition-by {text}: expected {column}:{f' or {column}:'.join(UNITS)}")
        return cls(column, unit)

    def __str__(self) -> str:
        return f"{self.column}:{self.unit}" if self.unit else self.column

    @property
    def name(self) -> str:
        """What its folders are named by."""
        return f"{self.column}_{self.unit}" if self.unit else self.column

    def sql(self, kind: str, quoted: str, data_type: str, has_zone: bool) -> str:
        """What rows are ordered by and told apart by in a warehouse; times in UTC."""
        if not self.unit:
            return quoted
        if kind == "bigquery":
            trunc = "DATE" if data_type == "date" else "TIMESTAMP" if has_zone else "DATETIME"
            return f"{trunc}_TRUNC({quoted}, {self.unit.upper()})"
        in_utc = f"{quoted} AT TIME ZONE 'UTC'" if data_type == "timestamp" and has_zone else quoted
        return f"date_trunc('{self.unit}', {in_utc})"


def cut(batches: Iterable[pa.RecordBatch], table: str, by: Sequence[Part]) -> Iterator[Piece]:
    """Pieces of one partition each, without its columns: the folder, whether it begins here, the rows."""
    before, gone = None, [part.column for part in by if not part.unit]
    for batch in batches:
        folders = zip(*(_named(part, batch.column(part.column)) for part in by), strict=True)
        start = 0
        for folder, rows in groupby("/".join((table, *folder)) for folder in folders):
            length = sum(1 for _ in rows)
            yield folder, folder != before, batch.slice(start, length).drop_columns(gone)
            before, start = folder, start + length


def _named(part: Part, column: pa.Array) -> list[str]:
    """`name=value` for each row."""
    folders = [f"{part.name}={_text(part, value)}" for value in column.to_pylist()]
    longest = max(folders, key=len, default="")
    if len(longest) > LONGEST:
        raise UsageError(
            f"--partition-by {part}: a value makes the name of a folder {len(longest)} bytes long, which takes "
            f"{LONGEST}; choose another column"
        )
    return folders


def _text(part: Part, value: Any) -> str:
    if value is None:
        return NULL
    if part.unit:
        return str(value.strftime(UNITS[part.unit]))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return quote(value.isoformat().replace("+00:00", "Z"), safe="")
    return quote(str(value), safe="")
