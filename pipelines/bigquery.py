"""dlt's BigQuery destination, with an end to every wait, without loading rows twice, and with JSON columns.

dlt gives the queries of a cursor no time limit at all, and waits for a load job as long as it says that it runs. It
loads a file again under a new name when it could not see how the first job ended. It refuses tables with a JSON column,
since BigQuery takes none from parquet.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pyarrow.parquet as pq
from dlt.common.configuration import configspec
from dlt.common.destination import DestinationCapabilitiesContext, PreparedTableSchema
from dlt.common.destination.client import LoadJob
from dlt.common.schema import Schema
from dlt.common.schema.typing import TColumnSchema
from dlt.common.storages.load_package import ParsedLoadJobFileName
from dlt.common.typing import TLoaderFileFormat
from dlt.destinations.exceptions import DatabaseTerminalException
from dlt.destinations.impl.bigquery.bigquery import BigQueryClient, BigQueryLoadJob
from dlt.destinations.impl.bigquery.configuration import BigQueryClientConfiguration
from dlt.destinations.impl.bigquery.factory import BigQueryTypeMapper
from dlt.destinations.impl.bigquery.factory import bigquery as dlt_bigquery
from dlt.destinations.impl.bigquery.sql_client import BigQuerySqlClient
from google.api_core.exceptions import NotFound, RetryError
from google.cloud.bigquery import Client
from google.cloud.bigquery import LoadJob as ServerJob
from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY
from google.oauth2.service_account import Credentials as ServiceAccount

from pipelines.capabilities import Known
from pipelines.rows.as_json import form


@configspec
class Configuration(BigQueryClientConfiguration):
    """dlt's settings, and how many seconds one query or load job may take, retries and queueing included."""

    job_timeout: float = 3600.0


class Account:
    """Credentials that sign in once per process; dlt's do so for every connection, some twenty in a run."""

    def __init__(self, credentials: Any) -> None:
        self._credentials, self.project_id = credentials, credentials.project_id

    def to_native_credentials(self) -> Any:
        """What google's client takes."""
        if isinstance(getattr(self._credentials, "private_key", None), str):
            return _service_account(self._credentials.to_native_representation())
        return self._credentials.to_native_credentials()


class SqlClient(BigQuerySqlClient):
    """Whose waits end: a request after `http_timeout`, its retries after `retry_deadline`, all after `job_timeout`."""

    def __init__(self, *given: Any, retry_deadline: float, job_timeout: float) -> None:
        super().__init__(*given, retry_deadline=retry_deadline)  # type: ignore[misc]
        self._job_timeout = job_timeout
        self._upload_retries = int(math.log2(retry_deadline + 1))  # after 1, 2, 4 … seconds

    def open_connection(self) -> Client:
        client = super().open_connection()
        client.query_and_wait = partial(  # type: ignore[method-assign]
            client.query_and_wait,
            api_timeout=self.http_timeout,
            wait_timeout=self._job_timeout,
            retry=self._default_retry,
            job_retry=DEFAULT_JOB_RETRY.with_timeout(self._job_timeout).with_predicate(_may_pass),
        )
        client.load_table_from_file = partial(  # type: ignore[method-assign]
            client.load_table_from_file, num_retries=self._upload_retries
        )
        return client


def _may_pass(error: Exception) -> bool:
    """Whether a query is worth another job: not when its request had all its retries already."""
    return not isinstance(error, RetryError) and bool(DEFAULT_JOB_RETRY._predicate(error))


class Overdue(DatabaseTerminalException):
    """A load job still runs after `job_timeout`; its package waits, and the next run looks at the same job."""


class Load(BigQueryLoadJob):
    """A load job that says how it failed without waiting for one that has not ended."""

    def exception(self) -> BaseException:
        job = self._bq_load_job
        return super().exception() if job and job.error_result else self._exception


class BoundedClient(BigQueryClient):
    """dlt's client over ours."""

    def __init__(self, schema: Schema, config: Configuration, capabilities: DestinationCapabilitiesContext) -> None:
        super().__init__(schema, config, capabilities)
        theirs, account = self.sql_client, Account(config.credentials)
        self.sql_client = SqlClient(
            theirs.dataset_name, theirs.staging_dataset_name, account, capabilities, theirs.location,
            theirs.project_id, config.http_timeout,
            retry_deadline=config.retry_deadline, job_timeout=config.job_timeout,
        )  # fmt: skip
        self._job_timeout = config.job_timeout

    def create_load_job(
        self, table: PreparedTableSchema, file_path: str, load_id: str, restore: bool = False
    ) -> LoadJob:
        """As dlt does, with the load job of a local file replaced by ours."""
        job = super().create_load_job(table, file_path, load_id, restore)
        if type(job) is not BigQueryLoadJob:
            return job
        return Load(file_path, self.config.http_timeout, self.config.retry_deadline)

    def _create_load_job(self, table: PreparedTableSchema, file_path: str) -> ServerJob:
        with self._readable(table, Path(file_path)) as sent:
            return self._bounded(self._earlier(sent) or super()._create_load_job(table, str(sent)))

    def _retrieve_load_job(self, file_path: str) -> ServerJob:
        table = self.prepare_load_table(ParsedLoadJobFileName.parse(file_path).table_name)
        assert table is not None
        return self._bounded(super()._retrieve_load_job(_sent_as(Path(file_path), table)))

    @contextmanager
    def _readable(self, table: PreparedTableSchema, file: Path) -> Iterator[Path]:
        """The file as BigQuery can read it."""
        name = _sent_as(file, table)
        if name == file.name:
            yield file
            return
        with TemporaryDirectory(prefix="etl-bigquery-") as folder:
            write_lines(file, Path(folder) / name, _json_columns(table))
            yield Path(folder) / name

    def _earlier(self, sent: Path) -> ServerJob | None:
        """The job of an earlier try with this file, unless it failed: BigQuery would load the rows a second time."""
        for job_id in _job_ids_before(sent.name):
            with suppress(NotFound):
                job = self.sql_client.native_connection.get_job(
                    job_id, retry=self.sql_client._default_retry, timeout=self.config.http_timeout
                )
                if isinstance(job, ServerJob) and not job.error_result:
                    return job
        return None

    def _bounded(self, job: ServerJob) -> ServerJob:
        """The job, whose `done` raises Overdue once the time is over."""
        ends, done = time.monotonic() + self._job_timeout, job.done

        def done_in_time(**options: Any) -> bool:
            if done(**options):
                return True
            if time.monotonic() > ends:
                raise Overdue(Exception(f"load job {job.job_id} runs for more than {self._job_timeout:.0f} s"))
            return False

        job.done = done_in_time  # type: ignore[method-assign, assignment]
        return job


class Types(BigQueryTypeMapper):
    """dlt's types; every one can be loaded."""

    def ensure_supported_type(
        self, column: TColumnSchema, table: PreparedTableSchema, loader_file_format: TLoaderFileFormat
    ) -> None:
        """JSON columns too: their files are sent as lines."""


class bigquery(Known, dlt_bigquery):
    """The destination, by the name that a destination has in dlt."""

    spec = Configuration

    def _raw_capabilities(self) -> DestinationCapabilitiesContext:
        capabilities = super()._raw_capabilities()
        capabilities.type_mapper = Types
        return capabilities

    @property
    def client_class(self) -> type[BoundedClient]:
        return BoundedClient


@lru_cache(maxsize=4)
def _service_account(key: str) -> Any:
    return ServiceAccount.from_service_account_info(json.loads(key), scopes=Client.SCOPE)  # type: ignore[no-untyped-call]


def write_lines(parquet: Path, lines: Path, json_columns: set[str]) -> None:
    """The rows of a parquet file as lines of JSON, each value as BigQuery reads it; empty ones are left out."""
    file = pq.ParquetFile(parquet)
    forms = {field.name: form(field.type, field.name in json_columns) for field in file.schema_arrow}
    with lines.open("wb") as out:
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                filled = {name: forms[name](value) for name, value in row.items() if value is not None}
                out.write(orjson.dumps(filled, option=orjson.OPT_APPEND_NEWLINE))


def _sent_as(file: Path, table: PreparedTableSchema) -> str:
    """The name under which a file reaches BigQuery, from which follows that of its job."""
    return f"{file.stem}.jsonl" if file.suffix == ".parquet" and _json_columns(table) else file.name


def _json_columns(table: PreparedTableSchema) -> set[str]:
    return {name for name, column in table["columns"].items() if column.get("data_type") == "json"}


def _job_ids_before(file_name: str) -> Iterator[str]:
    """The names under which BigQuery knows the earlier tries with a file, the latest first."""
    name = ParsedLoadJobFileName.parse(file_name)
    for count in range(name.retry_count - 1, -1, -1):
        yield BigQueryLoadJob.get_job_id_from_file_path(name._replace(retry_count=count).file_name())
