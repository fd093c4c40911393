"""Files in which other programs have kept games, profiles and statistics: `2024_01_02_09_00_chess_NAME_games.jsonl`."""

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
THEIRS = ("data_type", "fetch_timestamp")  # what those programs add to a line
PLAYER = re.compile(r"(?:.*?_)?chess_(?P<name>.+)")
NOBODY = "does not say whose it is; call it …_chess_NAME_{}.jsonl, and put it into landing again"
STRANGER = "nothing is known of the player {!r}; load a profile first, and put this into landing again"


def rows(table: str, line: Line) -> Iterable[Row]:
    """The rows of a line; statistics and lists need the number of the player, which a profile has told before."""
    content = {key: value for key, value in line.content.items() if key not in THEIRS}
    if "player_id" in content or table == PROFILES:
        return [told(content)]
    return [game(content)] if table == "games" else _owned(table, line, content)


def _owned(table: str, line: Line, content: Row) -> Iterator[Row]:
    player = PLAYER.fullmatch(line.first_name.removesuffix(f"_{line.type}"))
    if player is None:
        yield notices.failed(line.file, NOBODY.format(line.type))
        return
    username = player["name"].lower()
    number = _number(username)
    if number is None:
        yield notices.failed(line.file, STRANGER.format(username))
        return
    owner: Row = {"player_id": number, "username": username}
    if table == "player_stats":
        day = str(line.content.get("fetch_timestamp") or line.at)[:10]
        yield from (statistic(key, value, {**owner, "snapshot_date": day}) for key, value in content.items())
    else:
        lists = {"": content.get("clubs")} if table == "clubs" else {state: content.get(state) for state in STATES}
        for state, entries in lists.items():
            beside = {**owner, "state": state} if state else owner
            yield from ({**beside, **told(entry)} for entry in entries or [])


def _number(username: str) -> int | None:
    """The number of a player whose profile is loaded."""
    if not is_loaded(PROFILES):
        return None
    with dlt.current.pipeline().dataset() as dataset:
        known = dataset.table(PROFILES).select("username", "player_id").fetchall()
    return {str(name).lower(): int(number) for name, number in known}.get(username)
