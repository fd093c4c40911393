"""Times of Garmin as moments in UTC: what it calls GMT is kept, what it calls local only tells the offset."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FARTHEST_MINUTES = 15 * 60  # no zone is farther from UTC; some accounts in China are told twice their offset
DAY = timedelta(days=1)


def moment(value: Any) -> datetime | None:
    """Epoch milliseconds, or an ISO 8601 text whose time is UTC unless it has an offset; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        if not isinstance(value, str):
            return EPOCH + timedelta(milliseconds=value)
        told = datetime.fromisoformat(value)
        return told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=UTC)
    except (OverflowError, ValueError):
        return None


def utc(value: Any) -> Any:
    """The same as ISO 8601 text in UTC; what tells no moment stays as it is, for whoever checks the rows."""
    told = moment(value)
    return iso(told) if told else value


def iso(moment: datetime) -> str:
    """`2024-03-01T00:00:00Z`."""
    return f"{moment.replace(tzinfo=None).isoformat()}Z"


def offset_minutes(local: Any, gmt: Any) -> int | None:
    """How far a wall clock, written as if it were UTC, is ahead of UTC; None where that can be no zone's."""
    here, there = moment(local), moment(gmt)
    if here is None or there is None:
        return None
    minutes = round((here - there) / timedelta(minutes=1))
    return minutes if abs(minutes) <= FARTHEST_MINUTES else None


def days(first: date, last: date) -> list[date]:
    """The days from one to another, both included."""
    return [first + timedelta(days=count) for count in range((last - first).days + 1)]
