"""Pages of raw JSON lines and of plain rows: seen as a whole by Arrow first, so that few are looked at row by row."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.types as pt

from pipelines.parsed_pages import ParsedPages
from pipelines.rows.columns import Column
from pipelines.rows.declared import Declared, Level, Place
from pipelines.rows.storable import AS_DLT, DEEPEST, NUL

KINDS: list[tuple[Any, frozenset[type]]] = [
    (pt.is_int64, frozenset({int})),
    (pt.is_float64, frozenset({int, float})),
    (pt.is_boolean, frozenset({bool})),
    (pt.is_string, frozenset({str})),
    (pt.is_timestamp, frozenset({str})),  # what Arrow takes for a time was a text
]
READ_AS: dict[str | None, pa.DataType] = {
    "bigint": pa.int64(), "double": pa.float64(), "bool": pa.bool_(),
    **dict.fromkeys(("text", "timestamp", "date", "time", "binary"), pa.string()),
}  # fmt: skip
SAFE = 4000  # brackets, or bytes, in a line; Arrow dies of much deeper ones
HOPELESS = 8  # pages in a row
FEW = 100  # rows
EACH = None  # in a path: every item of a list
EXACT, WIDEST = float(2**53), float(2**63)
ISO = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?$"
LONG = re.compile(rb"\d{19}")
LINE = secrets.token_urlsafe(9)  # the key under which each line is read; none of them can know it
Path = tuple[Any, ...]


def parsed(line: bytes) -> Any:
    """What stands in a line; raises orjson's error where that is no JSON. Whole numbers keep all their digits."""
    value = orjson.loads(line)
    return json.loads(line) if LONG.search(line) else value


class Doubt(Exception):
    """Something on a page calls for a look at each row."""


class Screen:
    """Sure of the pages it lets pass, of nothing else: what it doubts may be fine, or wait for a first row to teach.

    What it has parsed goes to `parsed`. A table whose pages it has doubted again and again it looks at no more.
    """

    def __init__(self, declared: Declared, kind: str, parsed: ParsedPages | None = None) -> None:
        self._declared, self._takes_nul, self._parsed = declared, kind != "postgres", parsed
        self._doubts = 0

    def is_clean(self, page: list[Any]) -> bool:
        """Whether these are raw lines or plain dicts, each of them a row that can have no reason to be set aside."""
        if not page or self._doubts >= HOPELESS:
            return False
        try:
            self._look(page, set(map(type, page)))
        except (Doubt, TypeError, pa.ArrowException, UnicodeDecodeError):
            self._declared.keep_learned(False)
            self._doubts += 1
            return False
        self._declared.keep_learned(True)
        self._doubts = 0
        return True

    def _look(self, page: list[Any], kinds: set[type]) -> None:
        """Raise unless the page is clean; keep what it was parsed into."""
        if kinds == {dict}:
            if len(page) < FEW:
                raise Doubt("as fast row by row")
            text = orjson.dumps(page, None, AS_DLT)[1:-1]
            records = self._read(text, self._kind)
        elif kinds == {orjson.Fragment}:
            lines = getattr(page, "lines", None) or [orjson.dumps(line) for line in page]
            text = b",".join(lines)
            records = self._each(lines)
        else:
            raise Doubt("neither lines nor rows")
        if len(records) != len(page) or records.null_count:
            raise Doubt("lines that are no records")
        _check_storable(records, 1)
        _Page(self._declared, page if kinds == {dict} else []).check(records)
        if self._parsed and records.type.num_fields:
            self._parsed.keep(text, records)

    @property
    def _kind(self) -> pa.DataType:
        """Each key as its column has it; of one without a type Arrow finds it."""
        return pa.struct(_fields(self._declared.root))

    def _each(self, lines: list[bytes]) -> pa.StructArray:
        """What stands in each line, where none begins or ends what stands in another."""
        if any(len(line) > SAFE and line.count(b"[") + line.count(b"{") > SAFE for line in lines):
            raise Doubt("perhaps too deep")
        begin = b'{"' + LINE.encode() + b'":'
        text = begin + (b"}," + begin).join(lines) + b"}"
        rows = self._read(text, pa.struct([pa.field(LINE, self._kind)]))
        if rows.type.num_fields > 1:
            raise Doubt("more than there is to a line")
        return rows.flatten()[0]

    def _read(self, rows: bytes, kind: pa.DataType) -> pa.StructArray:
        """Values with commas between as an array."""
        text = b'{"rows":[' + rows + b"]}"  # as such a list, a null among the lines does Arrow no harm
        if not text.isascii():
            text.decode()  # Arrow takes any bytes
        if not self._takes_nul and NUL in text:
            raise Doubt("NUL")
        table = pj.read_json(
            pa.BufferReader(text),
            pj.ReadOptions(block_size=len(text) + 64, use_threads=False),
            pj.ParseOptions(explicit_schema=pa.schema([("rows", pa.list_(kind))]), unexpected_field_behavior="infer"),
        )
        if table.num_columns > 1:
            raise Doubt("more than a list of lines")
        return table["rows"].combine_chunks().flatten()


class _Page:
    """One page laid on the declared tables; `rows` are given where JSON may have null for a number that is none."""

    def __init__(self, declared: Declared, rows: list[Any]) -> None:
        self._declared, self._rows, self._filled = declared, rows, set[str]()

    def check(self, records: pa.StructArray) -> None:
        """Raise `Doubt` unless every value has a column that takes it, and all that is required is there."""
        self._object(records, self._declared.root, ())
        if not self._declared.required <= self._filled:
            raise Doubt("something required is missing")

    def _object(self, records: pa.StructArray, level: Level, at: Path) -> None:
        for field, values in zip(records.type, records.flatten(), strict=True):
            place = level.places.get(field.name) or self._declared.place(level, field.name)
            if place.fault:
                raise Doubt(place.fault)
            if values.null_count == 0 and level.table is self._declared.root.table:
                self._filled.add(place.column.name)
            self._value(values, place.column, level, (*at, field.name))
        if level.table.shared:
            raise Doubt("two keys become one column")

    def _value(self, values: pa.Array, column: Column, level: Level, at: Path) -> None:
        kind = values.type
        if not (pt.is_struct(kind) or pt.is_list(kind)):
            self._leaf(values, column, at)
        elif column.strict or self._declared.is_json(level, column):
            if column.strict and (column.data_type != "json" or (values.null_count and self._has_no_number(at))):
                raise Doubt(f"{column.name}: an object or a list, or no number among them")
        elif pt.is_struct(kind):
            self._object(values, self._declared.inside(level, at[-1]), at)
        else:
            self._items(values.flatten(), self._declared.below(level, at[-1]), at)

    def _items(self, items: pa.Array, level: Level, at: Path) -> None:
        if pt.is_list(items.type) or (pt.is_struct(items.type) and items.null_count):
            raise Doubt("a list of lists, or null among objects")
        if level.table.required:
            raise Doubt("something may be missing in a row of a list")
        if not pt.is_struct(items.type):
            items = pa.StructArray.from_arrays([items], ["value"])
        self._object(items, level, (*at, EACH))

    def _leaf(self, values: pa.Array, column: Column, at: Path) -> None:
        if values.null_count and (column.strict or column.data_type != "double") and self._has_no_number(at):
            raise Doubt(f"{column.name}: no number")
        if values.null_count == len(values):
            return
        types = next((types for is_kind, types in KINDS if is_kind(values.type)), None)
        if types is None or (column.data_type is None and self._declared.learns):
            raise Doubt(f"{column.name}: has no type yet")
        if not types <= column.easy and not _fit(values, column):
            raise Doubt(f"{column.name}: a value that may not fit")

    @cached_property
    def _without_number(self) -> set[str]:
        """The keys of the rows themselves that hold NaN or an infinity."""
        cells = (cell for row in self._rows if isinstance(row, dict) for cell in row.items())
        return {key for key, value in cells if type(value) is float and value - value != 0}

    def _has_no_number(self, at: Path) -> bool:
        """Whether a place holds NaN or an infinity."""
        if len(at) == 1 and at != ("value",):
            return at[0] in self._without_number
        found = (value for row in self._rows for value in _values(row, at))
        return any(type(value) is float and value - value != 0 for value in found)


def _values(value: Any, at: Path) -> Iterator[Any]:
    """What stands in a place; a scalar of a list has the key that dlt gives it."""
    if not at or (at == ("value",) and not isinstance(value, dict)):
        yield value
    elif at[0] is EACH:
        for item in value if isinstance(value, (list, tuple)) else ():
            yield from _values(item, at[1:])
    elif isinstance(value, dict):
        yield from _values(value.get(at[0]), at[1:])


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


def _fields(level: Level) -> list[pa.Field]:
    """The keys of a level of which it is known what to read them as, or what to read in them, at any depth."""
    kinds = {key: _kind(place) for key, place in level.places.items()}
    return [pa.field(key, kind) for key, kind in kinds.items() if kind is not None]


def _kind(place: Place) -> pa.DataType | None:
    """The type to read a place as; None where Arrow is to find out."""
    if place.object and place.items:
        return None
    if place.object:
        fields = _fields(place.object)
        return pa.struct(fields) if fields else None
    if place.items:
        fields = _fields(place.items)
        is_bare = [field.name for field in fields] == ["value"]
        return pa.list_(fields[0].type if is_bare else pa.struct(fields)) if fields else None
    return READ_AS.get(place.column.data_type)
