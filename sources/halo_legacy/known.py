"""What the warehouse has of the tables that are filled: matches that are there whole, and when names were seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable

WHOLE = "SELECT match_id FROM {match_payloads} WHERE part = 'stats'"
SEEN = "SELECT xuid, gamertag, source, first_seen_at, seen_at FROM {aliases}"


def whole_matches() -> set[str]:
    """Matches of which the warehouse has more than a sum."""
    return {match_id for (match_id,) in _asked(WHOLE, "match_payloads")}


def seen_names() -> dict[tuple[str, str, str], tuple[Any, Any]]:
    """When each name was seen first and last, by person, name and source."""
    return {(xuid, name, source): (first, last) for xuid, name, source, first, last in _asked(SEEN, "aliases")}


def _asked(sql: str, table: str) -> Iterator[tuple[Any, ...]]:
    """Rows of the destination; none where this is no run, or the table is not there: whoever made it knows of it."""
    try:
        dlt.current.load_package_state()
    except CurrentLoadPackageStateNotAvailable:
        return
    with dlt.current.pipeline().sql_client() as client:
        try:
            rows = client.execute_sql(sql.format(**{table: client.make_qualified_table_name(table)}))
            yield from map(tuple, rows or ())
        except DestinationUndefinedEntity:
            return
