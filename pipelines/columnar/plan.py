"""How tables are cut out of records: what the JSON looks like, laid on dlt's schema."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pyarrow as pa
from dlt.common.schema.typing import TTableSchemaColumns

from pipelines.columnar.rules import Rules
from pipelines.columnar.shape import Path, Shape
from pipelines.columnar.surprise import Surprise

PARSED = {"bigint": pa.int64(), "double": pa.float64(), "bool": pa.bool_()}
AS_SEEN = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


@dataclass
class Plan:
    """One table of one load; places are paths of keys in its records.

    `kind` is the type Arrow reads a record as, None where Arrow cannot (mixed kinds, json columns).
    """

    table: str
    shape: Shape
    columns: TTableSchemaColumns
    schema: pa.Schema
    idents: Path
    level: int
    kind: pa.DataType | None = None
    places: dict[str, Path] = field(default_factory=dict)  # the one key that has this name in the table
    leaves: dict[str, Path] = field(default_factory=dict)  # column: where its values are
    lists: list[tuple[Path, Plan]] = field(default_factory=list)
    whole: set[Path] = field(default_factory=set)  # kept as they are in a json column
    empty: set[Path] = field(default_factory=set)  # lists that never held anything
    dropped: set[Path] = field(default_factory=set)  # a contract drops what is there
    unplaced: set[Path] = field(default_factory=set)  # dlt made no place: it decides again


@dataclass(frozen=True)
class Spot:
    """Where in a record the planner stands; `level` is the nesting that dlt still allows there."""

    level: int
    raw: Path = ()
    names: Path = ()

    def at(self, key: str, name: str) -> Spot:
        return replace(self, raw=(*self.raw, key), names=(*self.names, name))

    def inside(self) -> Spot:
        return replace(self, level=self.level - 1)


class Planner:
    """Makes plans; raises `Surprise` where rows must go through dlt."""

    def __init__(self, rules: Rules) -> None:
        self._rules, self._is_plain = rules, True

    def plan(self, root: str, shape: Shape) -> Plan:
        """The plan of a root table and all tables below it."""
        if not shape.keys:
            raise Surprise(f"{root}: nothing learnt yet")
        self._rules.refuse(root)
        self._is_plain = True
        plan = self._table(root, shape, (root,), self._rules.level(root))
        if not self._is_plain:
            plan.kind = None
        return plan

    def _table(self, table: str, shape: Shape, idents: Path, level: int) -> Plan:
        columns = self._rules.columns(table)
        plan = Plan(table, shape, columns, self._rules.arrow_schema(columns), idents, level)
        plan.kind = self._record(plan, shape, Spot(level))
        return plan

    def _record(self, plan: Plan, shape: Shape, spot: Spot) -> pa.DataType:
        fields = []
        for key, known in (shape.keys or {}).items():
            kind = self._value(plan, known, spot.at(key, self._rules.name(key)))
            if kind is not None:
                fields.append(pa.field(key, kind))
        return pa.struct(fields)

    def _value(self, plan: Plan, known: Shape, spot: Spot) -> pa.DataType | None:
        column = self._rules.joined(spot.names)
        if plan.places.setdefault(column, spot.raw) != spot.raw:
            raise Surprise(f"{plan.table}.{column}: two keys have this name")
        is_whole = known.is_container and self._rules.keeps_whole(plan.table, column, spot.level)
        if is_whole:
            plan.whole.add(spot.raw)
        if known.is_mixed or is_whole:
            self._is_plain = False
        kind = self._leaf(plan, known, column, spot.raw) if known.leaf or is_whole else None
        if known.item is not None and not is_whole:
            kind = self._list(plan, known.item, spot)
        if known.keys is not None and not is_whole:
            kind = self._record(plan, known, spot.inside())
        return kind

    def _leaf(self, plan: Plan, known: Shape, column: str, at: Path) -> pa.DataType | None:
        if column in self._rules.links():
            raise Surprise(f"{plan.table}.{column}: a key with a name that dlt fills")
        data_type = plan.columns.get(column, {}).get("data_type")
        if data_type:
            plan.leaves[column] = at
            self._is_plain &= data_type != "json"
            return _read_as(data_type, known.leaf)
        is_dropped = self._rules.discards_value(plan.table, column) and not known.is_mixed
        (plan.dropped if is_dropped else plan.unplaced).add(at)
        return None

    def _list(self, plan: Plan, item: Shape, spot: Spot) -> pa.DataType | None:
        idents = (*plan.idents, *spot.names[:-1], self._rules.table_name(spot.raw[-1]))
        table = self._rules.joined(idents)
        if item.is_blank:
            plan.empty.add(spot.raw)
            return pa.list_(pa.null())
        if not self._rules.has_table(table):
            (plan.dropped if self._rules.discards_table(table) else plan.unplaced).add(spot.raw)
            return None
        if not self._rules.is_nested(table) or any(child.table == table for _, child in plan.lists):
            raise Surprise(f"{table}: not filled from one list alone")
        child = self._table(table, _wrapped(item, table), idents, plan.level - 1 - (item.item is not None))
        plan.lists.append((spot.raw, child))
        if item.is_mixed:
            self._is_plain = False
        return self._elements(child, item)

    def _elements(self, child: Plan, item: Shape) -> pa.DataType | None:
        """The type of a list: of records as they are, of anything else without its wrapping."""
        if item.keys is not None:
            return pa.list_(child.kind)
        if child.kind is not None and child.kind.num_fields:
            return pa.list_(child.kind.field(0).type)
        self._is_plain = False
        return None


def take_null(plan: Plan, at: Path, rules: Rules) -> None:
    """Let a key pass that holds nothing but nulls; raise where that means something to dlt."""
    column = rules.joined(tuple(map(rules.name, at)))
    if plan.places.get(column, at) != at:
        raise Surprise(f"{plan.table}.{column}: two keys have this name")  # of which the later one wins, null or not
    if column not in plan.columns:
        rules.take_null(plan.table, column)


def _wrapped(item: Shape, table: str) -> Shape:
    """Elements as records: dlt puts a scalar under `value`, a list under `list`."""
    if item.item is not None and item.keys is not None:
        raise Surprise(f"{table}: lists and records in one list")
    wrapped = {"value": Shape(leaf=item.leaf)} if item.leaf else {}
    if item.item is not None:
        wrapped["list"] = Shape(item=item.item)
    keys = item.keys or {}
    if wrapped.keys() & keys.keys():
        raise Surprise(f"{table}: a key that dlt uses for what is no record")
    return Shape(keys=keys | wrapped)


def _read_as(data_type: str, seen: set[type]) -> pa.DataType:
    """The type Arrow reads; one that JSON has. A value of another kind stops Arrow, which is what we want."""
    if data_type in PARSED:
        return PARSED[data_type]
    return AS_SEEN.get(next(iter(seen)), pa.string()) if len(seen) == 1 else pa.string()
