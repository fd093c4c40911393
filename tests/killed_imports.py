"""What a run of the program imports, for the fork server of `tests.killed`."""

import gc

import dlt.common.configuration.plugins
import dlt.common.libs.sql_alchemy_compat
import dlt.destinations.impl.duckdb.duck
import dlt.destinations.impl.postgres.postgres
import dlt.extract.extract
import dlt.load.load
import dlt.normalize.normalize
import dlt.sources.helpers.requests
import duckdb
import psycopg2
import pyarrow.compute
import pyarrow.pandas_compat
import pyarrow.parquet

import pipelines.bigquery
import pipelines.columnar.normalizer
import pipelines.commands
import pipelines.progress
import pipelines.run
import pipelines.specs.source
import sources.kit.http

pipelines.columnar.normalizer.FEW = 4  # so that small runs take the fast gears, too

gc.freeze()  # a collection in a process would copy what it shares with its server

__all__ = ["dlt", "duckdb", "pipelines", "psycopg2", "pyarrow", "sources"]
