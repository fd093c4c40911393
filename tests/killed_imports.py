"""What a run of the program imports, for the fork server of `tests.killed`."""

import encodings.utf_8_sig
import gc
import netrc
import tempfile
from pathlib import Path

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
from tests import crash_toy
from tests.swift import remember
from tests.workspace import Workspace

pipelines.columnar.normalizer.FEW = 4  # so that small runs take the fast gears, too


def warm() -> None:
    """Run once: what a process works out in its first run, all that are forked from this one know."""
    with tempfile.TemporaryDirectory() as folder:
        made = crash_toy.install(Workspace(Path(folder)))
        crash_toy.twin(made, "warm")  # a module that no test has, since its file is gone then
        assert made.etl("run", "warm", "--env", "test").code == 3
    dlt.pipeline().deactivate()


remember()
cli.grammar()
warm()
gc.collect()
gc.freeze()  # a collection in a process would copy what it shares with its server

__all__ = [
    "dlt", "duckdb", "encodings", "netrc", "pendulum", "pipelines", "psycopg2", "pyarrow", "pydantic", "sources",
    "typer",
]  # fmt: skip
