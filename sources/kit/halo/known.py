"""What the warehouse has of matches, whoever loaded them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable

from sources.kit.halo.tables import MATCH_PAYLOADS

IMPORTED = f"SELECT match_id, part FROM {{{MATCH_PAYLOADS.name}}} WHERE source = 'legacy'"


def imported_parts() -> dict[str, set[str]]:
    """The parts of each match that was imported: nobody asked the API for them."""
    found: dict[str, set[str]] = {}
    for match_id, part in asked(IMPORTED, MATCH_PAYLOADS.name):
        found.setdefault(match_id, set()).add(part)
    return found


def asked(sql: str, *tables: str) -> Iterator[tuple[Any, ...]]:
    """Rows of the destination; `{table}` in the SQL names a table in full.

    None where this is no run, or a table is not there. It need not be one of this source's own.
    """
    try:
        dlt.current.load_package_state()
    except CurrentLoadPackageStateNotAvailable:
        return
    with dlt.current.pipeline().sql_client() as client:
        try:
            rows = client.execute_sql(sql.format(**{name: client.make_qualified_table_name(name) for name in tables}))
        except DestinationUndefinedEntity:
            return
    yield from map(tuple, rows or ())
