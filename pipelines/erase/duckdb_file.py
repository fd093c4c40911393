"""A DuckDB file keeps deleted rows in its blocks until they are used again, so it is written anew."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import duckdb

from pipelines.errors import EtlError

LISTED = (
    "SELECT schema_name, table_name, sql FROM duckdb_tables() WHERE database_name = {} ORDER BY ALL",
    "SELECT schema_name, view_name, sql FROM duckdb_views() WHERE database_name = {} AND NOT internal ORDER BY ALL",
)


def rewrite(database: Path) -> None:
    """Copy the file without what was deleted and put the copy in its place; all connections to it must be closed.

    Tables, views, constraints, comments and sequences are kept. Killed at any step, the old file or the new one is
    there, whole.
    """
    file = database.resolve()
    part = file.with_name(f"{file.name}.part")
    _remove(part)
    try:
        _copy(file, part)
        shutil.copymode(file, part)
        part.replace(file)
    finally:
        _remove(part)


def _copy(file: Path, part: Path) -> None:
    settings: dict[str, Any] = {"temp_directory": f"{part}.tmp", "preserve_insertion_order": False}
    with duckdb.connect(config=settings) as connection:
        for name, attached in (("old", file), ("new", part)):
            quoted = str(attached).replace("'", "''")
            connection.execute(f"ATTACH '{quoted}' AS {name}")
        connection.execute("COPY FROM DATABASE old TO new")
        _refuse_loss(connection, file)
        connection.execute("DETACH new")
        connection.execute("DETACH old")  # which leaves no log beside it
    with part.open("rb") as written:
        os.fsync(written.fileno())


def _remove(part: Path) -> None:
    """Take away a copy that was cut off, with its log, which would be played into the next, and what it spilled."""
    part.unlink(missing_ok=True)
    part.with_name(f"{part.name}.wal").unlink(missing_ok=True)
    shutil.rmtree(f"{part}.tmp", ignore_errors=True)


def _refuse_loss(connection: duckdb.DuckDBPyConnection, database: Path) -> None:
    """Stop when the copy does not have every table with all its rows, and every view."""
    for question in LISTED:
        old, new = (connection.execute(question.format(f"'{name}'")).fetchall() for name in ("old", "new"))
        if old != new:
            raise EtlError(f"{database.name}: a copy of it lacks a table or a view; it is as it was, report this")
    for schema, table, _ in connection.execute(LISTED[0].format("'old'")).fetchall():
        before, after = (_rows(connection, name, schema, table) for name in ("old", "new"))
        if before != after:
            raise EtlError(f"{database.name}: a copy of it has {after} rows of {table}, not {before}; it is as it was")


def _rows(connection: duckdb.DuckDBPyConnection, *names: str) -> int:
    table = ".".join('"' + name.replace('"', '""') + '"' for name in names)
    found = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(found[0]) if found else 0
