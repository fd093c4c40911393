"""Stock dlt: as its tutorial writes a pipeline, and tuned (parquet, no gzip in between)."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.case import Work

PAGE_ROWS = 5_000


def run(work: Work, data: Any, tuned: bool = False, **hints: Any) -> None:
    """`pipeline.run(data)` into the warehouse of the process."""
    if tuned:
        os.environ["DATA_WRITER__DISABLE_COMPRESSION"] = "true"
        hints["loader_file_format"] = "parquet"
    import dlt

    destination: Any = (
        dlt.destinations.postgres(work.server)
        if work.server.startswith("postgresql://")
        else dlt.destinations.duckdb(str(work.warehouse))
    )
    dlt.pipeline("stock", destination=destination, dataset_name="bench").run(data, **hints)


def csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    """A CSV file row by row."""
    with path.open(newline="", encoding="utf-8") as stream:
        yield from csv.DictReader(stream)


def csv_pages(path: Path) -> Iterator[list[dict[str, Any]]]:
    """A CSV file in pages."""
    rows = csv_rows(path)
    while page := list(islice(rows, PAGE_ROWS)):
        yield page


def jsonl(work: Work, name: str) -> Any:
    """A JSONL file through dlt's own filesystem source."""
    from dlt.sources.filesystem import filesystem, read_jsonl

    return filesystem(bucket_url=str(work.data), file_glob=name) | read_jsonl()
