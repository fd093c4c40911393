"""Put a query's rows in the place of a table, or the query in that of a view, so that readers see old or new.

Killed at any moment, nothing is half-made and nothing is left over: DuckDB and Postgres change all in one
transaction, BigQuery in one statement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlglot import exp

from pipelines.specs.models import ModelWords
from pipelines.warehouse import Warehouse

NEW = "pg_temp"  # where Postgres keeps what its session alone sees


def replace(warehouse: Warehouse, name: str, sql: str, words: ModelWords | None, was_view: bool | None) -> None:
    """Make a table or a view of a query; `was_view` is None where nothing has the name yet."""
    table = warehouse.sql(warehouse.named(name))
    form = "VIEW" if words and words.materialized == "view" else "TABLE"
    before = None if was_view is None else "VIEW" if was_view else "TABLE"
    in_the_way = [f"DROP {before} {table}"] if before not in (None, form) else []
    if warehouse.kind == "bigquery":
        for statement in [*in_the_way, f"CREATE OR REPLACE {form} {table} AS {sql}"]:
            warehouse.ask(statement)
        if words:
            warehouse.describe(name, words.about, words.columns)
        return
    with warehouse.transaction():
        for statement in in_the_way:
            warehouse.ask(statement)
        if warehouse.kind == "postgres":
            _in_postgres(warehouse, name, table, sql, form)
        else:
            warehouse.ask(f"CREATE OR REPLACE {form} {table} AS {sql}")
        for statement in _comments(table, form, words) if words else ():
            warehouse.ask(statement)


def _in_postgres(warehouse: Warehouse, name: str, table: str, sql: str, form: str) -> None:
    """Keep a table of the same columns, and with it the views, indexes and rights that others gave it."""
    new = f'{NEW}."{name}"'
    warehouse.ask(f'CREATE TEMP {form} "{name}" AS {sql}')
    same = _columns(warehouse, table) == _columns(warehouse, new)
    if form == "VIEW":
        statements = [] if same else [f"DROP VIEW IF EXISTS {table}"]
        statements += [f"DROP VIEW {new}", f"CREATE OR REPLACE VIEW {table} AS {sql}"]
    elif same:
        statements = [f"DELETE FROM {table}", f"INSERT INTO {table} SELECT * FROM {new}", f"DROP TABLE {new}"]
    else:
        statements = [f"DROP TABLE IF EXISTS {table}", f"CREATE TABLE {table} AS SELECT * FROM {new}"]
        statements += [f"DROP TABLE {new}"]
    for statement in statements:
        warehouse.ask(statement)


def _columns(warehouse: Warehouse, table: str) -> list[tuple[str, str]]:
    """The columns of a table in Postgres with their types; none where there is no such table."""
    return [
        (name, kind)
        for name, kind in warehouse.ask(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            f"WHERE attrelid = to_regclass({_text(table)}) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        )
    ]


def _comments(table: str, form: str, words: ModelWords) -> Iterator[str]:
    yield f"COMMENT ON {form} {table} IS {_text(words.about)}"
    for column, meaning in words.columns.items():
        yield f'COMMENT ON COLUMN {table}."{column}" IS {_text(meaning)}'


def _text(value: str) -> str:
    return exp.Literal.string(value).sql("postgres")
