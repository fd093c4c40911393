"""The tables of Chess.com, and how what the API sends becomes their rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import Any

from dlt.common.schema.typing import TTableSchemaColumns

from sources.kit import notices

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STATES = ("registered", "in_progress", "finished")  # of a tournament in two lists the later one counts
TIME_CLASSES = frozenset({"daily", "rapid", "blitz", "bullet"})
EPOCHS = frozenset({"date", "end_time", "joined", "last_activity", "last_online", "start_time"})
RENAMED = {"@id": "id_url"}  # a name no column can carry

DESCRIPTIONS = {
    "player_id": "Chess.com's number of the player; stays when the username changes",
    "username": "the name the player was asked for by, in lower case",
    "id_url": "the address in the API, `@id` there",
    "uuid": "the game; its URL where the API gives no uuid",
    "category": "key of the statistics: rules and time class, or tactics, puzzle_rush, lessons, fide",
    "snapshot_date": "UTC day on which the statistics were first seen like this",
    "rating": "FIDE rating as the player entered it, 0 for none; only in category fide",
    "removed": "never true in the table: marks rows to delete",
    "state": "list the tournament stands in: finished, in_progress or registered",
    "end_time": "when the game ended (UTC)",
    "start_time": "when the game began (UTC); daily games only",
    "accuracies__white": "percent, only after a computer analysis",
    "accuracies__black": "percent, only after a computer analysis",
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


PROFILE = _columns(
    "player_id",
    bigint="player_id followers fide",
    text="username name title status league country location id_url url avatar twitch_url",
    timestamp="joined last_online",
    bool="is_streamer verified",
    json="streaming_platforms",
)
STATS = _columns(
    "player_id category snapshot_date",
    bigint=(
        "player_id rating last__rating last__rd best__rating record__win record__loss record__draw "
        "record__time_per_move tournament__count tournament__withdraw tournament__highest_finish "
        "highest__rating lowest__rating best__total_attempts best__score daily__total_attempts daily__score"
    ),
    double="record__timeout_percent tournament__points",
    text="category username rules time_class best__game",
    date="snapshot_date",
    timestamp="last__date best__date highest__date lowest__date",
)
GAMES = _columns(
    "uuid",
    text=(
        "uuid url pgn tcn fen initial_setup time_control time_class rules eco tournament match "
        "white__username white__result white__id_url white__uuid "
        "black__username black__result black__id_url black__uuid"
    ),
    bigint="white__rating black__rating",
    double="accuracies__white accuracies__black",
    bool="rated",
    timestamp="start_time end_time",
)
CLUBS = _columns(
    "player_id id_url",
    bigint="player_id",
    text="id_url username name url icon",
    timestamp="joined last_activity",
    bool="removed",
)
TOURNAMENTS = _columns(
    "player_id id_url",
    bigint="player_id wins losses draws placement total_players",
    text="id_url username state status url",
    double="points_awarded",
    bool="removed",
)
for _listing in (CLUBS, TOURNAMENTS):
    _listing["removed"]["hard_delete"] = True


def told(value: Any) -> Any:
    """The same with epochs as ISO 8601 in UTC and `@id` as `id_url`, at any depth."""
    if isinstance(value, list):
        return [told(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {RENAMED.get(key, key): _iso(one) if key in EPOCHS else told(one) for key, one in value.items()}


def game(found: dict[str, Any]) -> dict[str, Any]:
    """A game as a row."""
    row: dict[str, Any] = told(found)
    return row if row.get("uuid") else {**row, "uuid": row.get("url")}


def statistic(category: str, value: Any, owner: dict[str, Any]) -> dict[str, Any]:
    """One entry of the map of statistics as a row; a bare number is a rating."""
    if not isinstance(value, (dict, int, float, NoneType)):
        return notices.rejected({category: value}, "is no object and no rating", f"statistics of {owner['username']}")
    rules, _, time_class = category.rpartition("_")
    named = {"rules": rules, "time_class": time_class} if time_class in TIME_CLASSES else {}
    return {
        **owner,
        "category": category,
        **named,
        **(told(value) if isinstance(value, dict) else {"rating": value}),
    }


def _iso(value: Any) -> Any:
    moment = from_epoch(value)
    return moment.isoformat().replace("+00:00", "Z") if moment else value


def from_epoch(value: Any) -> datetime | None:
    """Epoch seconds as a time in UTC; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return EPOCH + timedelta(seconds=value)
    except (OverflowError, ValueError):
        return None
