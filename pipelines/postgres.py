"""dlt's Postgres destination, with load jobs that stream: dlt's own read a whole file before they send a row of it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common.configuration import configspec
from dlt.common.destination import PreparedTableSchema
from dlt.common.destination.client import LoadJob
from dlt.destinations.impl.postgres.configuration import PostgresClientConfiguration, PostgresCredentials
from dlt.destinations.impl.postgres.factory import postgres as dlt_postgres
from dlt.destinations.impl.postgres.postgres import PostgresClient, PostgresParquetCopyJob

from pipelines.capabilities import Known
from pipelines.familiar import plain_url

ROWS_AT_ONCE = 20_000
BUFFER = 1 << 20  # per column, instead of a whole column of a row group


class Copy(PostgresParquetCopyJob):
    """The rows of a parquet file by COPY in binary form, in one transaction."""

    def run(self) -> None:
        """Send them as they are read."""
        _, dataset = self._set_catalog_and_schema()
        file = pq.ParquetFile(self._file_path, buffer_size=BUFFER, pre_buffer=False)
        with file, self._connect() as connection, connection.cursor() as cursor:
            rows = pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(ROWS_AT_ONCE))
            cursor.adbc_ingest(self.load_table_name, rows, mode="append", db_schema_name=dataset)
            connection.commit()


class StreamingClient(PostgresClient):
    """dlt's client with our jobs."""

    def create_load_job(
        self, table: PreparedTableSchema, file_path: str, load_id: str, restore: bool = False
    ) -> LoadJob:
        """As dlt does, with the load job of a parquet file replaced by ours."""
        job = super().create_load_job(table, file_path, load_id, restore)
        return Copy(file_path) if isinstance(job, PostgresParquetCopyJob) else job


@configspec(init=False)
class Credentials(PostgresCredentials):
    """dlt's, also from an address that names a driver of SQLAlchemy, which libpq does not know."""

    def parse_native_representation(self, native_value: Any) -> None:
        """As dlt does, once the address is one of libpq's."""
        super().parse_native_representation(plain_url(native_value) if isinstance(native_value, str) else native_value)


@configspec
class Configuration(PostgresClientConfiguration):
    """dlt's, with our credentials."""

    credentials: Credentials = None  # type: ignore[assignment]


class postgres(Known, dlt_postgres):
    """The destination, by the name that a destination has in dlt."""

    spec = Configuration  # type: ignore[assignment]

    @property
    def client_class(self) -> type[StreamingClient]:
        return StreamingClient
