"""Stands in for the Chess.com PubAPI (https://api.chess.com/pub), its manners included.

No key. A User-Agent without a contact gets 403, a request beside another one 429, upper case 301,
a name that starts with `nobody` 404 and with `gone` 410; any other name is a player.
Addresses inside the answers are those of the real service, as a proxy would leave them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sandbox.chess_games import API, EMPTY, PLAYERS, SITE, Game, games_of, identity, told
from sandbox.exchange import FIRST_NOON, Reply, Request, World, as_json

PATH = re.compile(r"/player/(?P<player>[^/]+)(?P<rest>/.+)?")
MONTH = re.compile(r"/games/(\d{4})/(0[1-9]|1[0-2])")
JOINED = 1_600_000_000

BUSY = Reply(429, {"code": 429, "message": "Too Many Requests"})
FORBIDDEN = Reply(
    403, "<!DOCTYPE html><html><head><title>Forbidden</title></head></html>", {"Content-Type": "text/html"}
)
GONE = Reply(410, {"code": 0, "message": "This data is gone and will not come back."})


def settings(base_url: str, folder: Path, world: World) -> dict[str, Any]:
    """Two players who have played each other."""
    return {
        "sources.chess.base_url": base_url,
        "sources.chess.players": list(PLAYERS),
        "sources.chess.contact": "sandbox@example.org",
    }


def answer(request: Request, world: World) -> Reply:
    """Answer as the PubAPI does."""
    if not re.search("@|http", request.headers.get("user-agent", "")):
        return FORBIDDEN
    match = PATH.fullmatch(request.path)
    if not match:
        return _unknown(request.path)
    player, rest = match["player"], match["rest"] or ""
    if player != player.lower():
        return _moved(request, player.lower() + rest)
    if player.startswith("nobody"):
        return Reply(404, {"code": 0, "message": f'User "{player}" not found.'})
    return GONE if player.startswith("gone") else _page(request, world, player, rest)


def _unknown(path: str) -> Reply:
    return Reply(404, {"code": 0, "message": f'Data provider not found for key "{path}".'})


def _moved(request: Request, target: str) -> Reply:
    return Reply(301, "", {"Location": f"http://{request.headers['host']}/chess/player/{target}"})


def _page(request: Request, world: World, player: str, rest: str) -> Reply:
    if match := MONTH.fullmatch(rest):
        month = int(match[1]), int(match[2])
        return _unless_known(request, *_month(world, player, month))
    if rest not in PAGES:
        return _unknown(request.path)
    return _unless_known(request, as_json(PAGES[rest](world, player)).encode(), _last_change(world, player))


def _unless_known(request: Request, content: bytes, changed: datetime) -> Reply:
    """The page, or 304 for a client that has it; an ETag decides before a date does."""
    etag = f'W/"{sha256(content).hexdigest()[:32]}"'
    headers = {
        "ETag": etag,
        "Last-Modified": format_datetime(changed, usegmt=True),
        "Cache-Control": "public, max-age=43200",
    }
    if _is_known(request, etag, changed):
        return Reply(304, headers=headers)
    return Reply(200, content, headers | {"Content-Type": "application/json; charset=utf-8"})


def _is_known(request: Request, etag: str, changed: datetime) -> bool:
    if tags := request.headers.get("if-none-match"):
        return etag in [tag.strip() for tag in tags.split(",")]
    since = request.headers.get("if-modified-since")
    return since is not None and changed <= parsedate_to_datetime(since)


@lru_cache(maxsize=32)
def _month(world: World, player: str, month: tuple[int, int]) -> tuple[bytes, datetime]:
    """The page of a month, and when it changed last; a month without games is an empty list."""
    games = [game for game in games_of(world, player) if game.month == month]
    content = as_json({"games": [told(game) for game in games]}).encode()
    return content, _newest(games, datetime(*month, 1, tzinfo=UTC))


def _newest(games: Iterable[Game], otherwise: datetime) -> datetime:
    appeared = max((game.appeared for game in games), default=None)
    return otherwise if appeared is None else datetime.fromtimestamp(appeared, UTC)


@lru_cache(maxsize=32)
def _last_change(world: World, player: str) -> datetime:
    return _newest(games_of(world, player), datetime.fromtimestamp(JOINED, UTC))


def _archives(world: World, player: str) -> dict[str, Any]:
    """The months that have games, and one whose games were taken back."""
    months = sorted({game.month for game in games_of(world, player)} | {EMPTY})
    return {"archives": [f"{identity(player)}/games/{year}/{month:02d}" for year, month in months]}


def _profile(world: World, player: str) -> dict[str, Any]:
    """The first player has the keys of 2022, all others those of 2025."""
    old = player == PLAYERS[0]
    rng = world.random("profile", player)
    return {
        **({"avatar": f"{SITE}/avatars/{player}.jpeg"} if old else {}),
        "player_id": uuid5(NAMESPACE_URL, player).int % 10**9,
        "@id": identity(player),
        "url": f"{SITE}/member/{player.title()}",
        **({"name": player.replace("_", " ").title()} if old else {}),
        "username": player,
        **({"title": "WFM"} if old else {}),
        "followers": rng.randrange(1000),
        "country": f"{API}/country/XX",
        **({"location": "Sandbox"} if old else {}),
        "last_online": int(_last_change(world, player).timestamp()),
        "joined": JOINED,
        "status": "premium" if old else "basic",
        "is_streamer": old,
        **({"twitch_url": f"https://twitch.tv/{player}"} if old else {}),
        **({} if old else {"verified": False, "league": "Wood", "streaming_platforms": []}),
    }


def _stats(world: World, player: str) -> dict[str, Any]:
    """A map by rules and time class, counted from the games, with other shapes beside it."""
    games = sorted(games_of(world, player), key=_kind)
    kinds = {kind: _standing(world, player, list(those)) for kind, those in groupby(games, key=_kind)}
    puzzles = world.random("puzzles", player)
    return {
        **kinds,
        "fide": 0,
        "tactics": {
            "highest": {"rating": puzzles.randrange(1500, 2500), "date": JOINED + puzzles.randrange(10**7)},
            "lowest": {"rating": puzzles.randrange(400, 900), "date": JOINED + puzzles.randrange(10**6)},
        },
        "puzzle_rush": {},
    }


def _kind(game: Game) -> str:
    return f"{game.rules}_{game.time_class}"


def _standing(world: World, player: str, games: list[Game]) -> dict[str, Any]:
    rng = world.random("standing", player, _kind(games[0]))
    last, best = games[-1], max(games, key=lambda game: _rating(game, player))
    standing: dict[str, Any] = {
        "last": {"rating": _rating(last, player), "date": last.ended, "rd": rng.randrange(20, 100)},
        "best": {"rating": _rating(best, player), "date": best.ended, "game": best.url},
        "record": _record(games, player),
    }
    if last.time_class == "daily":
        standing["record"] |= {
            "time_per_move": rng.randrange(600, 9000),
            "timeout_percent": _timeout_percent(games, player),
        }
        standing["tournament"] = {"count": 20, "withdraw": 1, "points": 39, "highest_finish": 1}
    return standing


def _side(game: Game, player: str) -> int:
    return game.players.index(player)


def _rating(game: Game, player: str) -> int:
    return game.ratings[_side(game, player)]


def _record(games: list[Game], player: str) -> dict[str, Any]:
    won = sum(game.results[_side(game, player)] == "win" for game in games)
    drawn = sum("win" not in game.results for game in games)
    return {"win": won, "loss": len(games) - won - drawn, "draw": drawn}


def _timeout_percent(games: list[Game], player: str) -> int | float:
    """A whole number where it is one, as the API writes it."""
    share = 100 * sum(game.results[_side(game, player)] == "timeout" for game in games) / len(games)
    return int(share) if share.is_integer() else round(share, 2)


def _clubs(world: World, player: str) -> dict[str, Any]:
    """Two clubs, one more from day 2 on."""
    names = ("Sandbox Rooks", "Sandbox Bishops", "Sandbox Knights")[: 2 if world.day == 1 else 3]
    return {"clubs": [_club(world, player, name) for name in names]}


def _club(world: World, player: str, name: str) -> dict[str, Any]:
    slug = name.lower().replace(" ", "-")
    return {
        "@id": f"{API}/club/{slug}",
        "name": name,
        "last_activity": int(FIRST_NOON.timestamp()) - world.random("club", name).randrange(10**6),
        "icon": f"{SITE}/icons/{slug}.png",
        "url": f"{SITE}/club/{slug}",
        "joined": JOINED + world.random("club", name, player).randrange(10**7),
    }


def _tournaments(world: World, player: str) -> dict[str, Any]:
    """Three lists of three shapes; one tournament starts on day 2 and moves from list to list."""
    started = ["spring-open"] + (["summer-open"] if world.day > 1 else [])
    coming = ["autumn-open"] + ([] if world.day > 1 else ["summer-open"])
    return {
        "finished": [
            _entry("winter-cup", "winner") | _score(8, 2, 1) | _result(1, 32) | {"points_awarded": 10},
            _entry("advent-cup", "eliminated") | _score(3, 5, 0) | _result(4, 5),
        ],
        "in_progress": [_entry(slug, "active") | _score(3, 0, 1) for slug in started],
        "registered": [_entry(slug, "registered") for slug in coming],
    }


def _entry(slug: str, status: str) -> dict[str, Any]:
    return {"url": f"{SITE}/tournament/{slug}", "@id": f"{API}/tournament/{slug}", "status": status}


def _score(wins: int, losses: int, draws: int) -> dict[str, Any]:
    return {"wins": wins, "losses": losses, "draws": draws}


def _result(placement: int, total_players: int) -> dict[str, Any]:
    return {"placement": placement, "total_players": total_players}


PAGES: dict[str, Callable[[World, str], dict[str, Any]]] = {
    "": _profile,
    "/stats": _stats,
    "/games/archives": _archives,
    "/clubs": _clubs,
    "/tournaments": _tournaments,
}
