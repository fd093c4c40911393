"""Chess.com: profile, statistics, finished games, clubs and tournaments of some players.

Docs:   https://www.chess.com/news/view/published-data-api
Auth:   none, but the User-Agent must hold a contact, else 403 (`contact`).
Limits: one request at a time, else 429. Answers are refreshed every 12 to 24 hours; an ETag saves the rest.
Cursor: per player and page the ETag; for games one per player and month. A month is not asked for again once
        it cannot grow any more; the month that runs is never done. A row of it that went to quarantine is not
        read again either: `etl quarantine replay` loads it once the declaration is mended.

Epoch seconds leave as ISO 8601 in UTC and `@id` as `id_url`; all else leaves as the API sent it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import dlt
from dlt.extract import DltResource

from sources.chess import files
from sources.chess.months import Month, Window, unlisted
from sources.chess.tables import CLUBS, GAMES, PROFILE, STATES, STATS, TOURNAMENTS, game, statistic, told
from sources.chess.upstream import API, Memory, Page, Row, Upstream
from sources.kit import http, notices
from sources.kit.errors import BadSetting
from sources.kit.foreign import Foreign
from sources.kit.given import askable, bound
from sources.kit.resources import Resource

RESOURCES = {
    "player_profile": Resource("GET /player/{player}", "ETag"),
    "player_stats": Resource("GET /player/{player}/stats", "ETag, and a digest of each category"),
    "games": Resource("GET /player/{player}/games/{year}/{month}", "ETag of each month that can still grow"),
    "clubs": Resource("GET /player/{player}/clubs", "ETag"),
    "tournaments": Resource("GET /player/{player}/tournaments", "ETag"),
}
REFRESHED = timedelta(days=2)  # after this an answer about a past month cannot come from an old cache


@dlt.source(name="chess", section="chess", max_table_nesting=1)
def chess(
    players: list[str] = dlt.config.value,
    contact: str = dlt.config.value,
    base_url: str = API,
    since: str | None = None,
    until: str | None = None,
) -> Iterable[DltResource]:
    """Five tables; `since` and `until` (ISO 8601, half-open) narrow the games by their end."""
    names = _names(players)
    upstream = Upstream(askable("chess.base_url", base_url), http.open_session("chess", _user_agent(contact)))
    window = Window(bound("chess.since", since), bound("chess.until", until))
    return (
        player_profile(upstream, names),
        player_stats(upstream, names),
        games(upstream, names, window),
        clubs(upstream, names),
        tournaments(upstream, names),
    )


def foreign() -> Foreign:
    """Files of others: an answer a line, or an entry of its list, as older ingestors have written them."""
    return Foreign(files.rows, {}, files.fault, files.is_empty, first=(files.PROFILES,))


def estimate(state: Memory, players: list[str], **_: Any) -> dict[str, int]:
    """The fewest requests of a run by the source's state; which months a player has is known of those read before."""
    resources, names = state.get("resources", {}), _names(players)
    known = {
        name: [resources.get(name, {}).get("players", {}).get(player, {}) for player in names]
        for name in ("player_profile", "player_stats", "games", "clubs", "tournaments")
    }
    fewest = {name: sum("gone" not in memory for memory in memories) for name, memories in known.items()}
    months = [month for memory in known["games"] if "gone" not in memory for month in memory.get("months", {}).values()]
    return {**fewest, "games": fewest["games"] + sum(not _settled(month) for month in months)}


@dlt.resource(write_disposition="merge", primary_key="player_id", columns=PROFILE)
def player_profile(upstream: Upstream, players: list[str]) -> Iterator[Any]:
    """One row per player."""
    with upstream.session:
        for player, memory in _memories(players):
            page = upstream.page(player, "", memory)
            yield from page.notices
            if page.found:
                upstream.ids[player] = page.object().get("player_id")
                yield [told(page.object())]
                page.remember(memory)


@dlt.resource(write_disposition="merge", primary_key=("player_id", "category", "snapshot_date"), columns=STATS)
def player_stats(upstream: Upstream, players: list[str]) -> Iterator[Any]:
    """One row per player, category and day on which it had changed."""
    with upstream.session:
        for player, memory in _memories(players):
            page, owner = upstream.owned(player, "/stats", memory)
            yield from page.notices
            if page.found:
                owner["snapshot_date"] = page.sent_at.date().isoformat()
                digests = {category: _digest(value) for category, value in page.object().items()}
                known = memory.get("digests", {})
                changed = [category for category in digests if digests[category] != known.get(category)]
                yield [statistic(category, page.object()[category], owner) for category in changed]
                memory["digests"] = digests
                page.remember(memory)


@dlt.resource(write_disposition="merge", primary_key="uuid", columns=GAMES)
def games(upstream: Upstream, players: list[str], window: Window) -> Iterator[Any]:
    """One row per finished game, oldest month first; with a window what is remembered does not count."""
    with upstream.session:
        for player, memory in _memories(players):
            yield from _games_of(upstream, player, {} if window else memory, window)


@dlt.resource(write_disposition="merge", primary_key=("player_id", "id_url"), columns=CLUBS)
def clubs(upstream: Upstream, players: list[str]) -> Iterator[Any]:
    """One row per player and club; a club that the player has left disappears."""
    with upstream.session:
        for player, memory in _memories(players):
            page, owner = upstream.owned(player, "/clubs", memory)
            yield from page.notices
            if page.found:
                rows = [told(club) for club in page.listed("clubs")]
                yield _with_removals(rows, owner, memory)
                _remember_listed(rows, memory)
                page.remember(memory)


@dlt.resource(write_disposition="merge", primary_key=("player_id", "id_url"), columns=TOURNAMENTS)
def tournaments(upstream: Upstream, players: list[str]) -> Iterator[Any]:
    """One row per player and tournament, with the list it stands in as `state`."""
    with upstream.session:
        for player, memory in _memories(players):
            page, owner = upstream.owned(player, "/tournaments", memory)
            yield from page.notices
            if page.found:
                rows = [{**told(one), "state": state} for state in STATES for one in page.listed(state)]
                yield _with_removals(rows, owner, memory)
                _remember_listed(rows, memory)
                page.remember(memory)


def _games_of(upstream: Upstream, player: str, memory: Memory, window: Window) -> Iterator[Any]:
    archive = upstream.page(player, "/games/archives", memory)
    yield from archive.notices
    if not archive.found:
        return
    months = memory.setdefault("months", {})
    listed = [Month.of(address) for address in archive.listed("archives", of=str)]
    fresh_until = archive.sent_at - REFRESHED
    yield [notices.covered(unit, part=player) for unit in unlisted(listed, fresh_until)]
    for address, month in zip(archive.listed("archives", of=str), listed, strict=True):
        known = months.setdefault(str(month), {})
        if "gone" in known:
            yield notices.warning(f"chess: {player} {month}: gone since {known['gone']} (410), not asked for")
        if _settled(known) or not window.touches(month):
            continue
        page = upstream.fetch(upstream.listed(address), known)
        if page.absent:
            reason = f"{page.absent}, though the archive lists it"
            yield notices.failed(f"{player} {month}", reason, unit=str(month).replace("/", "-"), part=player)
        if page.found:
            yield [game(found) for found in page.listed("games") if window.holds(found)]
        if not page.absent:
            yield [notices.covered(unit, part=player) for unit in window.part_of(month, fresh_until)]
        _remember_month(month, page, archive.sent_at, known)


def _remember_month(month: Month, page: Page, now: datetime, known: Memory) -> None:
    """Close a month that cannot grow: the last one when seen unchanged, an older one when seen at all."""
    if page.absent:
        return
    over = month.end + REFRESHED <= now
    if over and (month.next.end <= now or page.unchanged(known)):
        known.clear()
        known["closed"] = True
    elif page.found:
        page.remember(known)


def _settled(month: Memory) -> bool:
    return "closed" in month or "gone" in month


def _with_removals(rows: list[Row], owner: Row, memory: Memory) -> list[Row]:
    """The rows of a list, and for each that stood there the last time and is gone one that removes it.

    Neither `replace` nor a merge key per player would do: with a 304 or `--limit` standing rows would vanish.
    """
    last = {_url(row) or place: {**owner, **row} for place, row in enumerate(rows)}
    left = [url for url in memory.get("listed", []) if url not in last]
    return [
        *last.values(),
        *({"player_id": owner["player_id"], "id_url": url, "removed": True} for url in left),
    ]


def _remember_listed(rows: list[Row], memory: Memory) -> None:
    memory["listed"] = sorted({url for row in rows if (url := _url(row))})


def _url(row: Row) -> str:
    """What names an entry of a list; nothing where that is no text, as the check of the rows will say."""
    url = row.get("id_url")
    return url if isinstance(url, str) else ""


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _memories(players: list[str]) -> Iterator[tuple[str, Memory]]:
    """What the resource that runs keeps of each player; dlt saves it with the load."""
    state = dlt.current.resource_state().setdefault("players", {})
    for player in players:
        yield player, state.setdefault(player, {})


def _names(players: list[str]) -> list[str]:
    names = list(dict.fromkeys(str(player).strip().lower() for player in players))
    if not names or "" in names:
        raise BadSetting("chess: players: names nobody; list usernames in specs/chess.yaml, e.g. [erik]")
    return names


def _user_agent(contact: str) -> str:
    if not contact.strip():
        raise BadSetting(
            "chess: contact: is empty, and Chess.com wants one in the User-Agent; "
            "set SOURCES__CHESS__CONTACT=you@example.org, or contact in [sources.chess] of .dlt/config.toml"
        )
    if not (contact.isascii() and contact.isprintable()):
        raise BadSetting("chess: contact: cannot stand in a header; use printable ASCII, e.g. you@example.org")
    return f"{http.default_user_agent()} (+{contact.strip()})"
