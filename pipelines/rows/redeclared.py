"""What a spec declares of a loaded table that the table is not: found before anything is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dlt.common.schema import Schema
from dlt.common.schema.typing import DLT_NAME_PREFIX
from dlt.common.schema.utils import has_table_seen_data
from dlt.extract import DltResource

from pipelines.rows.declared import dynamic

Columns = dict[str, Any]


def new_types(resource: DltResource, known: Schema | None) -> list[str]:
    """What a resource declares otherwise than its table was loaded, where that does harm.

    dlt alters no column of a table that is there, it only adds some. Tried on DuckDB and Postgres, this jams the
    load of every later run: another type; a decimal or text that grows, an integer of another width (Postgres also
    copies no narrower one); nulls for a column made NOT NULL; a new column without nulls beside rows that have none
    of it. This does silent harm: a decimal whose scale grows (digits are rounded away), and another key of rows that
    are not replaced whole (old rows are matched by neither, or several are replaced by one).
    Harmless, and let through: nulls forbidden from now on (the guard sees to it), a decimal or text that shrinks,
    another precision of timestamps and binaries, a time zone put on or off.
    """
    if known is None or dynamic(resource):
        return []
    table: Any = resource.compute_table_schema()
    loaded: Any = known.tables.get(known.naming.normalize_table_identifier(str(table["name"])))
    if not loaded or not has_table_seen_data(loaded):
        return []
    declared = _own({known.naming.normalize_path(name): column for name, column in table.get("columns", {}).items()})
    columns = _own(loaded["columns"])
    changes = [f"{resource.name}.{name} {text}" for name, text in _changed_columns(declared, columns)]
    return [*changes, *_changed_key(resource.name, table, declared, columns)]


def _own(columns: Columns) -> Columns:
    return {name: column for name, column in columns.items() if not name.startswith(DLT_NAME_PREFIX)}


def _changed_columns(declared: Columns, loaded: Columns) -> Iterator[tuple[str, str]]:
    for name, column in declared.items():
        there = loaded.get(name, {})
        if "data_type" not in there:
            if _required(column):
                yield name, "is declared to have no nulls, and the rows in the warehouse have none of it"
        elif _outgrows(column, there):
            yield name, f"is {_written(there)} in the warehouse and declared as {_written(column)}"
    for name, there in loaded.items():
        if _required(there) and not there.get("primary_key") and not _required(declared.get(name, {})):
            yield name, "takes no null in the warehouse and is declared nullable"


def _changed_key(name: str, table: Any, declared: Columns, loaded: Columns) -> Iterator[str]:
    if table.get("write_disposition") == "replace":
        return
    old, new = ({key for key, column in columns.items() if column.get("primary_key")} for columns in (loaded, declared))
    if old != new:
        was, is_now = (", ".join(sorted(key)) or "none" for key in (old, new))
        yield f"{name}: the key is {was} in the warehouse and declared as {is_now}"


def _outgrows(column: Any, there: Any) -> bool:
    """Whether values of the declared type may not fit the type that is there."""
    if "data_type" not in column:
        return False
    if column["data_type"] != there["data_type"]:
        return True
    wanted, given = _size(column), _size(there)
    if column["data_type"] == "bigint":
        return wanted is not None and wanted != (given or (64,))
    return bool(wanted and given and any(more > less for more, less in zip(wanted, given, strict=True)))


def _size(column: Any) -> tuple[int, ...] | None:
    """How much a column holds, where that is said; digits before and after the point for a decimal."""
    precision, scale = column.get("precision"), column.get("scale") or 0
    match column["data_type"]:
        case "decimal" if precision is not None:
            return precision - scale, scale
        case "text" | "bigint" if precision is not None:
            return (precision,)
    return None


def _written(column: Any) -> str:
    sizes = [str(column[part]) for part in ("precision", "scale") if column.get(part) is not None]
    return f"{column['data_type']}({', '.join(sizes)})" if sizes else str(column["data_type"])


def _required(column: Any) -> bool:
    return column.get("nullable") is False or bool(column.get("primary_key"))
