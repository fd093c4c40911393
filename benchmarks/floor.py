"""The floor: what DuckDB and Postgres take by themselves, without an engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.case import Work


def duckdb_runs(work: Work, *statements: str) -> None:
    """Statements against the DuckDB file of the process."""
    import duckdb

    with duckdb.connect(str(work.warehouse)) as warehouse:
        for statement in statements:
            warehouse.execute(statement)


@contextmanager
def postgres_cursor(work: Work) -> Iterator[Any]:
    """A cursor whose statements are committed at the end."""
    import psycopg2

    connection = psycopg2.connect(work.server)
    try:
        yield connection.cursor()
        connection.commit()
    finally:
        connection.close()


def copy(cursor: Any, statement: str, path: Path) -> None:
    """`COPY … FROM STDIN` with the bytes of a file."""
    with path.open("rb") as stream:
        cursor.copy_expert(statement, stream)
