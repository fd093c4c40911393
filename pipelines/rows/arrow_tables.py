"""Arrow tables: rows that break the declaration are taken out, the columns of the others get the declared types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from dlt.common.libs.pyarrow import get_column_type_from_py_arrow
from dlt.common.schema.typing import DLT_NAME_PREFIX

from pipelines.rows.columns import Column
from pipelines.rows.comparable import Comparable
from pipelines.rows.declared import Declared
from pipelines.rows.intake import MISSING
from pipelines.rows.storable import INT64

Reject = Callable[[Any, str], None]
LEFT_TO_DLT = ("text", "bool", "timestamp", "date", "time", "binary", "json")  # where the type is the declared one
NUMBERS = ("bigint", "decimal", "double")


def sifted(table: pa.Table, declared: Declared, cursor: Comparable, reject: Reject) -> pa.Table:
    """The rows that fit, in columns of the declared or loaded types; every other row goes to `reject`."""
    fault = _fault(table, declared) or cursor.table_fault(table)
    reasons: dict[int, str] = dict.fromkeys(range(table.num_rows), fault) if fault else {}
    columns = {} if fault else {name: declared.column(declared.identifier(name)) for name in table.column_names}
    sound = table
    for name, column in columns.items():
        if column.required or cursor.needs(name):
            _note(reasons, dict.fromkeys(_nulls(table[name]), f"{column.name}: {MISSING}"))
        fitted, misfits = _fitted(table[name], column)
        _note(reasons, misfits)
        field = table.schema.field(name).with_type(fitted.type)
        if not column.required:
            field = field.with_nullable(True)  # else dlt takes a habit of the source for a constraint of the table
        if field != table.schema.field(name):
            sound = sound.set_column(table.schema.get_field_index(name), field, fitted)
    if not reasons:
        return sound
    bad = sorted(reasons)
    for index, row in zip(bad, table.take(bad).to_pylist(), strict=True):
        reject(row, reasons[index])
    return sound.filter(pa.array([index not in reasons for index in range(table.num_rows)]))


def _fault(table: pa.Table, declared: Declared) -> str | None:
    """What is wrong with all rows at once, or None."""
    names = {name: declared.identifier(name) for name in table.column_names}
    taken = Counter(names.values())
    for name, column in names.items():
        if column.startswith(DLT_NAME_PREFIX):
            return f"the name {name!r} belongs to dlt"
        if taken[column] > 1:
            return f"{column}: more than one name becomes this column"
    missing = declared.required - set(names.values())
    return f"{min(missing)}: {MISSING}" if missing else None


def _fitted(values: pa.ChunkedArray, column: Column) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """The values in the type of the column, and why some of them have none there."""
    given = get_column_type_from_py_arrow(values.type).get("data_type")
    if given is None:
        return values, {}
    if column.data_type is None:
        column.learn(given)
    if pt.is_uint64(values.type) and column.data_type == "bigint":
        return _narrowed(values, column)
    as_declared = given == column.data_type and (given in LEFT_TO_DLT or not column.fixed)
    if column.data_type == "json":
        return values, _no_json(values, column) if given == "text" else {}
    if as_declared or values.type == column.arrow:
        return values, {}
    if {given, column.data_type} <= set(NUMBERS) and (given, column.data_type) != ("double", "decimal"):
        try:
            return pc.cast(values, column.arrow, safe=True), {}
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass  # one by one, to tell which
    return _fitted_one_by_one(values, column.strictly())


def _no_json(values: pa.ChunkedArray, column: Column) -> dict[int, str]:
    """Why some of the texts are not the JSON that dlt loads them as."""
    texts = enumerate(values.to_pylist())
    return {index: column.refused(text) for index, text in texts if text is not None and not _is_json(text)}


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _narrowed(values: pa.ChunkedArray, column: Column) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """Whole numbers of up to 64 bits without a sign, of which a destination has one less."""
    is_wide = pc.greater(values, pa.scalar(INT64[-1], pa.uint64()))
    wide = pc.indices_nonzero(is_wide).to_pylist()
    reasons = {index: f"{column.name}: {values[index]} does not fit into 64 bits" for index in wide}
    fitted, more = _fitted(pc.if_else(is_wide, None, values).cast(pa.int64()), column)
    return fitted, more | reasons


def _fitted_one_by_one(values: pa.ChunkedArray, column: Column) -> tuple[pa.ChunkedArray, dict[int, str]]:
    fitted: list[Any] = []
    reasons: dict[int, str] = {}
    for index, value in enumerate(values.to_pylist()):
        reason = column.refusal(value) if value is not None else None
        if reason:
            reasons[index] = reason
        fitted.append(None if reason or value is None else column.stored(value))
    return pa.chunked_array([pa.array(fitted, column.arrow)]), reasons


def _nulls(values: pa.ChunkedArray) -> list[int]:
    return list(pc.indices_nonzero(pc.is_null(values)).to_pylist()) if values.null_count else []


def _note(reasons: dict[int, str], found: dict[int, str]) -> None:
    """Keep the first reason of each row."""
    for row, reason in found.items():
        reasons.setdefault(row, reason)
