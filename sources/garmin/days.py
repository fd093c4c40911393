"""The days that a metric is asked for: those not asked for yet, those that may change, and those that failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sources.garmin.moments import DAY
from sources.kit.errors import BadSetting

MONDAY = date(1970, 1, 5)
Memory = dict[str, Any]  # of one resource and account: the day up to which it was asked for, and what failed


@dataclass(frozen=True)
class Span:
    """Days, the first and the last included."""

    first: date
    last: date

    def __bool__(self) -> bool:
        return self.first <= self.last

    @property
    def unit(self) -> str:
        """What coverage calls it; nothing where there is no day in it."""
        if not self:
            return ""
        return str(self.first) if self.first == self.last else f"{self.first}/{self.last + DAY}"

    @property
    def days(self) -> list[date]:
        """Each of them."""
        return [self.first + DAY * number for number in range((self.last - self.first).days + 1)]


@dataclass(frozen=True)
class Window:
    """The days of a run with `--since` or `--until`; `begin` is where an account begins that was never read."""

    begin: date
    since: date | None = None
    until: date | None = None  # the last one

    def __bool__(self) -> bool:
        return bool(self.since or self.until)

    def of(self, memories: list[Memory], look_back: int, today: date) -> Span:
        """What is to be asked for, where this is what resources remember that are read together."""
        if self:
            return Span(self.since or self.begin, min(self.until or today, today))
        untils = [memory["until"] for memory in memories if "until" in memory]
        if len(untils) < len(memories):
            return Span(self.begin, today)
        return Span(max(self.begin, date.fromisoformat(min(untils)) - look_back * DAY), today)


def asked(span: Span, days: int, weekly: bool) -> Iterator[Span]:
    """A span in requests of so many days; weekly ones begin on Mondays of one grid, so that weeks stay the same."""
    first = span.first - (span.first - MONDAY).days % days * DAY if weekly else span.first
    while first <= span.last:
        yield Span(first, min(first + (days - 1) * DAY, span.last))
        first += days * DAY


def failed(memories: list[Memory], span: Span) -> list[Span]:
    """What failed before and is not in the span."""
    told = {tuple(each) for memory in memories for each in memory.get("failed", [])}
    spans = [Span(date.fromisoformat(first), date.fromisoformat(last)) for first, last in sorted(told)]
    return [each for each in spans if each.first < span.first]


def window(begin: str, since: str | None, until: str | None, zone: ZoneInfo) -> Window:
    """The window of a run, by the days of the zone; BadSetting where a bound is none."""
    try:
        earliest = date.fromisoformat(begin)
    except ValueError:
        raise BadSetting(f"garmin: begin: {begin!r} is no day; write e.g. 2024-01-01") from None
    last = _local(until, zone, timedelta(microseconds=1))
    return Window(earliest, _local(since, zone, timedelta()), last)


def _local(text: str | None, zone: ZoneInfo, before: timedelta) -> date | None:
    return (datetime.fromisoformat(text) - before).astimezone(zone).date() if text else None
