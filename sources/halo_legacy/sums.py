"""What has no payload: sums of a match for one person (MatchCache, Parquet), and names (XuidAliases, a JSON file).

A sum stands in where nobody has the match itself. What the original computed wrongly is left out: the scores of teams
(where one was 0 it took a person's); what it derived (sessions, performance), the models derive again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from sources.halo_legacy.inputs import Input, in_json
from sources.halo_legacy.legacy import Found, Keys
from sources.kit import notices
from sources.kit.errors import Unreadable
from sources.kit.halo.shape import Row, Rows, xuid_of
from sources.kit.repeats import pairs, parsed

PARQUET, JSON = "match_facts", "aliases"
TABLES = ("match_stats", "match_history", "match_players", "match_stints", "match_skill")
NUMBERS = ("kills", "deaths", "assists", "headshot_kills", "max_killing_spree", "kda", "accuracy")
NO_TEAM = -1
MIGRATED = "migrated"
XUID_LENGTH = 16
PROFILES = "profiles"  # of db_profiles.json
BEFORE_ALL = 1  # what a name without a time is worth
Numbered = Iterable[tuple[int, Mapping[str, Any]]]


def of_parquet(file: Input) -> Iterator[tuple[int, Row]]:
    """The rows of a Parquet file, with what its folders say: `player=2533…/year=2024/month=09`."""
    player = re.search(r"player=(\d+)", file.path.as_posix())
    try:
        with pq.ParquetFile(file.path) as parquet:
            start = 0
            for batch in parquet.iter_batches():
                for number, row in enumerate(batch.to_pylist(), start):
                    yield number, {"xuid": player and player[1], **in_json(row)}
                start += batch.num_rows
    except (pa.ArrowInvalid, OSError) as wrong:
        raise Unreadable(f"is no whole Parquet file: {wrong}; take it from a backup") from wrong


def document(file: Input) -> dict[str, Any]:
    """The object of a JSON file."""
    try:
        found = parsed(file.path.read_bytes())
    except orjson.JSONDecodeError as wrong:
        raise Unreadable(f"is neither a database, nor Parquet, nor JSON: {wrong}; name another file") from wrong
    if not isinstance(found, dict):
        raise Unreadable('is no object of names by xuid; it should look like {"2533…": "Gamertag"}')
    if isinstance(found.get(PROFILES), dict):
        raise Unreadable("names players, who belong in `players` of [sources.spnkr]; name their databases here")
    return found


def of_names(names: dict[str, Any]) -> Iterator[tuple[int, Row]]:
    """The names of `{"<xuid>": "<gamertag>"}`."""
    for number, (xuid, gamertag) in enumerate(pairs(names)):
        yield number, {"Xuid": xuid, "Gamertag": gamertag, "Source": MIGRATED}


def keys(numbered: Numbered) -> Keys:
    """Match and person of each sum."""
    told = Keys()
    for number, fact in numbered:
        told.rows += 1
        key = _key(fact)
        if key:
            told.found.append(Found(key, 1, number))
        else:
            told.keyless.append(number)
    return told


def name_keys(numbered: Numbered) -> Keys:
    """Person, name and source of each name; a blank one is worth nothing, the one seen last most."""
    told = Keys()
    for number, alias in numbered:
        told.rows += 1
        xuid, gamertag = _person(alias.get("Xuid")), alias.get("Gamertag")
        if not xuid or not isinstance(gamertag, str | None):
            told.keyless.append(number)
            continue
        seen = moment(alias.get("LastSeen"))
        worth = int(datetime.fromisoformat(seen).timestamp()) if seen else BEFORE_ALL
        named = (gamertag or "").strip()
        told.found.append(Found((xuid, named, _source(alias)), worth if named else 0, number))
    return told


def rows(fact: Mapping[str, Any], where: str) -> Rows:
    """The rows of each of `TABLES`; a sum without its key is rejected as a row of `match_stats`."""
    made: Rows = {table: [] for table in TABLES}
    key = _key(fact)
    if key is None:
        made["match_stats"].append(notices.rejected(dict(fact), "has no match_id or no xuid", where))
        return made
    match_id, xuid = key
    player: Row = {"match_id": match_id, "player_id": f"xuid({xuid})", "xuid": xuid}
    team, seconds = _first(fact, "last_team_id", "team_id"), _first(fact, "time_played_seconds")
    ids = {name: fact.get(name) for name in ("playlist_id", "map_id", "game_variant_id", "pair_id")}
    took_part: Row = {
        **player,
        "outcome": fact.get("outcome"),
        "last_team_id": team,
        "is_bot": False,
        "stints": 1,
        "time_played_seconds": None if seconds is None else float(seconds),
    }
    stint: Row = {
        **player,
        "team_id": NO_TEAM if team is None else team,
        **{name: fact.get(name) for name in NUMBERS},
        "average_life_duration_seconds": _first(fact, "avg_life_seconds", "average_life_seconds"),
    }
    match: Row = {"match_id": match_id, "start_time": moment(fact.get("start_time")), **ids}
    made["match_stats"].append(_filled(match))
    made["match_history"].append(_filled({"xuid": xuid, **match, "outcome": fact.get("outcome"), "last_team_id": team}))
    made["match_players"].append(_filled(took_part))
    made["match_stints"].append(_filled(stint))
    if fact.get("team_mmr") is not None:
        made["match_skill"].append({**player, "team_mmr": fact["team_mmr"]})
    return made


def name_rows(alias: Mapping[str, Any], where: str) -> Rows:
    """The row of `aliases`; what names nobody is rejected."""
    xuid, seen = _person(alias.get("Xuid")), moment(alias.get("LastSeen"))
    if not xuid or not isinstance(alias.get("Gamertag"), str):
        return {"aliases": [notices.rejected(dict(alias), "is no name of an xuid", where)]}
    row = {"xuid": xuid, "gamertag": alias["Gamertag"].strip(), "source": _source(alias)}
    return {"aliases": [_filled({**row, "first_seen_at": seen, "seen_at": seen})]}


def moment(value: Any) -> str | None:
    """A time as ISO 8601 in UTC; None for what is none."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()


def _key(fact: Mapping[str, Any]) -> tuple[str, str] | None:
    """Match and person; None where one is missing."""
    match_id, xuid = fact.get("match_id"), xuid_of(fact.get("xuid"))
    return (match_id, xuid) if isinstance(match_id, str) and match_id and xuid else None


def _source(alias: Mapping[str, Any]) -> str:
    return str(alias.get("Source") or MIGRATED)


def _first(fact: Mapping[str, Any], *names: str) -> Any:
    return next((fact[name] for name in names if fact.get(name) is not None), None)


def _filled(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}


def _person(told: Any) -> str | None:
    """An XUID of the length they have: a file of medals' labels looks like one of names."""
    xuid = xuid_of(told)
    return xuid if xuid and len(xuid) == XUID_LENGTH else None
