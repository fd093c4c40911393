"""A source with every merge strategy, and one table with every type; the rows of a day come from a JSON file."""

from __future__ import annotations

import json

from tests.workspace import Workspace

RESOURCES = """\
resources:
  updated: {write_disposition: {disposition: merge, strategy: upsert}}
  kept: {write_disposition: {disposition: merge, strategy: insert-only}}
  mirrored: {write_disposition: {disposition: merge, strategy: cdc}}
  versioned: {write_disposition: {disposition: merge, strategy: scd2}}
  grouped: {write_disposition: {disposition: merge, strategy: delete-insert}, merge_key: day}
"""
SOURCE = '''\
"""The same rows in five tables, and a row of every type."""

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import dlt

TYPES = {
    "id": {"data_type": "bigint"}, "text": {"data_type": "text"}, "double": {"data_type": "double"},
    "bool": {"data_type": "bool"}, "timestamp": {"data_type": "timestamp"}, "binary": {"data_type": "binary"},
    "json": {"data_type": "json"}, "decimal": {"data_type": "decimal"}, "date": {"data_type": "date"},
    "time": {"data_type": "time"},
}


@dlt.source(name="strategies", section="strategies")
def strategies(rows_file: str = dlt.config.value):
    rows = json.loads(Path(rows_file).read_text())
    for name in ("updated", "kept", "mirrored", "versioned"):
        yield dlt.resource(rows, name=name, primary_key="id", write_disposition="merge")
    yield dlt.resource(rows, name="grouped", write_disposition="merge")
    yield every_type()


@dlt.resource(primary_key="id", write_disposition="merge", columns=TYPES)
def every_type():
    whole = {"text": "é\\n", "double": 0.1, "bool": True, "timestamp": datetime(2024, 1, 2, 3, 4, 5, 678900, UTC),
             "json": {"a": [1, {"b": None}]},
             "binary": b"\\x00\\xff", "decimal": Decimal("1.5"), "date": date(2024, 2, 29), "time": time(23, 59, 1)}
    yield [{"id": 1, **whole}, {"id": 2}, {"id": 2**62, "text": ""}]
'''


def install(workspace: Workspace, day: int = 1) -> Workspace:
    """Write the spec, the source and its rows as they are on a day: changed, gone and new ones."""
    workspace.source("strategies", SOURCE, RESOURCES)
    rows = [{"id": n, "day": n % 3, "value": n * (day if n % 2 else 1)} for n in range(day, 8 + day)]
    file = workspace.write("strategies.json", json.dumps(rows))
    workspace.variables["SOURCES__STRATEGIES__ROWS_FILE"] = str(file)
    return workspace
