"""The tables that the API alone fills: snapshots of a day, seasons, what became of each match."""

from __future__ import annotations

from typing import Any

from sources.kit import notices
from sources.kit.halo.matches import info_row
from sources.kit.halo.shape import Row, below, flat, objects, snake, xuid_of
from sources.kit.halo.tables import MATCH_HISTORY as MATCH_HISTORY
from sources.kit.halo.tables import MEDAL_LABELS as MEDAL_LABELS
from sources.kit.halo.tables import MEDALS as MEDALS
from sources.kit.halo.tables import Table, columns, csr

DAY = "snapshot_date"
RANKS = 272


def _table(name: str, about: str, key: str, **types: str) -> Table:
    keys = tuple(key.split())
    return Table(name, about, keys, columns(keys, **types))


MATCH_PARTS = _table(
    "match_parts",
    "What became of each part of each match: done, pending, absent, gone or unreadable.",
    "match_id part",
    text="match_id part status reason",
)
MATCH_COUNT = _table(
    "match_count",
    "How many matches the API counts, on days on which that had changed.",
    "xuid snapshot_date",
    text="xuid",
    date=DAY,
    bigint="custom_matches matches matchmade_matches local_matches",
)
SERVICE_RECORDS = _table(
    "service_records",
    "A person's totals by kind of match, on days on which they had changed.",
    "xuid match_type snapshot_date",
    text="xuid match_type",
    date=DAY,
    double="time_played_seconds core_stats__average_kda core_stats__accuracy",
    bigint=(
        "matches_completed wins losses ties core_stats__score core_stats__personal_score core_stats__kills "
        "core_stats__deaths core_stats__assists core_stats__shots_fired core_stats__shots_hit "
        "core_stats__headshot_kills core_stats__damage_dealt core_stats__damage_taken core_stats__max_killing_spree"
    ),
    json="core_stats__medals core_stats__personal_scores subqueries",
)
_CSRS = csr("current", "season_max", "all_time_max")
PLAYLIST_CSR = _table(
    "playlist_csr",
    "A person's ranked skill in a playlist, on days on which it had changed.",
    "xuid playlist_id snapshot_date",
    text=f"xuid playlist_id {_CSRS['text']}",
    date=DAY,
    bigint=f"result_code {_CSRS['bigint']}",
)
CAREER_PROGRESS = _table(
    "career_progress",
    "A person's career rank, on days on which it had changed; `rank` is the one shown, from 1 to 272.",
    "xuid snapshot_date",
    text="xuid",
    date=DAY,
    bigint="api_rank rank partial_progress",
    bool="has_reached_max_rank",
)
MATCH_PRIVACY = _table(
    "match_privacy",
    "Who may see a person's matches, on days on which that had changed, in the API's numbers.",
    "xuid snapshot_date",
    text="xuid",
    date=DAY,
    bigint="matchmade_games other_games",
)
OPERATIONS = _table(
    "operations",
    "A person's progress in each operation, on days on which it had changed.",
    "xuid reward_track_path snapshot_date",
    text="xuid reward_track_path track_type",
    date=DAY,
    bool="is_active is_owned has_reached_max_rank",
    bigint="rank partial_progress",
)
CUSTOMIZATION = _table(
    "customization",
    "How a person's Spartan looks, on days on which that had changed.",
    "xuid snapshot_date",
    text=(
        "xuid service_tag emblem__emblem_path backdrop_image_path action_pose_path intro_emote_path player_title_path "
        "body_type voice_path left_arm right_arm left_leg right_leg"
    ),
    date=DAY,
    timestamp="last_modified_date_utc",
    bigint="emblem__configuration_id",
    json="armor_cores weapon_cores ai_cores vehicle_cores",
)
SEASONS = _table(
    "seasons",
    "Seasons of ranked play, operations and events.",
    "kind path start_date",
    text="kind path operation_track_path reward_track_path csr_season_file_path season_metadata",
    timestamp="start_date end_date",
)


def history_row(xuid: str, told: Any) -> Row:
    """A match as a history lists it."""
    if not isinstance(told, dict):
        return notices.rejected(told, "is no object", f"history of {xuid}")
    row = flat(told, without=frozenset({"MatchInfo"}))
    return {"xuid": xuid, **info_row(told.get("MatchInfo")), **row}


def count_row(xuid: str, told: Row) -> Row:
    """Counts of matches by kind, `custom_matches` of `CustomMatchesPlayedCount`."""
    return {"xuid": xuid, **{key.replace("_played_count", ""): value for key, value in flat(told).items()}}


def record_row(xuid: str, match_type: str, told: Row) -> Row:
    """The totals of one kind of match."""
    return {"xuid": xuid, "match_type": match_type, **flat(told)}


def csr_rows(playlist: str, told: Any) -> list[Row]:
    """The ranked skills of several people in a playlist."""
    found = objects(told.get("Value") if isinstance(told, dict) else told, f"CSR of {playlist}")
    return [_csr_row(playlist, entry) if good else entry for entry, good in found]


def _csr_row(playlist: str, entry: Row) -> Row:
    skills = flat(below(entry, "Result"))
    return {"xuid": xuid_of(entry.get("Id")), "playlist_id": playlist, "result_code": entry.get("ResultCode"), **skills}


def career_row(xuid: str, told: Row) -> Row:
    """Where a person stands; the API counts ranks from 0 on, and its last one is the last that is shown, too."""
    progress = flat(below(told, "CurrentProgress"))
    rank = progress.pop("rank", None)
    shown = min(rank + 1, RANKS) if type(rank) is int else rank
    return {"xuid": xuid, "api_rank": rank, "rank": shown, **progress}


def privacy_row(xuid: str, told: Row) -> Row:
    """Who may see matches."""
    return {"xuid": xuid, **flat(told)}


def operation_rows(xuid: str, told: Row) -> list[Row]:
    """Progress in operations, of which one is under way."""
    active = told.get("ActiveOperationRewardTrackPath")
    return [
        _operation_row(xuid, entry, active) if good else entry
        for entry, good in objects(told.get("OperationRewardTracks"), f"operations of {xuid}")
    ]


def _operation_row(xuid: str, entry: Row, active: Any) -> Row:
    progress = flat(below(entry, "CurrentProgress"))
    track = flat(entry, without=frozenset({"CurrentProgress", "PreviousProgress"}))
    return {"xuid": xuid, **progress, **track, "is_active": entry.get("RewardTrackPath") == active}


def customization_row(xuid: str, told: Row) -> Row:
    """How a Spartan looks; what it wears is kept as it came."""
    looks = {**flat(below(told, "SpartanBody")), **flat(below(told, "Appearance"))}
    cores = {snake(name): cores for name, cores in told.items() if name.endswith("Cores")}
    return {"xuid": xuid, **looks, **cores}


def season_rows(calendar: Row, ranked: Row) -> list[Row]:
    """Operations, events and seasons of ranked play out of the two calendars."""
    return [
        *_seasons("csr", "CsrSeasonFilePath", ranked.get("Seasons")),
        *_seasons("operation", "OperationTrackPath", calendar.get("Seasons")),
        *_seasons("event", "RewardTrackPath", calendar.get("Events")),
    ]


def _seasons(kind: str, key: str, told: Any) -> list[Row]:
    return [
        {"kind": kind, "path": entry.get(key) or entry.get("SeasonMetadata"), **flat(entry)} if good else entry
        for entry, good in objects(told, f"seasons of kind {kind}")
    ]
