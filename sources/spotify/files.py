"""Files in which other programs have kept entries of the API's lists, one a line."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from sources.kit.foreign import Foreign, Line, owner, ownerless
from sources.spotify.tables import Row, told_playlist

TOPS = ("top_artists", "top_tracks")
TIME_RANGE = "medium_term"  # what the API answers where nothing is asked for


def read(accounts: list[str]) -> Foreign:
    """How such files become rows of these accounts."""
    return Foreign(partial(_rows, accounts), {}, partial(ownerless, accounts))


def _rows(accounts: list[str], table: str, line: Line) -> Iterable[Row]:
    content: dict[str, Any] = told_playlist(line.content) if table == "playlists" else line.content
    place = {"snapshot_date": line.at[:10], "time_range": TIME_RANGE, "rank": line.number} if table in TOPS else {}
    return [{"account": owner(accounts, line), **place, **content}]
