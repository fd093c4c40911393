"""What the warehouse has already: whoever loaded it, an input adds only what is lacking."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sources.kit.halo.known import asked
from sources.kit.halo.shape import Row
from sources.kit.halo.tables import ASSETS, MATCH_HISTORY, MATCH_PAYLOADS, MEDAL_LABELS, MEDALS
from sources.kit.notices import KEY

WHOLE = "SELECT match_id FROM {match_payloads} WHERE part = 'stats'"
SEEN = "SELECT xuid, gamertag, source, first_seen_at, seen_at FROM {aliases}"
TOGETHER = {  # else the rows of a match
    table.name: table.key for table in (ASSETS, MATCH_HISTORY, MATCH_PAYLOADS, MEDALS, MEDAL_LABELS)
}
WHERE = {
    "match_skill": "result_code = 0",
    **dict.fromkeys(("match_payloads", "highlight_events", "assets", "medals", "medal_labels"), "TRUE"),
}


class Known:
    """How many rows of a table the warehouse has of each match (or of what else goes together) that it has whole."""

    def __init__(self, table: str) -> None:
        self._group = TOGETHER.get(table, ("match_id",))
        named = ", ".join(self._group)
        where = WHERE.get(table, f"match_id IN ({WHOLE})")
        sql = f"SELECT {named}, count(*) FROM {{{table}}} WHERE {where} GROUP BY {named}"
        self._counts: dict[tuple[Any, ...], int] = {
            tuple(group): count for *group, count in asked(sql, table, "match_payloads")
        }

    def lacking(self, rows: list[Row]) -> list[Row]:
        """The rows of those of which the warehouse has fewer, and all notices."""
        here = Counter(self._of(row) for row in rows if KEY not in row)
        return [row for row in rows if KEY in row or self._counts.get(self._of(row), 0) < here[self._of(row)]]

    def _of(self, row: Row) -> tuple[Any, ...]:
        return tuple(row.get(column) for column in self._group)


def whole_matches() -> set[str]:
    """Matches of which the warehouse has more than a sum."""
    return {match_id for (match_id,) in asked(WHOLE, "match_payloads")}


def seen_names() -> dict[tuple[str, str, str], tuple[Any, Any]]:
    """When each name was seen first and last, by person, name and source."""
    return {(xuid, name, source): (first, last) for xuid, name, source, first, last in asked(SEEN, "aliases")}
