"""Pages of raw JSON lines: seen as a whole by Arrow first, so that few of them are looked at row by row."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.types as pt

from pipelines.rows.columns import Column
from pipelines.rows.declared import Declared, Level, Place
from pipelines.rows.storable import DEEPEST, NUL

KINDS: list[tuple[Any, frozenset[type]]] = [
    (pt.is_int64, frozenset({int})),
    (pt.is_float64, frozenset({int, float})),
    (pt.is_boolean, frozenset({bool})),
    (pt.is_string, frozenset({str})),
    (pt.is_timestamp, frozenset({str})),  # what Arrow takes for a time was a text
]
LOOKED_AT = ("timestamp", "date", "time", "binary")  # as the texts they are
SAFE = 4000  # brackets, or bytes, in a line; Arrow dies of much deeper ones
EXACT, WIDEST = float(2**53), float(2**63)
ISO = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?$"
LONG = re.compile(rb"\d{19}")


def parsed(line: bytes) -> Any:
    """What stands in a line; raises orjson's error where that is no JSON. Whole numbers keep all their digits."""
    value = orjson.loads(line)
    return json.loads(line) if LONG.search(line) else value


class Doubt(Exception):
    """Something on a page calls for a look at each row."""


class Screen:
    """Sure of the pages it lets pass, of nothing else: what it doubts may be fine, or wait for a first row to teach."""

    def __init__(self, declared: Declared, kind: str) -> None:
        self._declared, self._takes_nul = declared, kind != "postgres"

    def is_clean(self, page: list[Any]) -> bool:
        """Whether these are raw lines, each of them a row that can have no reason to be set aside."""
        if not page or not all(isinstance(line, orjson.Fragment) for line in page):
            return False
        try:
            records = self._read([orjson.dumps(line) for line in page])
            _check_storable(records, 1)
            _Page(self._declared).check(records)
        except (Doubt, pa.ArrowException, UnicodeDecodeError):
            return False
        return True

    def _read(self, lines: list[bytes]) -> pa.StructArray:
        """The lines as records; what must be looked at as a text is read as one, Arrow finds the other types."""
        if any(len(line) > SAFE and line.count(b"[") + line.count(b"{") > SAFE for line in lines):
            raise Doubt("perhaps too deep")
        text = b'{"rows":[' + b",".join(lines) + b"]}"  # as such a list, a null among the lines does Arrow no harm
        text.decode()  # Arrow takes any bytes
        if not self._takes_nul and NUL in text:
            raise Doubt("NUL")
        rows = pa.list_(pa.struct(_texts(self._declared.root)))
        table = pj.read_json(
            pa.BufferReader(text),
            pj.ReadOptions(block_size=len(text) + 64, use_threads=False),
            pj.ParseOptions(explicit_schema=pa.schema([("rows", rows)]), unexpected_field_behavior="infer"),
        )
        records = table["rows"].combine_chunks().flatten()
        if table.num_columns > 1 or len(records) != len(lines) or records.null_count:
            raise Doubt("lines that are no records")
        return records


class _Page:
    """One page laid on the declared tables."""

    def __init__(self, declared: Declared) -> None:
        self._declared, self._filled = declared, set[str]()

    def check(self, records: pa.StructArray) -> None:
        """Raise `Doubt` unless every value has a column that takes it, and all that is required is there."""
        self._object(records, self._declared.root)
        if not self._declared.required <= self._filled:
            raise Doubt("something required is missing")

    def _object(self, records: pa.StructArray, level: Level) -> None:
        for field, values in zip(records.type, records.flatten(), strict=True):
            place = level.places.get(field.name) or self._declared.place(level, field.name)
            if place.fault:
                raise Doubt(place.fault)
            if values.null_count == 0 and level.table is self._declared.root.table:
                self._filled.add(place.column.name)
            self._value(values, place.column, level, field.name)
        if level.table.shared:
            raise Doubt("two keys become one column")

    def _value(self, values: pa.Array, column: Column, level: Level, key: str) -> None:
        kind = values.type
        if not (pt.is_struct(kind) or pt.is_list(kind)):
            self._leaf(values, column)
        elif column.strict or self._declared.is_json(level, column):
            if column.strict and column.data_type != "json":
                raise Doubt(f"{column.name}: an object or a list")
        elif pt.is_struct(kind):
            self._object(values, self._declared.inside(level, key))
        else:
            self._items(values.flatten(), self._declared.below(level, key))

    def _items(self, items: pa.Array, level: Level) -> None:
        if pt.is_list(items.type) or (pt.is_struct(items.type) and items.null_count):
            raise Doubt("a list of lists, or null among objects")
        if level.table.required:
            raise Doubt("something may be missing in a row of a list")
        if pt.is_struct(items.type):
            self._object(items, level)
        else:
            self._object(pa.StructArray.from_arrays([items], ["value"]), level)

    def _leaf(self, values: pa.Array, column: Column) -> None:
        if values.null_count == len(values):
            return
        types = next((types for is_kind, types in KINDS if is_kind(values.type)), None)
        if types is None or (column.data_type is None and self._declared.learns):
            raise Doubt(f"{column.name}: has no type yet")
        if not types <= column.easy and not _fit(values, column):
            raise Doubt(f"{column.name}: a value that may not fit")


def _fit(values: pa.Array, column: Column) -> bool:
    """Whether a column takes all the values."""
    if pt.is_timestamp(values.type):
        return False  # the text is gone
    if pt.is_floating(values.type):
        learned = column.data_type == "double" and not column.strict
        return learned or (_is_below(values, EXACT) and (column.data_type == "double" or _take_each(values, column)))
    if column.data_type == "timestamp" and pt.is_string(values.type) and _are_moments(values):
        return True
    return _take_each(values, column)


def _are_moments(texts: pa.Array) -> bool:
    """Whether all are usual ISO times, all with a zone or all without, none of them near the ends of the calendar."""
    ends = pc.min_max(texts).as_py()
    if ends["min"] < "0002" or ends["max"] >= "9999" or not pc.all(pc.match_substring_regex(texts, ISO)).as_py():
        return False
    return _casts(texts, pa.timestamp("us", "UTC")) or _casts(texts, pa.timestamp("us"))


def _casts(values: pa.Array, kind: pa.DataType) -> bool:
    try:
        values.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _take_each(values: pa.Array, column: Column) -> bool:
    return all(value is None or column.refusal(value) is None for value in values.unique().to_pylist())


def _is_below(numbers: pa.Array, limit: float) -> bool:
    return pc.all(pc.less(pc.abs(numbers), limit)).as_py() is not False  # None: all are null


def _check_storable(values: pa.Array, depth: int) -> None:
    """Doubt names of nothing, numbers that a double may have cut or JSON has not, and what is nested too deeply."""
    if depth > DEEPEST:
        raise Doubt("too deep")
    if pt.is_floating(values.type) and not _is_below(values, WIDEST):
        raise Doubt("a number beyond 64 bits")
    if pt.is_list(values.type):
        _check_storable(values.flatten(), depth + 1)
    elif pt.is_struct(values.type):
        for field, inner in zip(values.type, values.flatten(), strict=True):
            if not field.name.strip():
                raise Doubt("a name of nothing")
            _check_storable(inner, depth + 1)


def _texts(level: Level) -> list[pa.Field]:
    """The keys of a level that hold what must be read as texts, at any depth."""
    kinds = {key: _text_kind(place) for key, place in level.places.items()}
    return [pa.field(key, kind) for key, kind in kinds.items() if kind is not None]


def _text_kind(place: Place) -> pa.DataType | None:
    """The type of a place that must be read as texts, or holds some; None where Arrow is to find out."""
    if place.object and place.items:
        return None
    if place.object:
        fields = _texts(place.object)
        return pa.struct(fields) if fields else None
    if place.items:
        fields = _texts(place.items)
        is_bare = [field.name for field in fields] == ["value"]
        return pa.list_(fields[0].type if is_bare else pa.struct(fields)) if fields else None
    return pa.string() if place.column.data_type in LOOKED_AT else None
