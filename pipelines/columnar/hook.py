"""The one place where dlt is made to take another normaliser; docs/adr/0010-columnar-normaliser.md has the way back."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from dlt.normalize import worker

from pipelines import configuration
from pipelines.columnar.normalizer import ColumnarNormalizer
from pipelines.parsed_pages import ParsedPages

NAME = "JsonLItemsNormalizer"
Gears = Counter[tuple[str, str]]


@contextmanager
def columnar(gears: Gears, parsed_pages: ParsedPages | None = None) -> Iterator[None]:
    """Normalise by columns inside the block, if the settings want it; `gears` gains the records by table and gear.

    Pages that were kept in `parsed_pages` are not parsed again.

    dlt's worker looks its normaliser up in the globals of its module. A worker process that is forked inherits the
    change; a spawned one takes dlt's own.
    """
    if not configuration.wants_columnar():
        yield
        return
    stock = getattr(worker, NAME)
    with tempfile.TemporaryFile() as tally:
        members = {"tally": tally.fileno(), "parsed_pages": parsed_pages}
        setattr(worker, NAME, type("ColumnarNormalizer", (ColumnarNormalizer,), members))
        try:
            yield
        finally:
            setattr(worker, NAME, stock)
            tally.seek(0)
            for table, taken in map(json.loads, tally):
                gears.update({(table, gear): records for gear, records in taken.items()})
