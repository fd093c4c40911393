"""What lies in the tables of a legacy database: keys first, payloads when they are asked for.

Their generated columns are never read: one row that is no JSON would break every query on them.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sources.halo_legacy.inputs import in_json
from sources.kit.halo.shape import Row, xuid_of

STATS, SKILL, EVENTS, CACHE, ALIASES = "MatchStats", "PlayerMatchStats", "HighlightEvents", "MatchCache", "XuidAliases"
KINDS = {
    "Maps": "map",
    "Playlists": "playlist",
    "PlaylistMapModePairs": "map_mode_pair",
    "GameVariants": "ugc_game_variant",
}
READABLE = "is_json(CAST(ResponseBody AS BLOB))"  # SQLite takes for JSON what other readers refuse
BODY = f"CASE WHEN {READABLE} THEN ResponseBody END"
OBJECT = f"json_extract({BODY}, '$.{{}}')"
RESULTS = (
    f"(SELECT count(*) FROM json_each({BODY}, '$.Value') AS v "
    "WHERE json_extract(v.value, '$.ResultCode') = 0 AND json_extract(v.value, '$.Result') IS NOT NULL)"
)
MOST_OFTEN = f"""
SELECT json_extract(p.value, '$.PlayerId') AS player FROM {STATS}, json_each({BODY}, '$.Players') AS p
WHERE player LIKE 'xuid(%' GROUP BY player ORDER BY count(*) DESC, player LIMIT 1
"""
WORTH = {SKILL: RESULTS}
KEYS = {
    STATS: (OBJECT.format("MatchId"),),
    SKILL: (f"CASE WHEN {READABLE} THEN MatchId END",),
    **dict.fromkeys(KINDS, (OBJECT.format("AssetId"), OBJECT.format("VersionId"))),
}
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A key: how much is known of it (nothing: it is empty), its row, and how many rows it has, copies aside."""

    key: Key
    worth: int
    row: int
    rows: int = 1


@dataclass
class Keys:
    """What a table of an input holds, before any payload of it is read."""

    rows: int = 0
    found: list[Found] = field(default_factory=list)
    keyless: list[int] = field(default_factory=list)


def tables(connection: sqlite3.Connection) -> set[str]:
    """The tables of a database."""
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def keys(connection: sqlite3.Connection, table: str) -> Keys:
    """The keys of a table of payloads."""
    if table == EVENTS:
        return _matches_of_events(connection)
    told, columns = Keys(), ", ".join(KEYS[table])
    for row, worth, *key in connection.execute(
        f'SELECT rowid, {WORTH.get(table, "1")}, {columns} FROM "{table}" ORDER BY rowid'
    ):
        told.rows += 1
        if all(isinstance(part, str) and part for part in key):
            told.found.append(Found(tuple(key), worth, row))
        else:
            told.keyless.append(row)
    return told


def owners(connection: sqlite3.Connection, name: str) -> set[str]:
    """Whose matches a database has: whom it says itself, else by its name, else who is in most of them."""
    there, told = tables(connection), list[Any]()
    if "Players" in there:
        told += connection.execute("SELECT xuid FROM Players")
    if "SyncMeta" in there and not told:
        told += connection.execute("SELECT Value FROM SyncMeta WHERE Key IN ('player_xuid', 'xuid')")
    if ALIASES in there and not told and (gamertag := re.fullmatch(r"spnkr_gt_(.+)\.db", name)):
        told += connection.execute(f"SELECT Xuid FROM {ALIASES} WHERE lower(Gamertag) = lower(?)", [gamertag[1]])
    if STATS in there and not told:
        told += connection.execute(MOST_OFTEN)
    return {xuid for (one,) in told if (xuid := xuid_of(one))}


def bodies(connection: sqlite3.Connection, table: str, rows: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Payloads by the numbers of their rows."""
    wanted = ", ".join(map(str, rows))
    yield from connection.execute(
        f'SELECT rowid, CAST(ResponseBody AS TEXT) FROM "{table}" WHERE rowid IN ({wanted}) ORDER BY rowid'
    )


def events(connection: sqlite3.Connection, match_id: str) -> list[str]:
    """The events of a match. Where each is there as often again, the match was copied, and the copies are left out."""
    bodies = Counter(
        body for (body,) in connection.execute(
            f'SELECT CAST(ResponseBody AS TEXT) FROM "{EVENTS}" WHERE MatchId = ? AND {READABLE}',
            (match_id,),
        )
    )  # fmt: skip
    copies = math.gcd(*bodies.values())
    return [body for body, times in bodies.items() for _ in range(times // copies)]


def whole_rows(connection: sqlite3.Connection, table: str) -> Iterator[tuple[int, Row]]:
    """The rows of a table without payloads, by their numbers."""
    cursor = connection.execute(f'SELECT rowid, * FROM "{table}" ORDER BY rowid')
    names = [column[0] for column in cursor.description]
    for row, *values in cursor:
        yield row, in_json(dict(zip(names[1:], values, strict=True)))


def _matches_of_events(connection: sqlite3.Connection) -> Keys:
    """Each match with how many events are known of it: the more there are, the more of its film was read."""
    told = Keys(rows=connection.execute(f'SELECT count(*) FROM "{EVENTS}"').fetchone()[0])
    good = f"{READABLE} AND typeof(MatchId) = 'text' AND MatchId <> ''"
    told.keyless = [row for (row,) in connection.execute(f'SELECT rowid FROM "{EVENTS}" WHERE NOT ({good})')]
    times: dict[str, list[int]] = {}
    for match_id, count in connection.execute(
        f'SELECT MatchId, count(*) FROM "{EVENTS}" WHERE {good} GROUP BY MatchId, CAST(ResponseBody AS TEXT)'
    ):
        times.setdefault(match_id, []).append(count)
    for match_id, counts in times.items():
        single = sum(counts) // math.gcd(*counts)
        told.found.append(Found((match_id,), single, 0, single))
    return told
