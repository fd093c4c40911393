"""What a spec declares of its coverage, found again in the tables its source writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlt.common.schema.typing import TTableSchema
from dlt.extract import DltResource, DltSource

from pipelines import build
from pipelines.cursors import cursor_of
from pipelines.errors import Problem, did_you_mean
from pipelines.rows.declared import dynamic
from pipelines.specs.spec import Spec
from pipelines.specs.types import Coverage, Items, Periods
from pipelines.specs.yaml_marks import Place

TIMES = ("timestamp", "date")


@dataclass(frozen=True)
class Column:
    """A declared column of a table, both as they are named in the destination."""

    table: str
    name: str
    data_type: str
    has_zone: bool

    @property
    def is_date(self) -> bool:
        """Whether it holds days, not moments."""
        return self.data_type == "date"


@dataclass(frozen=True)
class Declared:
    """The coverage of one resource: the column that names the unit of a row, and those that name its account."""

    resource: str
    coverage: Coverage
    column: Column
    accounts: tuple[Column, ...] = ()
    listed: Column | None = None


def problems(root: Path, spec: Spec) -> list[Problem]:
    """What is wrong with the coverage that a spec declares, seen from its source."""
    if not any(hints.coverage for hints in spec.resources.values()):
        return []
    source, arguments = build.outline(root, spec), build.arguments(root, spec)
    return [
        spec.problem(("resources", name, "coverage", *place), message)
        for name, hints in spec.resources.items()
        if hints.coverage
        for place, message in _wrong(source, name, hints.coverage, list(arguments))
    ]


def declared(source: DltSource, spec: Spec) -> list[Declared]:
    """The coverage of every resource that declares one, without mistakes."""
    found = {name: hints.coverage for name, hints in spec.resources.items() if hints.coverage}
    return [_declared(source, name, coverage) for name, coverage in found.items()]


def is_cursor(resource: DltResource, column: Column, source: DltSource) -> bool:
    """Whether a column is the cursor of a resource that is fed by none, so that a run knows how far it has asked."""
    cursor = cursor_of(resource)
    if cursor is None or resource.is_transformer:
        return False
    return _normalized(str(cursor.cursor_path).removeprefix("$.").replace(".", "__"), source) == column.name


def _declared(source: DltSource, name: str, coverage: Coverage) -> Declared:
    named = list(_named(name, coverage))
    tables = {each: source.resources[each].compute_table_schema() for _, each, _ in named}
    at: dict[str | int, list[Column]] = {place[0]: [] for place, _, _ in named}
    for place, resource, column in named:
        at[place[0]].append(_column(tables[resource], column, source))
    return Declared(name, coverage, at["column"][0], tuple(at.get("per", ())), next(iter(at.get("of", ())), None))


def _named(name: str, coverage: Coverage) -> Iterator[tuple[Place, str, str]]:
    """Every column that a coverage names: its place in the spec, its resource and its name there."""
    yield ("column",), name, coverage.column
    if isinstance(coverage, Items):
        if coverage.of:
            resource, _, column = coverage.of.partition(".")
            yield ("of",), resource, column
    elif coverage.per:
        columns = coverage.per.columns
        for column in [columns] if isinstance(columns, str) else columns:
            yield ("per", "columns"), name, column


def _wrong(source: DltSource, name: str, coverage: Coverage, arguments: Sequence[str]) -> Iterator[tuple[Place, str]]:
    for place, resource, column in _named(name, coverage):
        types = TIMES if place == ("column",) and isinstance(coverage, Periods) else ()
        message = _mistake(source, resource, column, types)
        if message:
            yield place, message
    if isinstance(coverage, Periods) and coverage.until and coverage.until <= coverage.since:
        yield ("until",), f"expected a day after since, {coverage.since}"
    for place, argument in _arguments(coverage):
        if argument not in arguments:
            yield place, f"the source has no such argument{did_you_mean(argument, arguments)}"


def _arguments(coverage: Coverage) -> Iterator[tuple[Place, str]]:
    if isinstance(coverage, Items):
        if coverage.argument:
            yield ("argument",), coverage.argument
    elif coverage.per:
        yield ("per", "argument"), coverage.per.argument


def _mistake(source: DltSource, name: str, column: str, types: Sequence[str]) -> str | None:
    """Why rows cannot be counted by a column, or None."""
    resource = source.resources.get(name)
    if resource is None:
        return f"no such resource{did_you_mean(name, list(source.resources))}"
    if dynamic(resource):
        return f"the rows of {name} name their table, so they cannot be counted; leave it out"
    hints = _hints(resource.compute_table_schema(), source)
    found = hints.get(_normalized(column, source), {}).get("data_type")
    if found is None:
        return f"no column {column!r} with a data_type is declared{did_you_mean(column, list(hints))}; declare it"
    return f"{column} is a {found}, expected a {' or a '.join(types)}" if types and found not in types else None


def _column(schema: TTableSchema, name: str, source: DltSource) -> Column:
    column = _normalized(name, source)
    hints = _hints(schema, source)[column]
    table = source.schema.naming.normalize_table_identifier(str(schema["name"]))
    return Column(table, column, str(hints["data_type"]), hints.get("timezone") is not False)


def _hints(schema: TTableSchema, source: DltSource) -> dict[str, Any]:
    """The declared columns as they are named in the table."""
    columns = schema.get("columns", {})
    return {_normalized(name, source): hints for name, hints in columns.items()}


def _normalized(name: str, source: DltSource) -> str:
    return source.schema.naming.normalize_path(name)
