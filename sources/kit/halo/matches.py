"""The statistics of a match (`/hi/matches/{id}/stats`) as rows of eight tables.

Stats of a player come once for each team the player was in. A mode's block has a key of its own, which may be one
that nobody knows yet; it may also be null.
"""

from __future__ import annotations

from typing import Any

from sources.kit import notices
from sources.kit.halo.shape import Row, Rows, below, flat, objects, snake, xuid_of
from sources.kit.halo.tables import STATS

ASSETS = {"MapVariant": "map", "UgcGameVariant": "game_variant", "Playlist": "playlist", "PlaylistMapModePair": "pair"}
KINDS = {"map": "map", "game_variant": "ugc_game_variant", "playlist": "playlist", "pair": "map_mode_pair"}
NOT_FLAT = frozenset(ASSETS)
LISTS = frozenset({"Medals", "PersonalScores"})
ABOUT_PLAYER = frozenset({"PlayerId", "PlayerTeamStats", "ParticipationInfo", "BotAttributes"})
BOT = 2


def match_rows(payload: Any) -> Rows:
    """The rows of every table of `STATS` by its name; what is no match is rejected as a row of `match_stats`."""
    rows: Rows = {table.name: [] for table in STATS}
    if not isinstance(payload, dict) or not isinstance(payload.get("MatchId"), str):
        rows["match_stats"].append(notices.rejected(payload, "is no match with a MatchId", "match_stats"))
        return rows
    match_id = payload["MatchId"]
    rows["match_stats"].append({"match_id": match_id, **info_row(payload.get("MatchInfo"))})
    for team, good in objects(payload.get("Teams"), f"Teams of {match_id}"):
        if good:
            _add_team(rows, match_id, team)
        else:
            rows["match_teams"].append(team)
    for player, good in objects(payload.get("Players"), f"Players of {match_id}"):
        if good:
            _add_player(rows, match_id, player)
        else:
            rows["match_players"].append(player)
    return rows


def listed_row(payload: Row, xuid: str) -> Row | None:
    """The row of `match_history` for one who played, out of the match itself; None for who did not."""
    for player, good in objects(payload.get("Players"), "Players"):
        if good and xuid_of(player.get("PlayerId")) == xuid:
            row = flat({name: player.get(name) for name in ("LastTeamId", "Outcome", "Rank")})
            present = below(player, "ParticipationInfo").get("PresentAtCompletion")
            known = {"match_id": payload.get("MatchId"), **info_row(payload.get("MatchInfo")), **row}
            return {"xuid": xuid, **known, **({} if present is None else {"present_at_end_of_match": present})}
    return None


def info_row(info: Any) -> Row:
    """What `MatchInfo` says: `map_id`, `playlist_id` … for its assets, and all else under its own name."""
    if not isinstance(info, dict):
        return {}
    row = flat(info, without=NOT_FLAT)
    for key, name in ASSETS.items():
        asset = info.get(key)
        if isinstance(asset, dict):
            row[f"{name}_id"] = asset.get("AssetId")
            row[f"{name}_version_id"] = asset.get("VersionId")
    return row


def assets_of(match: Row) -> list[tuple[str, str, str]]:
    """Kind, id and version of the assets that a row of `match_stats` or `match_history` names."""
    named = ((KINDS[name], match.get(f"{name}_id"), match.get(f"{name}_version_id")) for name in KINDS)
    return [(kind, asset, version) for kind, asset, version in named if asset and version]


def _add_team(rows: Rows, match_id: str, team: Row) -> None:
    key = {"match_id": match_id, "team_id": team.get("TeamId")}
    stats = below(team, "Stats")
    core = flat(below(stats, "CoreStats"))
    rows["match_teams"].append({**key, **flat(team, without=frozenset({"TeamId", "Stats"})), **core})
    rows["match_team_modes"] += _modes(key, stats)


def _add_player(rows: Rows, match_id: str, player: Row) -> None:
    player_id = player.get("PlayerId")
    key: Row = {"match_id": match_id, "player_id": player_id, "xuid": xuid_of(player_id)}
    stints = list(objects(player.get("PlayerTeamStats"), f"PlayerTeamStats of {player_id} in {match_id}"))
    rows["match_players"].append(
        {
            **key,
            **flat(player, without=ABOUT_PLAYER),
            **flat(below(player, "ParticipationInfo")),
            **flat(below(player, "BotAttributes"), "bot_"),
            "is_bot": player.get("PlayerType") == BOT or key["xuid"] is None,
            "stints": len({str(stint.get("TeamId")) for stint, good in stints if good}),
        }
    )
    for stint, good in stints:
        if good:
            _add_stint(rows, {**key, "team_id": stint.get("TeamId")}, below(stint, "Stats"))
        else:
            rows["match_stints"].append(stint)


def _add_stint(rows: Rows, key: Row, stats: Row) -> None:
    core = below(stats, "CoreStats")
    rows["match_stints"].append({**key, **flat(core, without=LISTS)})
    rows["match_medals"] += _awards(key, core.get("Medals"), "Medals")
    rows["match_personal_scores"] += _awards(key, core.get("PersonalScores"), "PersonalScores")
    rows["match_player_modes"] += _modes(key, stats)


def _awards(key: Row, awards: Any, where: str) -> list[Row]:
    found = objects(awards, f"{where} of {key['player_id']} in {key['match_id']}")
    return [{**key, **flat(award)} if good else award for award, good in found]


def _modes(key: Row, stats: Row) -> list[Row]:
    """One row per block of a mode: `capture_the_flag` of `CaptureTheFlagStats`."""
    return [
        {**key, "mode": snake(name.removesuffix("Stats")), **flat(block)}
        for name, block in stats.items()
        if name != "CoreStats" and isinstance(block, dict)
    ]
