"""What a warehouse holds, to compare two of them: rows without dlt's own columns; and what is wrong in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg2

from tests.workspace import Workspace

Ask = Callable[[str], list[tuple[Any, ...]]]


def asking(workspace: Workspace, url: str | None = None) -> Ask:
    """How to ask the DuckDB file of a workspace, or a Postgres."""
    return workspace.query if url is None else lambda sql: _ask(url, sql)


def _ask(url: str, sql: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()
    finally:
        connection.close()


def contents(ask: Ask, dataset: str) -> dict[str, Counter[tuple[Any, ...]]]:
    """The rows of every table, each as its filled columns, and those in quarantine."""
    found = {table: _rows(ask, dataset, table, columns) for table, columns in _columns(ask, dataset).items()}
    quarantine = ask("SELECT spec, resource, reason, place, payload FROM _etl.quarantine")
    return {**found, "quarantine": Counter(quarantine)}


def faults(ask: Ask, dataset: str) -> list[str]:
    """Rows that stand twice, children without a parent, loads counted twice."""
    tables = _columns(ask, dataset, dlt=True)
    found = [f"{table}: _dlt_id stands twice" for table, columns in tables.items() if "_dlt_id" in columns
             and _different(ask, f'SELECT count(*), count(DISTINCT _dlt_id) FROM {dataset}."{table}"')]  # fmt: skip
    for table in tables:
        parent = max((name for name in tables if table.startswith(f"{name}__")), key=len, default=None)
        if parent and ask(
            f'SELECT 1 FROM {dataset}."{table}" WHERE _dlt_parent_id NOT IN (SELECT _dlt_id FROM {dataset}."{parent}")'
        ):
            found.append(f"{table}: rows without a parent")
    if _different(ask, f"SELECT count(*), count(DISTINCT load_id) FROM {dataset}._dlt_loads"):
        found.append("_dlt_loads: a load stands twice")
    return found


def _different(ask: Ask, sql: str) -> bool:
    return len(set(ask(sql)[0])) > 1


def _columns(ask: Ask, dataset: str, dlt: bool = False) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table, column in ask(
        "SELECT table_name, column_name FROM information_schema.columns "
        f"WHERE table_schema = '{dataset}' ORDER BY table_name, column_name"
    ):
        if not table.startswith("_dlt_") and (dlt or not column.startswith("_dlt_") or column == "_dlt_list_idx"):
            found.setdefault(table, []).append(column)
    return found


def _rows(ask: Ask, dataset: str, table: str, columns: list[str]) -> Counter[tuple[Any, ...]]:
    listed = ", ".join(f'"{column}"' for column in columns)
    rows = ask(f'SELECT {listed} FROM {dataset}."{table}"')
    return Counter(tuple((c, str(v)) for c, v in zip(columns, row, strict=True) if v is not None) for row in rows)
