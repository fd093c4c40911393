"""Halo matches out of JSON lines, as the source `spnkr` makes rows of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, tee
from pathlib import Path

import dlt
import orjson
from dlt.extract import DltResource

from sources.kit.halo.matches import match_rows
from sources.kit.halo.shape import Row, Rows
from sources.kit.halo.tables import STATS

AT_ONCE = 200


@dlt.source(name="matches", section="matches", max_table_nesting=0)
def matches(jsonl_path: str = dlt.config.value) -> Iterable[DltResource]:
    """Eight tables of the matches in a file, merged by their keys."""
    copies = tee(_read(Path(jsonl_path)), len(STATS))
    return [table.resource(_of(table.name, rows)) for table, rows in zip(STATS, copies, strict=True)]


def _read(path: Path) -> Iterator[Rows]:
    with path.open(encoding="utf-8") as lines:
        while batch := [match_rows(orjson.loads(line)) for line in islice(lines, AT_ONCE)]:
            yield {table.name: [row for rows in batch for row in rows[table.name]] for table in STATS}


def _of(table: str, pages: Iterator[Rows]) -> Iterator[list[Row]]:
    yield from (page[table] for page in pages if page[table])
