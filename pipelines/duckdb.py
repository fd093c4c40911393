"""dlt's DuckDB destination, which merges the parquet files of a load where they lie (docs/adr/0025).

dlt copies them into staging tables of the warehouse first, so that each row is written twice and stays there twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

from dlt.common.configuration import configspec
from dlt.common.destination import DestinationCapabilitiesContext, PreparedTableSchema
from dlt.common.destination.client import FollowupJobRequest, HasFollowupJobs, LoadJob, RunnableLoadJob
from dlt.common.schema import Schema
from dlt.common.schema.typing import TColumnSchema
from dlt.common.schema.utils import get_nested_tables, has_table_seen_data
from dlt.common.storages import PackageStorage
from dlt.common.storages.load_package import LoadJobInfo
from dlt.destinations.impl.duckdb.configuration import DuckDbClientConfiguration
from dlt.destinations.impl.duckdb.duck import DuckDbClient
from dlt.destinations.impl.duckdb.factory import duckdb as dlt_duckdb
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
from dlt.destinations.job_client_impl import SqlLoadJob
from dlt.load.exceptions import LoadClientUnsupportedFileFormats

from pipelines.capabilities import Known

READERS = {"parquet": "read_parquet", "jsonl": "read_json"}  # what a file may be that a source hands over as it is
MORE_THAN_A_KEY = {"hard_delete", "merge_key", "x-merge-source-filter", "x-merge-destination-scope"}


class Waiting(RunnableLoadJob, HasFollowupJobs):
    """A file whose rows wait in it for their merge."""

    def run(self) -> None:
        """Leave it as it is."""


class Merge(SqlLoadJob):
    """dlt's statements, over views of the files that are merged."""

    def run(self) -> None:
        """Make the views, which last as long as the connection, and run the statements."""
        client = cast(MergingClient, self._job_client)
        client.show(client.chain(self.load_table_name), _package(self._file_path))
        super().run()


class SqlClient(DuckDbSqlClient):
    """dlt's, for which a view of the connection stands for the staging table of a merge."""

    def get_qualified_table_names(self, table_name: str, quote: bool = True, casefold: bool = True) -> tuple[str, str]:
        """The names of a table, and of the view of what is merged into it."""
        table = self.make_qualified_table_name(table_name, quote, casefold)
        return table, f"temp.main.{self.escape_column_name(table_name, quote, casefold)}"


class MergingClient(DuckDbClient):
    """dlt's client, in which a merge reads the files of its load, unless a resource wants another format."""

    def __init__(
        self, schema: Schema, config: DuckDbClientConfiguration, capabilities: DestinationCapabilitiesContext
    ) -> None:
        super().__init__(schema, config, capabilities)
        theirs = self.sql_client
        self.sql_client = SqlClient(theirs.dataset_name, theirs.staging_dataset_name, config.credentials, capabilities)

    def should_load_data_to_staging_dataset(self, table_name: str) -> bool:
        """As dlt says, save for what is merged from parquet."""
        staged = super().should_load_data_to_staging_dataset(table_name)
        return staged and not _is_merged_from_files(self.prepare_load_table(table_name))

    def create_load_job(
        self, table: PreparedTableSchema, file_path: str, load_id: str, restore: bool = False
    ) -> LoadJob:
        """As dlt does, save for a merge and the files it reads."""
        if SqlLoadJob.is_sql_job(file_path) and table["write_disposition"] == "merge":
            return Merge(file_path)
        if not _is_merged_from_files(table):
            return super().create_load_job(table, file_path, load_id, restore)
        if (kind := Path(file_path).suffix[1:]) not in READERS:
            raise LoadClientUnsupportedFileFormats(kind, [*READERS], file_path)
        return Waiting(file_path)

    def create_table_chain_completed_followup_jobs(
        self,
        table_chain: Sequence[PreparedTableSchema],
        completed_table_chain_jobs: Sequence[LoadJobInfo] | None = None,
    ) -> list[FollowupJobRequest]:
        """As dlt does; in rows that all differ no merge looks for the last one of each key."""
        root, *lists = table_chain
        if completed_table_chain_jobs and _is_merged_by_key_alone(root):
            with self:
                self.show(table_chain, _package(completed_table_chain_jobs[0].file_path))
                differ = self._differ(root, "primary_key") and all(self._differ(each, "row_key") for each in lists)
            table_chain = [_of_different_rows(root), *lists] if differ else table_chain
        return super().create_table_chain_completed_followup_jobs(table_chain, completed_table_chain_jobs)

    def chain(self, root: str) -> list[PreparedTableSchema]:
        """A table and those of the lists in it that the warehouse has, parents first."""
        tables = get_nested_tables(self.schema.tables, root)
        return [self.prepare_load_table(str(table["name"])) for table in tables if has_table_seen_data(table)]

    def show(self, chain: Iterable[PreparedTableSchema], package: Path) -> None:
        """Make a view of the rows that a load has for each table of a merge, in the types of its columns."""
        for table in chain:
            source = self._source(table, package)
            with self.sql_client.execute_query(f"SELECT * FROM {source} LIMIT 0") as cursor:
                there = {column[0] for column in cursor.description or ()}
            columns = ", ".join(self._typed(table, column, there) for column in table["columns"].values())
            self.sql_client.execute_sql(
                f"CREATE OR REPLACE TEMP VIEW {self._view(table)} AS SELECT {columns} FROM {source}"
            )

    def _source(self, table: PreparedTableSchema, package: Path) -> str:
        """Where the rows for a table are: in a staging table, in files, or nowhere."""
        if not _is_merged_from_files(table):
            with self.sql_client.with_staging_dataset():
                return self.sql_client.make_qualified_table_name(str(table["name"]))
        files = {reader: _files(package, str(table["name"]), kind) for kind, reader in READERS.items()}
        read = [
            f"FROM {reader}([{', '.join(files[reader])}], union_by_name = true)" for reader in files if files[reader]
        ]
        return f"({' UNION ALL BY NAME '.join(read) or 'SELECT NULL LIMIT 0'})"

    def _typed(self, table: PreparedTableSchema, column: TColumnSchema, there: set[str]) -> str:
        name, kind = self._escaped(str(column["name"])), self.type_mapper.to_destination_type(column, table)
        return f"CAST({name if column['name'] in there else 'NULL'} AS {kind}) AS {name}"

    def _differ(self, table: PreparedTableSchema, hint: str) -> bool:
        """Whether no two rows for a table have the same values in the columns with a hint, of which there are some."""
        columns = [self._escaped(name) for name, column in table["columns"].items() if column.get(hint)]
        asked = f"SELECT count(*) = count(DISTINCT row({', '.join(columns)})) FROM {self._view(table)}"
        return bool(columns) and (self.sql_client.execute_sql(asked) or [])[:1] == [(True,)]

    def _view(self, table: PreparedTableSchema) -> str:
        return self.sql_client.get_qualified_table_names(str(table["name"]))[1]

    def _escaped(self, column: str) -> str:
        return self.sql_client.escape_column_name(column)


@configspec(init=False)
class Configuration(DuckDbClientConfiguration):
    """dlt's, which imports SQLAlchemy to print where it is."""

    def __str__(self) -> str:
        return self.data_location()


class duckdb(Known, dlt_duckdb):
    """The destination, by the name that a destination has in dlt."""

    spec = Configuration

    @property
    def client_class(self) -> type[MergingClient]:
        return MergingClient


def _is_merged_from_files(table: PreparedTableSchema) -> bool:
    return table["write_disposition"] == "merge" and table.get("file_format") == "parquet"


def _is_merged_by_key_alone(root: PreparedTableSchema) -> bool:
    """Whether rows of a table are deleted and inserted by its primary key."""
    if root["write_disposition"] != "merge" or root.get("x-merge-strategy", "delete-insert") != "delete-insert":
        return False
    hints = {hint for column in root["columns"].values() for hint, value in column.items() if value}
    return "row_key" in hints and not MORE_THAN_A_KEY & (hints | root.keys())


def _of_different_rows(root: PreparedTableSchema) -> PreparedTableSchema:
    """The same table, whose rows in this load dlt need not tell apart: that is what it calls a merge key."""
    columns = {
        name: {"merge_key" if hint == "primary_key" else hint: value for hint, value in column.items()}
        for name, column in root["columns"].items()
    }
    return cast(PreparedTableSchema, {**root, "columns": columns, "x-stage-data-deduplicated": True})


def _package(job: str) -> Path:
    """The folder of the load that a job belongs to."""
    return Path(job).parents[1]


def _files(package: Path, table: str, kind: str) -> list[str]:
    """The files with rows for a table, for SQL: dlt asks for a merge before it has put the last of them away."""
    folders = (PackageStorage.STARTED_JOBS_FOLDER, PackageStorage.COMPLETED_JOBS_FOLDER)
    files = (str(file) for folder in folders for file in (package / folder).glob(f"{table}.*.{kind}"))
    return ["'" + file.replace("'", "''") + "'" for file in sorted(files)]
