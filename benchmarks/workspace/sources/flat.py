"""A flat CSV file of calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.extract import DltResource

from sources.kit.flat import Item, csv_tables

COLUMNS: Any = {
    "id": {"data_type": "bigint", "nullable": False},
    "phone": {"data_type": "text"},
    "agent": {"data_type": "text"},
    "campaign": {"data_type": "text"},
    "started": {"data_type": "timestamp"},
    "stopped": {"data_type": "timestamp"},
    "seconds": {"data_type": "double"},
    "cost": {"data_type": "double"},
    "answered": {"data_type": "bool"},
    "attempts": {"data_type": "bigint"},
    "reference": {"data_type": "text"},
    "url": {"data_type": "text"},
}


@dlt.source(name="flat", section="flat")
def flat(csv_path: str = dlt.config.value, merged: bool = False, with_hour: bool = False) -> DltResource:
    """The calls of a file; `with_hour` adds the hour they started in, `merged` joins them by key to what is there."""
    return dlt.resource(
        _calls(csv_path, with_hour),
        name="flat",
        columns=COLUMNS,
        primary_key="id",
        write_disposition={"disposition": "merge", "strategy": "upsert"} if merged else "append",
    )


def _calls(csv_path: str, with_hour: bool) -> Iterator[Item]:
    for item in csv_tables(Path(csv_path), COLUMNS):
        if with_hour and isinstance(item, pa.Table):
            yield item.append_column("hour", pc.hour(item["started"]))
        else:
            yield item
