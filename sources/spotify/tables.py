"""The tables of Spotify, and how what the API sends becomes their rows, before and after its changes of 2026."""

from __future__ import annotations

from typing import Any

from dlt.common.schema.typing import TTableSchemaColumns

Row = dict[str, Any]
UNKNOWN = "unknown"  # the item of an entry that Spotify does not show any more

DESCRIPTIONS = {
    "account": "the name in `accounts`, `me` where none is named",
    "played_at": "when the play ended, as far as the player tells (UTC)",
    "track__id": "null for a local file, which has a uri only",
    "track__uri": "the track as it was played; `spotify:local:…` for a local file",
    "track__popularity": "0 to 100; not given to apps in development mode since 2026",
    "album__popularity": "0 to 100; not given to apps in development mode since 2026",
    "added_at": "when it was added (UTC)",
    "removed_at": "when a run saw that it is there no more (UTC); null for what is",
    "item_uri": f"track or episode, also of a local file; `{UNKNOWN}` where Spotify shows none any more",
    "occurrence": "1 for the first time the item is in the playlist, 2 for the second …",
    "position": "place in the playlist, from 0, as it was last read",
    "snapshot_id": "changes whenever the playlist does",
    "items__total": "how many entries it has; `tracks` in answers of before 2026",
    "snapshot_date": "UTC day of the answer",
    "time_range": "short_term (4 weeks), medium_term (6 months) or long_term (a year)",
    "rank": "place in the list, from 1",
    "account_id": "Spotify's stable id of the account; told since May 2026",
    "since": "the newest play that was known (UTC)",
    "until": "the oldest play that Spotify still told of (UTC); between the two, plays may be missing",
    "found_at": "when a run found it (UTC)",
    "ts": "when the play ended (UTC)",
    "started_at": "`ts` less `ms_played`",
    "ms_played": "how long it was heard",
    "ip_addr": "where the player was, as Spotify logged it",
    "source_file": "the file of the export",
}


def _columns(keys: str, **types: str) -> TTableSchemaColumns:
    """Columns by data type, declared so that they exist while no row fills them; `keys` are never null."""
    columns: TTableSchemaColumns = {}
    for data_type, names in types.items():
        for name in names.split():
            columns[name] = {"data_type": data_type, "nullable": name not in keys.split()}  # type: ignore[typeddict-item]
            if name in DESCRIPTIONS:
                columns[name]["description"] = DESCRIPTIONS[name]
    return columns


def _album(prefix: str, **more: str) -> dict[str, str]:
    """The columns of an album below a prefix, by type."""
    types = {
        "text": "id uri name album_type type href release_date release_date_precision external_urls__spotify",
        "bigint": "total_tracks",
        "json": "images available_markets",
    }
    return {kind: _below(prefix, types.get(kind, ""), more.get(kind, "")) for kind in types}


def _track(text: str = "", timestamp: str = "", bigint: str = "", **more: str) -> dict[str, str]:
    """The columns of a row with a track, by type."""
    album = _album("track__album__")
    texts = "id uri name type href preview_url external_ids__isrc external_urls__spotify"
    return {
        "text": f"account {text} {_below('track__', texts)} {album['text']}",
        "bigint": f"{bigint} {_below('track__', 'duration_ms popularity track_number disc_number')} {album['bigint']}",
        "bool": _below("track__", "explicit is_local is_playable"),
        "timestamp": timestamp,
        "json": f"track__available_markets {album['json']}",
        **more,
    }


def _below(prefix: str, *names: str) -> str:
    return " ".join(prefix + name for part in names for name in part.split())


ARTIST = {
    "text": "account id uri name type href external_urls__spotify",
    "bigint": "popularity followers__total",
    "json": "genres images",
}
PROFILE = _columns(
    "account id",
    text="account id account_id display_name uri href type country email product birthdate external_urls__spotify",
    bigint="followers__total",
    json="images",
)
PLAYS = _columns(
    "account played_at track__uri",
    **_track("context__type context__uri context__href context__external_urls__spotify", timestamp="played_at"),
)
GAPS = _columns("account since until", text="account", timestamp="since until found_at")
SAVED_TRACKS = _columns("account track__uri", **_track(timestamp="added_at removed_at"))
SAVED_ALBUMS = _columns(
    "account album__uri",
    **{
        **_album("album__", text="label external_ids__upc", bigint="popularity", json="genres copyrights tracks"),
        "timestamp": "added_at removed_at",
    },
) | _columns("account", text="account")
PLAYLISTS = _columns(
    "account id",
    text=(
        "account id uri name description type href snapshot_id primary_color owner__id owner__display_name "
        "owner__uri items__href external_urls__spotify"
    ),
    bigint="items__total",
    bool="public collaborative",
    timestamp="removed_at",
    json="images",
)
PLAYLIST_ITEMS = _columns(
    "account playlist_id item_uri occurrence",
    **_track(
        "playlist_id item_uri added_by__id added_by__uri primary_color video_thumbnail__url",
        timestamp="added_at removed_at",
        bigint="occurrence position",
    ),
) | _columns("", bool="is_local")
FOLLOWED = _columns("account id", **ARTIST, timestamp="removed_at")
RANKED = "account snapshot_date time_range rank"
TOP_ARTISTS = _columns(
    RANKED,
    **{**ARTIST, "text": f"time_range {ARTIST['text']}", "bigint": f"rank {ARTIST['bigint']}"},
    date="snapshot_date",
)
TOP_TRACKS = _columns(
    RANKED,
    text=f"account time_range id uri name type href preview_url external_ids__isrc external_urls__spotify "
    f"{_album('album__')['text']}",
    bigint=f"rank duration_ms popularity track_number disc_number {_album('album__')['bigint']}",
    bool="explicit is_local is_playable",
    date="snapshot_date",
    json=f"available_markets {_album('album__')['json']}",
)
HISTORY = _columns(
    "account ts item_uri ms_played",
    text=(
        "account item_uri platform conn_country ip_addr master_metadata_track_name master_metadata_album_artist_name "
        "master_metadata_album_album_name spotify_track_uri episode_name episode_show_name spotify_episode_uri "
        "audiobook_title audiobook_uri audiobook_chapter_uri audiobook_chapter_title reason_start reason_end "
        "source_file"
    ),
    bigint="ms_played offline_timestamp",
    bool="shuffle skipped offline incognito_mode",
    timestamp="ts started_at",
)


def told_playlist(playlist: Row) -> Row:
    """A playlist with the key `items`, which was `tracks` before 2026."""
    return _renamed(playlist, "tracks", "items")


def told_entry(entry: Row) -> Row:
    """An entry of a playlist with the key `track`, which is `item` since 2026."""
    return _renamed(entry, "item", "track")


def uri_of(item: Any) -> str | None:
    """What names a track or an episode, also where it has no id; None for none."""
    return _text(item.get("uri")) if isinstance(item, dict) else None


def id_of(row: Row) -> str | None:
    """What names a playlist or an artist; None where that is no name, as the check of the rows will say."""
    return _text(row.get("id"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _renamed(row: Row, old: str, new: str) -> Row:
    """The row with one key by its other name; where both are there, the filled one of that name stays."""
    if old not in row:
        return row
    kept = {key: value for key, value in row.items() if key != old}
    return {**kept, new: row[new] if row.get(new) is not None else row[old]}
