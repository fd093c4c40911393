"""Spotify: plays, saved tracks and albums, playlists, top lists, followed artists and profile of some accounts.

Docs:   https://developer.spotify.com/documentation/web-api
Auth:   OAuth 2 with PKCE; `client_id` of an app in [sources.spotify], `client_secret` where the app is used with one.
        A sign-in ends six months after it was made.
Limits: a rolling 30 s window, with Retry-After; a quota per developer, after which the run keeps what it has (exit 5).
Cursor: plays: those of the last run, of which the API's last 50 must show one, else there is a row in `gaps`.
        Saved things: the newest `added_at` and how many there were. Playlists: `snapshot_id`. Others: what was told.
        A row that went to quarantine is not read again: `etl quarantine replay` loads it once the declaration fits.

Rows leave as the API sent them, with `account` in front; of the two names a key has had before and after February 2026
one stays (`items` of a playlist, `track` of its entries). What is gone stays in its table, with `removed_at`.
The export of the streaming history (`history_path`) is a table of its own; the model `plays` makes one of both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

import dlt
from dlt.extract import DltResource

from sources.kit import http, notices
from sources.kit.errors import BadSetting, SignInNeeded
from sources.kit.foreign import Foreign
from sources.kit.oauth2 import OAuth2
from sources.kit.resources import Resource
from sources.kit.tables import table_itself
from sources.spotify import files, history, library
from sources.spotify.plays import Plays, remember
from sources.spotify.removals import removed
from sources.spotify.tables import (
    FOLLOWED,
    GAPS,
    HISTORY,
    PLAYLIST_ITEMS,
    PLAYLISTS,
    PLAYS,
    PROFILE,
    SAVED_ALBUMS,
    SAVED_TRACKS,
    TOP_ARTISTS,
    TOP_TRACKS,
    UNKNOWN,
    Row,
    id_of,
    told_entry,
    uri_of,
)
from sources.spotify.upstream import API, ONLY, PAGE, Exhausted, Listing, Memory, Page, Upstream, listing

SIGN_IN = OAuth2(
    "spotify",
    authorize_url="https://accounts.spotify.com/authorize",
    token_url="https://accounts.spotify.com/api/token",
    scopes=(
        "user-read-recently-played",
        "user-library-read",
        "playlist-read-private",
        "playlist-read-collaborative",
        "user-top-read",
        "user-follow-read",
    ),
    redirect_uri="http://127.0.0.1/callback",
    lasts=timedelta(days=180),
    secret="if_set",
)
RESOURCES = {
    "user_profile": Resource("GET /me", "a digest of what was told"),
    "recently_played": Resource("GET /me/player/recently-played", "the plays of the last run, to meet one of them"),
    "gaps": Resource("GET /me/player/recently-played", "that of recently_played"),
    "saved_tracks": Resource("GET /me/tracks", "the newest added_at, and all every whole_pass_days"),
    "saved_albums": Resource("GET /me/albums", "the newest added_at, and all every whole_pass_days"),
    "playlists": Resource("GET /me/playlists", "a digest of what was told"),
    "playlist_items": Resource("GET /playlists/{playlist}/items", "snapshot_id of each playlist"),
    "top_artists": Resource("GET /me/top/artists?time_range={range}", "a digest of each range"),
    "top_tracks": Resource("GET /me/top/tracks?time_range={range}", "a digest of each range"),
    "followed_artists": Resource("GET /me/following?type=artist", "a digest of what was told"),
    "streaming_history": Resource("files of history_path", "each file of an export once"),
}
TIME_RANGES = ("short_term", "medium_term", "long_term")
LISTS = ("user_profile", "recently_played", "saved_tracks", "saved_albums", "playlists", "followed_artists")


@dlt.source(name="spotify", section="spotify", max_table_nesting=3)
def spotify(
    accounts: list[str] | None = None,
    base_url: str = API,
    whole_pass_days: float = 7.0,
    history_path: str | None = None,
    history_account: str | None = None,
) -> Iterable[DltResource]:
    """Eleven tables; every `whole_pass_days` saved things are read whole; an export belongs to `history_account`."""
    names, history_path = _names(accounts), history_path or None
    owner = _owner(history_account, names, history_path)
    upstream = Upstream(base_url.rstrip("/"), SIGN_IN)
    played = Plays(upstream)
    whole_after = timedelta(days=whole_pass_days)
    return (
        user_profile(upstream, names),
        recently_played(upstream, played, names),
        gaps(upstream, played, names),
        saved_tracks(upstream, names, whole_after),
        saved_albums(upstream, names, whole_after),
        playlists(upstream, names),
        playlist_items(upstream, names),
        top_artists(upstream, names),
        top_tracks(upstream, names),
        followed_artists(upstream, names),
        streaming_history(history_path, owner),
    )


def foreign(accounts: list[str] | None = None) -> Foreign:
    """Files of others: entries of the API's lists, one a line, as older ingestors have written them."""
    return files.read(_names(accounts))


def estimate(state: Memory, accounts: list[str] | None = None, **_: Any) -> dict[str, int]:
    """The fewest requests of a run: one for each list of an account, three for the ranges of a top list."""
    count = len(_names(accounts))
    return {**dict.fromkeys(LISTS, count), **dict.fromkeys(("top_artists", "top_tracks"), count * len(TIME_RANGES))}


@dlt.resource(write_disposition="merge", primary_key=("account", "id"), columns=PROFILE)
def user_profile(upstream: Upstream, accounts: list[str]) -> Iterator[Any]:
    """One row per account."""

    def profile(account: str, memory: Memory) -> Iterator[Any]:
        yield _unless_told([{"account": account, **upstream.page(account, "/me").object}], memory)

    yield from _each(upstream, accounts, profile)


@dlt.resource(write_disposition="merge", primary_key=("account", "played_at", "track__uri"), columns=PLAYS)
def recently_played(upstream: Upstream, played: Plays, accounts: list[str]) -> Iterator[Any]:
    """One row per play of more than 30 seconds, as long as it is among the last 50; no podcasts."""

    def recent(account: str, memory: Memory) -> Iterator[Any]:
        found = played.of(account, memory)
        if found.gap:
            yield notices.warning(
                f"spotify: {account}: plays may be missing between {found.gap['since']} and {found.gap['until']}: the "
                "API tells the last 50 only; run more often, and import the streaming history (history_path)"
            )
        yield [{"account": account, **row} for row in found.rows]
        remember(found, memory)

    yield from _each(upstream, accounts, recent)


@dlt.resource(write_disposition="merge", primary_key=("account", "since", "until"), columns=GAPS)
def gaps(upstream: Upstream, played: Plays, accounts: list[str]) -> Iterator[Any]:
    """One row per time in which plays may be missing; what `recently_played` remembers of them."""

    def holes(account: str, _: Memory) -> Iterator[Any]:
        memory = dlt.current.resource_state("recently_played").get("accounts", {}).get(account, {})
        found = played.of(account, memory).gap
        known = memory.get("gaps", [])
        yield [{"account": account, **gap} for gap in (known if found is None or found in known else [*known, found])]

    yield from table_itself()
    yield from _each(upstream, accounts, holes)


@dlt.resource(write_disposition="merge", primary_key=("account", "track__uri"), columns=SAVED_TRACKS)
def saved_tracks(upstream: Upstream, accounts: list[str], whole_after: timedelta) -> Iterator[Any]:
    """One row per account and track that is or was among the saved ones."""
    yield from _each(upstream, accounts, _saved(upstream, library.TRACKS, whole_after))


@dlt.resource(write_disposition="merge", primary_key=("account", "album__uri"), columns=SAVED_ALBUMS)
def saved_albums(upstream: Upstream, accounts: list[str], whole_after: timedelta) -> Iterator[Any]:
    """One row per account and album that is or was among the saved ones."""
    yield from _each(upstream, accounts, _saved(upstream, library.ALBUMS, whole_after))


@dlt.resource(write_disposition="merge", primary_key=("account", "id"), columns=PLAYLISTS)
def playlists(upstream: Upstream, accounts: list[str]) -> Iterator[Any]:
    """One row per account and playlist that is or was among those of the account, others' included."""

    def lists(account: str, memory: Memory) -> Iterator[Any]:
        yield from _whole("playlists", account, upstream.playlists(account), memory)

    yield from _each(upstream, accounts, lists)


@dlt.resource(
    write_disposition="merge",
    primary_key=("account", "playlist_id", "item_uri", "occurrence"),
    columns=PLAYLIST_ITEMS,
)
def playlist_items(upstream: Upstream, accounts: list[str]) -> Iterator[Any]:
    """One row per entry of a playlist, read again when its `snapshot_id` has changed; local files too."""

    def entries(account: str, memory: Memory) -> Iterator[Any]:
        known, hidden = memory.setdefault("snapshots", {}), 0
        lists = {name: row.get("snapshot_id") for row in upstream.playlists(account).rows if (name := id_of(row))}
        for name, snapshot in lists.items():
            if snapshot is None or known.get(name) != snapshot:
                first, path = _first_entries(upstream, account, name)
                if first.status in (403, 404):
                    hidden += 1
                    yield [notices.covered(name)]
                else:
                    yield from _entries_of(account, name, upstream.pages(account, path, first=first))
                known[name] = snapshot
        memory["snapshots"] = {name: known[name] for name in lists}
        if hidden:
            yield notices.warning(
                f"spotify: {account}: {hidden} of the playlists show no entries, as Spotify does with those of others; "
                "they are asked for again when they change"
            )

    yield from _each(upstream, accounts, entries)


@dlt.resource(
    write_disposition="merge",
    primary_key=("account", "snapshot_date", "time_range", "rank"),
    columns=TOP_ARTISTS,
)
def top_artists(upstream: Upstream, accounts: list[str]) -> Iterator[Any]:
    """One row per account, day, range and rank."""
    yield from _each(upstream, accounts, _ranked(upstream, "/me/top/artists"))


@dlt.resource(
    write_disposition="merge",
    primary_key=("account", "snapshot_date", "time_range", "rank"),
    columns=TOP_TRACKS,
)
def top_tracks(upstream: Upstream, accounts: list[str]) -> Iterator[Any]:
    """One row per account, day, range and rank."""
    yield from _each(upstream, accounts, _ranked(upstream, "/me/top/tracks"))


@dlt.resource(write_disposition="merge", primary_key=("account", "id"), columns=FOLLOWED)
def followed_artists(upstream: Upstream, accounts: list[str]) -> Iterator[Any]:
    """One row per account and artist that is or was followed."""

    def followed(account: str, memory: Memory) -> Iterator[Any]:
        yield from _whole("followed_artists", account, _followed(upstream, account), memory)

    yield from _each(upstream, accounts, followed)


@dlt.resource(write_disposition="merge", primary_key=("account", "ts", "item_uri", "ms_played"), columns=HISTORY)
def streaming_history(path: str | None, account: str) -> Iterator[Any]:
    """One row per play in the exports of the account; none where no `history_path` is given."""
    yield from table_itself()
    if path is not None:
        yield from history.plays(path, account, _memory(account))


def _each(upstream: Upstream, accounts: list[str], read: Callable[[str, Memory], Iterator[Any]]) -> Iterator[Any]:
    """What is read of each account; once a quota or a sign-in has ended, what is left is named and nothing lost."""
    with upstream:
        for account in accounts:
            try:
                yield from read(account, _memory(account))
            except Exhausted as end:
                yield notices.postponed(account, str(end))
            except SignInNeeded as needed:
                if len(accounts) == 1:
                    raise
                yield notices.signed_out(str(needed))


def _memory(account: str) -> Memory:
    """What the resource that runs keeps of an account; dlt saves it with the load."""
    memory: Memory = dlt.current.resource_state().setdefault("accounts", {}).setdefault(account, {})
    return memory


def _saved(upstream: Upstream, saved: library.Saved, whole_after: timedelta) -> Callable[[str, Memory], Iterator[Any]]:
    return lambda account, memory: library.passing(upstream, saved, account, memory, whole_after)


def _whole(table: str, account: str, found: Listing, memory: Memory) -> Iterator[Any]:
    """A list that was read to its end, and what is gone from it; of one that was cut nothing is taken for gone."""
    yield _unless_told([{"account": account, **row} for row in found.rows], memory)
    if found.whole:
        yield removed(table, ("id",), {(id_of(row),) for row in found.rows}, found.at, account=account)


def _followed(upstream: Upstream, account: str) -> Listing:
    """The artists that an account follows, by the cursor of each page."""
    rows: dict[str, Row] = {}
    totals: set[Any] = set()
    after: str | None = None
    while True:
        page, known = upstream.page(account, "/me/following", type="artist", limit=PAGE, after=after), len(rows)
        rows |= {id_of(row) or repr(row): row for row in page.items}
        totals.add(page.object.get("total"))
        following = page.cursor("after") if page.has_next else None
        if following is None or len(rows) == known:
            return Listing(list(rows.values()), totals == {len(rows)}, page.sent_at)
        after = following


def _first_entries(upstream: Upstream, account: str, playlist: str) -> tuple[Page, str]:
    """The first page of a playlist, and the path that led there; of another's playlist Spotify shows none."""
    for path in (f"/playlists/{playlist}/items", f"/playlists/{playlist}/tracks"):  # the old one of before 2026
        first = upstream.ask(account, path, limit=PAGE, offset=0)
        if first.status != 404:
            break
    if first.status not in (403, 404):
        http.raise_for_status(first.response)
    return first, path


def _entries_of(account: str, playlist: str, pages: Iterator[Page]) -> Iterator[Any]:
    """The entries of one playlist, and those that are gone."""
    found = listing(pages, told_entry)
    counts: dict[str, int] = {}
    rows = []
    for position, entry in enumerate(found.rows):
        uri = uri_of(entry.get("track")) or UNKNOWN
        counts[uri] = counts.get(uri, 0) + 1
        place = {"account": account, "playlist_id": playlist, "item_uri": uri, "occurrence": counts[uri]}
        rows.append({**place, "position": position, **entry})
    yield [*rows, notices.covered(playlist, rows=len(rows))]
    if found.whole:
        listed = {(row["item_uri"], row["occurrence"]) for row in rows}
        yield removed(
            "playlist_items", ("item_uri", "occurrence"), listed, found.at, account=account, playlist_id=playlist
        )


def _ranked(upstream: Upstream, path: str) -> Callable[[str, Memory], Iterator[Any]]:
    def ranks(account: str, memory: Memory) -> Iterator[Any]:
        for time_range in TIME_RANGES:
            found = listing(upstream.pages(account, path, time_range=time_range))
            here = {"account": account, "snapshot_date": found.at.date().isoformat(), "time_range": time_range}
            rows = [{**here, "rank": rank, **row} for rank, row in enumerate(found.rows, 1)]
            yield _unless_told(rows, memory, time_range)

    return ranks


def _unless_told(rows: list[Row], memory: Memory, name: str = "told") -> list[Row]:
    """The rows, or none where they are those of the last time."""
    digest = sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:16]
    known, memory[name] = memory.get(name), digest
    return [] if known == digest else rows


def _names(accounts: list[str] | None) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in accounts or [ONLY]))
    if "" in names:
        raise BadSetting("spotify: accounts: one has no name; give each a name, e.g. [anna, boris]")
    return names


def _owner(account: str | None, names: list[str], path: str | None) -> str:
    """Whose plays an export holds: the file does not say."""
    if account is None and path is not None and len(names) > 1:
        raise BadSetting(f"spotify: history_account: say whose plays these are: {', '.join(names)}")
    if account is not None and account not in names:
        raise BadSetting(f"spotify: history_account: {account!r} is none of the accounts: {', '.join(names)}")
    return account or names[0]
