"""The skill answer of a match (`/hi/matches/{id}/skill`) as rows of three tables.

Its maps have data as keys, teams in `TeamMmrs` and tiers in `TierCounterfactuals`; they become rows.
"""

from __future__ import annotations

from typing import Any

from sources.kit import notices
from sources.kit.halo.shape import Row, Rows, below, flat, objects, xuid_of
from sources.kit.halo.tables import SKILL

APART = frozenset({"RankRecap", "StatPerformances", "TeamMmrs", "Counterfactuals", "RankedRewards"})


def skill_rows(match_id: str, payload: Any) -> Rows:
    """The rows of every table of `SKILL` by its name."""
    rows: Rows = {table.name: [] for table in SKILL}
    if not isinstance(payload, dict):
        rows["match_skill"].append(notices.rejected(payload, "is no skill of a match", f"match_skill of {match_id}"))
        return rows
    for entry, good in objects(payload.get("Value"), f"Value of the skill of {match_id}"):
        if good:
            _add(rows, {"match_id": match_id, "player_id": entry.get("Id")}, entry)
        else:
            rows["match_skill"].append(entry)
    return rows


def _add(rows: Rows, key: Row, entry: Row) -> None:
    result = below(entry, "Result")
    rows["match_skill"].append(
        {
            **key,
            "xuid": xuid_of(entry.get("Id")),
            "result_code": entry.get("ResultCode"),
            **flat(result, without=APART),
            **flat(below(result, "RankRecap")),
            **flat(below(result, "StatPerformances")),
            **flat(below(result, "Counterfactuals", "SelfCounterfactuals"), "self_"),
            "ranked_rewards": result.get("RankedRewards"),
        }
    )
    rows["match_skill_mmrs"] += [
        {**key, "team_id": int(team) if team.lstrip("-").isdecimal() else team, "mmr": mmr}
        for team, mmr in below(result, "TeamMmrs").items()
    ]
    rows["match_skill_tiers"] += [
        {**key, "tier": tier, **flat(told)}
        for tier, told in below(result, "Counterfactuals", "TierCounterfactuals").items()
        if isinstance(told, dict)
    ]
