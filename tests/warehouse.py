"""What a warehouse holds, to compare two of them: rows without dlt's own columns; and what is wrong in it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import Any

import duckdb
import psycopg2

from tests.workspace import Workspace

Rows = list[tuple[Any, ...]]
Contents = dict[str, Counter[tuple[Any, ...]]]


class Ask:
    """Asks the DuckDB file of a workspace, or a Postgres; each call is a connection."""

    def __init__(self, workspace: Workspace, url: str | None = None) -> None:
        self._file, self._url = workspace.root / "warehouse.duckdb", url

    def __call__(self, sql: str) -> Rows:
        return self.all([sql])[0]

    def all(self, statements: Iterable[str]) -> list[Rows]:
        """The answers to several statements, over one connection."""
        with closing(self._connected()) as connection, closing(connection.cursor()) as cursor:
            return [_answer(cursor, sql) for sql in statements]

    @contextmanager
    def held(self) -> Iterator[None]:
        """For as long as the block runs, the warehouse is open: DuckDB reads its file but once for all calls."""
        with closing(self._connected()):
            yield

    def _connected(self) -> Any:
        return psycopg2.connect(self._url) if self._url else duckdb.connect(str(self._file), read_only=True)

    def columns(self, dataset: str) -> Rows:
        """Table and column, for every column of a dataset."""
        return self(
            "SELECT table_name, column_name FROM information_schema.columns "
            f"WHERE table_schema = '{dataset}' ORDER BY table_name, column_name"
        )


def _answer(cursor: Any, sql: str) -> Rows:
    cursor.execute(sql)
    rows: Rows = cursor.fetchall()
    return rows


def contents(ask: Ask, dataset: str) -> Contents:
    """The rows of every table, each as its filled columns, and those in quarantine."""
    tables = _columns(ask, dataset, lambda name: not name.startswith("_dlt_") or name == "_dlt_list_idx")
    listed = {table: ", ".join(f'"{column}"' for column in columns) for table, columns in tables.items()}
    answers = ask.all(f'SELECT {listed[table]} FROM {dataset}."{table}"' for table in tables)
    found = {table: _counted(tables[table], rows) for table, rows in zip(tables, answers, strict=True)}
    quarantine = ask("SELECT spec, resource, reason, place, payload FROM _etl.quarantine")
    return {**found, "quarantine": Counter(quarantine)}


def faults(ask: Ask, dataset: str) -> list[str]:
    """Rows that stand twice, children without a parent, loads counted twice."""
    questions = {"_dlt_loads: a load stands twice": _repeated(f"{dataset}._dlt_loads", "load_id")}
    tables = _columns(ask, dataset, lambda name: True)
    for table, columns in tables.items():
        if "_dlt_id" in columns:
            questions[f"{table}: a row stands twice"] = _repeated(f'{dataset}."{table}"', "_dlt_id")
        parent = max((name for name in tables if table.startswith(f"{name}__")), key=len, default=None)
        if parent:
            above = f'SELECT _dlt_id FROM {dataset}."{parent}"'
            questions[f"{table}: a row has no parent"] = (
                f'SELECT 1 FROM {dataset}."{table}" WHERE _dlt_parent_id NOT IN ({above})'
            )
    return [fault for fault, rows in zip(questions, ask.all(questions.values()), strict=True) if rows]


def _repeated(table: str, column: str) -> str:
    return f"SELECT {column} FROM {table} GROUP BY {column} HAVING count(*) > 1"


def _columns(ask: Ask, dataset: str, wanted: Callable[[str], bool]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table, column in ask.columns(dataset):
        if wanted(column) and not table.startswith("_dlt_"):
            found.setdefault(table, []).append(column)
    return found


def _counted(columns: list[str], rows: Rows) -> Counter[tuple[Any, ...]]:
    return Counter(tuple((c, _text(v)) for c, v in zip(columns, row, strict=True) if v is not None) for row in rows)


def _text(value: Any) -> str:
    """A value, the same whichever driver read it."""
    match value:
        case Decimal():
            return format(value.normalize(), "f")
        case dict() | list():
            return json.dumps(value, separators=(",", ":"))
        case _:
            return str(value)
