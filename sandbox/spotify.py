"""Stands in for the Web API of Spotify (https://api.spotify.com/v1), as two accounts see it.

`anna` uses an app with extended quota, which has all fields; `boris` one in development mode, as it is since February
2026: no popularity, no markets, `items` and `item` in playlists. Both are signed in at `sandbox.oauth`.
Of the plays only the last 50 are told. On day 2 there are new ones and one that was heard without a connection the day
before; a saved track and a playlist are gone, another playlist has changed, an artist is not followed any more.
Anna has an export of her streaming history, which overlaps with her plays by some seconds more or less.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zipfile import ZipFile, ZipInfo

from sandbox.exchange import FIRST_NOON, Reply, Request, World, noon
from sandbox.oauth import CLIENT, SERVER

API = "https://api.spotify.com/v1"
SITE = "https://open.spotify.com"
ACCOUNTS = ("anna", "boris")
TOLD = 50  # plays, and entries of a page at most
A_DAY = 7  # new plays of a day
TRACKS, ARTISTS = 90, 60
RANKED, FOLLOWED, ALBUMS, EXPORTED = 30, 55, 6, 40
EXPORT = "my_spotify_data.zip"
FOLDER = "Spotify Extended Streaming History"
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LOCAL = "spotify:local:Demo+Band:Home+Tapes:Rehearsal:187"

Item = dict[str, Any]


def settings(base_url: str, folder: Path, world: World) -> dict[str, Any]:
    """Two accounts that are signed in, and the export of one."""
    _write_export(folder / EXPORT, world)
    accounts = base_url.rpartition("/")[0] + "/oauth"
    return {
        "sources.spotify.base_url": base_url,
        "sources.spotify.accounts": list(ACCOUNTS),
        "sources.spotify.history_path": str(folder / EXPORT),
        "sources.spotify.history_account": ACCOUNTS[0],
        "sources.spotify.client_id": CLIENT,
        "sources.spotify.authorize_url": f"{accounts}/authorize",
        "sources.spotify.token_url": f"{accounts}/token",
        **{f"sources.spotify.{account}.token": _token(world, account) for account in ACCOUNTS},
    }


def answer(request: Request, world: World) -> Reply:
    """Answer as the Web API does."""
    account = _account(request, world)
    if account is None:
        return _refusal(401, "The access token expired")
    if request.method != "GET":
        return _refusal(405, "Method not allowed")
    if request.path in PAGES:
        return PAGES[request.path](request, world, account)
    _, kind, *rest = request.path.split("/")
    if kind == "playlists" and len(rest) == 2 and rest[1] in ("items", "tracks"):
        return _entries(request, world, account, rest[0], rest[1])
    return _refusal(404, "Service not found")


def _account(request: Request, world: World) -> str | None:
    """Whose token a request bears; who signs in by hand sees what the first account sees."""
    grant = SERVER.grant_of(request, world)
    if grant is None:
        return None
    return next((name for name in ACCOUNTS if SERVER.standing(world, f"spotify {name}") is grant), ACCOUNTS[0])


def _token(world: World, account: str) -> str:
    grant = SERVER.standing(world, f"spotify {account}")
    return b64encode(json.dumps({"access_token": grant.access, "refresh_token": grant.refresh}).encode()).decode()


def _refusal(status: int, message: str) -> Reply:
    return Reply(status, {"error": {"status": status, "message": message}})


def _profile(request: Request, world: World, account: str) -> Reply:
    old = _is_old(account)
    return Reply(
        200,
        {
            **({"country": "SE", "email": f"{account}@example.org"} if old else {}),
            "display_name": f"Demo {account.title()}",
            "external_urls": {"spotify": f"{SITE}/user/demo_{account}"},
            **({"followers": {"href": None, "total": 7}} if old else {}),
            "href": f"{API}/users/demo_{account}",
            "id": f"demo_{account}",
            **({"product": "premium"} if old else {"account_id": f"acct_{_code(world, 'account', account)}"}),
            "images": [],
            "type": "user",
            "uri": f"spotify:user:demo_{account}",
        },
    )


def _recent(request: Request, world: World, account: str) -> Reply:
    """The last plays, newest first; of what was before them nothing is told."""
    if "before" in request.query and "after" in request.query:
        return _refusal(400, "Only one of before and after can be given")
    plays = _plays(world, account)[:TOLD]
    before, after = (_moment(request, name) for name in ("before", "after"))
    limit = min(_number(request, "limit", 20), TOLD)
    shown = [play for play in plays if (not before or play[0] < before) and (not after or play[0] > after)][:limit]
    items = [{"track": _track(world, n, account), "played_at": _iso(at, "milliseconds"), "context": _context(world, n)}
             for at, n in shown]  # fmt: skip
    cursors = {"after": _epoch(shown[0][0]), "before": _epoch(shown[-1][0])} if shown else None
    full = len(shown) == limit
    query = urlencode({"before": cursors["before"] if cursors else "", "limit": limit})
    address = f"{API}/me/player/recently-played"
    return Reply(
        200,
        {
            "items": items,
            "next": f"{address}?{query}" if full else None,
            "cursors": cursors,
            "limit": limit,
            "href": address,
        },
    )


@lru_cache(maxsize=16)
def _plays(world: World, account: str) -> list[tuple[datetime, int]]:
    """When which track was played, newest first, as far as it is known by now."""
    rng = world.random("plays", account)
    first = max(world.records, TOLD + 10)
    plays = [(FIRST_NOON - timedelta(minutes=25 * (i + 1), milliseconds=rng.randrange(1000)), rng.randrange(-1, TRACKS))
             for i in range(first)]  # fmt: skip
    for day in range(2, world.day + 1):
        for i in range(A_DAY):
            at = noon(day) - timedelta(minutes=20 * (i + 1), milliseconds=rng.randrange(1000))
            plays.append((at, rng.randrange(TRACKS)))
        if day == 2:
            plays.append((noon(1) - timedelta(hours=3, minutes=31, milliseconds=17), 5))
    return sorted(plays, reverse=True)


def _context(world: World, number: int) -> Item | None:
    """Every third play came from a playlist."""
    if number % 3:
        return None
    name = _code(world, "playlist", "morning")
    return {
        "type": "playlist",
        "href": f"{API}/playlists/{name}",
        "external_urls": {"spotify": f"{SITE}/playlist/{name}"},
        "uri": f"spotify:playlist:{name}",
    }


def _saved_tracks(request: Request, world: World, account: str) -> Reply:
    count = min(world.records, TRACKS)
    saved = [(number, FIRST_NOON - timedelta(days=number + 1)) for number in range(count)]
    if world.day > 1:
        saved = [(TRACKS + 1, noon(2) - timedelta(hours=1)), *saved[:5], *saved[6:]]
    entries = [{"added_at": _iso(at), "track": _track(world, number, account)} for number, at in saved]
    return _page(request, entries)


def _saved_albums(request: Request, world: World, account: str) -> Reply:
    numbers = list(range(ALBUMS)) if world.day == 1 else [ALBUMS, *range(ALBUMS)]
    entries = [
        {
            "added_at": _iso(noon(2) - timedelta(hours=2) if n == ALBUMS else FIRST_NOON - timedelta(days=30 * n + 2)),
            "album": _full_album(world, n, account),
        }
        for n in numbers
    ]
    return _page(request, entries)


def _full_album(world: World, number: int, account: str) -> Item:
    old = _is_old(account)
    tracks = [_track(world, number * 10 + i, account) for i in range(3)]
    simple = [{key: value for key, value in track.items() if key not in ("album", "popularity")} for track in tracks]
    return {
        **_album(world, number, account),
        "copyrights": [{"text": "(C) Demo Records", "type": "C"}],
        "external_ids": {"upc": f"{number:012d}"},
        "genres": [],
        "label": "Demo Records",
        **({"popularity": 10 + number} if old else {}),
        "tracks": {"href": f"{API}/albums", "items": simple, "limit": TOLD, "next": None, "offset": 0, "total": 3},
    }


def _playlists(request: Request, world: World, account: str) -> Reply:
    return _page(request, [_playlist(world, account, name) for name in _names(world)])


def _names(world: World) -> list[str]:
    return ["morning", "mixed", "of_others"] + (["forgotten"] if world.day == 1 else [])


def _playlist(world: World, account: str, name: str) -> Item:
    code, owner = _code(world, "playlist", name), "somebody" if name == "of_others" else f"demo_{account}"
    count = 20 if name == "of_others" else len(_items(world, name))
    key = "tracks" if _is_old(account) else "items"
    return {
        "collaborative": False,
        "description": f"What is {name}",
        "external_urls": {"spotify": f"{SITE}/playlist/{code}"},
        "href": f"{API}/playlists/{code}",
        "id": code,
        "images": [{"height": 640, "url": "https://i.scdn.example/playlist", "width": 640}],
        "name": name.title(),
        "owner": {
            "display_name": owner,
            "href": f"{API}/users/{owner}",
            "id": owner,
            "type": "user",
            "uri": f"spotify:user:{owner}",
        },
        "primary_color": None,
        "public": True,
        "snapshot_id": _code(world, "snapshot", name, 1 if name == "mixed" else min(world.day, 2)),
        key: {"href": f"{API}/playlists/{code}/{key}", "total": count},
        "type": "playlist",
        "uri": f"spotify:playlist:{code}",
    }


def _items(world: World, name: str) -> list[int]:
    """The tracks of a playlist by number: `mixed` has one twice, a local file (-1) and one that is gone (-2)."""
    if name == "mixed":
        return [3, 4, 3, -1, -2, *range(10, 68)]
    numbers = list(range(20, 26))
    return [40, *numbers[:2], *numbers[3:]] if name == "morning" and world.day > 1 else numbers


def _entries(request: Request, world: World, account: str, code: str, key: str) -> Reply:
    """Since February 2026 an app in development mode has the new address only, and nobody sees the lists of others."""
    name = next((name for name in _names(world) if _code(world, "playlist", name) == code), None)
    if name is None:
        return _refusal(404, "Resource not found")
    if name == "of_others" or (key == "tracks" and not _is_old(account)):
        return _refusal(403, "Forbidden")
    if key == "items" and _is_old(account):
        return _refusal(404, "Service not found")
    return _page(request, [_entry(world, account, number) for number in _items(world, name)])


def _entry(world: World, account: str, number: int) -> Item:
    user = f"demo_{account}"
    return {
        "added_at": _iso(noon(2) - timedelta(hours=3) if number == 40 else FIRST_NOON - timedelta(days=number + 5)),
        "added_by": {"href": f"{API}/users/{user}", "id": user, "type": "user", "uri": f"spotify:user:{user}"},
        "is_local": number == -1,
        "primary_color": None,
        "track" if _is_old(account) else "item": None if number == -2 else _track(world, number, account),
        "video_thumbnail": {"url": None},
    }


def _top(kind: str) -> Callable[[Request, World, str], Reply]:
    make, count = (_artist, ARTISTS) if kind == "artists" else (_track, TRACKS)

    def ranked(request: Request, world: World, account: str) -> Reply:
        time_range = request.query.get("time_range", ["medium_term"])[-1]
        chosen = world.random("top", kind, account, time_range, world.day).sample(range(count), RANKED)
        return _page(request, [make(world, number, account) for number in chosen])

    return ranked


def _following(request: Request, world: World, account: str) -> Reply:
    """By the artist after which to go on; the list is wrapped."""
    numbers = [n for n in range(FOLLOWED) if world.day == 1 or n != 3]
    artists = [_artist(world, number, account) for number in numbers]
    after = request.query.get("after", [""])[-1]
    start = next((place + 1 for place, artist in enumerate(artists) if artist["id"] == after), 0)
    limit = min(_number(request, "limit", 20), TOLD)
    shown = artists[start : start + limit]
    more = start + limit < len(artists)
    address = f"{API}/me/following?type=artist"
    found = {
        "items": shown,
        "next": f"{address}&after={shown[-1]['id']}&limit={limit}" if more else None,
        "total": len(artists),
        "cursors": {"after": shown[-1]["id"] if more else None},
        "limit": limit,
        "href": address,
    }
    return Reply(200, {"artists": found})


def _page(request: Request, entries: list[Item]) -> Reply:
    limit, offset = min(_number(request, "limit", 20), TOLD), _number(request, "offset", 0)
    address = f"{API}{request.path}"
    more = offset + limit < len(entries)
    return Reply(
        200,
        {
            "href": f"{address}?{urlencode({'offset': offset, 'limit': limit})}",
            "items": entries[offset : offset + limit],
            "limit": limit,
            "next": f"{address}?{urlencode({'offset': offset + limit, 'limit': limit})}" if more else None,
            "offset": offset,
            "previous": None,
            "total": len(entries),
        },
    )


@lru_cache(maxsize=2048)
def _track(world: World, number: int, account: str) -> Item:
    """A track with its album; -1 is a file of the listener's own, which has no id."""
    old = _is_old(account)
    if number == -1:
        return _local_file()
    rng = world.random("track", number)
    code = _code(world, "track", number)
    artists = [_simple_artist(world, number % ARTISTS)]
    artists += [_simple_artist(world, (number * 7 + 1) % ARTISTS)] if number % 4 == 0 else []
    return {
        "album": _album(world, number % 30, account),
        "artists": artists,
        **({"available_markets": ["FR", "SE"]} if old else {}),
        "disc_number": 1,
        "duration_ms": rng.randrange(90_000, 400_000),
        "explicit": rng.random() < 0.2,
        "external_ids": {"isrc": f"XX{number:010d}"},
        "external_urls": {"spotify": f"{SITE}/track/{code}"},
        "href": f"{API}/tracks/{code}",
        "id": code,
        "is_local": False,
        "name": f"Demo Track {number}",
        **({"popularity": rng.randrange(100)} if old else {}),
        "preview_url": None,
        "track_number": 1 + number % 12,
        "type": "track",
        "uri": f"spotify:track:{code}",
    }


def _local_file() -> Item:
    album: Item = {"album_type": None, "artists": [], "href": None, "id": None, "images": [], "name": "Home Tapes"}
    nobody: Item = {"external_urls": {}, "href": None, "id": None, "name": "Demo Band", "type": "artist", "uri": None}
    return {
        "album": album | {"release_date": None, "release_date_precision": None, "type": "album", "uri": None},
        "artists": [nobody],
        "disc_number": 0,
        "duration_ms": 187_000,
        "explicit": False,
        "external_ids": {},
        "external_urls": {},
        "href": None,
        "id": None,
        "is_local": True,
        "name": "Rehearsal",
        "preview_url": None,
        "track_number": 0,
        "type": "track",
        "uri": LOCAL,
    }


def _album(world: World, number: int, account: str) -> Item:
    code = _code(world, "album", number)
    day, precision = [("1983", "year"), ("1999-07", "month"), ("2013-01-01", "day")][number % 3]
    return {
        "album_type": "album",
        "artists": [_simple_artist(world, number)],
        **({"available_markets": ["FR", "SE"]} if _is_old(account) else {}),
        "external_urls": {"spotify": f"{SITE}/album/{code}"},
        "href": f"{API}/albums/{code}",
        "id": code,
        "images": [{"height": 640, "url": "https://i.scdn.example/album", "width": 640}],
        "name": f"Demo Album {number}",
        "release_date": day,
        "release_date_precision": precision,
        "total_tracks": 12,
        "type": "album",
        "uri": f"spotify:album:{code}",
    }


def _simple_artist(world: World, number: int) -> Item:
    code = _code(world, "artist", number)
    return {
        "external_urls": {"spotify": f"{SITE}/artist/{code}"},
        "href": f"{API}/artists/{code}",
        "id": code,
        "name": f"Demo Artist {number}",
        "type": "artist",
        "uri": f"spotify:artist:{code}",
    }


def _artist(world: World, number: int, account: str) -> Item:
    more = {"followers": {"href": None, "total": 100 + number}, "popularity": number} if _is_old(account) else {}
    return {**_simple_artist(world, number), "genres": ["demo pop"], "images": [], **more}


def _is_old(account: str) -> bool:
    """Whether the account's app has the fields and addresses of before 2026."""
    return account == ACCOUNTS[0]


def _code(world: World, *names: object) -> str:
    """A name of 22 letters, as Spotify gives them."""
    rng = world.random("code", *names)
    return "".join(rng.choices(LETTERS, k=22))


def _number(request: Request, name: str, otherwise: int) -> int:
    text = request.query.get(name, [""])[-1]
    return int(text) if text.isdecimal() else otherwise


def _moment(request: Request, name: str) -> datetime | None:
    milliseconds = _number(request, name, 0)
    return datetime.fromtimestamp(0, FIRST_NOON.tzinfo) + timedelta(milliseconds=milliseconds) if milliseconds else None


def _epoch(moment: datetime) -> str:
    return str(round(moment.timestamp() * 1000))


def _iso(moment: datetime, precision: str = "seconds") -> str:
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def _write_export(path: Path, world: World) -> None:
    """The export as Spotify sends it: the newest of its plays are among those that the API tells on day 1."""
    first = World(world.seed, world.records, 1)
    plays = [_exported(world, at, number, place) for place, (at, number) in enumerate(_plays(first, ACCOUNTS[0])[30:])]
    older = [
        _exported(world, FIRST_NOON - timedelta(days=200, minutes=9 * i), i % TRACKS, i) for i in range(1, EXPORTED)
    ]
    files = {
        "Streaming_History_Audio_2023-2024_0.json": [*plays[::-1], _episode()],
        "Streaming_History_Audio_2022-2023_1.json": older[::-1],
        "Streaming_History_Video_2023.json": [],
    }
    with ZipFile(path, "w") as archive:
        archive.writestr(ZipInfo(f"{FOLDER}/ReadMeFirst_ExtendedStreamingHistory.pdf"), b"%PDF-1.4")
        for name, rows in files.items():
            archive.writestr(ZipInfo(f"{FOLDER}/{name}"), json.dumps(rows))


def _exported(world: World, at: datetime, number: int, place: int) -> Item:
    """A play as the export tells it, some seconds off; a local file has no uri there."""
    track = _track(world, number, ACCOUNTS[0])
    ended = at.replace(microsecond=0) + timedelta(seconds=place % 5 - 2)
    return {
        "ts": _iso(ended),
        "platform": "ios",
        "ms_played": track["duration_ms"],
        "conn_country": "FR",
        "ip_addr": "192.0.2.1",
        "master_metadata_track_name": None if number == -1 else track["name"],
        "master_metadata_album_artist_name": None if number == -1 else track["artists"][0]["name"],
        "master_metadata_album_album_name": None if number == -1 else track["album"]["name"],
        "spotify_track_uri": None if number == -1 else track["uri"],
        "episode_name": None,
        "episode_show_name": None,
        "spotify_episode_uri": None,
        "reason_start": "trackdone",
        "reason_end": "trackdone",
        "shuffle": False,
        "skipped": False,
        "offline": False,
        "offline_timestamp": None,
        "incognito_mode": False,
    }


def _episode() -> Item:
    return {
        "ts": _iso(FIRST_NOON - timedelta(days=90)),
        "platform": "Android OS 9 API 28",
        "ms_played": 4210,
        "conn_country": "FR",
        "ip_addr": "192.0.2.1",
        "master_metadata_track_name": None,
        "spotify_track_uri": None,
        "episode_name": "Demo Episode",
        "episode_show_name": "Demo Show",
        "spotify_episode_uri": "spotify:episode:512ojhOuo1ktJprKbVcKyQ",
        "reason_start": "clickrow",
        "reason_end": "endplay",
        "shuffle": False,
        "skipped": None,
        "offline": None,
        "offline_timestamp": None,
        "incognito_mode": False,
    }


PAGES: dict[str, Callable[[Request, World, str], Reply]] = {
    "/me": _profile,
    "/me/player/recently-played": _recent,
    "/me/tracks": _saved_tracks,
    "/me/albums": _saved_albums,
    "/me/playlists": _playlists,
    "/me/top/artists": _top("artists"),
    "/me/top/tracks": _top("tracks"),
    "/me/following": _following,
}
