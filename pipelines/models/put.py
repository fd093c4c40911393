"""Put a query's rows in the place of a table, or the query in that of a view, so that readers see old or new.

Killed at any moment, nothing is half-made and nothing is left over: DuckDB and Postgres change all in one
transaction, BigQuery in one statement (in two, where a table becomes a view or a view a table).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from pipelines.specs.models import ModelWords
from pipelines.warehouse import Warehouse

PATIENCE = "60s"  # with a reader who holds a table fast; while we wait in Postgres, others wait behind us


@dataclass(frozen=True)
class Target:
    """Where a query goes: `before` is TABLE, VIEW or, where nothing has the name, empty.

    `views_on` are views of the same spec that read it, `aliases` views of it and of those under other names. They are
    made again after it, so they may be dropped.
    """

    name: str
    before: str
    views_on: list[str]
    aliases: list[exp.Table]


def put(warehouse: Warehouse, target: Target, sql: str, words: ModelWords | None) -> None:
    """Make the table or the view of a query, with its comments."""
    table = _qualified(warehouse, target.name)
    form = "VIEW" if words and words.materialized == "view" else "TABLE"
    in_the_way = [f"DROP {target.before} {table}"] if target.before not in ("", form) else []
    if warehouse.kind == "bigquery":
        for statement in [*in_the_way, f"CREATE OR REPLACE {form} {table} AS {sql}"]:
            warehouse.ask(statement)
        if words:
            _describe(warehouse, target.name, words)
        return
    with warehouse.transaction():
        if warehouse.kind == "postgres":
            statements = [*_in_postgres(warehouse, target, sql, form), *_comments(table, form, words)]
        else:
            statements = [*in_the_way, f"CREATE OR REPLACE {form} {table} AS {sql}", *_comments(table, form, words)]
        for statement in statements:
            warehouse.ask(statement)


def drop_views(warehouse: Warehouse, names: Iterable[str]) -> None:
    """Drop views, those that are there."""
    for statement in _dropped_views(warehouse, names):
        warehouse.ask(statement)


def _in_postgres(warehouse: Warehouse, target: Target, sql: str, form: str) -> Iterator[str]:
    """Keep a table of the same columns, and with it the views, indexes and rights that others gave it."""
    table, new = _qualified(warehouse, target.name), f'pg_temp."{target.name}"'
    warehouse.ask(f"SET LOCAL lock_timeout = '{PATIENCE}'")
    warehouse.ask(f'CREATE TEMP {form} "{target.name}" AS {sql}')
    kept = target.before == form and _columns(warehouse, table) == _columns(warehouse, new)
    if not kept:
        yield from (f"DROP VIEW IF EXISTS {warehouse.sql(alias)}" for alias in target.aliases)
        yield from _dropped_views(warehouse, target.views_on)
        if target.before:
            yield f"DROP {target.before} IF EXISTS {table}"  # a view may have gone with one above
    if form == "VIEW":
        yield f"CREATE OR REPLACE VIEW {table} AS {sql}"
    elif kept:
        yield f"DELETE FROM {table}"  # readers see the old rows until the end, unlike with TRUNCATE
        yield f"INSERT INTO {table} SELECT * FROM {new}"
    else:
        yield f"CREATE TABLE {table} AS SELECT * FROM {new}"
    yield f"DROP {form} {new}"


def _dropped_views(warehouse: Warehouse, names: Iterable[str]) -> list[str]:
    listed = ", ".join(_qualified(warehouse, name) for name in names)
    return [f"DROP VIEW IF EXISTS {listed}"] if listed else []


def _columns(warehouse: Warehouse, table: str) -> list[tuple[Any, ...]]:
    """The columns of a table in Postgres with their types."""
    return warehouse.ask(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        f"WHERE attrelid = to_regclass({_text(table)}) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )


def _comments(table: str, form: str, words: ModelWords | None) -> Iterator[str]:
    if words:
        yield f"COMMENT ON {form} {table} IS {_text(words.about)}"
        for column, meaning in words.columns.items():
            yield f'COMMENT ON COLUMN {table}."{column}" IS {_text(meaning)}'


def _describe(warehouse: Warehouse, name: str, words: ModelWords) -> None:
    """The comments in BigQuery; not by SQL, which would need the types of the columns, or a statement for each."""
    from google.cloud.bigquery import SchemaField

    client: Any = warehouse.client
    service, patience = client.native_connection, {"timeout": client.http_timeout, "retry": client._default_retry}
    table = service.get_table(client.make_qualified_table_name(name, quote=False), **patience)
    table.description = words.about
    table.schema = [
        SchemaField.from_api_repr({**field.to_api_repr(), "description": words.columns.get(field.name)})
        for field in table.schema
    ]
    service.update_table(table, ["description", "schema"], **patience)


def _qualified(warehouse: Warehouse, name: str) -> str:
    return warehouse.sql(warehouse.named(name))


def _text(value: str) -> str:
    return exp.Literal.string(value).sql("postgres")
