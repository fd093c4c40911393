"""The tables of a spec at one moment, as Arrow of the types that dlt knows; on BigQuery each table has its own moment.

Rows come in batches, so that memory does not grow with a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from fnmatch import fnmatchcase
from typing import Any

import pyarrow as pa
from dlt.common.libs.pyarrow import columns_to_arrow
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableSchemaColumns
from dlt.destinations.sql_client import SqlClientBase

from pipelines import promises
from pipelines.environment import Environment
from pipelines.errors import UsageError, did_you_mean
from pipelines.export.derived import Derived, derived
from pipelines.export.partitions import Part
from pipelines.specs import spec as specs
from pipelines.specs.spec import Spec
from pipelines.state import remembered
from pipelines.warehouse import Warehouse

ROWS = 100_000
Read = Callable[[str], Iterable[pa.RecordBatch]]
AS_TEXT: dict[str, dict[Any, str]] = {  # what a driver would give as something else, by destination and dlt's type
    "duckdb": {},
    "postgres": {"json": "{}::text", "decimal": "trim_scale({})::text", "wei": "trim_scale({})::text"},
    "bigquery": {"json": "TO_JSON_STRING({})"},
}


class Snapshot:
    """What a spec has loaded and what its models made of it; `read` runs a query."""

    def __init__(
        self,
        schemas: Sequence[Schema],
        client: SqlClientBase[Any],
        kind: str,
        read: Read,
        models: Mapping[str, Derived],
    ) -> None:
        self.schema, self._client, self._kind, self._read, self._models = schemas[0], client, kind, read, models
        self._schemas = {table: schema for schema in reversed(schemas) for table in schema.tables}

    def chosen(self, patterns: Sequence[str]) -> list[str]:
        """Tables and models by name or glob; all with data, and none of dlt's own, where nothing is named."""
        schemas = {schema.name: schema for schema in self._schemas.values()}.values()
        loaded = [table for schema in schemas for table in schema.data_table_names(seen_data_only=True)]
        data = sorted([*loaded, *self._models])
        known = [*data, *self.schema.dlt_table_names()]
        for pattern in patterns:
            if not any(fnmatchcase(table, pattern) for table in known):
                near = did_you_mean(pattern, known)
                raise UsageError(f"{self.schema.name}: no table '{pattern}'{near}; it has: {', '.join(data)}")
        return [table for table in known if any(fnmatchcase(table, each) for each in patterns)] if patterns else data

    def columns(self, table: str) -> TTableSchemaColumns:
        """The columns that a table has in the destination."""
        return self._models[table].columns if table in self._models else self._schemas[table].get_table_columns(table)

    def arrow_schema(self, table: str) -> pa.Schema:
        """The types of its columns."""
        return columns_to_arrow(self.columns(table), self._client.capabilities, "UTC")

    def count_parts(self, table: str, parts: Sequence[Part], most: int) -> int:
        """Into how many parts its rows fall; none are counted past `most`."""
        told = ", ".join(f"{sql} AS part_{at}" for at, sql in enumerate(self._told_apart(table, parts)))
        name = self._client.make_qualified_table_name(table)
        sql = f"SELECT count(*) AS parts FROM (SELECT DISTINCT {told} FROM {name} LIMIT {most}) AS found"
        return sum(int(batch.column(0)[0].as_py()) for batch in self._read(sql))

    def _told_apart(self, table: str, parts: Sequence[Part]) -> Iterator[str]:
        for part in parts:
            column = self.columns(table)[part.column]
            quoted, has_zone = self._client.escape_column_name(part.column), column.get("timezone") is not False
            yield part.sql(self._kind, quoted, str(column.get("data_type")), has_zone)

    def batches(self, table: str, parts: Sequence[Part] = ()) -> Iterator[pa.RecordBatch]:
        """Its rows, those of each part together."""
        schema, quoted = self.arrow_schema(table), self._client.escape_column_name
        special = self._models[table].forms if table in self._models else {}
        forms = {name: AS_TEXT[self._kind].get(c.get("data_type"), "{}") for name, c in self.columns(table).items()}
        listed = ", ".join(
            f"{form.format(quoted(name))} AS {quoted(name)}" for name, form in {**forms, **special}.items()
        )
        order = f" ORDER BY {', '.join(self._told_apart(table, parts))}" if parts else ""
        for batch in self._read(f"SELECT {listed} FROM {self._client.make_qualified_table_name(table)}{order}"):
            yield _cast(batch, schema)


@contextmanager
def snapshot(environment: Environment, spec: Spec) -> Iterator[Snapshot]:
    """Open the warehouse for reading; settings must be in force."""
    with remembered(environment, spec) as pipeline:
        if pipeline is None or not pipeline.schema_names:
            raise UsageError(
                f"{spec.name}: nothing is loaded in {environment.name!r}; run: etl run {spec.name} --env "
                f"{environment.name}"
            )
        with pipeline.sql_client() as client, READERS[environment.kind](client) as read:
            names = _models(environment, spec)
            warehouse = Warehouse(client, environment, client.dataset_name)
            models = derived(warehouse, names) if names else {}
            others = [name for name in pipeline.schema_names if name != pipeline.default_schema_name]
            schemas = [pipeline.default_schema, *(pipeline.schemas[name] for name in others)]
            yield Snapshot(schemas, client, environment.kind, read, models)


def _models(environment: Environment, spec: Spec) -> list[str]:
    """The models of a spec, and of the one into whose tables it loads."""
    home = environment.root
    both = [spec, *([specs.load(home, spec.into)] if spec.into else [])]
    return [model.name for each in both for model in promises.read(home, each).models]


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns as the schema has them: no value is changed by it, a driver only names some types otherwise."""
    arrays = [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


@contextmanager
def _duckdb(client: SqlClientBase[Any]) -> Iterator[Read]:
    connection = client.native_connection
    connection.execute("BEGIN TRANSACTION")
    yield lambda sql: connection.execute(sql).to_arrow_reader(ROWS)


@contextmanager
def _postgres(client: Any) -> Iterator[Read]:
    """By ADBC, whose rows stream as Arrow out of a COPY."""
    from adbc_driver_manager import dbapi
    from dlt.destinations.impl.postgres.factory import get_adbc_driver_location

    uri = client.credentials.to_native_representation()
    with dbapi.connect(driver=get_adbc_driver_location(), db_kwargs={"uri": uri}) as connection:
        with closing(connection.cursor()) as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

        def read(sql: str) -> Iterator[pa.RecordBatch]:
            with closing(connection.cursor()) as cursor:
                cursor.execute(sql)
                yield from cursor.fetch_record_batch()

        yield read


@contextmanager
def _bigquery(client: SqlClientBase[Any]) -> Iterator[Read]:
    yield lambda sql: client.native_connection.query_and_wait(sql, page_size=ROWS).to_arrow_iterable()


READERS = {"duckdb": _duckdb, "postgres": _postgres, "bigquery": _bigquery}
