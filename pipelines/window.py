"""`--since` and `--until`: half-open windows, read in the spec's zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from pipelines.errors import UsageError

MILLISECONDS_FROM = 10**11  # an epoch number above this counts milliseconds


@dataclass(frozen=True)
class Window:
    """Moments in UTC; None is open."""

    since: datetime | None = None
    until: datetime | None = None

    def __bool__(self) -> bool:
        return self.since is not None or self.until is not None

    def __str__(self) -> str:
        return f"[{self._text(self.since)}, {self._text(self.until)})"

    @staticmethod
    def _text(moment: datetime | None) -> str:
        return iso(moment) if moment else "…"


def parse(since: str | None, until: str | None, zone: str) -> Window:
    """A window from two texts, a date or an ISO 8601 time each; a time without offset is in `zone`."""
    window = Window(_moment(since, "--since", zone), _moment(until, "--until", zone))
    if window.since and window.until and window.since >= window.until:
        raise UsageError(f"--since {since} is not before --until {until}; the window is half-open, [since, until)")
    return window


def iso(moment: datetime) -> str:
    """`2024-03-01T00:00:00Z`, with a fraction only where there is one."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def like(moment: datetime, example: Any) -> Any:
    """A moment in the shape of a cursor's example: epoch seconds or milliseconds, date, time or datetime."""
    if isinstance(example, bool) or example is None:
        return iso(moment)
    if isinstance(example, (int, float)):
        seconds = moment.timestamp()
        return int(seconds * 1000) if abs(example) >= MILLISECONDS_FROM else int(seconds)
    if isinstance(example, str):
        return moment.date().isoformat() if re.fullmatch(r"\d{4}-\d\d-\d\d", example) else iso(moment)
    return moment.date() if type(example) is date else moment


def _moment(text: str | None, option: str, zone: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"{option} {text!r}: not a date or an ISO 8601 time; write e.g. 2024-03-01") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
