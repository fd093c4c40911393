"""Ask the checks of a spec of the warehouse, and say how each came out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any

from dlt.destinations.exceptions import DatabaseException

from pipelines.checks.questions import failing, measured
from pipelines.errors import did_you_mean
from pipelines.printing import counted
from pipelines.promises import Promises
from pipelines.queries import NotSql, Query, Reference
from pipelines.specs.checks import Check, Fresh, Relationship, RowCount, Sql
from pipelines.translate import refusal
from pipelines.warehouse import Warehouse

OF_A_PART = "not judged after a run of a part"
SHOWN = 20
MEND = "mend the rows where they come from, or the check"
LOOK = "see what was loaded: etl status {} --env {}; load what is missing, or mend the check"


@dataclass(frozen=True)
class Checked:
    """How a check came out: ok, warn, fail or skipped; `counted` is what a row count found."""

    name: str
    kind: str
    severity: str
    status: str
    message: str = ""
    failing: int | None = None
    counted: int | None = None

    @property
    def failed(self) -> bool:
        """Whether it is one that a run must not end well with."""
        return self.status == "fail"

    def line(self, spec: str, environment: str) -> str:
        """The result for a person, with the command that shows the rows."""
        words = {"ok": "ok     ", "warn": "WARN   ", "fail": "FAIL   ", "skipped": "skipped"}[self.status]
        told = f": {self.message}" if self.message else ""
        return f"{words} {spec}.{self.name}{told}{self._advice(spec, environment)}"

    def _advice(self, spec: str, environment: str) -> str:
        """What to do, where the message does not say it: it does of a check that cannot be asked."""
        if self.failing:
            return f"; see them: etl check {spec} --env {environment} --select {self.name} --rows {SHOWN}; {MEND}"
        wanting = self.status in ("warn", "fail") and "expected" in self.message
        return f"; {LOOK.format(spec, environment)}" if wanting else ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Judge:
    """Asks the checks of one spec; `last_counts` are what row counts found before.

    `of_a_part` is after a run that has not read all there is, `left_out` are the tables that a run has not read at all.
    """

    def __init__(
        self, warehouse: Warehouse, promises: Promises, last_counts: Mapping[str, int], of_a_part: bool = False,
        left_out: Collection[str] = (), not_made: Collection[str] = (),
    ) -> None:  # fmt: skip
        self._warehouse, self._promises, self._last_counts = warehouse, promises, last_counts
        self._names = promises.names
        self._of_a_part, self._left_out, self._not_made = of_a_part, left_out, not_made

    def results(self) -> Iterator[Checked]:
        """Each check in turn."""
        return (result for result, _ in self.shown(0))

    def shown(self, limit: int) -> Iterator[tuple[Checked, list[dict[str, Any]]]]:
        """Each check in turn, with up to `limit` of the rows that break it."""
        for check in self._promises.checks:
            yield self._shown(check, limit)

    def _shown(self, check: Check, limit: int) -> tuple[Checked, list[dict[str, Any]]]:
        try:
            result = self._result(check)
            return result, self._rows(check, limit) if result.failing and limit else []
        except NotSql as wrong:
            return _told(check, wrong.message), []
        except DatabaseException as error:
            said = refusal(error)
            if said is None:
                raise
            return _told(check, f"could not be asked: {said}; mend the check"), []

    def _rows(self, check: Check, limit: int) -> list[dict[str, Any]]:
        return self._warehouse.ask_named(f"SELECT * FROM ({self._sql(self._rows_of(check))}) AS failing LIMIT {limit}")

    def _result(self, check: Check) -> Checked:
        why_not = self._why_not(check)
        if why_not:
            return Checked(check.title, check.kind, check.severity, "skipped", why_not)
        wrong = self._missing_column(check)
        if wrong:
            return _told(check, wrong)
        if isinstance(check, RowCount):
            return self._counted(check)
        if isinstance(check, Fresh):
            return _told(check, _too_old(check, self._value(check)))
        sql = f"SELECT count(*) FROM ({self._sql(self._rows_of(check))}) AS failing"
        found = int(self._warehouse.ask(sql)[0][0])
        return _told(check, counted(found, "row") if found else "", failing=found)

    def _why_not(self, check: Check) -> str | None:
        """Why a check cannot be judged now."""
        if self._of_a_part and isinstance(check, (RowCount, Fresh, Relationship)):
            return OF_A_PART
        if isinstance(check, Relationship) and self._half_read(check):
            return OF_A_PART
        for reference in self._read_by(check):
            if reference.table in self._not_made and self._names.is_own(reference):
                return f"{reference.table} was not made"
            if reference.table not in self._tables_beside(reference) and not isinstance(check, RowCount):
                return f"there is no table {reference} yet"
        return None

    def _half_read(self, check: Relationship) -> bool:
        """Whether the run has read some of the tables that a relationship holds between, and others not."""
        read = {self._was_read(table) for _, end, _ in check.mentions() for table in self._loaded(end)}
        return len(read) > 1

    def _was_read(self, table: str) -> bool:
        return not any(table == name or table.startswith(f"{name}__") for name in self._left_out)

    def _loaded(self, table: str) -> set[str]:
        """The loaded tables that a table is, or is made of."""
        model = next((model for model in self._promises.models if model.name == table), None)
        above = {r.table for r in model.query.references if self._names.is_own(r)} if model else set()
        return {each for name in above for each in self._loaded(name)} if model else {table}

    def _missing_column(self, check: Check) -> str:
        for _, table, columns in check.mentions():
            there = self._tables.get(table, [])
            for column in columns:
                if column not in there:
                    near = did_you_mean(column, there)
                    return f"{table} has no column '{column}'{near}; mend the check, or declare the column"
        return ""

    def _counted(self, check: RowCount) -> Checked:
        count = int(self._value(check)) if check.table in self._tables else 0
        return _told(check, _wrong_count(check, count, self._last_counts.get(check.title)), counted=count)

    def _value(self, check: RowCount | Fresh) -> Any:
        return self._warehouse.ask(self._sql(measured(check)))[0][0]

    def _read_by(self, check: Check) -> list[Reference]:
        return (measured(check) if isinstance(check, (RowCount, Fresh)) else self._rows_of(check)).references

    def _rows_of(self, check: Check) -> Query:
        assert not isinstance(check, (RowCount, Fresh))
        return self._promises.queries[check.sql] if isinstance(check, Sql) else failing(check)

    def _sql(self, query: Query) -> str:
        return query.written(self._warehouse.kind, self._names.full(self._warehouse))

    @cached_property
    def _tables(self) -> dict[str, list[str]]:
        return self._warehouse.tables()

    def _tables_beside(self, reference: Reference) -> Collection[str]:
        if self._names.is_own(reference):
            return self._tables
        return self._warehouse.tables(self._names.dataset_in(self._warehouse.environment, reference))


def _told(check: Check, wrong: str, **numbers: int) -> Checked:
    """The result of a check of which something is wrong, or nothing."""
    status = "ok" if not wrong else "warn" if check.severity == "warn" else "fail"
    return Checked(check.title, check.kind, check.severity, status, wrong, **numbers)


def _wrong_count(check: RowCount, count: int, before: int | None) -> str:
    if check.min is not None and count < check.min:
        return f"{counted(count, 'row')}, expected at least {check.min:,}"
    if check.max is not None and count > check.max:
        return f"{counted(count, 'row')}, expected at most {check.max:,}"
    if check.drop_at_most is not None and before is not None:
        share = int(check.drop_at_most.removesuffix("%"))
        if (before - count) * 100 > before * share:
            return f"{counted(count, 'row')}, {before:,} before; expected to shrink by {check.drop_at_most} at most"
    return ""


def _too_old(check: Fresh, newest: Any) -> str:
    if newest is None:
        return f"no {check.columns[0]} at all, expected one within {check.within}"
    moment = _moment(newest)
    if moment is None:
        return f"{check.columns[0]} holds no time or date; check another column"
    oldest = datetime.now(UTC) - timedelta(seconds=check.seconds)
    return "" if moment >= oldest else f"the newest is of {moment:%Y-%m-%d %H:%M}, expected one within {check.within}"


def _moment(value: Any) -> datetime | None:
    """A time in UTC, whatever form it has; of a day its end."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value) if len(value) > 10 else date.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.combine(value, time.max, UTC) if isinstance(value, date) else None
