"""Which matches there are: everybody's history, newest first, down to where nothing is new.

A listing ends at an empty page, or after a whole page of matches that are known and older than the newest of the last
listing by `OVERLAP`; the first match that is known ends nothing. What it found is compared with the API's own count:
where that is higher the whole history is listed again, and what is missing even then is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sources.kit import notices
from sources.kit.halo.matches import assets_of
from sources.kit.halo.shape import Row, below
from sources.spnkr.ledger import Ledger, Match, Memory
from sources.spnkr.people import People, checked
from sources.spnkr.tables import history_row
from sources.spnkr.upstream import STATS, Upstream, listed, player_path

OVERLAP = timedelta(days=2)  # a match may turn up in a history after a newer one
PAGE = 25  # the most that the API gives
FORBIDDEN = 403
MATCH_TYPES = {
    "all": "MatchesPlayedCount",
    "matchmaking": "MatchmadeMatchesPlayedCount",
    "custom": "CustomMatchesPlayedCount",
    "local": "LocalMatchesPlayedCount",
}


@dataclass(frozen=True)
class Window:
    """The matches that began at or after `since` and before `until`."""

    since: datetime | None = None
    until: datetime | None = None

    def __bool__(self) -> bool:
        return bool(self.since or self.until)

    def holds(self, began: datetime | None) -> bool:
        """A match that does not say when it began passes, for whoever checks the rows to see."""
        if began is None:
            return True
        return (self.since is None or began >= self.since) and (self.until is None or began < self.until)


@dataclass
class Histories:
    """What the histories of a run have: the matches, newest first for each person, and the assets they name."""

    upstream: Upstream
    people: People
    ledger: Ledger
    match_type: str
    window: Window
    matches: dict[str, Match] = field(default_factory=dict)
    assets: dict[tuple[str, str, str], None] = field(default_factory=dict)
    newest: dict[str, str] = field(default_factory=dict)

    def pages(self, own: Memory | None, others: list[Memory]) -> Iterator[list[Row]]:
        """The rows of `match_history`, whose memory of each person is `own`, where it runs.

        `others` are the moments, by person, up to which other tables need no listing.
        """
        for xuid in self.people.xuids():
            if isinstance(xuid, list):
                yield xuid
            else:
                known = None if own is None else own.setdefault(xuid, {})
                yield from self._of_person(xuid, known, [other.get(xuid) for other in others])

    def _of_person(self, xuid: str, known: Memory | None, untils: list[str | None]) -> Iterator[list[Row]]:
        counted = None if self.window or known is None else _counted(self.people.count(xuid), self.match_type)
        listing = Listing(self, xuid, known, untils)
        yield from listing.pages()
        if known is None:
            return
        if counted is not None and counted > listing.count and not (listing.reached_end or listing.failed):
            listing = Listing(self, xuid, {}, [None])
            yield from listing.pages()
        if listing.failed:
            return
        listing.remember(known)
        if counted is not None and counted > listing.count:
            missing = counted - listing.count
            reason = f"the API counts {counted} matches ({self.match_type}), the history lists {listing.count}"
            yield [notices.failed(f"{xuid}: {missing} matches are missing", reason)]


class Listing:
    """One way down one history."""

    def __init__(self, histories: Histories, xuid: str, known: Memory | None, untils: list[str | None]) -> None:
        self._in, self._xuid = histories, xuid
        self._known = known or {}
        floors = [_before(until) for until in (*untils, *([] if known is None else [known.get("until")]))]
        self._floor = None if None in floors else min(filter(None, floors), default=None)
        self._own_floor = _before(self._known.get("until"))
        self._recent = set(self._known.get("recent", []))
        self._seen: dict[str, datetime | None] = {}
        self._new = 0
        self.reached_end, self.failed = False, False

    @property
    def count(self) -> int:
        """How many matches the person is known to have."""
        return len(self._seen) if self.reached_end else self._known.get("count", 0) + self._new

    def pages(self) -> Iterator[list[Row]]:
        start = 0
        while True:
            path = (
                f"/hi/players/{player_path(self._xuid)}/matches?start={start}&count={PAGE}&type={self._in.match_type}"
            )
            answer = self._in.upstream.one(STATS, path)
            if answer.status == FORBIDDEN:
                self.failed = True
                reason = "the history is private (403); its owner can open it in the settings of Halo Waypoint"
                yield [notices.failed(self._xuid, reason)]
                return
            found = listed(checked(answer), "Results", f"the history of {self._xuid}")
            if not found:
                self.reached_end = True
                return
            yield [row for entry in found if (row := self._taken(entry)) is not None]
            if self._is_known(found):
                return
            start += min(len(found), PAGE)

    def remember(self, known: Memory) -> None:
        """Keep what the next listing has to know."""
        began = [moment for moment in self._seen.values() if moment]
        until = max([*began, *filter(None, [_moment(known.get("until"))])], default=None)
        if until is None:
            return
        recent = {match for match, moment in self._seen.items() if moment and moment >= until - OVERLAP}
        known.update(until=until.isoformat(), count=self.count, recent=sorted(recent))

    def _taken(self, entry: Any) -> Row | None:
        """The row of an entry, unless it was loaded before; what the entry tells is kept either way."""
        row = history_row(self._xuid, entry)
        match_id, began = row.get("match_id"), _began(row)
        if getattr(row, "is_notice", False) or not isinstance(match_id, str):
            return row
        if not self._in.window.holds(began):
            return None
        is_new = self._is_new(match_id, began)
        self._new += is_new and match_id not in self._seen
        self._seen[match_id] = began
        self._in.matches.setdefault(
            match_id, Match(match_id, _moment(row.get("end_time")), bool(row.get("playlist_id")))
        )
        self._in.assets |= dict.fromkeys(assets_of(row))
        if began and began.isoformat() > self._in.newest.get(self._xuid, ""):
            self._in.newest[self._xuid] = began.isoformat()
        return row if is_new else None

    def _is_new(self, match_id: str, began: datetime | None) -> bool:
        if self._own_floor is None or began is None:
            return True
        if began < self._own_floor:
            return bool(self._in.ledger.parts) and not self._in.ledger.knows(match_id)
        return match_id not in self._recent

    def _is_known(self, found: list[Any]) -> bool:
        """Whether a page says that nothing below it is new."""
        since = self._in.window.since
        began = [_moment(below(entry, "MatchInfo").get("StartTime")) for entry in found]
        floor = since or self._floor
        if floor is None or not all(moment and moment < floor for moment in began):
            return False
        return since is not None or not any(self._in.ledger.wanted(str(entry.get("MatchId"))) for entry in found)


def _before(moment: str | None) -> datetime | None:
    until = _moment(moment)
    return until - OVERLAP if until else None


def _counted(answer: Any, match_type: str) -> int | None:
    count = answer.document.get(MATCH_TYPES[match_type]) if answer.found and isinstance(answer.document, dict) else None
    return count if type(count) is int else None


def _began(row: Row) -> datetime | None:
    return _moment(row.get("start_time"))


def _moment(text: Any) -> datetime | None:
    """A moment of the API; None for what is none."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None
