"""What is said of the tables: where each is asked for, and what the next run begins from."""

from __future__ import annotations

from sources.kit.halo import tables as matches
from sources.kit.halo.tables import Table
from sources.kit.resources import Resource
from sources.spnkr import tables
from sources.spnkr.snapshots import CSR_SEASONS_PATH, MEDALS_PATH, SEASONS_PATH

PLAYER, MATCH = "GET /hi/players/{player}", "GET /hi/matches/{match}"
ASKED: dict[str, dict[str, tuple[Table, ...]]] = {
    "the newest match of each person": {f"{PLAYER}/matches": (tables.MATCH_HISTORY,)},
    "what became of each part of each match": {
        f"{MATCH}/stats": matches.STATS,
        f"{MATCH}/skill": matches.SKILL,
        "GET /hi/films/matches/{match}/spectate": matches.FILM,
        "GET /users?xuids={players}": (matches.ALIASES,),
        "the answers of stats, skill and film": (matches.MATCH_PAYLOADS,),
        "their status": (tables.MATCH_PARTS,),
    },
    "the versions that are known": {"GET /hi/{kind}/{asset}/versions/{version}": (matches.ASSETS,)},
    "a digest of each row": {
        f"{PLAYER}/matches/count": (tables.MATCH_COUNT,),
        f"{PLAYER}/{{kind}}/servicerecord": (tables.SERVICE_RECORDS,),
        "GET /hi/playlist/{playlist}/csrs?players={players}": (tables.PLAYLIST_CSR,),
        f"{PLAYER}/rewardtracks/careerranks/careerrank1": (tables.CAREER_PROGRESS,),
        f"{PLAYER}/matches-privacy": (tables.MATCH_PRIVACY,),
        f"{PLAYER}/rewardtracks/operations": (tables.OPERATIONS,),
        f"{PLAYER}/customization": (tables.CUSTOMIZATION,),
    },
    "a digest of all rows": {
        f"GET {MEDALS_PATH}": (tables.MEDALS, tables.MEDAL_LABELS),
        f"GET {SEASONS_PATH}, {CSR_SEASONS_PATH}": (tables.SEASONS,),
    },
}
RESOURCES = {
    table.name: Resource(endpoint, cursor, table.about)
    for cursor, asked in ASKED.items()
    for endpoint, filled in asked.items()
    for table in filled
}
