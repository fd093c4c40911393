"""The months of the archive of games, and the window of a run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sources.chess.tables import from_epoch
from sources.kit import http
from sources.kit.errors import SourceError

BEGAN = datetime(2007, 5, 1, tzinfo=UTC)  # Chess.com opened in this month
ZONES = timedelta(days=1)  # a window and the archive may not agree on when a day ends


@dataclass(frozen=True)
class Window:
    """The games that ended at or after `since` and before `until`."""

    since: datetime | None
    until: datetime | None

    def __bool__(self) -> bool:
        return bool(self.since or self.until)

    def touches(self, month: Month) -> bool:
        early, late = month.begin - ZONES, month.end + ZONES
        return (self.since is None or late > self.since) and (self.until is None or early < self.until)

    def part_of(self, month: Month, until: datetime) -> Iterator[str]:
        """What of a month is in the window and before `until`, as an interval; nothing where nothing is."""
        since = max(month.begin, self.since or month.begin)
        yield from _interval(since, min(month.end, until, self.until or until))

    def holds(self, game: dict[str, Any]) -> bool:
        """A game without a time of end passes: whoever checks the rows has to see it."""
        end = from_epoch(game.get("end_time"))
        if end is None:
            return True
        return (self.since is None or end >= self.since) and (self.until is None or end < self.until)


@dataclass(frozen=True)
class Month:
    """A month of the archive."""

    year: int
    month: int

    @classmethod
    def of(cls, address: str) -> Month:
        match = re.search(r"/games/([12]\d{3})/(0[1-9]|1[0-2])$", address)
        if not match:
            raise SourceError(f"chess: {http.shown(address)}: is no month of games; the API may have changed")
        return cls(int(match[1]), int(match[2]))

    @property
    def begin(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        return self.next.begin

    @property
    def next(self) -> Month:
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    def __str__(self) -> str:
        return f"{self.year:04}/{self.month:02}"


def unlisted(months: Iterable[Month], until: datetime) -> Iterator[str]:
    """The time between the months of an archive, up to `until`: a month without games is not in it."""
    since = BEGAN
    for month in sorted(months, key=str):
        yield from _interval(since, min(month.begin, until))
        since = month.end
    yield from _interval(since, until)


def _interval(since: datetime, until: datetime) -> Iterator[str]:
    if since < until:
        yield f"{since.isoformat()}/{until.isoformat()}"
