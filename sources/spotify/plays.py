"""The last plays of an account, and whether some may be missing between them and those of the last run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sources.spotify.tables import Row, uri_of
from sources.spotify.upstream import PAGE, Memory, Page, Upstream

REMEMBERED = 50  # the API never tells of more


@dataclass(frozen=True)
class Recent:
    """The plays that were not known, and the time in which there may be others, as a row of `gaps`."""

    rows: list[Row]
    gap: Row | None


class Plays:
    """What each account has played of late, asked for once a run.

    The API is asked for its newest page, never for what came `after`: a play without a connection arrives late with
    its old time, and would be passed over. Only where nothing of that page is known, older pages are asked for.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream, self._read = upstream, dict[str, Recent]()

    def of(self, account: str, memory: Memory) -> Recent:
        """The plays of an account; whoever asks first in a run decides by what was known then."""
        if account not in self._read:
            self._read[account] = self._since(account, memory.get("newest", []))
        return self._read[account]

    def _since(self, account: str, known: list[str]) -> Recent:
        page = newest = self._page(account)
        found = {mark(row): row for row in page.items}
        while not found.keys() & set(known) and (before := page.cursor("before")) and page.has_next:
            page = self._page(account, before)
            older = {mark(row): row for row in page.items}
            if older.keys() <= found.keys():
                break
            found |= older
        new = [row for name, row in found.items() if name not in known]
        hole = bool(known and found) and not found.keys() & set(known) and _is_full(newest)
        return Recent(new, _gap(known, found, newest) if hole else None)

    def _page(self, account: str, before: str | None = None) -> Page:
        return self._upstream.page(account, "/me/player/recently-played", limit=PAGE, before=before)


def remember(recent: Recent, memory: Memory) -> None:
    """Keep what tells the next run which plays are known, and the gaps that were found."""
    marks = {*memory.get("newest", []), *map(mark, recent.rows)}
    memory["newest"] = sorted(marks, reverse=True)[:REMEMBERED]
    if recent.gap and recent.gap not in memory.setdefault("gaps", []):
        memory["gaps"].append(recent.gap)


def mark(play: Row) -> str:
    """What tells a play from others: its time first, so that names sort by it."""
    return f"{play.get('played_at')} {uri_of(play.get('track'))}"


def _is_full(page: Page) -> bool:
    """Whether the API told as many as it tells at all."""
    limit = page.object.get("limit")
    return len(page.items) >= (limit if isinstance(limit, int) and limit else PAGE)


def _gap(known: list[str], found: dict[str, Any], page: Page) -> Row:
    return {
        "since": max(known).split()[0],
        "until": min(found).split()[0],
        "found_at": page.sent_at.isoformat().replace("+00:00", "Z"),
    }
