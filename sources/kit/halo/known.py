"""What the warehouse has of matches that nobody asked the API for: those that were imported."""

from __future__ import annotations

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable

from sources.kit.halo.tables import MATCH_PAYLOADS

IMPORTED = "SELECT match_id, part FROM {table} WHERE source = 'legacy'"


def imported_parts() -> dict[str, set[str]]:
    """The parts of each imported match; none where this is no run, or nothing was loaded yet."""
    try:
        dlt.current.load_package_state()
    except CurrentLoadPackageStateNotAvailable:
        return {}
    found: dict[str, set[str]] = {}
    with dlt.current.pipeline().sql_client() as client:
        try:
            name = client.make_qualified_table_name(MATCH_PAYLOADS.name)
            rows = client.execute_sql(IMPORTED.format(table=name)) or ()
        except DestinationUndefinedEntity:
            return {}
    for match_id, part in rows:
        found.setdefault(match_id, set()).add(part)
    return found
