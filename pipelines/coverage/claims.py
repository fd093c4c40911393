"""What a run has asked for: told by its source or seen from its cursors, and written down after its load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from dlt.common.normalizers.naming import NamingConvention
from dlt.extract import DltResource, DltSource

from pipelines import build
from pipelines.coverage.accounts import accounts_of
from pipelines.coverage.declared import Declared, declared, is_cursor
from pipelines.coverage.known import EMPTY, FAILED, LOADED, settled
from pipelines.coverage.rows import Tables
from pipelines.coverage.units import Span, midnight, name_of, span_of
from pipelines.coverage.waiting import Place, places
from pipelines.cursors import cursor_of
from pipelines.environment import Environment
from pipelines.errors import EtlError
from pipelines.ledger import Covered, Ledger
from pipelines.refusals import manner
from pipelines.report import Report
from pipelines.rows.intake import Intake
from pipelines.specs.spec import Spec
from pipelines.specs.types import Items
from pipelines.window import FIRST_DAY, Window, in_reach, moment_of

EARLIEST = midnight(date.fromisoformat(FIRST_DAY), "UTC")
ROWS_TO_TIDY = 200  # of one spec; from then on they are written anew, merged, once that halves them


@dataclass(frozen=True)
class Claims:
    """What a run that read to its end has asked for, of one resource; nothing of it is known to have rows yet."""

    declared: Declared
    rows: list[Covered]
    naming: NamingConvention


def claimed(
    environment: Environment, spec: Spec, source: DltSource, intake: Intake, window: Window, report: Report
) -> Iterator[Claims]:
    """The claims of every resource that declares a coverage and was read."""
    chosen = [each for each in declared(source, spec) if each.resource in source.selected_resources]
    for each in chosen:
        blank = _blank(each, report)
        covered = [told for told in intake.covered if told["resource"] == each.resource]
        failed = [told for told in intake.failed if told["resource"] == each.resource]
        said = [_told(each, notice, blank, window.zone) for notice in (*covered, *failed) if notice["unit"]]
        told = [row for row in said if row.item or row.since < row.until]
        asked = None if covered or not all(notice["unit"] for notice in failed) else _asked(source, each, window, blank)
        parts = accounts_of(environment.root, spec, each.coverage) if asked else []
        rows = told + [replace(asked, part=part) for part in parts if asked]
        yield Claims(each, rows, source.schema.naming)


def record(environment: Environment, spec: Spec, report: Report, ledger: Ledger) -> None:
    """Write what a run has asked for, now that its rows are committed."""
    zone = spec.timezone or "UTC"
    judged = [(claims, _set_aside(claims, report, ledger, zone)) for claims in report.claims]
    new = [row for claims, aside in judged for row in _with_rows(environment, spec, claims, aside, ledger)]
    if not new:
        return
    known = ledger.covered(spec.name)
    whole = settled([*known, *new])
    if len(known) + len(new) < max(ROWS_TO_TIDY, 2 * len(whole)):
        ledger.cover(new)
    else:
        ledger.cover([replace(row, run_id=report.run_id) for row in whole])
        ledger.drop_covered(spec.name, but=report.run_id)


def _blank(each: Declared, report: Report) -> Covered:
    """A claim of nothing yet, made by this run when it began."""
    began = report.started_at
    return Covered(report.spec, each.resource, "", "", began, began, EMPTY, "", report.run_id, began)


def _told(each: Declared, notice: dict[str, Any], blank: Covered, zone: str) -> Covered:
    """What a notice claims; nobody can have asked for what came later than the run began, or than it says it did."""
    unit, part = str(notice["unit"]), str(notice["part"]).lower() if each.accounts else ""
    state = FAILED if "reason" in notice else LOADED if notice["rows"] else EMPTY
    row = replace(blank, part=part, state=state, reason=str(notice.get("reason", "")))
    if isinstance(each.coverage, Items):
        return replace(row, item=unit)
    span = span_of(unit, zone)
    if span is None:
        raise EtlError(
            f"sources/{blank.spec}: {each.resource} tells of {unit!r}, which is no day, month or interval; "
            "see covered in sources/kit/notices.py"
        )
    asked_at = max(blank.checked_at, min(notice.get("asked_at") or EARLIEST, datetime.now(UTC)))
    return replace(row, since=span.since, until=span.until if state == FAILED else min(span.until, asked_at))


def _asked(source: DltSource, each: Declared, window: Window, blank: Covered) -> Covered | None:
    """The time that a resource has been asked for as a whole; None where nothing tells."""
    if isinstance(each.coverage, Items):
        return None
    resource = source.resources[each.resource]
    if manner(resource) == "replace":
        asked = Window(midnight(date.fromisoformat(each.coverage.since), window.zone), blank.checked_at)
    else:
        asked = _passed(resource, window, blank.checked_at) if is_cursor(resource, each.column, source) else Window()
    if not asked.since or not asked.until or asked.since >= asked.until:
        return None
    return replace(blank, since=asked.since if in_reach(asked.since) else EARLIEST, until=asked.until)


def _passed(resource: DltResource, window: Window, began: datetime) -> Window:
    """The time that a resource's cursor has passed over; nothing where it goes by no order and no window.

    It ends where the run began, or at a row that is newer: from there the cursor goes on the next time.
    """
    cursor = cursor_of(resource)
    if cursor is None or (cursor.last_value_func is not max and not (window.since and window.until)):
        return Window()
    values = (cursor.start_value, cursor.end_value, None if cursor.start_value is None else cursor.last_value)
    begin, end, newest = (moment_of(value, window.zone) for value in values)
    reached = min(max(began, newest or began), datetime.now(UTC))
    return replace(window, since=window.since or begin, until=min(window.until or end or reached, reached))


def _set_aside(claims: Claims, report: Report, ledger: Ledger, zone: str) -> set[Place]:
    """Where the rows would stand that this run has put into quarantine: there was something, whatever becomes of it."""
    resource = claims.declared.resource
    if not report.rejected.get(resource):
        return set()
    accounts = sorted({row.part for row in claims.rows})
    mine = [row for row in ledger.quarantined(report.spec, resource) if row.run_id == report.run_id]
    return {place for row in mine for place in places(claims.declared, row, accounts, claims.naming, zone)}


def _with_rows(
    environment: Environment, spec: Spec, claims: Claims, aside: set[Place], ledger: Ledger
) -> list[Covered]:
    """The claims in the fewest rows, those days, months or items apart of which there were rows."""
    rows = [
        replace(row, state=LOADED) if row.item and row.state == EMPTY and ("", row.item) in aside else row
        for row in settled(claims.rows)
    ]
    asked = [row for row in rows if row.state != FAILED and not row.item]
    if not asked:
        return rows
    zone = spec.timezone or "UTC"
    tables = Tables(ledger, environment.dataset(build.dataset_name(spec)), environment.kind, zone)
    whole = Span(min(row.since for row in asked), max(row.until for row in asked))
    by = claims.declared.coverage.by
    days = tables.by_day(claims.declared, whole, {row.part for row in asked})
    units = aside | {(part, name_of(by, day)) for part, day in days}
    loaded = [
        replace(row, state=LOADED, since=max(row.since, unit.since), until=min(row.until, unit.until))
        for part, unit in ((part, span_of(name, zone)) for part, name in units)
        for row in asked
        if unit and row.part == part and row.since < unit.until and unit.since < row.until
    ]
    return settled([*rows, *loaded])
