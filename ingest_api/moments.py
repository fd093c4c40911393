"""Times of a recorder as moments in UTC; those that name no zone are read in the device's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


class OutOfRange(ValueError):
    """A time that has no place in UTC's calendar."""


@dataclass(frozen=True)
class Span:
    """From when to when; `other_start` is where the clock was set back and the hour came twice."""

    start: datetime
    end: datetime
    other_start: datetime | None = None
    skipped: bool = False
    """Whether the clock, set forward, never showed this time."""

    def the_other(self) -> Span:
        """The same wall clock an hour later; only where there is `other_start`."""
        assert self.other_start is not None
        return Span(self.other_start, self.other_start + (self.end - self.start))


def zone(name: str) -> ZoneInfo:
    """A zone by its name; ValueError where there is none of it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r}") from None


def span(start: datetime, end: datetime, local: ZoneInfo) -> Span:
    """Two times of one clock as moments; of two without a zone, the time between them is what the clock said."""
    try:
        begins = _utc(start, local)
        lasts = end - start if start.tzinfo is None and end.tzinfo is None else _utc(end, local) - begins
        ends = begins + lasts
        if start.tzinfo is not None:
            return Span(begins, ends)
        second = _utc(start.replace(fold=1), local)
        if second > begins:
            return Span(begins, ends, other_start=second)
        return Span(begins, ends, skipped=second < begins)
    except OverflowError:
        raise OutOfRange("a time is before the year 1 or after the year 9999") from None


def _utc(moment: datetime, local: ZoneInfo) -> datetime:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=local)
    return aware.astimezone(UTC)
