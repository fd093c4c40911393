"""Small sources for tests of the engine: a spec and a source module as text, fed from JSON files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.workspace import Workspace

SOURCE = '''\
"""Rows from a JSON file, newest first, in pages of `page_rows`."""

import json
import time
from pathlib import Path

import dlt


@dlt.source(name="{name}", section="{name}")
def {name}(rows_file: str = dlt.config.value, page_rows: int = 5, pause_seconds: float = 0.0):
    yield things(rows_file, page_rows, pause_seconds)
    yield others(rows_file)


@dlt.resource(primary_key="id", write_disposition="merge", columns={columns!r})
def things(rows_file, page_rows, pause_seconds,
           changed=dlt.sources.incremental("changed", initial_value="2024-01-01T00:00:00Z")):
    rows = json.loads(Path(rows_file).read_text())
    rows = [row for row in rows if row.get("changed", "9") >= changed.start_value]
    for start in range(0, len(rows), page_rows):
        yield rows[start : start + page_rows]
        time.sleep(pause_seconds)


@dlt.resource(primary_key="id", write_disposition="merge")
def others(rows_file):
    yield [{{"id": 1, "of": "others"}}]
'''
COLUMNS = {
    "id": {"data_type": "bigint", "nullable": False},
    "changed": {"data_type": "timestamp"},
    "amount": {"data_type": "double"},
}


def toy(workspace: Workspace, rows: list[Any], name: str = "toy", columns: Any = COLUMNS) -> Path:
    """Write a toy spec and source; returns the file its rows come from."""
    workspace.source(name, SOURCE.format(name=name, columns=columns))
    file = workspace.write(f"{name}.json", json.dumps(rows))
    workspace.variables[f"SOURCES__{name.upper()}__ROWS_FILE"] = str(file)
    return file


def rows(count: int, **extra: Any) -> list[dict[str, Any]]:
    """`count` rows, newest first, one minute apart."""
    return [
        {"id": i, "changed": f"2024-01-01T{i // 60:02}:{i % 60:02}:00Z", "amount": i + 0.5, **extra}
        for i in range(count, 0, -1)
    ]
