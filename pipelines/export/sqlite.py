"""Tables as one SQLite file: typed columns, JSON and times as text, an index on each key."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa
from dlt.common.schema.typing import TTableSchemaColumns
from dlt.common.schema.utils import get_columns_names_with_prop

from pipelines.export.files import iso
from pipelines.export.place import Exported, Place
from pipelines.export.snapshot import Snapshot

SQLITE = "sqlite"
TYPES: dict[Any, str] = {
    "bigint": "INTEGER",
    "bool": "INTEGER",
    "double": "REAL",
    "binary": "BLOB",
}  # else TEXT: no digit is lost
KEYS = ("primary_key", "row_key", "parent_key")


def write_database(source: Snapshot, place: Place, chosen: Sequence[str]) -> Iterator[Exported]:
    """Write all tables into one file of the place's staging; the first of them owns it."""
    file = f"{source.schema.name}.{SQLITE}"
    with place.staged_locally(file) as path, closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = OFF")  # what is cut off is thrown away
        database.execute("PRAGMA synchronous = OFF")
        done = [Exported(table, rows=_fill(database, source, table)) for table in chosen]
    for each in done:
        each.files = [file]
    if done:
        done[0].size = place.size([file])
    yield from done


def _fill(database: sqlite3.Connection, source: Snapshot, table: str) -> int:
    columns, schema = source.columns(table), source.arrow_schema(table)
    _create(database, table, columns)
    insert = f"INSERT INTO {_quoted(table)} VALUES ({', '.join('?' * len(columns))})"
    rows = 0
    database.execute("BEGIN")
    for batch in source.batches(table):
        values = [[_or_none(_form(field.type), value) for value in iso(column).to_pylist()]
                  for field, column in zip(schema, batch.columns, strict=True)]  # fmt: skip
        database.executemany(insert, zip(*values, strict=True))
        rows += batch.num_rows
    database.execute("COMMIT")
    return rows


def _create(database: sqlite3.Connection, table: str, columns: TTableSchemaColumns) -> None:
    listed = ", ".join(f"{_quoted(name)} {TYPES.get(c.get('data_type'), 'TEXT')}" for name, c in columns.items())
    database.execute(f"CREATE TABLE {_quoted(table)} ({listed})")
    for kind in KEYS:
        key = get_columns_names_with_prop({"columns": columns}, kind)
        if key:
            over = ", ".join(_quoted(name) for name in key)
            database.execute(f"CREATE INDEX {_quoted(f'{table}_by_{kind}')} ON {_quoted(table)} ({over})")


def _form(kind: pa.DataType) -> Callable[[Any], Any]:
    if pa.types.is_boolean(kind):
        return int
    if pa.types.is_floating(kind):
        return lambda value: str(value) if math.isnan(value) else value  # which SQLite would take for NULL
    if pa.types.is_decimal(kind):
        return str
    if pa.types.is_date(kind) or pa.types.is_time(kind):
        return lambda value: value.isoformat()
    return lambda value: value


def _or_none(form: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else form(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
