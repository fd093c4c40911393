"""Nested records, a line of JSON each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import dlt
import orjson
from dlt.extract import DltResource

PAGE_ROWS = 1_000


@dlt.source(name="records", section="records")
def records(jsonl_path: str = dlt.config.value, merged: bool = False) -> DltResource:
    """The records of a file, in pages; `merged` joins them by key to what is there."""
    return dlt.resource(
        _pages(Path(jsonl_path)),
        name="records",
        primary_key="id",
        write_disposition="merge" if merged else "append",
    )


def _pages(path: Path) -> Iterator[list[Any]]:
    with path.open("rb") as lines:
        while page := list(islice(lines, PAGE_ROWS)):
            yield [orjson.loads(line) for line in page]
