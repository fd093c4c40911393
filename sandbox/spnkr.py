"""Stands in for Halo Waypoint (`*.svc.halowaypoint.com`), Xbox Live and Microsoft's sign-in: three people who play.

`/halostats`, `/skill` … are its hosts. The newest match of a day is listed and cannot be asked for yet (404); skill
asked for a bot is refused; one map was deleted. A Spartan token that was signed in for works for `TOKEN_REQUESTS`
requests, `SPARTAN`, as out of a browser, always.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.exchange import Reply, Request, World
from sandbox.halo_matches import (
    KINDS,
    PEOPLE,
    PERFECT,
    SEASON,
    Game,
    Games,
    asset_document,
    gamertag,
    made_id,
    moment,
    ranked,
)
from sandbox.oauth import CLIENT, SECRET, AuthorizationServer

SPARTAN, CLEARANCE = "v4=sandbox-spartan-token", "sandbox-clearance"
TOKEN_REQUESTS = 500
MOST = 25
LOGIN = AuthorizationServer("spnkr")
XUID = r"xuid\((?P<xuid>\d+)\)"
DELETED = KINDS[6].name
ASSETS = {
    "maps": "map",
    "playlists": "playlist",
    "mapModePairs": "map_mode_pair",
    "ugcGameVariants": "ugc_game_variant",
}
DATES = {
    f"{name}Date": {"ISO8601Date": f"{year}-06-20T17:00:00.000Z"} for name, year in (("Start", 2023), ("End", 2024))
}
_COUNTING = threading.Lock()


def settings(base_url: str, folder: Path, world: World) -> dict[str, Any]:
    """Three people, one by gamertag, and the tokens of somebody's browser."""
    first, *others = PEOPLE
    return {
        "sources.spnkr.base_url": f"{base_url}/{{host}}",
        "sources.spnkr.xbox_url": f"{base_url}/xbox/{{host}}",
        "sources.spnkr.authorize_url": f"{base_url}/login/authorize",
        "sources.spnkr.token_url": f"{base_url}/login/token",
        "sources.spnkr.client_id": CLIENT,
        "sources.spnkr.client_secret": SECRET,
        "sources.spnkr.players": [PEOPLE[first], *others],
        "sources.spnkr.spartan_token": SPARTAN,
        "sources.spnkr.clearance_token": CLEARANCE,
        "sources.spnkr.http.requests_per_second": 100_000,
    }


def answer(request: Request, world: World) -> Reply:
    """Answer as one of the hosts does."""
    if request.path.startswith("/login/"):
        return LOGIN.answer(_at(request, request.path.removeprefix("/login")), world) or Reply(404)
    if request.path in SIGN_IN:
        return SIGN_IN[request.path](request, world)
    if not _is_signed(request, world):
        return Reply(401, {"message": "Unauthorized"})
    for pattern, page in PAGES.items():
        if match := re.fullmatch(pattern, request.path):
            asked = {**{name: values[-1] for name, values in request.query.items()}, **match.groupdict()}
            return _reply(page(request, Games(world), asked))
    return Reply(404, {"message": f"nothing at {request.path}"})


def _reply(body: Any) -> Reply:
    return body if isinstance(body, Reply) else Reply(404) if body is None else Reply(200, body)


def _at(request: Request, path: str) -> Request:
    return Request(request.method, path, request.query, request.headers, request.body)


def _is_signed(request: Request, world: World) -> bool:
    """Whether a request bears a Spartan token that works, and a clearance; it is one request less."""
    token = request.headers.get("x-343-authorization-spartan", "")
    if request.headers.get("343-clearance") != CLEARANCE:
        return False
    with _COUNTING:
        left: dict[str, int] = world.memory.setdefault("spnkr_tokens", {})
        left[token] = left.get(token, 0) - 1
        return token == SPARTAN or left[token] >= 0


def _history(request: Request, games: Games, asked: dict[str, str]) -> Any:
    found = games.of(asked["xuid"], asked.get("type", "all"))
    start, count = int(asked.get("start", 0)), min(MOST, int(asked.get("count", MOST)))
    page = [game.entry(asked["xuid"]) for game in found[start : start + count]]
    return {"Start": start, "Count": count, "ResultCount": len(page), "Results": page, "Links": {}}


def _count(request: Request, games: Games, asked: dict[str, str]) -> Any:
    found = [len(games.of(asked["xuid"], kind)) for kind in ("custom", "all", "matchmaking")]
    names = ("CustomMatchesPlayedCount", "MatchesPlayedCount", "MatchmadeMatchesPlayedCount")
    return {**dict(zip(names, found, strict=True)), "LocalMatchesPlayedCount": 0}


def _stats(request: Request, games: Games, asked: dict[str, str]) -> Any:
    game = _ready(games, asked)
    return game and game.stats()


def _skill(request: Request, games: Games, asked: dict[str, str]) -> Any:
    players = request.query.get("players", [])
    if not players or not all(re.fullmatch(XUID, player) for player in players):
        return Reply(400, {"message": "players"})
    game = _ready(games, asked)
    return game.skill(players) if game and not game.kind.is_custom else None


def _film(request: Request, games: Games, asked: dict[str, str]) -> Any:
    game = _ready(games, asked)
    return game.film() if game and game.has_film else None


def _chunk(request: Request, games: Games, asked: dict[str, str]) -> Any:
    game = _ready(games, asked)
    return Reply(200, game.events()) if game else None


def _ready(games: Games, asked: dict[str, str]) -> Game | None:
    game = games.find(asked["match"])
    return game if game and game.is_ready else None


def _asset(request: Request, games: Games, asked: dict[str, str]) -> Any:
    if asked["asset"] == made_id(games.world, "map", DELETED):
        return None
    language = request.headers.get("accept-language", "")
    return asset_document(games.world, ASSETS[asked["kind"]], asked["asset"], asked["version"], language)


def _users(request: Request, games: Games, asked: dict[str, str]) -> Any:
    return [_person(xuid) for xuid in request.query.get("xuids", [])]


def _user(request: Request, games: Games, asked: dict[str, str]) -> Any:
    return next((_person(xuid) for xuid, name in PEOPLE.items() if name.lower() == asked["name"].lower()), None)


def _person(xuid: str) -> dict[str, Any]:
    return {"xuid": xuid, "gamertag": gamertag(xuid), "gamerpic": {"small": "https://example.test/pic"}}


def _record(request: Request, games: Games, asked: dict[str, str]) -> Any:
    kinds = {"Matchmade": "matchmaking", "Custom": "custom", "Local": "local"}
    played = len(games.of(asked["xuid"], kinds[asked["kind"]]))
    core = {
        "Score": played,
        "Kills": 9 * played,
        "Deaths": 8 * played,
        "AverageKDA": 1.5,
        "Medals": [],
        "Accuracy": 45.5,
    }
    subqueries = {"SeasonIds": [SEASON], "GameplayInteractions": None}
    return {"Subqueries": subqueries, "TimePlayed": f"P1DT{played}M0.5S", "MatchesCompleted": played, "CoreStats": core}


def _csrs(request: Request, games: Games, asked: dict[str, str]) -> Any:
    day = games.world.day
    skills = {"Current": ranked(-1), "SeasonMax": ranked(1400 + day), "AllTimeMax": ranked(1549)}
    return {"Value": [{"Id": one, "ResultCode": 0, "Result": skills} for one in request.query.get("players", [])]}


def _career(request: Request, games: Games, asked: dict[str, str]) -> Any:
    rank = 271 if asked["xuid"] == min(PEOPLE) else 40 + games.world.day
    return {"CurrentProgress": {"Rank": rank, "PartialProgress": 500, "HasReachedMaxRank": rank == 272}}


def _privacy(request: Request, games: Games, asked: dict[str, str]) -> Any:
    return {"MatchmadeGames": 1, "OtherGames": 2}


def _operations(request: Request, games: Games, asked: dict[str, str]) -> Any:
    progress = {"Rank": 5, "PartialProgress": 10 * games.world.day, "HasReachedMaxRank": False}
    paths = [f"RewardTracks/Operations/{name}.json" for name in ("old", "new")]
    tracks = [{"RewardTrackPath": path, "IsOwned": True, "CurrentProgress": progress} for path in paths]
    return {"ActiveOperationRewardTrackPath": paths[-1], "OperationRewardTracks": tracks}


def _customization(request: Request, games: Games, asked: dict[str, str]) -> Any:
    emblem = {"EmblemPath": "Inventory/Spartan/Emblems/one.json", "ConfigurationId": 567098062}
    core = {"CoreId": "017-001", "CoreType": "Armor", "Themes": [{"ThemePath": "Inventory/Armor/Themes/one.json"}]}
    return {
        "ArmorCores": {"ArmorCores": [core]},
        "SpartanBody": {"LeftArm": "None", "BodyType": "Medium"},
        "Appearance": {"ServiceTag": f"T{games.world.day}", "Emblem": emblem, "PlayerTitlePath": None},
    }


def _medals(request: Request, games: Games, asked: dict[str, str]) -> Any:
    def medal(name_id: int, name: str, french: str) -> dict[str, Any]:
        return {
            "name": {"value": name, "translations": {"fr-FR": french}},
            "description": {"value": f"Earn a {name}", "translations": {}},
            "spriteIndex": 17, "sortingWeight": 100, "difficultyIndex": 1, "typeIndex": 0, "personalScore": 50,
            "nameId": name_id,
        }  # fmt: skip

    medals = [medal(622331684, "Twice", "Deux fois"), medal(PERFECT, "Flawless", "Sans faute")]
    return {"difficulties": ["normal", "heroic"], "types": ["spree"], "sprites": {}, "medals": medals}


def _seasons(request: Request, games: Games, asked: dict[str, str]) -> Any:
    if asked["file"].endswith("CsrSeasonCalendar.json"):
        return {"Seasons": [{"CsrSeasonFilePath": SEASON, **DATES}]}
    season = {"OperationTrackPath": "RewardTracks/one.json", "SeasonMetadata": "Seasons/one.json"}
    return {"Seasons": [{**season, **DATES}], "Events": [{"RewardTrackPath": "RewardTracks/event.json", **DATES}]}


def _ticket(request: Request, world: World) -> Reply:
    ticket = json.loads(request.body)["Properties"]["RpsTicket"].removeprefix("d=")
    granted = LOGIN.grant_of(_bearing(ticket), world)
    return Reply(200, {"Token": f"user-{ticket}"}) if granted else Reply(401, {"XErr": 0})


def _xsts(request: Request, world: World) -> Reply:
    (user,) = json.loads(request.body)["Properties"]["UserTokens"]
    return Reply(200, {"Token": f"xsts-{user}", "DisplayClaims": {"xui": [{"xid": "1"}]}})


def _spartan(request: Request, world: World) -> Reply:
    ticket = json.loads(request.body)["Proof"][0]["Token"].removeprefix("xsts-user-")
    if not LOGIN.grant_of(_bearing(ticket), world):
        return Reply(401, {})
    with _COUNTING:
        left: dict[str, int] = world.memory.setdefault("spnkr_tokens", {})
        token = f"v4=spartan-{made_id(world, ticket, len(left))}"
        left[token] = TOKEN_REQUESTS
    ends = datetime.now(UTC) + timedelta(hours=4)
    return Reply(201, {"SpartanToken": token, "ExpiresUtc": {"ISO8601Date": moment(ends)}, "TokenDuration": "PT4H"})


def _clearance(request: Request, world: World) -> Reply:
    return Reply(200, {"FlightConfigurationId": CLEARANCE})


def _bearing(token: str) -> Request:
    return Request("GET", "/", headers={"authorization": f"Bearer {token}"})


SIGN_IN: dict[str, Callable[[Request, World], Reply]] = {
    "/xbox/user/user/authenticate": _ticket,
    "/xbox/xsts/xsts/authorize": _xsts,
    "/settings/spartan-token": _spartan,
    "/settings/oban/flight-configurations/titles/hi/audiences/RETAIL/active": _clearance,
}
PAGES: dict[str, Callable[[Request, Games, dict[str, str]], Any]] = {
    rf"/halostats/hi/players/{XUID}/matches": _history,
    rf"/halostats/hi/players/{XUID}/matches/count": _count,
    rf"/halostats/hi/players/{XUID}/(?P<kind>Matchmade|Custom|Local)/servicerecord": _record,
    r"/halostats/hi/matches/(?P<match>[0-9a-f-]+)/stats": _stats,
    r"/skill/hi/matches/(?P<match>[0-9a-f-]+)/skill": _skill,
    r"/skill/hi/playlist/(?P<playlist>[0-9a-f-]+)/csrs": _csrs,
    r"/discovery-infiniteugc/hi/films/matches/(?P<match>[0-9a-f-]+)/spectate": _film,
    r"/discovery-infiniteugc/hi/(?P<kind>maps|playlists|mapModePairs|ugcGameVariants)"
    r"/(?P<asset>[0-9a-f-]+)/versions/(?P<version>[0-9a-f-]+)": _asset,
    r"/blobs-infiniteugc/ugcstorage/film/(?P<match>[0-9a-f-]+)/filmChunk2": _chunk,
    r"/profile/users": _users,
    r"/profile/users/gt\((?P<name>.+)\)": _user,
    rf"/economy/hi/players/{XUID}/rewardtracks/careerranks/careerrank1": _career,
    rf"/halostats/hi/players/{XUID}/matches-privacy": _privacy,
    rf"/economy/hi/players/{XUID}/rewardtracks/operations": _operations,
    rf"/economy/hi/players/{XUID}/customization": _customization,
    r"/gamecms-hacs/hi/Waypoint/file/medals/metadata\.json": _medals,
    r"/gamecms-hacs/hi/[Pp]rogression/file/(?P<file>.*Calendar\.json|.*calendar\.json)": _seasons,
}
