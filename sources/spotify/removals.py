"""What a list does not hold any more: the rows of the destination that it left out, with the moment that was seen.

The destination is asked, not a memory: it alone has what else a row said, and no list of thousands is saved each run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from itertools import islice
from typing import Any

import dlt
from dlt.common.schema import Schema

from sources.kit.destination import is_loaded
from sources.spotify.tables import Row

AT_ONCE = 500  # rows named in one query


def removed(table: str, key: tuple[str, ...], listed: set[tuple[Any, ...]], at: datetime, **of: str) -> list[Row]:
    """The rows that stand in a table, of an account and perhaps a playlist, and are not in the list as it is now."""
    if not is_loaded(table):
        return []
    schema = dlt.current.source_schema()
    with dlt.current.pipeline().dataset() as dataset:
        standing = dataset.table(table).where("removed_at IS NULL")
        for column, value in of.items():
            standing = standing.where(column, "eq", value)
        known = standing.select("_dlt_id", *key).fetchall()
        left = iter([row_id for row_id, *cells in known if tuple(cells) not in listed])
        rows = [
            row for some in iter(lambda: list(islice(left, AT_ONCE)), []) for row in _rows(dataset, schema, table, some)
        ]
    return [{**row, "removed_at": _iso(at)} for row in rows]


def _rows(dataset: Any, schema: Schema, table: str, ids: list[str]) -> list[Row]:
    """Rows by their ids as the API had sent them, with the lists that are tables below."""
    found = {cells["_dlt_id"]: _nested(cells) for cells in _cells(dataset, schema, table, "_dlt_id", ids)}
    for child in _children(schema, table):
        *path, last = child.removeprefix(f"{table}__").split("__")
        entries = _cells(dataset, schema, child, "_dlt_parent_id", ids)
        for cells in sorted(entries, key=lambda cells: cells["_dlt_list_idx"]):
            _branch(found[cells["_dlt_parent_id"]], path).setdefault(last, []).append(_nested(cells))
    return list(found.values())


def _children(schema: Schema, table: str) -> list[str]:
    """The tables that hold the lists of a table."""
    return [str(one["name"]) for one in schema.data_tables(seen_data_only=True) if one.get("parent") == table]


def _cells(dataset: Any, schema: Schema, table: str, column: str, ids: list[str]) -> Iterator[Row]:
    """The filled cells of rows as JSON has them."""
    columns = schema.get_table_columns(table)
    names = list(columns)
    for values in dataset.table(table).where(column, "in", ids).select(*names).fetchall():
        yield {
            name: _told(value, columns[name].get("data_type"))
            for name, value in zip(names, values, strict=True)
            if value is not None
        }


def _told(value: Any, data_type: str | None) -> Any:
    if data_type == "json" and isinstance(value, str):
        return json.loads(value)
    return _iso(value) if isinstance(value, date) else value


def _nested(cells: Row) -> Row:
    """`{"track__name": 1}` as `{"track": {"name": 1}}`; dlt's own columns stay out, a variant is what it is one of."""
    row: Row = {}
    for name, value in cells.items():
        if not name.startswith("_dlt_"):
            *path, last = name.split("__")
            if last.startswith("v_") and path:
                *path, last = path
            _branch(row, path)[last] = value
    return row


def _branch(row: Row, path: list[str]) -> Row:
    for step in path:
        row = row.setdefault(step, {})
    return row


def _iso(moment: date) -> str:
    return moment.isoformat().replace("+00:00", "Z") if isinstance(moment, datetime) else moment.isoformat()
