"""Files in which other programs have kept games, profiles, lists …: `2024_01_02_09_00_chess_NAME_games.jsonl`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import dlt

from sources.chess.tables import STATES, game, statistic, told
from sources.chess.upstream import Row
from sources.kit import notices
from sources.kit.destination import is_loaded
from sources.kit.foreign import Line

PROFILES = "player_profile"
LISTS = {"clubs": ("clubs",), "tournaments": STATES}  # what the lists of an answer are called
THEIRS = ("data_type", "fetch_timestamp")  # what those programs add to a line
PLAYER = re.compile(r"(?:.*?_)?chess_(?P<name>.+)")
NOBODY = "does not say whose it is; call it …_chess_NAME_{}.jsonl, and put it into landing again"
STRANGER = "nothing is known of the player {!r}; load a profile first, and put this into landing again"


def rows(table: str, line: Line) -> Iterable[Row]:
    """The rows of a line; statistics and lists need the number of the player, which a profile has told before."""
    content = _own(line)
    if "player_id" in content or table == PROFILES:
        return [told(content)]
    return [game(content)] if table == "games" else _owned(table, line, content)


def fault(line: Line) -> str:
    """Why nobody can tell whose a line is; nothing where it says so, or need not."""
    tells = "player_id" in line.content or line.type in (PROFILES, "games") or _player(line)
    return "" if tells else NOBODY.format(line.type)


def is_empty(line: Line) -> bool:
    """Whether a player has no statistics, or is in no list."""
    return not _own(line) or any(key in line.content for key in LISTS.get(line.type, ()))


def _own(line: Line) -> Row:
    return {key: value for key, value in line.content.items() if key not in THEIRS}


def _player(line: Line) -> str:
    """The player in the name of a file; nothing where there is none."""
    found = PLAYER.fullmatch(line.file.rpartition(f"_{line.type}")[0])
    return found["name"].lower() if found else ""


def _owned(table: str, line: Line, content: Row) -> Iterator[Row]:
    username = _player(line)
    number = _number(username)
    if number is None:
        yield notices.failed(line.file, STRANGER.format(username))
        return
    owner: Row = {"player_id": number, "username": username}
    if table == "player_stats":
        day = str(line.content.get("fetch_timestamp") or line.at)[:10]
        yield from (statistic(key, value, {**owner, "snapshot_date": day}) for key, value in content.items())
    else:
        for entry in [content] if "@id" in content else []:
            yield {**owner, **told(entry)}
        for key in LISTS[table]:
            beside = {**owner, "state": key} if key in STATES else owner
            yield from ({**beside, **told(entry)} for entry in content.get(key) or [])


def _number(username: str) -> int | None:
    """The number of a player whose profile is loaded."""
    if not is_loaded(PROFILES):
        return None
    with dlt.current.pipeline().dataset() as dataset:
        known = dataset.table(PROFILES).select("username", "player_id").fetchall()
    return {str(name).lower(): int(number) for name, number in known}.get(username)
