"""What a run of the program imports, for the fork server of `tests.killed`."""

import encodings.utf_8_sig
import gc
import netrc

import dlt.__plugins__
import dlt.common.configuration.plugins
import dlt.common.libs.sql_alchemy_compat
import dlt.destinations.impl.duckdb.duck
import dlt.destinations.impl.postgres.postgres
import dlt.extract.extract
import dlt.load.load
import dlt.normalize.normalize
import dlt.sources.helpers.requests
import dlt.sources.helpers.rest_client
import duckdb
import pendulum.locales.en.locale
import psycopg2
import pyarrow.compute
import pyarrow.pandas_compat
import pyarrow.parquet
import pyarrow.vendored.version
import pydantic.type_adapter
import typer._adapters
import typer._click.decorators

import cli
import pipelines.bigquery
import pipelines.columnar.normalizer
import pipelines.commands
import pipelines.duckdb
import pipelines.files.phase
import pipelines.postgres
import pipelines.progress
import pipelines.run
import pipelines.specs.source
import sources.kit.ahead
import sources.kit.http
from tests.swift import remember

pipelines.columnar.normalizer.FEW = 4  # so that small runs take the fast gears, too

remember()
cli.grammar()
gc.freeze()  # a collection in a process would copy what it shares with its server

__all__ = [
    "dlt", "duckdb", "encodings", "netrc", "pendulum", "pipelines", "psycopg2", "pyarrow", "pydantic", "sources",
    "typer",
]  # fmt: skip
