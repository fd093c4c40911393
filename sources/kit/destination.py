"""What a source may know of the tables it has filled before."""

from __future__ import annotations

import dlt
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable


def is_loaded(table: str) -> bool:
    """Whether the table is there, and not about to be dropped; outside of a load there is none."""
    try:
        package = dlt.current.load_package_state()["state"]
    except CurrentLoadPackageStateNotAvailable:
        return False
    return table in dlt.current.source_schema().data_table_names(seen_data_only=True) and "refresh" not in package
