"""`--since` and `--until`: half-open windows, read in the spec's zone, and the values of cursors as moments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from pipelines.errors import UsageError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_DAY, LAST_DAY = "0002-01-01", "9998-12-31"  # of `in_reach`
MICROSECOND, SECOND, MINUTE, DAY = timedelta(microseconds=1), timedelta(seconds=1), timedelta(minutes=1), timedelta(1)
# An epoch number from the first on counts so many ticks a second; every unit begins in 1973.
TICKS = ((10**17, 10**9), (10**14, 10**6), (10**11, 10**3), (10**8, 1))
TEXT = re.compile(r"\d{4}-\d\d-\d\d(?:([T ])\d\d:\d\d(:\d\d(?:\.(\d+))?)?(Z|[+-]\d\d:?\d\d)?)?")


@dataclass(frozen=True)
class Window:
    """Moments in UTC, None is open; `zone` is that of values without one."""

    since: datetime | None = None
    until: datetime | None = None
    zone: str = "UTC"

    def __bool__(self) -> bool:
        return self.since is not None or self.until is not None

    def __str__(self) -> str:
        return f"[{self._text(self.since)}, {self._text(self.until)})"

    @staticmethod
    def _text(moment: datetime | None) -> str:
        return iso(moment) if moment else "…"


def parse(since: str | None, until: str | None, zone: str) -> Window:
    """A window from two texts, a date or an ISO 8601 time each; a time without offset is in `zone`."""
    window = Window(_given(since, "--since", zone), _given(until, "--until", zone), zone)
    if window.since and window.until and window.since >= window.until:
        raise UsageError(f"--since {since} is not before --until {until}; the window is half-open, [since, until)")
    return window


def iso(moment: datetime) -> str:
    """`2024-03-01T00:00:00Z`, with a fraction only where there is one."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def in_reach(moment: datetime) -> bool:
    """Whether every zone has the moment: near the ends of the calendar some lead out of it."""
    return FIRST_DAY <= moment.date().isoformat() <= LAST_DAY


def moment_of(value: Any, zone: str) -> datetime | None:
    """The moment that a cursor's value tells, or None: ISO 8601 text, date, datetime, or a number by its size."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip())
        if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
            ticks = _ticks(value) if value else 1
            return EPOCH + timedelta(microseconds=int(value * 10**6 // ticks)) if ticks else None
    except (ValueError, ArithmeticError):
        return None
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=ZoneInfo(zone))
    return datetime.combine(value, time(), ZoneInfo(zone)) if isinstance(value, date) else None


def like(moment: datetime, example: Any, zone: str, late: bool = False) -> Any:
    """A moment in the form of a cursor's example, or None where that tells none.

    What the form has no room for is cut off, or with `late` rounded up.
    """
    local = moment.astimezone(ZoneInfo(zone))
    if isinstance(example, str):
        return _as_text(moment, example, ZoneInfo(zone), late)
    if isinstance(example, datetime):
        return moment if example.tzinfo else local.replace(tzinfo=None)
    if isinstance(example, date):
        return _on_grid(local, DAY, late).date()
    ticks = _ticks(example) if isinstance(example, (int, float)) else None
    if ticks is None:
        return None
    count = (moment - EPOCH) // MICROSECOND * ticks
    return -(-count // 10**6) if late else count // 10**6


def _as_text(moment: datetime, example: str, zone: tzinfo, late: bool) -> str | None:
    form = TEXT.fullmatch(example)
    if form is None or moment_of(example, "UTC") is None:
        return None
    separator, seconds, fraction, offset = form.groups()
    step = SECOND / 10 ** min(len(fraction), 6) if fraction else SECOND if seconds else MINUTE if separator else DAY
    local = _on_grid(moment.astimezone(datetime.fromisoformat(example).tzinfo or zone), step, late)
    if separator is None:
        return local.date().isoformat()
    length = 20 + len(fraction) if fraction else 19 if seconds else 16
    return local.isoformat(separator, "microseconds")[: min(length, 26)].ljust(length, "0") + (offset or "")


def _on_grid(local: datetime, step: timedelta, late: bool) -> datetime:
    """The last moment before, with `late` the first one after, that is whole steps from midnight."""
    cut = local - (local - local.replace(hour=0, minute=0, second=0, microsecond=0)) % step
    return cut + step if late and cut < local else cut


def _ticks(number: Any) -> int | None:
    """How many of a number's unit make a second, by its size; None for one too small to tell."""
    return next((ticks for start, ticks in TICKS if abs(number) >= start), None)


def _given(text: str | None, option: str, zone: str) -> datetime | None:
    if text is None:
        return None
    moment = moment_of(text, zone)
    if moment is None:
        raise UsageError(f"{option} {text!r}: not a date or an ISO 8601 time; write e.g. 2024-03-01")
    if not in_reach(moment):
        raise UsageError(f"{option} {text}: is out of reach; write a day from {FIRST_DAY} to {LAST_DAY}")
    return moment.astimezone(UTC)
