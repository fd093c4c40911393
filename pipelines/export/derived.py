"""The columns of models, of which dlt knows nothing, as the warehouse tells them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from dlt.common.schema.typing import TColumnSchema, TTableSchemaColumns

from pipelines.warehouse import Warehouse

TYPES = {  # what a type is called, in any of the warehouses, by dlt's name for it
    r"BOOL(EAN)?": "bool",
    r"U?(TINY|SMALL)INT|U?INTEGER|BIGINT|INT64": "bigint",
    r"FLOAT(64)?|DOUBLE( PRECISION)?|REAL": "double",
    r"U?HUGEINT|UBIGINT|(BIG)?(NUMERIC|DECIMAL)(\(.*\))?": "decimal",
    r"DATE": "date",
    r"TIME( WITHOUT TIME ZONE)?": "time",
    r"(TIMESTAMP|DATETIME).*": "timestamp",
    r"BLOB|BYTEA|BYTES": "binary",
    r"JSONB?": "json",
    r".*\[\d*\]|ARRAY.*|(STRUCT|MAP|UNION|RECORD)\b.*": "nested",
}
NESTED = {"duckdb": "CAST(to_json({}) AS VARCHAR)", "postgres": "to_json({})::text", "bigquery": "TO_JSON_STRING({})"}
TEXT = {"duckdb": "CAST({} AS VARCHAR)", "postgres": "{}::text", "bigquery": "CAST({} AS STRING)"}
DIGITS = {"NUMERIC": (38, 9), "BIGNUMERIC": (76, 38)}  # of BigQuery, where a type names none
MOST = 38


@dataclass(frozen=True)
class Derived:
    """The columns of a model, and how those are selected that a driver would give as something else."""

    columns: TTableSchemaColumns
    forms: dict[str, str]


def derived(warehouse: Warehouse, names: Sequence[str]) -> dict[str, Derived]:
    """The models that are there."""
    told = groupby(warehouse.types(), lambda row: row[0])
    return {table: _of_table(warehouse, table, [*rows]) for table, rows in told if table in names}


def _of_table(warehouse: Warehouse, table: str, rows: Sequence[tuple[str, str, str]]) -> Derived:
    columns: TTableSchemaColumns = {}
    forms = {}
    for _, name, kind in rows:
        found = next((told for form, told in TYPES.items() if re.fullmatch(form, kind)), "text")
        columns[name] = _column(warehouse, table, name, kind, found)
        if found in ("nested", "text"):
            forms[name] = (NESTED if found == "nested" else TEXT)[warehouse.kind]
    return Derived(columns, forms)


def _column(warehouse: Warehouse, table: str, name: str, kind: str, found: str) -> TColumnSchema:
    if found == "nested":
        return {"name": name, "data_type": "json"}
    if found == "decimal":
        precision, scale = _digits(warehouse, table, name, kind)
        return {"name": name, "data_type": "decimal", "precision": precision, "scale": scale}
    if found == "timestamp":
        return {"name": name, "data_type": "timestamp", "timezone": _has_zone(warehouse.kind, kind)}
    return {"name": name, "data_type": found}  # type: ignore[typeddict-item]


def _digits(warehouse: Warehouse, table: str, name: str, kind: str) -> tuple[int, int]:
    """Digits in all and after the point; of a numeric of Postgres without any, as many as its values have."""
    named = [int(digits) for digits in re.findall(r"\d+", kind)]
    if len(named) == 2:
        return named[0], named[1]
    if warehouse.kind == "bigquery":
        return DIGITS[kind]
    if warehouse.kind == "postgres":
        sql = f'SELECT coalesce(max(scale(trim_scale("{name}"))), 0) FROM {warehouse.sql(warehouse.named(table))}'
        return MOST, int(warehouse.ask(sql)[0][0])
    return MOST, 0


def _has_zone(warehouse: str, kind: str) -> bool:
    return kind == "TIMESTAMP" if warehouse == "bigquery" else "WITH TIME ZONE" in kind
