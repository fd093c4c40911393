"""Semantic cases: loads of pages, and the hints of the resource they come from."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from dlt.common.wei import Wei

from tests.columnar.parity import Load, Outcome

Loads = list[list[list[Any]]]
AT, DATE, DAY = datetime(2024, 5, 1, 10, 0, 0, 250_000, UTC), date(2024, 2, 29), timedelta(days=1)


@dataclass(frozen=True)
class Case:
    """`gear` is one that rows of the case must have taken; `is_merged` marks cases that only a load decides.

    `then` are hints that differ from the second load on; a load of the case may fail if it `fails`.
    """

    name: str
    loads: Loads
    hints: dict[str, Any] = field(default_factory=dict)
    gear: str = "arrow"
    is_merged: bool = False
    then: dict[str, Any] = field(default_factory=dict)
    fails: bool = False

    def __str__(self) -> str:
        return self.name


def loads(cases: Mapping[str, Case]) -> list[Load]:
    """The loads of several cases side by side, each in a table of its own."""
    count = max(len(case.loads) for case in cases.values())
    return [
        {
            table: (case.loads[number], {**case.hints, **(case.then if number else {})})
            for table, case in cases.items()
            if number < len(case.loads)
        }
        for number in range(count)
    ]


def unlike(cases: Mapping[str, Case], dlts: Outcome, ours: Outcome) -> dict[str, list[str]]:
    """What is wrong with ours, by case: how it differs from dlt's, and that no row took the gear."""
    wrong = {case.name: _unlike(case, dlts.of(table), ours.of(table)) for table, case in cases.items()}
    return {name: found for name, found in wrong.items() if found}


def _unlike(case: Case, dlts: Outcome, ours: Outcome) -> list[str]:
    idle = [] if ours.taken[case.gear] else [f"gears: {case.gear} is not in {dict(ours.taken)}"]
    return [*ours.differences(dlts), *idle]


def record(number: int, version: int = 0, laps: list[Any] | None = None) -> dict[str, Any]:
    """A record with a struct, a list in it, and a list of records with lists."""
    grown = [{"k": lap, "sub": [{"z": lap + version} for _ in range(lap)]} for lap in range(number % 4)]
    return {
        "id": number,
        "Name": f"n{number}.{version}",
        "upd": f"2024-01-0{1 + version}T00:00:{number % 60:02d}Z",
        "score": number / 2,
        "n": {"k": number, "tags": [f"a{tag}" for tag in range(number % 3)], "in": {"deep": [number]}},
        "laps": grown if laps is None else laps,
    }


def little(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records with two tables instead of five, where more tell no more and take longer to load."""
    return [{**row, "n": {"k": row["n"]["k"]}, "laps": [{"k": lap["k"]} for lap in row["laps"]]} for row in records]


BASE = [record(number) for number in range(60)]
CHANGED = [record(number, 1) for number in range(0, 60, 7)]
EMPTIED = [record(number, 1, []) for number in range(1, 60, 7)]
SHRUNK = [record(number, 2, [{"k": 9, "sub": []}]) for number in range(20, 60)]
AGAIN = [record(number, 1) for number in range(60)]
LITTLE, LESS = little(BASE), little(CHANGED)


def merged(strategy: str | None = None, **hints: Any) -> dict[str, Any]:
    disposition: Any = {"disposition": "merge", "strategy": strategy} if strategy else "merge"
    return {"primary_key": "id", "write_disposition": disposition, **hints}


def column(**types: Any) -> dict[str, Any]:
    """Hints for columns, given as a type or as all of them."""
    return {"columns": {name: {"data_type": hint} if isinstance(hint, str) else hint for name, hint in types.items()}}


def values(first: Any, *others: Any, rows: int = 30) -> Loads:
    """A page of rows with one value of `v`, then a page for each other value."""
    return [[[{"id": number, "v": value} for number in range(rows)] for value in (first, *others)]]


def drawn(*choices: Any, rows: int = 160, **more: Any) -> list[dict[str, Any]]:
    """Rows with a value of `v` drawn from some."""
    dice = random.Random(5)
    return [{"id": number, "v": dice.choice(choices), **more} for number in range(rows)]


def with_every(step: int, rows: list[dict[str, Any]] = BASE, **extra: Any) -> list[dict[str, Any]]:
    """The rows, every so many with something more."""
    return [{**row, **extra} if number % step == 0 else row for number, row in enumerate(rows)]


MERGES = [
    *(
        Case(f"merge {strategy}", [[BASE], [CHANGED, EMPTIED], [SHRUNK]], merged(strategy), is_merged=True)
        for strategy in (None, "upsert", "insert-only")
    ),
    Case("the same row twice in a load", [[BASE], [CHANGED, EMPTIED, EMPTIED]], merged(), is_merged=True),
    Case("dedup_sort over two pages", [[BASE, AGAIN]],
         merged(columns={"upd": {"dedup_sort": "desc"}}), is_merged=True),
    Case("two keys", [[LITTLE], [LESS]], {**merged("upsert"), "primary_key": ["id", "upd"]}),
    Case("a key nested in a struct", [[LITTLE], [LESS]], {**merged("upsert"), "primary_key": "n__k"}),
    Case("a key of another type", [[LITTLE], [LESS]], merged("upsert", **column(id="text"))),
    Case("a key with a fraction", [[LITTLE], [LESS]], merged("upsert", **column(id="double")), "dicts"),
    Case("merge key", [[LITTLE], [LESS]], {"merge_key": "id", "write_disposition": "merge"}, is_merged=True),
    Case("replace", [[LITTLE], [LESS]], {"write_disposition": "replace"}, is_merged=True),
    Case("scd2", [[LITTLE], [LESS]], merged("scd2"), "rows", True),
    Case("hard delete", [[LITTLE], [[{**row, "gone": True} for row in LESS]]],
         merged(**column(gone={"data_type": "bool", "hard_delete": True})), is_merged=True),
    Case("append, then merge", [[LITTLE], [LESS]], {"primary_key": "id", "write_disposition": "append"},
         is_merged=True, then=merged(), fails=True),
    Case("null in a key", [[LITTLE], [[{**LITTLE[0], "id": None}]]], merged(), fails=True),
]  # fmt: skip

EVOLUTION = [
    Case("a column more", [[BASE, [{**row, "extra": 1, "deep": {"er": [{"q": 1}]}} for row in BASE]]]),
    Case("a column more, here and there", [[BASE, with_every(9, extra=1), with_every(7, other={"x": [1]})]],
         gear="dicts"),
    Case("a column of nulls", [[LITTLE, with_every(1, LITTLE, later=None), with_every(1, LITTLE, later=1)]]),
    Case("nulls only", [[[{"id": number, "v": None, "w": {"x": None}, "l": [], "s": {}} for number in range(40)]] * 2]),
    Case("empty records", [[[{} for _ in range(20)], [{"id": 1}, {}] * 10]]),
    Case("no rows", [[[]], [LITTLE], [[]]]),
    Case("integer, then float", values(1, 2.5)),
    Case("float, then integer", values(1.5, 2)),
    Case("integer, then whole float", values(1, 2.0), gear="dicts"),
    Case("text, then integer", values("a", 1), gear="dicts"),
    Case("integer, then text", values(1, "x", "7"), gear="dicts"),
    Case("variants, row by row", [[drawn(1, 2, 2.5, "x", "7", True, None, {"a": 1}, [1, 2], 8)]], gear="dicts"),
    Case("variants, load by load", [*values(1), *values(2.5), *values("x"), *values(True), *values(1)]),
    Case("a key named like a variant", [[drawn(1, "x"), drawn(1, "x", v__v_text="mine")]], gear="rows"),
    Case("booleans and what looks like them", values(True, 1, "true", 0), gear="dicts"),
    Case("a struct that becomes a scalar", values({"a": 1}, 2, {"a": 3}, "x"), gear="dicts"),
    Case("a scalar that becomes a struct", values(2, {"a": 1}, {}, {"a": None}, [], [1])),
    Case("a list that becomes a scalar", values([1], 2, [3], [[4]], [{"a": 5}]), gear="dicts"),
]  # fmt: skip

NAMES = [
    Case("one name twice", values(1, {"fooBar": 1, "foo_bar": 2}), gear="rows"),
    Case("one name twice, by a path", [[[{"id": number, "a__b": 3, "a": {"b": 4}} for number in range(30)]]],
         gear="rows"),
    Case("one name twice, once null", [[drawn(1, aB=2), drawn(1, aB=2, **{"a b": None})]]),
    Case("one name twice, a struct and a scalar", [[drawn(1, aB=2, **{"a b": {}}), drawn(1, aB=2, **{"a b": None})]],
         gear="rows"),
    Case("one table twice", [[[{"id": number, "l1": {"x": [1]}, "l1__x": [2]} for number in range(30)]]], gear="rows"),
    Case("names of dlt", [[[{"id": number, "_dlt_id": f"k{number}"} for number in range(30)]]], gear="rows"),
    Case("names of dlt, null", [[LITTLE, [{**row, "_dlt_id": None} for row in LITTLE]]]),
    Case("names of links, null", [[LITTLE, [{**row, "_dlt_parent_id": None} for row in LITTLE]]], fails=True),
    Case("names nobody has", [[[{"": 5, "é": 3, "id": number} for number in range(30)]] * 2]),
    Case("names of all kinds", [[[{
        "Id": number, "FooBar": 1, "ünï cödé": 7, "y" * 70 + "1": 8, "y" * 70 + "2": 8, "select": 9, "1st": 10,
        "Order By": [{"Group": {"From-To": 1}}], "L__x": {"List": [[1], [2, 3]]}, "value": 3, "@at": 1,
        "kebab-case": 2, "a.b": 2, "日本": "語"} for number in range(30)]] * 2]),
]  # fmt: skip

LISTS = [
    Case("lists of anything", [[drawn(None, [], [None], [1], [1, None, 2], [[1], [], None, [2, 3]], [{}], [{"a": None}],
         [{"a": 1}, 2, "x"], 5, "s", {"k": 1})]], gear="rows"),
    Case("lists of records and scalars", [[drawn([{"a": 1}, 2, "x"], [None], [], [2.5, {"a": 1}])] * 2], gear="dicts"),
    Case("lists of scalars and lists", [[drawn([1, [2, 3]], [[]], [4])] * 2], gear="dicts"),
    Case("lists of one kind", [[drawn(None, [], [1], [1, None, 2])] * 2]),
    Case("lists of records", [[drawn(None, [], [{}], [{"a": None}, None], [{"a": 1}], [{"a": 2, "b": [1]}])] * 2]),
    Case("lists in lists", [[drawn([], [[1], [], [2, 3]], [[None]], [[[7]], []], None)] * 2], gear="dicts"),
    Case("lists in lists of one depth", [[drawn([], [[1], [], [2, 3]], [[4]])] * 2]),
    Case("empty lists, then full ones", values([], [1], [None], [[]], [{}])),
    Case("a list that was always empty", values([], [], [None], [])),
    Case("nesting 0", [[BASE], [CHANGED]], {"max_table_nesting": 0}, "dicts"),
    Case("nesting 1", [[BASE], [CHANGED]], {"max_table_nesting": 1}, "dicts"),
    Case("nesting 2", [[BASE], [CHANGED]], {"max_table_nesting": 2}, "dicts"),
    Case("nesting 3", [[BASE], [CHANGED]], {"max_table_nesting": 3}),
    Case("nothing below the last level", [[drawn({}, {"x": None}, {"x": 1}, [], [1], None)] * 2],
         {"max_table_nesting": 0}, "dicts"),
    Case("empty below the last level", values({}, {"x": None}, [], {"x": 1}, "s"), {"max_table_nesting": 0}, "dicts"),
    Case("a struct in a list below the last level", [[drawn([{"x": {"y": 1}}], [{"x": {}}], [])] * 2],
         {"max_table_nesting": 1}, "dicts"),
    Case("a struct in a list in a struct at the last level", [[drawn({"l": [{"x": {"y": 1}}]}, {"l": []})] * 2],
         {"max_table_nesting": 2}),
    Case("json column", [[BASE, BASE]], column(n="json"), "dicts"),
    Case("json column of texts", [[drawn('{"a": 1}', "[1]", "3", '"t"', None)]], column(v="json"), "dicts"),
    Case("json column of anything", [[drawn({"a": 1}, [1], 3, 2.5, True, None)]], column(v="json"), "dicts"),
]  # fmt: skip

TYPES = [
    Case("edges of integers", values(1, -(2**63), 2**63 - 1, 2.0, 1e3, 2.0000001)),
    Case("too big an integer", values(1, 2**63), gear="rows", fails=True),
    Case("a big integer among doubles", values(1.5, 2**60 + 1, 2**63)),
    Case("edges of doubles", values(1.0, 1e300, -0.0, 3, 1e-320, 0.1 + 0.2)),
    Case("edges of text", values("x", "\ud7ff\U0001f600\"\\/\t\n", "", "null", "a" * 100_000, "\u0000x", "\u2028")),
    Case("marks of dlt in a text", values("x", "\uf027 2024", "\uf026nothing", "\uf02dx", "\uf026")),
    Case("marks of dlt that name a type", values("x", "\uf02710:00", "\uf0272024-05-01", "\uf0261.5")),
    Case("timestamps of all kinds", [[drawn("2024-01-01T00:00:00Z", rows=10), drawn(
        "2024-05-01 10:00", "2024-05-01T10:00:00.1234567+02:00", "2024-05-01", "x", "", "2024", "20240501",
        "2024-05-01 10", "10:00", "1717171717", "2024-W05-1", "2024-05-01T24:00:00Z", "2024-05-01T10:00:00.12345678",
        "9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00", "2024-05-01T10:00:00,5Z")]], gear="dicts"),
    Case("timestamps with zones", [[drawn("2024-05-01T10:00:00Z", rows=10), drawn(
        "2024-05-01T10:00:00+02:00", "2024-05-01T10:00:00-0930", "2024-05-01T10:00:00.5+14:00",
        "2024-02-29T23:59:59.999999Z", "2024-05-01T10:00:00.1234569Z", "1969-12-31T23:59:59.9Z")]]),
    Case("timestamps without zones", [[drawn("2024-05-01T10:00:00", "2024-05-01 10:00:00.25", "1900-01-01T00:00:00"),
         drawn("2024-05-01T10:00:00", "2024-05-01T10:00:00Z")]]),
    Case("timestamps beyond the years", values("2024-05-01T10:00:00Z", "9999-12-31T23:59:59-01:00"), gear="rows",
         fails=True),
    Case("timestamps before the years", values("2024-05-01T10:00:00Z", "0001-01-01T00:00:00+02:00"), gear="rows",
         fails=True),
    Case("year 0", values("2024-05-01T10:00:00Z", "0000-01-01T00:00:00Z"), gear="dicts"),
    Case("seconds since 1970", [[drawn(0, 1717171717, -1, None)] * 2], column(v="timestamp")),
    Case("seconds beyond the years", values(1, 10**12), column(v="timestamp"), gear="rows"),
    Case("seconds with fractions", [[drawn(1717171717.25, 0.5)] * 2], column(v="timestamp")),
    Case("milliseconds", [[drawn("2024-05-01T10:00:00.123456Z", "2024-05-01T10:00:00Z")] * 2],
         column(v={"data_type": "timestamp", "precision": 3}), "dicts"),
    Case("timestamps that lose their zone", [[drawn("2024-05-01T10:00:00+02:00", "2024-05-01T10:00:00Z")] * 2,
         [drawn("2024-05-01T10:00:00")]], column(v={"data_type": "timestamp", "timezone": False})),
    Case("dates in texts", [[drawn("2024-05-01", "2024-05-02"), drawn("2024-05-01T00:00:00Z"),
         drawn("2024-05-03", "x")]]),
    Case("dates", [[drawn("2024-05-01", "2024-05-02", "2024-05-01T23:00:00-05:00", None), drawn(1717171717)]],
         column(v="date")),
    Case("times", [[drawn("10:00:00", "23:59:59.999999", None), drawn("24:00")]], column(v="time")),
    Case("decimals", [[drawn(1, 2, -3), drawn(1.25, 0.1), drawn("1.10", "7")]],
         column(v={"data_type": "decimal", "precision": 10, "scale": 2})),
    Case("decimals that do not fit", values(1, 0.125), column(v={"data_type": "decimal", "precision": 10, "scale": 2}),
         gear="rows", fails=True),
    Case("texts from numbers", [[drawn(1, 22), drawn(1.5, 1e20), drawn(True), drawn("x")]], column(v="text")),
    Case("texts from numbers with and without a fraction", values(1.5, 2.5, 2), column(v="text"), gear="dicts"),
    Case("texts from mixed numbers", [[drawn(1.5), drawn(2, 2.5, 2**53 + 1, -0.0)]], column(v="text"), gear="dicts"),
    Case("decimals beyond doubles", [[drawn(1.5), drawn(2, 2.5, None), drawn(2**53 + 1, 2.5, -(2**53) - 1)]],
         column(v={"data_type": "decimal", "precision": 38, "scale": 4})),
    Case("doubles from long integers", [[drawn(1.5), drawn(2**53 + 1, 2**62 + 513, 2.5)]], column(v="double")),
    Case("wei", [[drawn(1, 10**18)] * 2], column(v="wei"), gear="rows"),
    Case("bytes", [[drawn("aGFsbG8=", "0xff", None)] * 2, [drawn("!")]], column(v="binary")),
    Case("short integers", [[drawn(1, 127)] * 2, [drawn(1, 1000)]], column(v={"data_type": "bigint", "precision": 8}),
         fails=True),
    Case("hints for columns", [[LITTLE, LITTLE]], column(
        score={"data_type": "decimal", "precision": 10, "scale": 2}, upd="text", id="text")),
    Case("a hint for a column that never comes", [[LITTLE, LITTLE]], column(never="text", soon={"nullable": True})),
    Case("what may not be null, missing", [[LITTLE, [{**row, "score": None} for row in LITTLE]]],
         column(score={"data_type": "double", "nullable": False}), fails=True),
    Case("dates and times, as objects", [[drawn(AT, AT + DAY, at=DATE, time=AT.time())] * 2,
         [drawn(AT.astimezone(timezone(timedelta(hours=2))), None, at=None, time=None)],
         [drawn(AT.replace(tzinfo=None), "2024-05-01T10:00:00Z", at="2024-05-01")]]),
    Case("times with seconds in the zone", [[drawn(AT)] * 2, [drawn(AT.astimezone(timezone(timedelta(seconds=61))))]]),
    Case("times that lose their zone, as objects", [[drawn(AT, AT.replace(tzinfo=None), rows=40)] * 3],
         column(v={"data_type": "timestamp", "timezone": False})),
    Case("times in texts, dates and numbers", [[drawn(AT, DATE, rows=40)] * 3], column(v="text", w="text")),
    Case("decimals, as objects", [[drawn(Decimal("1.50"), Decimal("-0.1"), None)] * 2, [drawn(Decimal(7), 3, 0.5)]]),
    Case("decimals among numbers, as objects", [[drawn(1, 2)] * 2, [drawn(1, Decimal(2))], [drawn(1, Decimal("2.5"))]],
         gear="dicts"),
    Case("bytes and ids, as objects", [[drawn(b"ab", b"", None, id=UUID(int=7))] * 2]),
    Case("objects in lists and structs", [[drawn([AT, AT + DAY], [], [{"at": AT}], n={"at": AT, "d": [DATE]})] * 2],
         gear="dicts"),
    Case("objects in lists of one kind", [[drawn([AT, AT + DAY], [], n={"at": AT, "d": [{"x": Decimal(1)}]})] * 2]),
    Case("objects in a json column", [[drawn({"at": AT}, [DATE], AT, "x", Decimal(1))] * 2], column(v="json"), "dicts"),
    Case("a key that is an object", [[[{"v": AT + number * DAY, "w": 1} for number in range(40)]] * 2],
         {"primary_key": "v", "write_disposition": {"disposition": "merge", "strategy": "upsert"}}),
    Case("wei, as objects", [[drawn(Wei(1), Wei(2))] * 2], gear="rows"),
    Case("no records", [[LITTLE, [1, "x", None, {"id": 3}] * 8]], gear="arrow"),
    Case("null among records", [[LITTLE, [*LITTLE, None]]]),
]  # fmt: skip

CONTRACTS = [
    Case(f"{entity} {mode}", [[LITTLE], [with_every(5, LITTLE, extra=1), with_every(7, LITTLE, score="bad"),
         with_every(9, LITTLE, newlist=[{"a": 1}]), with_every(5, LITTLE, extra=None)],
         [with_every(5, LITTLE, extra=None), LITTLE, LITTLE]],
         then={"schema_contract": {entity: mode}}, fails=mode == "freeze")
    for entity in ("columns", "data_type", "tables")
    for mode in ("freeze", "discard_row", "discard_value")
]  # fmt: skip

GROUPS = {
    "merges": MERGES, "evolution": EVOLUTION, "names": NAMES, "lists": LISTS, "types": TYPES, "contracts": CONTRACTS
}  # fmt: skip
CASES = [case for cases in GROUPS.values() for case in cases]
