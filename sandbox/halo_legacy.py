"""What older programs keep of the matches of `sandbox.halo_matches`: two databases, names, and sums of matches.

The databases overlap; in `a.db` a match is there twice with all that belongs to it, as a merge without keys leaves it,
and a skill is empty that `b.db` has. Only `b.db` grows. Two matches are left but as sums: one in MatchCache, the
other in a Parquet file. A file of the game names one medal.
"""

from __future__ import annotations

import io
import json
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sandbox.exchange import World
from sandbox.halo_matches import PERFECT, Game, Games, gamertag, made_id

SCHEMA = """
CREATE TABLE MatchStats (
    ResponseBody TEXT, MatchId TEXT GENERATED ALWAYS AS (json_extract(ResponseBody, '$.MatchId')) VIRTUAL
);
CREATE TABLE PlayerMatchStats (ResponseBody TEXT, MatchId TEXT);
CREATE TABLE HighlightEvents (
    MatchId TEXT NOT NULL, ResponseBody TEXT NOT NULL,
    EventType TEXT GENERATED ALWAYS AS (json_extract(ResponseBody, '$.event_type')) VIRTUAL
);
CREATE TABLE Maps (ResponseBody TEXT);
CREATE TABLE Playlists (ResponseBody TEXT);
CREATE TABLE PlaylistMapModePairs (ResponseBody TEXT);
CREATE TABLE GameVariants (ResponseBody TEXT);
CREATE TABLE XuidAliases (Xuid TEXT PRIMARY KEY, Gamertag TEXT NOT NULL, LastSeen TEXT, Source TEXT, UpdatedAt TEXT);
CREATE TABLE MatchCache (
    match_id TEXT, xuid TEXT, start_time TEXT, playlist_id TEXT, playlist_name TEXT, map_id TEXT, outcome INTEGER,
    last_team_id INTEGER, kills INTEGER, deaths INTEGER, assists INTEGER, kda REAL, accuracy REAL,
    time_played_seconds INTEGER, team_mmr REAL, my_team_score INTEGER, PRIMARY KEY (match_id, xuid)
);
"""
ASSETS = {"Maps": "map", "Playlists": "playlist", "PlaylistMapModePairs": "pair", "GameVariants": "variant"}
PLAYER = "2533274800000001"


def settings(base_url: str, folder: Path, world: World) -> dict[str, Any]:
    """Write the files (one that would not change is left alone) and say where they are."""
    games = Games(world)
    last = games.first_day - 3
    first = [games.game(number) for number in range(last * 2 // 3)]
    others = [*range(last // 3, last), *range(games.first_day, games.count - 1)]
    cached, summed = games.game(last), games.game(last + 1)
    files = {
        "a.db": _database([*first, first[0]], empty_skill=first[-1].id, cached=[cached, first[1]]),
        "b.db": _database([games.game(number) for number in others]),
        "match_facts.parquet": _parquet(summed),
        "medal_metadata.json": json.dumps({"medals": [{"nameId": PERFECT, "name": {"value": "Flawless"}}]}).encode(),
        "xuid_aliases.json": json.dumps({PLAYER: "Demo Before", "2533274811000001": ""}).encode(),
    }
    for name, content in files.items():
        if not (folder / name).exists() or (folder / name).read_bytes() != content:
            (folder / name).write_bytes(content)
    return {"sources.halo_legacy.files": [str(folder / name) for name in files]}


def _database(games: Sequence[Game], empty_skill: str = "", cached: Sequence[Game] = ()) -> bytes:
    with tempfile.TemporaryDirectory(prefix="halo-legacy-") as folder:
        path = Path(folder) / "legacy.db"
        with closing(sqlite3.connect(path)) as database:
            database.executescript(SCHEMA)
            for game in games:
                _fill(database, game, game.id == empty_skill)
            names = {xuid: gamertag(xuid) for game in games for xuid in game.ours}
            database.executemany(
                "INSERT INTO XuidAliases VALUES (?, ?, '2024-02-01', 'match_roster', '2024-02-01')", names.items()
            )
            cells = ", ".join("?" * 16)
            rows = [(*_sum(game).values(), 7820) for game in cached]  # somebody's own score for the team's
            database.executemany(f"INSERT INTO MatchCache VALUES ({cells})", rows)
            database.commit()
        return path.read_bytes()


def _fill(database: sqlite3.Connection, game: Game, empty_skill: bool) -> None:
    people = [player for player in game.players if player.startswith("xuid")]
    skill = {"Value": None} if empty_skill else game.skill(people)
    database.execute("INSERT INTO MatchStats VALUES (?)", [json.dumps(game.stats())])
    database.execute("INSERT INTO PlayerMatchStats VALUES (?, ?)", [json.dumps(skill), game.id])
    events = [(game.id, json.dumps(event)) for event in _events(people)]
    database.executemany("INSERT INTO HighlightEvents VALUES (?, ?)", events if game.has_film else [])
    for table, kind in ASSETS.items():
        if kind not in ("playlist", "pair") or not game.kind.is_custom:
            asset = game.asset(kind) | {"PublicName": f"{game.kind.name} {kind}", "Tags": [], "VersionNumber": 1}
            database.execute(f"INSERT INTO {table} VALUES (?)", [json.dumps(asset)])


def _events(people: Sequence[str]) -> list[dict[str, Any]]:
    """A kill and a death each, and two medals that are alike in all."""
    told = [
        {"event_type": kind, "type_hint": hint, "time_ms": 10_000 * turn, "is_medal": kind == "medal"}
        for turn, (kind, hint) in enumerate((("kill", 50), ("death", 20), ("medal", 10), ("medal", 10)), 1)
    ]
    told[3] = dict(told[2])
    who = {"xuid": int(people[0][5:-1]), "gamertag": gamertag(people[0][5:-1])}
    return [who | event | {"medal_value": 1 if event["is_medal"] else 0, "medal_name": None} for event in told]


def _sum(game: Game) -> dict[str, Any]:
    """One match as one person has it, in the order of MatchCache."""
    return {
        "match_id": game.id,
        "xuid": PLAYER,
        "start_time": game.began.isoformat(),
        "playlist_id": made_id(game.games.world, "Rumble Pit"),
        "playlist_name": "Rumble Pit",
        "map_id": game.asset("map")["AssetId"],
        "outcome": 2,
        "last_team_id": 0,
        "kills": 12,
        "deaths": 7,
        "assists": 4,
        "kda": 6.33,
        "accuracy": None,
        "time_played_seconds": 543,
        "team_mmr": 1201.5,
    }


def _parquet(game: Game) -> bytes:
    row = _sum(game) | {"start_time": datetime.fromtimestamp(game.began.timestamp(), UTC), "team_id": 0}
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row | {"accuracy": 44.5}]), sink)
    return sink.getvalue()
