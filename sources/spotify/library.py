"""Passes over what an account has saved, newest first: to what is known, or over all of it to see what is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sources.spotify.removals import removed
from sources.spotify.tables import Row, uri_of
from sources.spotify.upstream import PAGE, Memory, Page, Upstream


@dataclass(frozen=True)
class Saved:
    """A list of saved things: its path, its table, and what holds the thing in an entry."""

    path: str
    table: str
    thing: str

    def key(self, entry: Row) -> Any:
        return uri_of(entry.get(self.thing))


TRACKS = Saved("/me/tracks", "saved_tracks", "track")
ALBUMS = Saved("/me/albums", "saved_albums", "album")


def passing(upstream: Upstream, saved: Saved, account: str, memory: Memory, whole_after: timedelta) -> Iterator[Any]:
    """The entries that are new, or all and those that are gone.

    All of it is read the first time, after so many days, and whenever the number of entries is not what the new ones
    make it: something has gone, then, or was put where nobody looked. A pass that a quota ends goes on where it was.
    Where the list changed while it was read nothing is taken for gone: what moved to a page before was not seen.
    """
    resume = memory.get("resume", {"offset": 0, "newest": ""})
    known, newest = memory.get("newest", ""), resume["newest"]
    listed: list[tuple[Any, ...]] = []
    new: set[Any] = set()
    totals: set[int | None] = set()
    whole, page = not known, None
    for page in upstream.pages(account, saved.path, resume["offset"]):
        entries = page.items
        listed += [(saved.key(entry),) for entry in entries]
        totals.add(page.total)
        fresh = [entry for entry in entries if _added(entry) > known]
        new |= {saved.key(entry) for entry in fresh}
        newest = max([newest, *map(_added, entries)])
        if not whole and len(fresh) < len(entries):
            if not _is_due(page, memory, whole_after) and page.total == memory.get("total", -1) + len(new):
                yield [{"account": account, **entry} for entry in fresh]
                break
            whole = True
        yield [{"account": account, **entry} for entry in (entries if whole else fresh)]
        memory["resume"] = {"offset": page.offset + PAGE, "newest": newest}
    else:
        if page and not resume["offset"]:
            if totals == {len(listed)}:
                yield removed(saved.table, (f"{saved.thing}__uri",), set(listed), page.sent_at, account=account)
            memory["passed_at"] = page.sent_at.isoformat()
    memory.pop("resume", None)
    memory |= {"newest": max(newest, known), "total": page.total if page else None}


def _is_due(page: Page, memory: Memory, whole_after: timedelta) -> bool:
    passed = memory.get("passed_at")
    return passed is None or datetime.fromisoformat(passed) + whole_after <= page.sent_at


def _added(entry: Row) -> str:
    """When an entry was added; the API writes all moments alike, so that their texts sort."""
    return str(entry.get("added_at") or "")
