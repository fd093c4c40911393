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

NAME = "JsonLItemsNormalizer"
Gears = Counter[tuple[str, str]]


@contextmanager
def columnar(gears: Gears) -> Iterator[None]:
    """Normalise by columns inside the block, if the settings want it; `gears` gains the records by table and gear.

    dlt's worker looks its normaliser up in the globals of its module. A worker process that is forked inherits the
    change; a spawned one takes dlt's own.
    """
    if not configuration.wants_columnar():
        yield
        return
    stock = getattr(worker, NAME)
    with tempfile.TemporaryFile() as tally:
        setattr(worker, NAME, type("ColumnarNormalizer", (ColumnarNormalizer,), {"tally": tally.fileno()}))
        try:
            yield
        finally:
            setattr(worker, NAME, stock)
            tally.seek(0)
            for table, taken in map(json.loads, tally):
                gears.update({(table, gear): records for gear, records in taken.items()})
