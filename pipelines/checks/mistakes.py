"""What of a check can never hold or never be asked, seen before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from dlt.extract import DltResource, DltSource
from sqlglot import exp

from pipelines.build import outline
from pipelines.errors import did_you_mean
from pipelines.queries import condition
from pipelines.specs.checks import Accepted, Check, Fresh, Range, Relationship
from pipelines.specs.spec import Spec

TIMES = ("timestamp", "date")
NUMBERS = ("bigint", "double", "decimal", "wei")
OWN = "_dlt_"  # what dlt adds to each table
CLOSED = ("freeze", "discard_row", "discard_value")  # contracts under which no column comes that is not declared
Wrong = tuple[str, str]  # the key of the check, and what is wrong there


@dataclass(frozen=True)
class Known:
    """The columns of a table with dlt's types, empty where nobody knows; `whole` if it can have no others."""

    types: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False

    def lacks(self, column: str) -> bool:
        """Whether the table cannot have a column."""
        return self.whole and column not in self.types and not column.startswith(OWN)


def loaded_tables(root: Path, spec: Spec, wanted: Container[str]) -> dict[str, Known]:
    """What a spec declares of the tables that it loads, of those that are wanted."""
    source = outline(root, spec)
    name = source.schema.naming.normalize_tables_path
    resources = [each for each in source.resources.values() if isinstance(each.table_name, str)]
    tables = {name(str(each.table_name)): each for each in resources}
    return {table: _declared(source, each) for table, each in tables.items() if table in wanted}


def _declared(source: DltSource, resource: DltResource) -> Known:
    table = resource.compute_table_schema()
    name = source.schema.naming.normalize_path
    types = {name(column): str(hints.get("data_type", "")) for column, hints in table.get("columns", {}).items()}
    contract: Any = table.get("schema_contract") or source.schema_contract
    of_columns = contract.get("columns") if isinstance(contract, dict) else contract
    return Known(types, whole=of_columns in CLOSED)


def mistakes(check: Check, known: Mapping[str, Known]) -> Iterator[Wrong]:
    """What cannot work, by the key that says it; a table of which nothing is known has no mistakes."""
    for key, table, columns in check.mentions():
        yield from ((key, wrong) for wrong in _unknown(table, columns, known))
    where = getattr(check, "where", None)
    if where:
        yield from (("where", wrong) for wrong in _unknown(check.table, _columns_in(where), known))
    column = check.columns[0] if check.columns else ""
    kind = known.get(check.table, Known()).types.get(column, "")
    match check:
        case Fresh() if kind and kind not in (*TIMES, "text"):
            yield "fresh", f"{column} is a {kind}, expected a timestamp or a date"
        case Range():
            yield from _of_bounds(check, column, kind)
        case Accepted():
            unfit = [value for value in check.values if not _fits(value, kind)]
            if unfit:
                yield "values", f"{column} is a {kind}, which {unfit[0]!r} never equals"
        case Relationship():
            table, key = check.to.split(".")
            other = known.get(table, Known()).types.get(key, "")
            if {kind, other} & {"text"} and {kind, other} & {*NUMBERS}:
                yield "to", f"{key} is a {other} and {column} a {kind}; they are never equal"


def _unknown(table: str, columns: list[str], known: Mapping[str, Known]) -> Iterator[str]:
    there = known.get(table, Known())
    unknown = next((column for column in columns if there.lacks(column)), None)
    if unknown:
        yield f"{table} has no column '{unknown}'{did_you_mean(unknown, list(there.types))}"


def _columns_in(where: str) -> list[str]:
    """The columns of a condition; none where it has a query inside, whose columns are of other tables."""
    read = condition(where)
    return [] if read.find(exp.Query) else [column.name for column in read.find_all(exp.Column)]


def _of_bounds(check: Range, column: str, kind: str) -> Iterator[Wrong]:
    for key, bound in (("min", check.min), ("max", check.max)):
        if bound is not None and not _fits(bound, kind):
            yield key, f"{column} is a {kind}, expected {_EXPECTED.get(kind, 'another column')}"
    if isinstance(check.min, int | float) and isinstance(check.max, int | float) and check.min > check.max:
        yield "max", f"expected at least min, {check.min}"


def _fits(value: Any, kind: str) -> bool:
    """Whether a value of YAML can be compared with those of a column; anything with one of an unknown type."""
    return kind not in _FIT or _FIT[kind](value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_time(value: Any) -> bool:
    try:
        return bool(datetime.fromisoformat(value))
    except (TypeError, ValueError):
        return False


def _is_day(value: Any) -> bool:
    try:
        return bool(date.fromisoformat(value))
    except (TypeError, ValueError):
        return False


_FIT: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(NUMBERS, _is_number),
    "timestamp": _is_time,
    "date": _is_day,
    "text": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    **dict.fromkeys(("json", "binary"), lambda value: False),
}
_EXPECTED = {
    **dict.fromkeys(NUMBERS, "a number"),
    "timestamp": "a time such as '2024-01-31T00:00:00Z'",
    "date": "a day such as '2024-01-31'",
    "text": "text in quotes",
    "bool": "true or false",
}
