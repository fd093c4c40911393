"""Halo matches that nobody played: slayer, flags, custom with bots, twelve teams, firefight, a mode nobody knows."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from sandbox.exchange import World, noon

PEOPLE = {"2533274800000001": "Demo Spartan", "2533274800000002": "DemoElite", "2533274800000003": "DemoGrunt"}
STRANGERS = 40
EVERY, LATER = timedelta(hours=5), timedelta(hours=4)
LENGTH = timedelta(minutes=9, seconds=18, milliseconds=117)
NEW_A_DAY = 3
FEWEST = 10
RANKED = "edfef3ac-9cbe-4fa2-b949-8f29deafd483"
SEASON = "Csr/Seasons/CsrSeason6-1.json"
KILLED, PERFECT, UNKNOWN_MEDAL = 622331684, 1512363953, 4294967290
KILL_SCORE, FLAG_SCORE = 1024030246, 22113181
FILM_VERSION = 38
KILL, DEATH, MEDAL = 50, 20, 100
WIN, LOSS = 2, 3
END = b"\0\0\x2e\xe0"  # of an event in a film
TIERS = ("Bronze", "Silver", "Gold", "Platinum", "Diamond", "Onyx")


@dataclass(frozen=True)
class Kind:
    """A kind of match: its mode, how many play, and in which teams."""

    category: int
    name: str
    block: str | None = None
    playlist: str | None = "Ranked Arena"
    teams: int = 2
    bots: int = 0
    people: int = 8

    @property
    def is_custom(self) -> bool:
        return self.playlist is None


KINDS = (
    Kind(6, "Slayer"),
    Kind(15, "CTF", "CaptureTheFlagStats"),
    Kind(8, "Elimination", "EliminationStats", playlist=None, bots=3, people=4),
    Kind(6, "FFA Slayer", playlist="Rumble Pit", teams=12, people=12),
    Kind(13, "Firefight: King of the Hill", "PveStats", playlist="Firefight", teams=1, people=4),
    Kind(99, "Hoverball", "HoverballStats", playlist="Community"),
    Kind(18, "Oddball", "OddballStats"),
)


class Games:
    """All matches of a world up to its day."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def count(self) -> int:
        """How many matches there are: a tenth of the world's records, and a few more each day."""
        return self.first_day + NEW_A_DAY * (self.world.day - 1)

    @property
    def first_day(self) -> int:
        return max(FEWEST, self.world.records // 10)

    def game(self, number: int) -> Game:
        """A match by its number, the oldest is 0."""
        return Game(self, number)

    def find(self, match_id: str) -> Game | None:
        """The match of an id."""
        known: dict[str, int] = self.world.memory.setdefault("halo_ids", {})
        for number in range(len(known), self.count):
            known[self.game(number).id] = number
        number = known.get(match_id, self.count)
        return self.game(number) if number < self.count else None

    def of(self, xuid: str, match_type: str) -> list[Game]:
        """Somebody's matches, newest first; a match whose number is in `halo_hidden` of the memory is not listed."""
        known: dict[Any, list[Game]] = self.world.memory.setdefault("halo_histories", {})
        if (found := known.get((xuid, match_type, self.count))) is None:
            games = (self.game(number) for number in reversed(range(self.count)))
            hidden: set[int] = self.world.memory.get("halo_hidden", set())
            played = (game for game in games if xuid in game.ours and game.is_of(match_type))
            found = [game for game in played if game.number not in hidden]
            known[xuid, match_type, self.count] = found
        return found


@dataclass(frozen=True)
class Game:
    """One match; all of it follows from its number and the seed."""

    games: Games
    number: int

    @property
    def kind(self) -> Kind:
        return KINDS[self.number % len(KINDS)]

    @property
    def id(self) -> str:
        return self.uuid("match")

    @property
    def began(self) -> datetime:
        """The first ones before noon of the first day, some soon followed; the others of each day before its noon."""
        ago = self.games.first_day - self.number
        if ago > 0:
            return noon(1) - EVERY * ago + (LATER if self.number % 4 == 1 else timedelta())
        day, place = divmod(-ago, NEW_A_DAY)
        return noon(day + 1) + EVERY * (place + 1)

    @property
    def is_ready(self) -> bool:
        """Whether it can be asked for: the newest of a day cannot yet."""
        return self.number < self.games.count - 1

    @property
    def has_film(self) -> bool:
        return self.number % 9 != 8

    @cached_property
    def ours(self) -> list[str]:
        """Which of the people we know played."""
        first, second, third = PEOPLE
        played = [
            *([first] if self.number % 5 != 4 else []),
            *([second] if self.number % 2 == 0 else []),
            *([third] if self.number % 3 == 0 else []),
        ]
        return played or [first]

    @cached_property
    def players(self) -> list[str]:
        """Ours, strangers, then bots."""
        roll = self.games.world.random("strangers", self.number)
        strangers = roll.sample(range(STRANGERS), self.kind.people - len(self.ours))
        return [
            *(f"xuid({xuid})" for xuid in self.ours),
            *(f"xuid({2533274811000000 + stranger})" for stranger in strangers),
            *(f"bid({bot}.0)" for bot in range(self.kind.bots)),
        ]

    def is_of(self, match_type: str) -> bool:
        """Whether a history of that type lists it."""
        return match_type == "all" or match_type == ("custom" if self.kind.is_custom else "matchmaking")

    def roll(self, low: int, high: int, *names: object) -> int:
        """A number that depends on these names alone."""
        return self.games.world.random("game", self.number, *names).randrange(low, high)

    def uuid(self, *names: object) -> str:
        """An id that depends on these names and this match."""
        return made_id(self.games.world, "game", self.number, *names)

    def assets(self) -> list[dict[str, Any]]:
        """The documents of its assets, each with its `kind`; a custom match has no playlist and no pair."""
        named = {"map": "map", "variant": "ugc_game_variant", "playlist": "playlist", "pair": "map_mode_pair"}
        chosen = [kind for kind in named if not (self.kind.is_custom and kind in ("playlist", "pair"))]
        links = {named[kind]: self.asset(kind) for kind in chosen}
        world = self.games.world
        return [
            {"kind": kind, **asset_document(world, kind, link["AssetId"], link["VersionId"])}
            for kind, link in links.items()
        ]

    def asset(self, kind: str) -> dict[str, Any]:
        """An asset of the match; those of a kind of match are the same."""
        if kind == "playlist":
            known = RANKED if self.kind.playlist == "Ranked Arena" else made_id(self.games.world, self.kind.playlist)
            return {"AssetKind": 3, "AssetId": known, "VersionId": made_id(self.games.world, "version", known)}
        asset = made_id(self.games.world, kind, self.kind.name)
        return {"AssetKind": 2, "AssetId": asset, "VersionId": made_id(self.games.world, "version", asset)}

    def info(self) -> dict[str, Any]:
        """`MatchInfo`; a custom match is of no playlist."""
        custom = self.kind.is_custom
        return {
            "StartTime": moment(self.began),
            "EndTime": moment(self.began + LENGTH),
            "Duration": "PT9M18.1171234S",
            "LifecycleMode": 1 if custom else 3,
            "GameVariantCategory": self.kind.category,
            "LevelId": made_id(self.games.world, "level", self.kind.name),
            "MapVariant": self.asset("map"),
            "UgcGameVariant": self.asset("variant"),
            "ClearanceId": "sandbox",
            "Playlist": None if custom else self.asset("playlist"),
            "PlaylistExperience": None if custom else 2,
            "PlaylistMapModePair": None if custom else self.asset("pair"),
            "SeasonId": None if custom else SEASON,
            "PlayableDuration": "PT9M3.05S",
            "TeamsEnabled": self.kind.teams > 1,
            "TeamScoringEnabled": self.kind.teams == 2,
            "GameplayInteraction": 1,
        }

    def entry(self, xuid: str) -> dict[str, Any]:
        """The match as somebody's history lists it."""
        place = self.players.index(f"xuid({xuid})")
        return {
            "MatchId": self.id,
            "MatchInfo": self.info(),
            "LastTeamId": self.team(place),
            "Outcome": self.outcome(self.team(place)),
            "Rank": place + 1,
            "PresentAtEndOfMatch": True,
        }

    def team(self, place: int) -> int:
        return place % self.kind.teams

    def outcome(self, team: int) -> int:
        return WIN if team == self.number % self.kind.teams else LOSS

    def stats(self) -> dict[str, Any]:
        """The whole answer."""
        players = [self._player(place, player) for place, player in enumerate(self.players)]
        teams = [self._team(team, players) for team in range(2)] if self.kind.teams == 2 else []
        return {"MatchId": self.id, "MatchInfo": self.info(), "Teams": teams, "Players": players}

    def _player(self, place: int, player: str) -> dict[str, Any]:
        is_bot = player.startswith("bid")
        team = self.team(place)
        changed = self.kind.is_custom and place == 1  # who changed the team has stats in both
        teams = [1 - team, team] if changed else [team]
        return {
            "PlayerId": player,
            "PlayerType": 2 if is_bot else 1,
            "BotAttributes": {"Difficulty": 2} if is_bot else None,
            "LastTeamId": team,
            "Outcome": self.outcome(team),
            "Rank": place + 1,
            "ParticipationInfo": {
                "FirstJoinedTime": moment(self.began + timedelta(seconds=20)),
                "LastLeaveTime": None,
                "PresentAtBeginning": True,
                "JoinedInProgress": False,
                "LeftInProgress": False,
                "PresentAtCompletion": True,
                "TimePlayed": "PT9M3.05S",
                "ConfirmedParticipation": None,
            },
            "PlayerTeamStats": [{"TeamId": one, "Stats": self._stats(place, one)} for one in teams],
        }

    def _team(self, team: int, players: list[dict[str, Any]]) -> dict[str, Any]:
        stats = self._stats("team", team)
        own = [
            one["Stats"]["CoreStats"] for each in players for one in each["PlayerTeamStats"] if one["TeamId"] == team
        ]
        stats["CoreStats"] |= {name: sum(core[name] for core in own) for name in ("Kills", "Deaths", "Assists")}
        stats["CoreStats"]["Score"] = 0 if self.outcome(team) == LOSS and self.kind.category == 15 else 3
        return {"TeamId": team, "Outcome": self.outcome(team), "Rank": 1 + (self.outcome(team) == LOSS), "Stats": stats}

    def _stats(self, *who: object) -> dict[str, Any]:
        kills, deaths, assists, fired = (self.roll(0, 20, *who, name) for name in ("k", "d", "a", "f"))
        medals = {KILLED: 2, PERFECT: 1, **({UNKNOWN_MEDAL: 1} if self.kind.category == 99 else {})}
        core = {
            "Score": kills, "PersonalScore": kills * 100, "RoundsWon": 1, "RoundsLost": 0, "RoundsTied": 0,
            "Kills": kills, "Deaths": deaths, "Assists": assists, "KDA": round(kills + assists / 3 - deaths, 2),
            "Suicides": 0, "Betrayals": 0, "AverageLifeDuration": "PT35.6S", "GrenadeKills": 1,
            "HeadshotKills": kills // 2, "MeleeKills": 0, "PowerWeaponKills": 0,
            "ShotsFired": 100 + fired, "ShotsHit": 50, "Accuracy": int(5000 / (100 + fired) * 100) / 100,
            "DamageDealt": kills * 300, "DamageTaken": deaths * 300, "CalloutAssists": 0, "VehicleDestroys": 0,
            "DriverAssists": 0, "Hijacks": 0, "EmpAssists": 0, "MaxKillingSpree": min(kills, 4),
            "Medals": [{"NameId": i, "Count": n, "TotalPersonalScoreAwarded": 0} for i, n in medals.items()],
            "PersonalScores": [{"NameId": KILL_SCORE, "Count": kills, "TotalPersonalScoreAwarded": kills * 100}],
            "DeprecatedDamageDealt": kills * 300.0, "DeprecatedDamageTaken": deaths * 300.0,
            "Spawns": deaths + 1, "ObjectivesCompleted": 0,
        }  # fmt: skip
        pvp = {"Kills": kills, "Deaths": deaths, "Assists": assists, "KDA": core["KDA"]}
        block = {self.kind.block: dict(BLOCKS[self.kind.block])} if self.kind.block else {}
        return {"CoreStats": core, **block, "PvpStats": pvp}

    def skill(self, players: list[str]) -> dict[str, Any]:
        """Ratings of those who are asked for."""
        return {"Value": [{"Id": player, "ResultCode": 0, "Result": self._skill(player)} for player in players]}

    def _skill(self, player: str) -> dict[str, Any]:
        team = self.team(self.players.index(player)) if player in self.players else 0
        mmrs = {str(one): 1200.5 + one for one in range(max(2, self.kind.teams))}
        csr = self.roll(300, 1600, "csr", player)
        expected = {"Kills": 10.25, "Deaths": 11.5}
        return {
            "TeamMmr": mmrs[str(team)],
            "RankRecap": {"PreMatchCsr": ranked(csr), "PostMatchCsr": ranked(csr + 7)},
            "StatPerformances": {name: {"Count": 9, "Expected": expected[name], "StdDev": 4.5} for name in expected},
            "TeamId": team,
            "TeamMmrs": mmrs,
            "RankedRewards": None,
            "Counterfactuals": {
                "SelfCounterfactuals": expected,
                "TierCounterfactuals": dict.fromkeys(("Bronze", "Gold", "Onyx"), expected),
            },
        }

    def film(self) -> dict[str, Any]:
        """The manifest of the film."""
        chunks = [
            {"Index": i, "FileRelativePath": f"/filmChunk{i}", "ChunkType": kind} for i, kind in enumerate((1, 2, 3))
        ]
        return {
            "FilmStatusBond": 1,
            "CustomData": {
                "FilmLength": 543050,
                "Chunks": chunks,
                "MatchId": self.id,
                "FilmMajorVersion": FILM_VERSION,
            },
            "BlobStoragePathPrefix": f"https://blobs-infiniteugc.svc.halowaypoint.com/ugcstorage/film/{self.id}",
            "AssetId": self.uuid("film"),
        }

    def deeds(self) -> list[dict[str, Any]]:
        """What a reader of films finds: a few kills, and a medal that is there twice."""
        humans = [player[5:-1] for player in self.players if player.startswith("xuid")]
        told: list[dict[str, Any]] = []
        for turn in range(4):
            killer, victim = humans[turn % len(humans)], humans[(turn + 1) % len(humans)]
            at = 10_000 * (turn + 1)
            told += [_deed(killer, "kill", KILL, at), _deed(victim, "death", DEATH, at, 1)]
        return [*told, *[_deed(humans[0], "medal", MEDAL, 40_000, 0, "Double Kill")] * 2]

    def events(self) -> bytes:
        """The same as the game packs it into a file."""
        return zlib.compress(b"\x01".join(map(_packed, self.deeds())))


BLOCKS: dict[str, dict[str, Any]] = {
    "CaptureTheFlagStats": {"FlagCaptures": 1, "FlagGrabs": 3, "TimeAsFlagCarrier": "PT13.3S"},
    "EliminationStats": {"Eliminations": 2, "LivesRemaining": None},
    "OddballStats": {"SkullGrabs": 1, "TimeAsSkullCarrier": "PT1M0.8S", "LongestTimeAsSkullCarrier": "PT26.4S"},
    "PveStats": {"Kills": 90, "Deaths": 1, "Assists": 8, "GruntKills": 60, "BossKills": 1, "KDA": 91.66},
    "HoverballStats": {"BallsHovered": 2, "TimeHovering": "PT2M0.5S"},
}


def ranked(value: int) -> dict[str, Any]:
    """A ranked skill; -1 is none."""
    tier = (
        ""
        if value < 0
        else "Onyx"
        if value >= 1500
        else ("Bronze", "Silver", "Gold", "Platinum", "Diamond")[value // 300]
    )
    start = 0 if value < 0 else min(value // 300 * 300, 1500)
    return {
        "Value": value, "MeasurementMatchesRemaining": 0, "Tier": tier, "TierStart": start,
        "SubTier": 0 if value < 0 or value >= 1500 else (value - start) // 50, "NextTier": tier,
        "NextTierStart": start, "NextSubTier": 0, "InitialMeasurementMatches": 5,
    }  # fmt: skip


def gamertag(xuid: str) -> str:
    """The name of somebody."""
    return PEOPLE.get(xuid, f"Stranger{int(xuid) % 1000}")


def made_id(world: World, *names: object) -> str:
    """An id as the API has them."""
    return str(UUID(int=world.random("halo", *names).getrandbits(128), version=4))


def moment(at: datetime) -> str:
    """A moment as the API writes it."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"


def asset_document(world: World, kind: str, asset: str, version: str, language: str = "en-US") -> dict[str, Any]:
    """A map, playlist, map_mode_pair or ugc_game_variant, as the API tells of it."""
    link = {"AssetId": made_id(world, "linked", asset), "PublicName": "Linked", "Description": ""}
    links: dict[str, dict[str, Any]] = {
        "map_mode_pair": {"MapLink": link, "UgcGameVariantLink": link},
        "playlist": {"RotationEntries": [link]},
        "ugc_game_variant": {"EngineGameVariantLink": link},
    }
    return {
        "CustomData": {"Strategy": 0},
        "Tags": ["sandbox"],
        **links.get(kind, {}),
        "AssetId": asset,
        "VersionId": version,
        "PublicName": _asset_name(world, asset),
        "Description": f"in {language}",
        "Files": {"Prefix": "https://example.test/", "FileRelativePaths": ["images/hero.png"]},
        "Contributors": [f"xuid({min(PEOPLE)})"],
        "AssetHome": 1,
        "AssetStats": {"PlaysRecent": 5, "PlaysAllTime": 50, "AverageRating": 4.5, "NumberOfRatings": 2},
        "InspectionResult": 0,
        "CloneBehavior": 0,
        "Order": 0,
    }


def _asset_name(world: World, asset: str) -> str:
    for kind in KINDS:
        playlist = RANKED if kind.playlist == "Ranked Arena" else made_id(world, kind.playlist)
        prefix = "Ranked" if playlist == RANKED else "Arena"
        names = {
            playlist: str(kind.playlist),
            made_id(world, "map", kind.name): f"Map of {kind.name}",
            made_id(world, "variant", kind.name): kind.name,
            made_id(world, "pair", kind.name): f"{prefix}:{kind.name} on Map",
        }
        if asset in names:
            return names[asset]
    return "Asset"


def _deed(xuid: str, kind: str, hint: int, at: int, value: int = 0, name: str | None = None) -> dict[str, Any]:
    return {
        "xuid": int(xuid), "gamertag": gamertag(xuid), "type_hint": hint, "is_medal": kind == "medal",
        "event_type": kind, "time_ms": at, "medal_value": value, "medal_name": name,
    }  # fmt: skip


def _packed(deed: dict[str, Any]) -> bytes:
    name = deed["gamertag"].encode("utf-16le").ljust(32, b"\0")
    head = struct.pack(">BI", deed["type_hint"], deed["time_ms"])
    tail = bytes([0, 0, 0, deed["is_medal"], 0, 0, 0, deed["medal_value"]])
    return b"".join((struct.pack("<Q", deed["xuid"]), b"\x2d\xc0", bytes(8), name, bytes(15), head, tail, END))
