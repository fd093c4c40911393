"""A DuckDB file keeps deleted rows in its blocks until they are used again, so it is written anew."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

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
    part, spill = database.with_name(f"{database.name}.part"), database.with_name(f"{database.name}.tmp")
    part.unlink(missing_ok=True)
    shutil.rmtree(spill, ignore_errors=True)
    with duckdb.connect(config={"temp_directory": str(spill), "preserve_insertion_order": False}) as connection:
        for name, file in (("old", database), ("new", part)):
            quoted = str(file).replace("'", "''")
            connection.execute(f"ATTACH '{quoted}' AS {name}")
        connection.execute("COPY FROM DATABASE old TO new")
        _refuse_loss(connection, database)
        connection.execute("DETACH new")
        connection.execute("DETACH old")  # which leaves no log beside it
    with part.open("rb") as written:
        os.fsync(written.fileno())
    shutil.copymode(database, part)
    part.replace(database)
    shutil.rmtree(spill, ignore_errors=True)


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
