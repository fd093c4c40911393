"""Plays of tracks; nobody is asked for them, they are ingested from raw files."""

from __future__ import annotations

import dlt
from dlt.extract import DltResource


@dlt.source(name="plays", section="plays")
def plays() -> DltResource:
    """One row per play."""
    key = ("played_at", "track__uri")
    return dlt.resource([], name="recently_played", primary_key=key, write_disposition="merge")
