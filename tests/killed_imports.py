"""What a run of the program imports, for the fork server of `tests.killed`."""

import dlt.destinations.impl.duckdb.duck
import dlt.destinations.impl.postgres.postgres
import dlt.extract.extract
import dlt.load.load
import dlt.normalize.normalize
import duckdb
import psycopg2
import pyarrow.compute
import pyarrow.parquet

import pipelines.bigquery
import pipelines.columnar.normalizer
import pipelines.commands
import pipelines.run
import sources.kit.http

pipelines.columnar.normalizer.FEW = 4  # so that small runs take the fast gears, too

__all__ = ["dlt", "duckdb", "pipelines", "psycopg2", "pyarrow", "sources"]
