"""What a run has asked for: told by its source or seen from its cursors, and written down after its load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from dlt.extract import DltResource, DltSource

from pipelines import build
from pipelines.coverage.accounts import accounts_of
from pipelines.coverage.declared import Declared, declared, is_cursor
from pipelines.coverage.known import EMPTY, FAILED, LOADED, settled
from pipelines.coverage.rows import Tables
from pipelines.coverage.units import Span, midnight, span_of, unit_of
from pipelines.cursors import cursor_of
from pipelines.environment import Environment
from pipelines.errors import EtlError
from pipelines.ledger import Covered, Ledger
from pipelines.refusals import manner
from pipelines.report import Report
from pipelines.rows.intake import Intake
from pipelines.specs.spec import Spec
from pipelines.specs.types import Items
from pipelines.window import Window, moment_of

ROWS_TO_TIDY = 200  # of one spec; from then on they are written anew, merged, once that halves them


@dataclass(frozen=True)
class Claims:
    """What a run that read to its end has asked for, of one resource; nothing of it is known to have rows yet."""

    declared: Declared
    rows: list[Covered]


def claimed(
    environment: Environment, spec: Spec, source: DltSource, intake: Intake, window: Window, report: Report
) -> Iterator[Claims]:
    """The claims of every resource that declares a coverage and was read."""
    chosen = [each for each in declared(source, spec) if each.resource in source.selected_resources]
    for each in chosen:
        blank = _blank(each, report)
        covered = [told for told in intake.covered if told["resource"] == each.resource]
        failed = [told for told in intake.failed if told["resource"] == each.resource]
        told = [_told(each, notice, blank, window.zone) for notice in (*covered, *failed) if notice["unit"]]
        asked = None if covered or not all(notice["unit"] for notice in failed) else _asked(source, each, window, blank)
        parts = accounts_of(environment.root, spec, each.coverage) if asked else []
        yield Claims(each, told + [replace(asked, part=part) for part in parts if asked])


def record(environment: Environment, spec: Spec, report: Report, ledger: Ledger) -> None:
    """Write what a run has asked for, now that its rows are committed."""
    new = [row for claims in report.claims for row in _with_rows(environment, spec, claims, ledger)]
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
    """What a notice claims."""
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
    return replace(row, since=span.since, until=span.until)


def _asked(source: DltSource, each: Declared, window: Window, blank: Covered) -> Covered | None:
    """The time that a resource has been asked for as a whole, up to the start of the run; None where nothing tells."""
    if isinstance(each.coverage, Items):
        return None
    resource = source.resources[each.resource]
    if manner(resource) == "replace":
        asked = replace(window, since=midnight(date.fromisoformat(each.coverage.since), window.zone))
    else:
        asked = _passed(resource, window) if is_cursor(resource, each.column, source) else Window()
    until = min(blank.checked_at, asked.until or blank.checked_at)
    return replace(blank, since=asked.since, until=until) if asked.since and asked.since < until else None


def _passed(resource: DltResource, window: Window) -> Window:
    """The time that a resource's cursor has passed over; nothing where it goes by no order and no window."""
    cursor = cursor_of(resource)
    if cursor is None or (cursor.last_value_func is not max and not (window.since and window.until)):
        return Window()
    begin, end = (moment_of(value, window.zone) for value in (cursor.start_value, cursor.end_value))
    return replace(window, since=window.since or begin, until=window.until or end)


def _with_rows(environment: Environment, spec: Spec, claims: Claims, ledger: Ledger) -> list[Covered]:
    """The claims in the fewest rows, those days or months apart of which the table has rows."""
    rows = settled(claims.rows)
    asked = [row for row in rows if row.state != FAILED and not row.item]
    if not asked:
        return rows
    zone = spec.timezone or "UTC"
    tables = Tables(ledger, environment.dataset(build.dataset_name(spec)), environment.kind, zone)
    whole = Span(min(row.since for row in asked), max(row.until for row in asked))
    days = tables.by_day(claims.declared, whole, {row.part for row in asked})
    loaded = [
        replace(row, state=LOADED, since=max(row.since, day.since), until=min(row.until, day.until))
        for part, day in ((part, unit_of(claims.declared.coverage.by, day, zone).span) for part, day in days)
        for row in asked
        if row.part == part and row.since < day.until and day.since < row.until
    ]
    return settled([*rows, *loaded])
