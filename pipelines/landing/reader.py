"""Raw files into pages: lines that nobody parses, rows where dlt's encoding stands in them, Arrow tables."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common.json import json as dlt_json

from pipelines.landing.manifest import RawFile
from pipelines.landing.store import Store
from pipelines.rows.intake import LANDED, NOTICE

BATCH = 50_000


class Unreadable(Exception):
    """A raw file cannot be read to its end; the message is the reason."""

    def __init__(self, file: RawFile, reason: str) -> None:
        super().__init__(reason)
        self.file = file


def pages(store: Store, path: str, file: RawFile, scratch: Path, parsed: bool) -> Iterator[Any]:
    """The rows of a file, all of them, or `Unreadable`; lines as they are, unless they are wanted `parsed`."""
    try:
        with store.local(path, scratch) as here:
            if not here.exists():
                raise FileNotFoundError
            rows = 0
            for page in _tables(here) if file.name.endswith(".parquet") else _lines(here, file, parsed):
                rows += len(page)
                yield page
    except FileNotFoundError as gone:
        raise Unreadable(file, "is not there any more") from gone
    except (OSError, pa.ArrowException) as broken:
        raise Unreadable(file, f"cannot be read: {str(broken).splitlines()[0]}") from broken
    if file.rows is not None and rows != file.rows:
        raise Unreadable(file, f"has {rows} rows, and its manifest says {file.rows}")


def _tables(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as parquet:
        for batch in parquet.iter_batches(BATCH):
            yield pa.Table.from_batches([batch])


def _lines(path: Path, file: RawFile, parsed: bool) -> Iterator[list[Any]]:
    kit = importlib.import_module("sources.kit.json_lines")
    for page in kit.json_lines(path, f"{LANDED}{file.name}"):
        for item in page:
            if isinstance(item, dict) and item.get(NOTICE) == "failed":
                raise Unreadable(file, item["reason"])
        yield Parsed(page) if parsed or file.typed else page


class Parsed(list[Any]):
    """A page of lines as rows, whose values are of the types that the source gave them."""

    def __init__(self, page: Any) -> None:
        self.places = getattr(page, "places", [""] * len(page))
        super().__init__(map(_parsed, page))


def _parsed(item: Any) -> Any:
    """A row; a line that is no JSON stays one, which the guard sets aside."""
    try:
        return dlt_json.typed_loadb(orjson.dumps(item)) if isinstance(item, orjson.Fragment) else item
    except orjson.JSONDecodeError:
        return item
