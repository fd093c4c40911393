"""What is known of each day, month or item that a spec declares: rows in the table, claims of runs, quarantine."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from dlt.extract import DltSource

from pipelines import build
from pipelines.coverage.accounts import ALL, accounts_of
from pipelines.coverage.declared import Column, Declared, declared
from pipelines.coverage.known import EMPTY, FAILED, LOADED, place, settled
from pipelines.coverage.rows import Tables
from pipelines.coverage.units import Span, Unit, midnight, name_of, units
from pipelines.coverage.waiting import Place, places
from pipelines.environment import Environment
from pipelines.ledger import Covered, Ledger
from pipelines.specs.spec import Spec
from pipelines.specs.types import Periods
from pipelines.window import LAST_DAY, Window

QUARANTINED, MISSING, IN_PART, NEVER, OPEN = "quarantined", "missing", "in part", "never asked", "open"
STATES = (LOADED, EMPTY, QUARANTINED, FAILED, MISSING, IN_PART, NEVER, OPEN)
HOLES = (FAILED, MISSING, IN_PART, NEVER)


@dataclass(frozen=True)
class Cell:
    """One day, month or item; `days` is the first of it and the first after it, in the spec's zone."""

    name: str
    state: str
    rows: int
    quarantined: int
    reason: str = ""
    days: tuple[date, date] | None = None


@dataclass(frozen=True)
class Sheet:
    """The cells of one account of one resource, in order; `adrift` counts rows in quarantine that fit no cell."""

    declared: Declared
    account: str
    cells: list[Cell]
    adrift: int

    @property
    def resource(self) -> str:
        return self.declared.resource

    @property
    def by(self) -> str:
        return self.declared.coverage.by

    def totals(self) -> dict[str, int]:
        """How many cells there are of each state."""
        counted = Counter(cell.state for cell in self.cells)
        return {state: counted[state] for state in STATES if counted[state]}


class Survey:
    """Looks at one spec in one environment, inside a window, as of `now`; its settings must be in force."""

    def __init__(
        self,
        environment: Environment,
        spec: Spec,
        source: DltSource,
        ledger: Ledger | None,
        window: Window,
        now: datetime,
    ) -> None:
        self._root, self._spec, self._source, self._window, self._now = environment.root, spec, source, window, now
        dataset = environment.dataset(build.dataset_name(spec))
        self._tables = Tables(ledger, dataset, environment.kind, window.zone) if ledger else None
        self._claims = settled(ledger.covered(spec.name)) if ledger else []
        self._quarantine = ledger.quarantined(spec.name) if ledger and ledger.has("quarantine") else []

    def sheets(self) -> Iterator[Sheet]:
        """A sheet for each account of each resource that declares a coverage."""
        for each in declared(self._source, self._spec):
            if isinstance(each.coverage, Periods):
                yield from self._of_periods(each, each.coverage)
            else:
                yield self._of_items(each)

    def _of_periods(self, each: Declared, coverage: Periods) -> Iterator[Sheet]:
        accounts = accounts_of(self._root, self._spec, coverage)
        whole = self._declared(coverage)
        periods = list(self._periods(coverage, whole))
        rows = self._rows(each, coverage, periods, accounts)
        waiting = self._waiting(each, accounts)
        ripe = self._now - coverage.settles_in  # what has ended by then must be there
        for account in accounts:
            known = [row for row in self._claims if place(row) == (each.resource, account, "")]
            cells = [
                _of_period(unit, *said, rows[account, unit.name], waiting[account, unit.name], ripe)
                for unit, said in _said(periods, known, whole)
            ]
            yield Sheet(each, account, cells, waiting[account, ""])

    def _declared(self, coverage: Periods) -> Span:
        """The time that is declared; one without an end goes on for ever."""
        since, until = (coverage.since, coverage.until or LAST_DAY)
        return Span(*(midnight(date.fromisoformat(day), self._window.zone) for day in (since, until)))

    def _periods(self, coverage: Periods, whole: Span) -> Iterator[Unit]:
        """The days or months that are declared, inside the window and up to now."""
        window, until = self._window, min(whole.until, self._now)
        span = Span(max(whole.since, window.since or whole.since), min(until, window.until or until))
        if span.since < span.until:
            yield from units(coverage.by, span, window.zone)

    def _rows(
        self, each: Declared, coverage: Periods, periods: Sequence[Unit], accounts: Sequence[str]
    ) -> Counter[Place]:
        rows: Counter[Place] = Counter()
        if periods and self._tables:
            whole = Span(periods[0].span.since, periods[-1].span.until)
            for (account, day), count in self._tables.by_day(each, whole, accounts).items():
                rows[account, name_of(coverage.by, day)] += count
        return rows

    def _waiting(self, each: Declared, accounts: Sequence[str]) -> Counter[Place]:
        """Rows in quarantine by the place they would have."""
        naming, zone = self._source.schema.naming, self._window.zone
        mine = [row for row in self._quarantine if row.resource == each.resource]
        return Counter(place for row in mine for place in places(each, row, accounts, naming, zone))

    def _of_items(self, each: Declared) -> Sheet:
        rows, waiting = self._names(each.column), self._waiting(each, ALL)
        known = {row.item: row for row in self._claims if row.resource == each.resource}
        listed = self._names(each.listed) if each.listed else {}
        names = {*rows, *known, *listed, *(item for _, item in waiting)} - {""}
        cells = [_of_item(name, known.get(name), rows[name], waiting["", name]) for name in sorted(names)]
        return Sheet(each, "", cells, waiting["", ""])

    def _names(self, column: Column) -> Counter[str]:
        """Rows by the name of their item."""
        return self._tables.by_item(column) if self._tables else Counter()


def _of_period(unit: Unit, said: str, reason: str, rows: int, waiting: int, ripe: datetime) -> Cell:
    state = _state(said, rows, waiting)
    goes_on = unit.span.until > ripe
    if goes_on and (state in HOLES or (state == LOADED and said == NEVER)):  # what rows it has may be a part of them
        state = OPEN
    return Cell(unit.name, state, rows, waiting, reason if state == FAILED else "", (unit.first, unit.end))


def _of_item(name: str, known: Covered | None, rows: int, waiting: int) -> Cell:
    """An item that is there is there, even if a later attempt at it failed."""
    said = known.state if known and not (rows and known.state == FAILED) else NEVER
    state = _state(said, rows, waiting)
    return Cell(name, state, rows, waiting, known.reason if known and state == FAILED else "")


def _state(said: str, rows: int, waiting: int) -> str:
    """What a unit is, from the last word of runs on it, its rows, and those in quarantine."""
    if said in (FAILED, IN_PART):
        return said
    if waiting:
        return QUARANTINED
    if rows:
        return LOADED
    return MISSING if said == LOADED else said


def _said(periods: Sequence[Unit], known: Sequence[Covered], whole: Span) -> Iterator[tuple[Unit, tuple[str, str]]]:
    """Each day or month with the last word on it and its reason; `known` is in order and does not overlap.

    Of a day or month that lies in `whole` in part, only that part counts.
    """
    begins, ends = [row.since for row in known], [row.until for row in known]
    for unit in periods:
        span = Span(max(unit.span.since, whole.since), min(unit.span.until, whole.until))
        touching = known[bisect_right(ends, span.since) : bisect_left(begins, span.until)]
        yield unit, _word(span, touching)


def _word(span: Span, touching: Sequence[Covered]) -> tuple[str, str]:
    """The last word on a stretch of time: failed in a part of it; loaded or empty only if all of it was asked for."""
    failed = next((row for row in touching if row.state == FAILED), None)
    if failed or not touching:
        return (FAILED, failed.reason) if failed else (NEVER, "")
    asked = sum((min(row.until, span.until) - max(row.since, span.since) for row in touching), timedelta())
    if asked < span.until - span.since:
        return IN_PART, ""
    return (LOADED if any(row.state == LOADED for row in touching) else EMPTY), ""
