"""Rows ordered by their partition columns, cut where a partition begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any
from urllib.parse import quote

import pyarrow as pa

NULL = "__HIVE_DEFAULT_PARTITION__"


def cut(batches: Iterable[pa.RecordBatch], table: str, by: Sequence[str]) -> Iterator[tuple[str, bool, pa.RecordBatch]]:
    """Pieces of one partition each, without its columns: the folder, whether it begins here, the rows."""
    before = None
    for batch in batches:
        folders = zip(*(_named(name, batch.column(name)) for name in by), strict=True)
        start = 0
        for folder, rows in groupby("/".join((table, *folder)) for folder in folders):
            length = sum(1 for _ in rows)
            yield folder, folder != before, batch.slice(start, length).drop_columns(list(by))
            before, start = folder, start + length


def _named(name: str, column: pa.Array) -> list[str]:
    """`name=value` for each row."""
    return [f"{name}={_text(value)}" for value in column.to_pylist()]


def _text(value: Any) -> str:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return quote(value.isoformat().replace("+00:00", "Z"), safe="")
    return quote(str(value), safe="")
