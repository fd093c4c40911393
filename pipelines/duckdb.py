"""dlt's DuckDB destination, with capabilities that are worked out once."""

from __future__ import annotations

from dlt.destinations.impl.duckdb.factory import duckdb as dlt_duckdb

from pipelines.capabilities import Known


class duckdb(Known, dlt_duckdb):
    """The destination, by the name that a destination has in dlt."""
