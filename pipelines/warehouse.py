"""The warehouse seen from a dataset: which tables it has, and SQL on them, in UTC and in the words of its kind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema import Schema
from dlt.common.utils import uniq_id
from dlt.destinations.exceptions import DestinationConnectionError
from dlt.destinations.sql_client import SqlClientBase
from sqlglot import exp

from pipelines.environment import WAREHOUSE, Environment

Row = tuple[Any, ...]


class Warehouse:
    """One open connection; `dataset` is the one that a bare name means."""

    def __init__(self, client: SqlClientBase[Any], environment: Environment, dataset: str) -> None:
        self.client, self.environment, self.dataset = client, environment, dataset
        self.kind = environment.kind

    def ask(self, sql: str) -> list[Row]:
        """Run one statement; its rows."""
        return [tuple(row) for row in self.client.execute_sql(self._whole(sql)) or []]

    def ask_named(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query, each as its columns by name."""
        with self.client.execute_query(self._whole(sql)) as cursor:
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def pages(self, sql: str, rows: int) -> Iterator[list[dict[str, Any]]]:
        """The rows of a query, so many at once, each as its columns by name; no more of them are held."""
        with self._reading(self._whole(sql)) as cursor:
            while page := cursor.fetchmany(rows):
                names = [column[0] for column in cursor.description]
                yield [dict(zip(names, row, strict=True)) for row in page]

    @contextmanager
    def _reading(self, sql: str) -> Iterator[Any]:
        """A cursor on the rows of a query; psycopg2 has all of them at once unless the cursor has a name."""
        if self.kind != "postgres":
            with self.client.execute_query(sql) as cursor:
                yield cursor
            return
        with self.client.native_connection.cursor(f"etl_{uniq_id()}", withhold=True) as cursor:
            cursor.execute(sql)
            yield cursor

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside, or none of them."""
        with self.client.begin_transaction():
            yield

    def named(self, table: str, dataset: str | None = None) -> exp.Table:
        """A table as the warehouse names it, of this dataset or of another."""
        path = self.client.make_qualified_table_name_path(table, quote=False, dataset_name=dataset)
        parts = [exp.to_identifier(part, quoted=True) for part in reversed(path)]
        return exp.Table(**dict(zip(("this", "db", "catalog"), parts, strict=False)))

    def sql(self, expression: exp.Expr) -> str:
        """An expression in the words of the warehouse."""
        return expression.sql(self.kind, identify=True, comments=False)

    def tables(self, dataset: str | None = None) -> dict[str, list[str]]:
        """The tables and views of a dataset with their columns; none where there is no such dataset."""
        rows = self._information("columns", "table_name, ordinal_position, column_name", dataset)
        return {table: [column for *_, column in mine] for table, mine in groupby(sorted(rows), lambda row: row[0])}

    def types(self, dataset: str | None = None) -> list[tuple[str, str, str]]:
        """Table, column and type, in capitals, of every column of a dataset in order, with the digits of a number."""
        digits = "CASE WHEN data_type = 'numeric' THEN '(' || numeric_precision || ',' || numeric_scale || ')' END"
        kind = f"concat(data_type, {digits})" if self.kind == "postgres" else "data_type"
        rows = self._information("columns", f"table_name, ordinal_position, column_name, {kind}", dataset)
        return [(table, column, str(told).upper()) for table, _, column, told in sorted(rows)]

    def views(self, dataset: str | None = None) -> set[str]:
        """The views of a dataset."""
        rows = self._information("tables", "table_name, table_type", dataset)
        return {table for table, kind in rows if kind == "VIEW"}

    def _whole(self, sql: str) -> str:
        """A statement with its per cent signs doubled where a cursor halves them."""
        return sql.replace("%", "%%") if self.kind == "bigquery" else sql

    def _information(self, view: str, columns: str, dataset: str | None = None) -> list[Row]:
        path = self.client.make_qualified_table_name_path(None, quote=False, dataset_name=dataset)
        if self.kind == "bigquery":
            home = ".".join(f"`{part}`" for part in path)
            sql = f"SELECT {columns} FROM {home}.INFORMATION_SCHEMA.{view.upper()}"
        else:
            sql = f"SELECT {columns} FROM information_schema.{view} WHERE table_schema = '{path[-1]}'"
        try:
            return self.ask(sql)
        except DestinationUndefinedEntity:
            return []


@contextmanager
def open_warehouse(environment: Environment, dataset: str) -> Iterator[Warehouse]:
    """The warehouse of an environment, looked at from a dataset; the configuration must be active."""
    with connected(dataset) as client:
        yield Warehouse(client, environment, dataset)


@contextmanager
def connected(dataset: str, patience_seconds: float = 0) -> Iterator[SqlClientBase[Any]]:
    """dlt's client of the warehouse with its connection open; waits so long for who reads a DuckDB file."""
    client = dlt.dataset(WAREHOUSE, dataset, schema=Schema("etl")).sql_client
    if hasattr(getattr(client, "credentials", None), "session_timezone"):
        client.credentials.session_timezone = "UTC"  # else Postgres cuts days where its server stands
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            client.open_connection()
            break
        except DestinationConnectionError as error:
            if "Could not set lock on file" not in str(error) or time.monotonic() >= deadline:
                raise
            time.sleep(0.1)
    try:
        yield client
    finally:
        client.close_connection()
