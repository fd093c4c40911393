"""Days and months of a zone, and the moments between which they lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pipelines.window import in_reach, moment_of

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """The time from `since` to `until`, which is not in it; moments in UTC."""

    since: datetime
    until: datetime


@dataclass(frozen=True)
class Unit:
    """A day or a month: its days from `first` to `end`, which is not in it."""

    name: str
    first: date
    end: date
    span: Span


def units(by: str, span: Span, zone: str) -> Iterator[Unit]:
    """The days or months that a span touches, in order; not a day that a zone has left out."""
    unit = unit_of(by, span.since.astimezone(ZoneInfo(zone)).date(), zone)
    while unit.span.since < span.until:
        if unit.span.since < unit.span.until:
            yield unit
        unit = unit_of(by, unit.end, zone)


def unit_of(by: str, day: date, zone: str) -> Unit:
    """The day, or the month that a day is in."""
    first = day.replace(day=1) if by == "month" else day
    end = _next_month(first) if by == "month" else first + DAY
    return Unit(name_of(by, day), first, end, Span(midnight(first, zone), midnight(end, zone)))


def name_of(by: str, day: date) -> str:
    """`2024-03-09` of a day, `2024-03` of its month."""
    return day.isoformat()[:7] if by == "month" else day.isoformat()


def midnight(day: date, zone: str) -> datetime:
    """When a day begins in a zone; where its first hour is left out for summer, when that would have been."""
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def span_of(text: str, zone: str) -> Span | None:
    """The span that a notice names: a day, a month, or `from/until` of days or times; None for anything else.

    Of what is out of reach of a zone there is none either.
    """
    since, _, until = text.partition("/")
    if not until:
        return _named(text, zone)
    begin, end = moment_of(since, zone), moment_of(until, zone)
    if not begin or not end or not in_reach(begin) or not in_reach(end) or begin >= end:
        return None
    return Span(begin.astimezone(UTC), end.astimezone(UTC))


def _named(text: str, zone: str) -> Span | None:
    by = {7: "month", 10: "day"}.get(len(text), "")
    try:
        return unit_of(by, date.fromisoformat(f"{text}-01" if by == "month" else text), zone).span if by else None
    except (ValueError, OverflowError):
        return None


def _next_month(first: date) -> date:
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)
