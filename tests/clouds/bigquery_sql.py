"""BigQuery's SQL on DuckDB: names, types, transactions of a session, loads; stricter than DuckDB where BigQuery is."""

from __future__ import annotations

import gzip
import re
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import sqlglot
from sqlglot import exp

from tests.clouds.google import PROJECT, Refused

DUCKDB = {
    "INT64": "BIGINT", "FLOAT64": "DOUBLE", "STRING": "VARCHAR", "BOOL": "BOOLEAN", "BYTES": "BLOB",
    "TIMESTAMP": "TIMESTAMP WITH TIME ZONE", "DATETIME": "TIMESTAMP", "DATE": "DATE", "TIME": "TIME", "JSON": "JSON",
}  # fmt: skip
BIGQUERY = {duck: big for big, duck in DUCKDB.items()} | {"INTEGER": "INT64", "HUGEINT": "INT64", "JSON": "JSON"}
READS = (exp.Select, exp.SetOperation, exp.Subquery)
DECIMALS = {exp.DataType.Type.DECIMAL: "DECIMAL(38, 9)", exp.DataType.Type.BIGDECIMAL: "DECIMAL(38, 18)"}
TRUNCATE_IF_THERE = re.compile(r"table_name = '[^']+'\);\s*IF table_exists THEN EXECUTE IMMEDIATE '([^']+)'")


class Rows(NamedTuple):
    """What a query found: its columns with BigQuery's types, and the values."""

    columns: list[tuple[str, str]]
    values: list[tuple[Any, ...]]


class Warehouse:
    """Datasets and tables in a DuckDB of its own; every method may be called by several threads."""

    def __init__(self) -> None:
        self._database = duckdb.connect()
        self._database.execute("SET TimeZone = 'UTC'")
        self._lock = threading.RLock()
        self._sessions: dict[str, duckdb.DuckDBPyConnection] = {}
        self._descriptions: dict[tuple[str, str], dict[str, str]] = {}
        self.statements: list[str] = []

    def datasets(self) -> list[str]:
        rows = self._ask("SELECT schema_name FROM information_schema.schemata WHERE catalog_name = 'memory'")
        return [row[0] for row in rows if row[0] not in ("main", "information_schema", "pg_catalog")]

    def create_dataset(self, name: str) -> None:
        if name in self.datasets():
            raise Refused(409, "duplicate", f"Already Exists: Dataset {PROJECT}:{name}")
        self._ask(f"CREATE SCHEMA {_quoted(name)}")

    def check_dataset(self, name: str) -> None:
        if name not in self.datasets():
            raise Refused(404, "notFound", f"Not found: Dataset {PROJECT}:{name} was not found in location US")

    def drop_dataset(self, name: str) -> None:
        self.check_dataset(name)
        self._ask(f"DROP SCHEMA {_quoted(name)} CASCADE")

    def tables(self, dataset: str) -> list[str]:
        self.check_dataset(dataset)
        rows = self._ask("SELECT table_name FROM information_schema.tables WHERE table_schema = ?", [dataset])
        return [row[0] for row in rows]

    def columns(self, dataset: str, table: str) -> dict[str, tuple[str, bool]]:
        """The columns of a table: DuckDB's type, and whether it may be empty."""
        self.check_dataset(dataset)
        rows = self._ask(
            "SELECT column_name, data_type, is_nullable = 'YES' FROM information_schema.columns "
            "WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position",
            [dataset, table],
        )
        if not rows:
            raise Refused(404, "notFound", f"Not found: Table {PROJECT}:{dataset}.{table} was not found in location US")
        return {name: (kind, nullable) for name, kind, nullable in rows}

    def describe(self, dataset: str, table: str, words: dict[str, str]) -> None:
        """Keep what is said of a table, by column; of the table itself by an empty name."""
        with self._lock:
            self._descriptions[dataset, table] = words

    def descriptions(self, dataset: str, table: str) -> dict[str, str]:
        with self._lock:
            return self._descriptions.get((dataset, table), {})

    def begin(self, session: str) -> None:
        """Open a session with a transaction in it."""
        self._sessions[session] = self._database.cursor()
        self._sessions[session].execute("BEGIN TRANSACTION")

    def query(self, sql: str, dataset: str | None, values: Sequence[Any], session: str | None) -> Rows | None:
        """Run a script; the rows of its last statement, when that has any."""
        self.statements.append(sql)
        connection = self._sessions[session] if session else self._database.cursor()
        if sql.startswith("DECLARE table_exists"):
            for statement in TRUNCATE_IF_THERE.findall(sql):
                with suppress(Refused):
                    self.query(statement, dataset, (), session)
            return None
        found, script = None, Script(dataset)
        for statement in sqlglot.parse(sql, read="bigquery"):
            if statement is not None:
                found = self._run(connection, script, statement, values)
        return found

    def _run(
        self, connection: duckdb.DuckDBPyConnection, script: Script, statement: exp.Expression, values: Any
    ) -> Rows | None:
        if isinstance(statement, exp.Command) and "ABORT_SESSION" in statement.sql():
            return None
        try:
            with self._lock:
                for each in _single(statement):
                    connection.execute(script.translated(each), list(values) or None)
                return _rows(connection) if isinstance(statement, READS) else None
        except duckdb.Error as error:
            raise _refused(error) from error

    def load(self, dataset: str, table: str, file_format: str, content: bytes) -> int:
        """Append the rows of a file to a table that is there; all of them or none."""
        columns = self.columns(dataset, table)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rows"
            file.write_bytes(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
            if not file.stat().st_size:
                return 0
            source = _parquet(file) if file_format == "PARQUET" else self._json_lines(file, columns)
            given = {name: kind for name, kind, *_ in self._ask(f"DESCRIBE SELECT * FROM {source}")}
            _check_columns(given, columns)
            names = ", ".join(map(_quoted, given))
            rows = self._ask(f"INSERT INTO {_quoted(dataset)}.{_quoted(table)} ({names}) SELECT {names} FROM {source}")
            return int(rows[0][0])

    def _json_lines(self, file: Path, columns: dict[str, tuple[str, bool]]) -> str:
        """Rows of JSON as the columns that occur in them; bytes come as base64, and what the table lacks as text."""
        found = self._ask(f"DESCRIBE SELECT * FROM read_ndjson_auto('{file}', records = true, sample_size = -1)")
        kinds = {name: columns.get(name, ("VARCHAR", True))[0] for name, *_ in found}
        listed = ", ".join(f"{_quoted(n)}: '{'VARCHAR' if kind == 'BLOB' else kind}'" for n, kind in kinds.items())
        read = ", ".join(
            f"from_base64({_quoted(n)}) AS {_quoted(n)}" if k == "BLOB" else _quoted(n) for n, k in kinds.items()
        )
        return f"(SELECT {read} FROM read_json('{file}', format = 'newline_delimited', columns = {{{listed}}}))"

    def rows(self, dataset: str, table: str) -> int:
        return int(self._ask(f"SELECT count(*) FROM {_quoted(dataset)}.{_quoted(table)}")[0][0])

    def _ask(self, sql: str, values: Any = None) -> list[Any]:
        try:
            with self._lock:
                return self._database.cursor().execute(sql, values).fetchall()
        except duckdb.Error as error:
            raise Refused(400, "invalid", f"Error while reading data, error message: {error}") from error


def _single(statement: exp.Expression) -> list[exp.Expression]:
    """An ALTER with several actions as one for each, as DuckDB wants it."""
    if not isinstance(statement, exp.Alter):
        return [statement]
    return [exp.Alter(**{**statement.args, "actions": [action]}) for action in statement.args["actions"]]


def _rows(connection: duckdb.DuckDBPyConnection) -> Rows:
    columns = [(name, big(str(kind))) for name, kind, *_ in connection.description or []]
    table = connection.to_arrow_table()
    return Rows(columns, list(zip(*(column.to_pylist() for column in table.columns), strict=True)))


class Script:
    """Statements of BigQuery as DuckDB takes them, in order; a temporary table is known to those after it."""

    def __init__(self, dataset: str | None) -> None:
        self._dataset, self._temporary = dataset, set[str]()

    def translated(self, statement: exp.Expression) -> str:
        if isinstance(statement, (exp.Delete, exp.Update)) and not statement.args.get("where"):
            raise Refused(400, "invalidQuery", f"{statement.key.upper()} must have a WHERE clause")
        if isinstance(statement, exp.Drop) and statement.args["kind"] == "SCHEMA":
            return f"DROP SCHEMA IF EXISTS {_quoted(_parts(statement.this)[-1])} CASCADE"
        if isinstance(statement, exp.TruncateTable):
            return exp.Delete(this=self._named(statement.expressions[0])).sql("duckdb")
        if isinstance(statement, exp.Create):
            self._create(statement)
        within = {cte.alias for cte in statement.find_all(exp.CTE)} | self._temporary
        return statement.transform(lambda node: self._node(node, within)).sql("duckdb")

    def _create(self, statement: exp.Create) -> None:
        """Leave out PARTITION BY, CLUSTER BY and OPTIONS, and copy where BigQuery clones."""
        temporary = statement.find(exp.TemporaryProperty)
        statement.set("properties", exp.Properties(expressions=[temporary]) if temporary else None)
        if temporary:
            self._temporary.add(statement.find(exp.Table).name)
        if copied := statement.args.get("clone"):
            statement.set("clone", None)
            statement.set("expression", exp.select("*").from_(copied.this))

    def _node(self, node: exp.Expression, within: set[str]) -> exp.Expression:
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            return node if node.name in within and not node.db else self._named(node)
        if isinstance(node, exp.DataType) and not node.expressions:
            return exp.DataType.build(DECIMALS[node.this], dialect="duckdb") if node.this in DECIMALS else node
        return node

    def _named(self, node: exp.Table) -> exp.Expression:
        """The table without its project, and with a dataset; views of INFORMATION_SCHEMA as subqueries."""
        parts = _parts(node)
        if "INFORMATION_SCHEMA" in [part.upper() for part in parts]:
            return _information(parts, node.alias)
        parts = [part for part in parts if part != PROJECT]
        if len(parts) == 1 and self._dataset:
            parts = [self._dataset, *parts]
        table = exp.table_(parts[-1], db=parts[-2] if len(parts) > 1 else None, quoted=True)
        for key in ("alias", "joins"):
            if node.args.get(key):
                table.set(key, node.args[key])
        return table


def _information(parts: list[str], alias: str) -> exp.Expression:
    dataset, view = parts[-3], parts[-1].lower()
    if view == "columns":
        kinds = " ".join(f"WHEN '{duck}' THEN '{big}'" for duck, big in BIGQUERY.items())
        decimal = "CASE WHEN numeric_precision = 38 AND numeric_scale = 9 THEN 'NUMERIC' ELSE "
        decimal += "'NUMERIC(' || numeric_precision || ', ' || numeric_scale || ')' END"
        columns = (
            "table_catalog, table_schema, table_name, column_name, ordinal_position, is_nullable, "
            f"CASE WHEN data_type LIKE 'DECIMAL%' THEN {decimal} ELSE CASE data_type {kinds} END END AS data_type"
        )
    else:
        columns = "*"
    sql = f"SELECT {columns} FROM information_schema.{view} WHERE table_schema = '{dataset}'"
    return sqlglot.parse_one(sql, read="duckdb").subquery(alias or None)


def _parts(table: exp.Expression) -> list[str]:
    return [name for part in table.parts for name in part.name.split(".")]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _parquet(file: Path) -> str:
    """A parquet file, with BigQuery's decimals of 76 digits as long as DuckDB has them; it reads doubles otherwise."""
    schema = pq.read_schema(file)
    kinds = [pa.decimal128(38, 18) if pa.types.is_decimal256(kind) else kind for kind in schema.types]
    if kinds != schema.types:
        narrow = pa.schema([field.with_type(kind) for field, kind in zip(schema, kinds, strict=True)])
        pq.write_table(pq.read_table(file).cast(narrow), file)
    return f"read_parquet('{file}')"


def _check_columns(given: dict[str, str], columns: dict[str, tuple[str, bool]]) -> None:
    for name, kind in given.items():
        if name not in columns:
            raise Refused(400, "invalid", f"Error while reading data, error message: No such field: {name}.")
        if _family(kind) != _family(columns[name][0]):
            message = f"Field {name} has changed type from {big(columns[name][0])} to {big(kind)}"
            raise Refused(400, "invalid", f"Provided Schema does not match Table: {message}")


def _family(kind: str) -> str:
    if kind in ("TINYINT", "SMALLINT", "INTEGER", "UINTEGER"):
        return "BIGINT"
    return "DECIMAL" if kind.startswith("DECIMAL") else kind


def big(kind: str) -> str:
    """BigQuery's name of a type of DuckDB."""
    return BIGQUERY.get(kind, "NUMERIC" if kind.startswith("DECIMAL") else kind)


def _refused(error: duckdb.Error) -> Refused:
    text = str(error).splitlines()[0]
    if "does not exist" in text:
        return Refused(404, "notFound", f"Not found: Table {text}")
    if "already exists" in text:
        return Refused(409, "duplicate", f"Already Exists: Table {text}")
    if "onflict" in text:
        return Refused(400, "invalidQuery", f"Transaction is aborted due to concurrent update: {text}")
    return Refused(400, "invalidQuery", text)
