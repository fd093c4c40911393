"""What the tables of a resource take: the first reason why a row may not be loaded, at any depth of it."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy, deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from typing import Any

from dlt.common.data_types import TDataType, py_type_to_sc_type
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.libs.hexbytes import HexBytes
from dlt.common.normalizers.json import helpers as dlt_names
from dlt.common.schema import Schema
from dlt.common.schema.typing import C_DLT_ID, DLT_NAME_PREFIX, TSchemaTables, TTableSchemaColumns
from dlt.common.schema.utils import (
    autodetect_sc_type,
    get_nested_tables,
    has_table_seen_data,
    normalize_table_identifiers,
)
from dlt.common.typing import VARIANT_FIELD_FORMAT
from dlt.common.wei import Wei
from dlt.extract import DltSource
from dlt.extract.hints import DltResourceHints
from dlt.extract.items import TableNameMeta

from pipelines.rows.columns import Column
from pipelines.rows.intake import MISSING
from pipelines.rows.storable import written

MOST_SHAPES = 5000  # of objects, remembered per level
CONTAINERS = (dict, list, tuple)
PLAIN = {type(None), str, int, float, bool, dict, list, tuple, bytes, Decimal, Wei, datetime, date, time, HexBytes}
Object = dict[str, Any]
Shape = tuple[tuple[str, ...], tuple[type, ...]]


@dataclass(eq=False)
class Table:
    """A table that rows fill: its columns, and which key of a row fills each."""

    name: str
    hints: TTableSchemaColumns
    required: set[str]
    columns: dict[str, Column] = field(default_factory=dict)
    variants: dict[str, Column] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    shared: bool = False  # whether two keys were seen that become one column


@dataclass(eq=False)
class Level:
    """One place in a row where an object stands: the row itself, an object in it, or an item of a list."""

    table: Table
    idents: tuple[str, ...]  # the table's name, in the parts dlt makes it of
    keys: tuple[str, ...]
    parts: tuple[str, ...]  # the same, normalized
    depth: int  # levels left before dlt keeps what it finds as JSON
    row_depth: int
    places: dict[str, Place] = field(default_factory=dict)
    plans: dict[Shape, Plan] = field(default_factory=dict)
    wrapped: Level | None = None  # of a list whose items are lists


@dataclass(eq=False)
class Place:
    """One key of a level: its column, or what lies below it."""

    path: str
    column: Column
    fault: str | None
    object: Level | None = None
    items: Level | None = None


@dataclass(eq=False)
class Plan:
    """What there is to look at in an object, by its keys and the types of its values."""

    fault: str | None = None
    odd: str | None = None  # a key whose value is something else once dlt has written it as JSON
    present: int = 0  # required columns
    checks: list[tuple[str, Column]] = field(default_factory=list)
    objects: list[tuple[str, Level]] = field(default_factory=list)
    lists: list[tuple[str, Level]] = field(default_factory=list)


class Odd(Exception):
    """A value cannot be judged before it is written as JSON; the message tells which, and what it is."""


class Declared:
    """The tables of a resource: as declared, as loaded, and as the rows of this run fill them."""

    def __init__(
        self, schema: Schema, table: str | None, typed: set[tuple[str, str]], caps: DestinationCapabilitiesContext
    ) -> None:
        """`typed` are tables and their columns of a declared type. Without a table all waits for a first row."""
        self._schema, self._naming, self._caps = schema, schema.naming, caps
        self.learns, self._typed, self._name = table is not None, typed, table or ""
        self._tables: dict[str, Table] = {}
        self._levels: list[Level] = []
        self._learned: list[Column] = []
        self._present = 0
        deepest: int = schema.data_item_normalizer.max_nesting  # type: ignore[attr-defined]
        depth = dlt_names.get_table_nesting_level(schema, self._name, deepest) or 0
        self.root = self._level(self._table(self._name), (self._name,), (), (), depth, depth)
        self.required = self.root.table.required

    @classmethod
    def of(
        cls,
        source: DltSource,
        hints: DltResourceHints,
        known: Schema | None,
        caps: DestinationCapabilitiesContext,
        name: str | None = None,
    ) -> Declared:
        """What is declared on top of what is loaded, put together as dlt will do it; of the table that a page names."""
        if dynamic(hints):
            return cls(_together(known, source.schema), None, set(), caps)
        meta = TableNameMeta(name) if name else None
        own: Any = hints.compute_table_schema(meta=meta)
        schema = _together(known, source.schema, own["name"])
        nested = hints.compute_nested_table_schemas(own["name"], schema.naming, meta=meta)
        tables: list[Any] = [normalize_table_identifiers(table, schema.naming) for table in (own, *nested)]
        for table in tables:
            schema.update_table(table)
        typed = {(t["name"], name) for t in tables for name, column in t["columns"].items() if "data_type" in column}
        return cls(schema, schema.naming.normalize_table_identifier(name or own["name"]), typed, caps)

    @property
    def form(self) -> str | None:
        """How the table was loaded so far: of "rows", which dlt gives ids, or of "arrow" tables."""
        table = self._schema.tables.get(self._name)
        if not table or not has_table_seen_data(table):
            return None
        return "rows" if self._naming.normalize_identifier(C_DLT_ID) in table["columns"] else "arrow"

    def violation(self, row: Object) -> str | None:
        """Why the row may not be loaded, or None."""
        try:
            return self._violation(row)
        except Odd:
            self.keep_learned(False)
        try:
            return self._violation(written(row))
        except Odd as odd:
            self.keep_learned(False)
            return str(odd)

    def _violation(self, row: Object) -> str | None:
        reason = self._row(row, self.root)
        self.keep_learned(reason is None)
        return reason

    def widens(self, key: str) -> bool:
        """Whether the column of a key is declared as something that may hold more than 64-bit integers."""
        name = self.identifier(key)
        return (self._name, name) in self._typed and self.column(name).data_type != "bigint"

    def column(self, name: str) -> Column:
        """The column of that name in the resource's own table."""
        return self._column(self.root.table, name)

    def identifier(self, key: str) -> str:
        """The name of the column that a key fills."""
        return dlt_names.normalize_identifier(self._schema, self._naming, key)

    def _row(self, row: Object, level: Level) -> str | None:
        """One row of a table: its values, whether one is missing, and whether two of them would share a column."""
        outside, self._present = self._present, 0
        reason = self._object(row, level)
        if reason is None and self._present < len(level.table.required):
            reason = self._missing(row, level)
        self._present = outside
        return _collision(row, level) if reason is None and level.table.shared else reason

    def _missing(self, row: Object, level: Level) -> str:
        filled = {place.column.name for place, value in _filled(row, level) if value is not None}
        where = "" if level.table is self.root.table else f"{level.table.name}."
        return f"{where}{min(level.table.required - filled)}: {MISSING}"

    def _object(self, given: Object, level: Level) -> str | None:
        shape = tuple(given), tuple(map(type, given.values()))
        plan = level.plans.get(shape) or self._plan(given, level, shape)
        if plan.fault:
            return plan.fault
        if plan.odd:
            raise Odd(plan.odd)
        self._present += plan.present
        for key, column in plan.checks:
            reason = column.refusal(given[key])
            if reason:
                return reason
        for key, below in plan.objects:
            reason = self._object(given[key], below)
            if reason:
                return reason
        for key, below in plan.lists:
            reason = self._items(given[key], below)
            if reason:
                return reason
        return None

    def _items(self, items: Any, level: Level) -> str | None:
        """The items of a list, each a row of the list's own table."""
        value = level.table.columns.get("value")
        if value and value.easy.issuperset(map(type, items)) and level.table.required <= {"value"}:
            return None
        for item in items:
            if isinstance(item, dict):
                reason = self._row(item, level)
            elif isinstance(item, (list, tuple)):
                reason = self._row({"list": item}, self._wrapped(level))
            else:
                reason = self._row({"value": item}, level)
            if reason:
                return reason
        return None

    def _plan(self, given: Object, level: Level, shape: Shape) -> Plan:
        plan = Plan()
        for key, value in given.items():
            place = level.places.get(key) or self.place(level, key)
            plan.fault = plan.fault or place.fault
            if value is None or plan.fault:
                continue
            column = place.column
            if type(value) not in PLAIN:
                plan.odd = f"{place.path}: a {type(value).__name__} is not a single value"
                break
            plan.present += column.required
            if isinstance(value, CONTAINERS) and not column.strict and not self.is_json(level, column):
                if isinstance(value, dict):
                    plan.objects.append((key, self.inside(level, key)))
                else:
                    plan.lists.append((key, self.below(level, key)))
            elif self._to_be_checked(column, value):
                plan.checks.append((key, column))
        if len(level.plans) >= MOST_SHAPES:
            level.plans.clear()
        level.plans[shape] = plan
        return plan

    def _to_be_checked(self, column: Column, value: Any) -> bool:
        """Whether a value of this type may not fit; the first value of all gives a column its type."""
        if column.data_type is None and self.learns and not isinstance(value, CONTAINERS):
            column.learn(self._infer(value))
            self._learned.append(column)
        return type(value) not in column.easy and (column.data_type is not None or column.strict)

    def keep_learned(self, keep: bool) -> None:
        """A row that is refused teaches nothing, nor does any where each may go to another table."""
        if self._learned and not (keep and self.learns):
            for column in self._learned:
                column.forget()
            for level in self._levels:
                level.plans.clear()
        self._learned.clear()

    def is_json(self, level: Level, column: Column) -> bool:
        """Whether dlt keeps an object or a list in this place as it is."""
        return dlt_names.is_nested_type(self._schema, level.table.name, column.name, level.depth)

    def place(self, level: Level, key: str) -> Place:
        path = ".".join((*level.keys, key))
        part = self.identifier(key)
        column = self._column(level.table, self._naming.shorten_fragments(*level.parts, part))
        if level.table.owners.setdefault(column.name, path) != path:
            level.table.shared = True
        place = level.places[key] = Place(path, column, _fault(level, key, part))
        return place

    def inside(self, level: Level, key: str) -> Level:
        """The level of an object, whose values go into the same table."""
        place = level.places[key]
        if place.object is None:
            keys, parts = (*level.keys, key), (*level.parts, self.identifier(key))
            place.object = self._level(level.table, level.idents, keys, parts, level.depth - 1, level.row_depth)
        return place.object

    def below(self, level: Level, key: str) -> Level:
        """The level of the items of a list, which have a table of their own."""
        place = level.places[key]
        if place.items is None:
            ident = dlt_names.normalize_table_identifier(self._schema, self._naming, key)
            idents, depth = (*level.idents, *level.parts, ident), level.row_depth - 1
            table = self._table(self._naming.shorten_fragments(*idents))
            place.items = self._level(table, idents, (place.path, "*"), (), depth, depth)
        return place.items

    def _wrapped(self, level: Level) -> Level:
        """The level of an item that is itself a list: dlt makes `{"list": …}` of it."""
        if level.wrapped is None:
            depth = level.depth - 1
            level.wrapped = self._level(level.table, level.idents, level.keys, (), depth, depth)
        return level.wrapped

    def _level(self, *arguments: Any) -> Level:
        level = Level(*arguments)
        self._levels.append(level)
        return level

    def _table(self, name: str) -> Table:
        if name not in self._tables:
            hints: Any = self._schema.tables.get(name, {}).get("columns", {})
            self._tables[name] = Table(name, hints, {column for column in hints if _required(column, hints[column])})
        return self._tables[name]

    def _column(self, table: Table, name: str) -> Column:
        column = table.columns.get(name)
        if column is None:
            hints: Any = {**table.hints.get(name, {}), "name": name}
            preferred = self._schema.get_preferred_type(name)
            strict = hints.get("nullable") is False or hints.get("primary_key") or (table.name, name) in self._typed
            if preferred and "data_type" not in hints:
                hints["data_type"] = preferred
            column = table.columns[name] = Column(
                hints, self._caps, partial(self._variant, table, name), strict=bool(strict)
            )
        return column

    def _variant(self, table: Table, name: str, value: Any) -> Column:
        """The column for values of this kind that do not fit into another, with the type of the first of them."""
        own = self._naming.shorten_fragments(name, VARIANT_FIELD_FORMAT % py_type_to_sc_type(type(value)))
        column = table.variants.get(own)
        if column is None:
            hints: Any = {**table.hints.get(own, {}), "name": name}
            column = table.variants[own] = Column(hints, self._caps, None, strict=True)
        if column.data_type is None:
            column.learn(self._infer(value))
            self._learned.append(column)
        return column

    def _infer(self, value: Any) -> TDataType | None:
        try:
            inferred: Any = autodetect_sc_type(self._schema._type_detections, type(value), value)
            return inferred or py_type_to_sc_type(type(value))
        except TypeError:
            return None


def dynamic(hints: DltResourceHints) -> bool:
    """Whether hints depend on the row, so that nothing is declared before a row is there."""
    return bool(hints.has_other_dynamic_hints) or hints.has_dynamic_table_name


def _required(name: str, hints: Any) -> bool:
    return not name.startswith(DLT_NAME_PREFIX) and (hints.get("nullable") is False or bool(hints.get("primary_key")))


def _fault(level: Level, key: str, part: str) -> str | None:
    """Why the key can be no column, or None."""
    where = f"{'.'.join(level.keys)}: " if level.keys else ""
    if not key.strip():
        return f"{where}{key!r} is no name"
    return f"{where}the name {key!r} belongs to dlt" if part.startswith(DLT_NAME_PREFIX) else None


def _collision(row: Object, level: Level) -> str | None:
    """Two keys of the row that name one column, of which dlt would keep one value, or None."""
    owners: dict[str, str] = {}
    for place, _ in _filled(row, level):
        owner = owners.setdefault(place.column.name, place.path)
        if owner != place.path:
            return f"{place.column.name}: {owner!r} and {place.path!r} both become this column"
    return None


def _filled(row: Object, level: Level) -> Iterator[tuple[Place, Any]]:
    """The places that a row has a value or a null in."""
    for key, value in row.items():
        place = level.places[key]
        if isinstance(value, dict) and place.object:
            yield from _filled(value, place.object)
        else:
            yield place, value


def _together(known: Schema | None, declared: Schema, table: str | None = None) -> Schema:
    """What is declared on top of what is loaded; only that table, with those below it, may be changed, or any.

    A source of forty tables asks this for each of them: to copy all of them each time was half of its run.
    """
    lowest = known or declared
    if table is None:
        schema = lowest.clone()
    else:
        stored: Any = lowest.to_dict(bump_version=False)
        tables, part = stored.pop("tables"), _part(declared, table)
        own = {name: tables[name] for name in {**_below(lowest, table), **part.tables} if name in tables}
        whole: Any = {**deepcopy(stored), "tables": {**tables, **deepcopy(own)}}
        schema = Schema.from_stored_schema(whole)
        schema.naming.max_length = lowest.naming.max_length
        declared = part
    if known:
        schema.update_schema(declared)
    return schema


def _part(schema: Schema, table: str) -> Schema:
    """A schema to be read only, as if it had but one table and those below it."""
    part = copy(schema)
    part._schema_tables = _below(schema, table)
    return part


def _below(schema: Schema, table: str) -> TSchemaTables:
    """A table and those below it."""
    name = schema.naming.normalize_table_identifier(table)
    return {str(each["name"]): each for each in get_nested_tables(schema.tables, name)}
