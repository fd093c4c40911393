"""The rows of a spec's own tables: those about the value go with their lists, a cell that names it is overwritten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from dlt.common.schema.typing import TTableSchema
from dlt.common.schema.utils import get_first_column_name_with_prop, get_nested_tables
from dlt.destinations.job_client_impl import SqlJobClientBase

from pipelines.erase import objects
from pipelines.erase.scope import Counts, Scope
from pipelines.erase.sought import ERASED
from pipelines.errors import UsageError
from pipelines.printing import counted

TEXTS = ("text", "json", "bigint", None)  # types of columns a value may stand in; None where nobody knows


@dataclass(frozen=True)
class Rows:
    """Some rows of one table: a condition and the values of its holes."""

    table: str
    condition: str
    values: list[str]


class Tables:
    """The loaded tables of a spec."""

    def __init__(self, scope: Scope, client: SqlJobClientBase) -> None:
        self._scope, self._client, self._sql = scope, client, client.sql_client

    def erase(self) -> Counts:
        """Delete what is about the value, the objects first and the lists before the rows they belong to."""
        counts = objects.erase(self._scope, self._objects())
        for rows in self._about():
            if found := self._count(rows):
                counts[rows.table] = counts.get(rows.table, 0) + found
                self._change(f"DELETE FROM {self._named(rows.table)}", rows)
        for column, rows in self._cells():
            if found := self._count(rows):
                counts[f"{rows.table}.{column}"] = found
                cell = f"{self._escaped(column)} = {self._overwritten(rows.table, column)}"
                self._change(f"UPDATE {self._named(rows.table)} SET {cell}", rows)
        if self._scope.act:
            self._empty_staging()
        return counts

    def refuse_alias(self) -> None:
        """UsageError for a value that rows know by another one: with them nobody would know any more that it is one."""
        known_by = dict(path.split(".") for path in self._scope.subject.known_by)
        for rows in self._about():
            column = known_by.get(rows.table)
            if column and column in self._columns[rows.table]:
                condition, values = self._scope.matches([name := self._escaped(column)])
                other = f"{name} IS NOT NULL AND NOT ({condition})"
                others = Rows(rows.table, f"({rows.condition}) AND {other}", [*rows.values, *values])
                if count := self._count(others):
                    raise UsageError(
                        f"{self._sql.dataset_name}.{rows.table}: {counted(count, 'row')} of the value with another "
                        f"{column}, by which other tables know it: erase that {column} first, then the value"
                    )

    def elsewhere(self) -> Counts:
        """Where the value stands in rows about others, in columns that the spec does not name."""
        found: Counts = {}
        for table, columns in self._columns.items():
            searched = [name for name in columns if self._may_hold(table, name)]
            found |= {f"{table}.{name}": n for name, n in self._search(table, searched).items() if n}
        return found

    def files(self) -> list[str]:
        """The files that rows about the value were read from."""
        return sorted({value for found in self._told_by(self._scope.subject.files).values() for value in found})

    def _about(self) -> Iterator[Rows]:
        """The rows to delete, those of lists before those they belong to."""
        for table in dict.fromkeys(path.split(".")[0] for path in self._scope.subject.rows):
            yield from reversed([*self._with_lists(table)])

    def _with_lists(self, table: str) -> Iterator[Rows]:
        """The rows of a table about the value, then those of the lists in them."""
        condition, values = self._scope.matches(self._named_columns(self._scope.subject.rows, table))
        if not condition:
            return
        conditions = {table: condition}
        for nested in get_nested_tables(self._client.schema.tables, table):
            name = str(nested["name"])
            if name != table and name in self._columns:
                conditions[name] = self._in_lists_of(nested, conditions[str(nested["parent"])])
            if name in conditions:
                yield Rows(name, conditions[name], values)

    def _in_lists_of(self, nested: TTableSchema, condition: str) -> str:
        parent = str(nested["parent"])
        mine = get_first_column_name_with_prop(nested, "parent_key")
        theirs = get_first_column_name_with_prop(self._client.schema.tables[parent], "row_key")
        assert mine, f"{nested['name']}: has no column that leads to its parent"
        assert theirs, f"{parent}: has no column that its lists lead to"
        chosen = f"SELECT {self._escaped(theirs)} FROM {self._named(parent)} WHERE {condition}"
        return f"{self._escaped(mine)} IN ({chosen})"

    def _cells(self) -> Iterator[tuple[str, Rows]]:
        for path in self._scope.subject.cells:
            table, column = path.split(".")
            if column in self._columns.get(table, ()):
                yield column, Rows(table, *self._left(table, column))

    def _overwritten(self, table: str, column: str) -> str:
        """What a cell says afterwards; a column of JSON takes nothing else."""
        is_json = self._client.schema.tables[table]["columns"].get(column, {}).get("data_type") == "json"
        return f"JSON '\"{ERASED}\"'" if is_json else f"'{ERASED}'"

    def _objects(self) -> dict[str, list[str]]:
        """The keys of the objects of all rows that will be deleted, by store."""
        keys = dict[str, list[str]]()
        for path, found in self._told_by(self._scope.subject.objects).items():
            table = path.split(".")[0]
            whole = objects.with_those_aside(self._scope, table, found)
            keys.setdefault(objects.store_of(self._scope, table), []).extend(whole)
        return {store: found for store, found in keys.items() if found}

    def _told_by(self, paths: list[str]) -> dict[str, list[str]]:
        """What some columns say in the rows that will be deleted."""
        doomed, told = {rows.table: rows for rows in self._about()}, dict[str, list[str]]()
        for path in paths:
            table, column = path.split(".")
            if table in doomed and column in self._columns[table]:
                rows, cell = doomed[table], self._escaped(column)
                sql = (
                    f"SELECT DISTINCT {cell} FROM {self._named(table)} WHERE {cell} IS NOT NULL AND ({rows.condition})"
                )
                told[path] = [str(each) for (each,) in self._sql.execute_sql(sql, *rows.values) or []]
        return told

    def _search(self, table: str, columns: list[str]) -> Counts:
        """In how many rows of a table each column holds the value, those that are about it left out."""
        if not columns:
            return {}
        left = [self._left(table, column) for column in columns]
        sums = ", ".join(f"SUM(CASE WHEN {condition} THEN 1 ELSE 0 END)" for condition, _ in left)
        values = [value for _, each in left for value in each]
        counts = (self._sql.execute_sql(f"SELECT {sums} FROM {self._named(table)}", *values) or [()])[0]
        return {column: int(count or 0) for column, count in zip(columns, counts, strict=True)}

    def _left(self, table: str, column: str) -> tuple[str, list[str]]:
        """The condition for rows whose column holds the value though they are not about it."""
        condition, values = self._scope.matches([self._escaped(column)])
        for rows in self._about():
            if rows.table == table:
                condition = f"({condition}) AND NOT COALESCE({rows.condition}, FALSE)"
                values = [*values, *rows.values]
        return condition, values

    def _may_hold(self, table: str, column: str) -> bool:
        """Whether the value may stand in a column, and no cell of it is overwritten."""
        if column.startswith("_dlt") or f"{table}.{column}" in self._scope.subject.cells:
            return False
        return self._client.schema.tables[table]["columns"].get(column, {}).get("data_type") in TEXTS

    def _count(self, rows: Rows) -> int:
        sql = f"SELECT count(*) FROM {self._named(rows.table)} WHERE {rows.condition}"
        return int((self._sql.execute_sql(sql, *rows.values) or [(0,)])[0][0])

    def _change(self, what: str, rows: Rows) -> None:
        if self._scope.act:
            self._sql.execute_sql(f"{what} WHERE {rows.condition}", *rows.values)

    def _empty_staging(self) -> None:
        """Delete the rows of the last load that dlt keeps in its staging dataset until the next."""
        with self._sql.with_staging_dataset():
            for table in self._there() if self._sql.has_dataset() else {}:
                self._sql.execute_sql(f"DELETE FROM {self._named(table)} WHERE TRUE")

    @cached_property
    def _columns(self) -> dict[str, list[str]]:
        return self._there()

    def _there(self) -> dict[str, list[str]]:
        """The columns of the data tables that the dataset has."""
        tables = self._client.get_storage_tables(self._client.schema.data_table_names())
        return {name: list(columns) for name, columns in tables if columns}

    def _named_columns(self, paths: list[str], table: str) -> list[str]:
        """The columns of a table that some paths name and that are there, for SQL."""
        wanted = [path.split(".")[1] for path in paths if path.split(".")[0] == table]
        return [self._escaped(column) for column in wanted if column in self._columns.get(table, ())]

    def _named(self, table: str) -> str:
        return self._sql.make_qualified_table_name(table)

    def _escaped(self, column: str) -> str:
        return self._sql.escape_column_name(column)
