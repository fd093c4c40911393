"""How many rows a load left in its tables, asked of the tables themselves.

dlt counts what it writes: rows that a merge then drops are in it, and for CSV files it counts cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import dlt
from dlt.common.schema import Schema
from dlt.common.schema.typing import C_DLT_LOAD_ID
from dlt.common.schema.utils import get_first_column_name_with_prop
from dlt.destinations.sql_client import SqlClientBase


def rows_of(pipeline: dlt.Pipeline, load_ids: Sequence[str], written: dict[str, int]) -> dict[str, int]:
    """Rows per table that carry one of the loads' ids; tables without that column keep dlt's own count."""
    tables = [table for table, rows in written.items() if rows and not table.startswith("_dlt_")]
    if not tables or not load_ids:
        return {}
    schemas = [pipeline.schemas[name] for name in pipeline.schema_names]  # which dlt reads from disk each time
    of = {table: schema for table in tables for schema in schemas if table in schema.tables}
    with pipeline.sql_client() as client:
        return {table: _count(client, schema, table, load_ids, written[table]) for table, schema in of.items()}


def _count(client: SqlClientBase[object], schema: Schema, table: str, load_ids: Sequence[str], otherwise: int) -> int:
    condition = _condition(client, schema, table, len(load_ids))
    if condition is None:
        return otherwise
    name = client.make_qualified_table_name(table)
    rows = client.execute_sql(f"SELECT count(*) FROM {name} WHERE {condition}", *load_ids)
    return int(rows[0][0]) if rows else 0


def _condition(client: SqlClientBase[object], schema: Schema, table: str, loads: int) -> str | None:
    """`_dlt_load_id IN (…)` for a root table, through the parents for a nested one."""
    columns = schema.tables[table]["columns"]
    parent = schema.tables[table].get("parent")
    if not parent:
        load_id = schema.naming.normalize_identifier(C_DLT_LOAD_ID)
        return f"{client.escape_column_name(load_id)} IN ({_holes(range(loads))})" if load_id in columns else None
    above = _condition(client, schema, parent, loads)
    mine = get_first_column_name_with_prop(schema.tables[table], "parent_key")
    theirs = get_first_column_name_with_prop(schema.tables[parent], "row_key")
    if above is None or not mine or not theirs:
        return None
    key, name = client.escape_column_name(theirs), client.make_qualified_table_name(parent)
    return f"{client.escape_column_name(mine)} IN (SELECT {key} FROM {name} WHERE {above})"


def _holes(values: Iterable[object]) -> str:
    return ", ".join("%s" for _ in values)
