"""Flat CSV files into a warehouse: the same rows and types in Postgres as in DuckDB; how load jobs hold them."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import configuration, environment, postgres
from sources.kit import delimited

RESOURCES = "resources: {cells: {append_reason: each test starts from nothing}}\n"
SOURCE = '''\
"""Every CSV file of a folder."""

from pathlib import Path

import dlt

from sources.kit.flat import csv_tables

COLUMNS = {
    "id": {"data_type": "bigint", "nullable": False},
    "words": {"data_type": "text"},
    "whole": {"data_type": "bigint"},
    "part": {"data_type": "double"},
    "yes": {"data_type": "bool"},
    "day": {"data_type": "date"},
    "moment": {"data_type": "timestamp"},
}


@dlt.source(name="flat", section="flat")
def flat(folder: str = dlt.config.value):
    @dlt.resource(columns=COLUMNS, write_disposition="append")
    def cells():
        for file in sorted(Path(folder).glob("*.csv")):
            yield from csv_tables(file, COLUMNS)

    return cells
'''
HEADER = "id,words,whole,part,yes,day,moment\n"
PLAIN = [
    "",
    '""',
    " ",
    "007",
    "+49",
    "NULL",
    "\\N",
    "\\.",
    "\\t",
    "null",
    "a'b",
    "%s",
    "é",
    "日本 😀",
    "\u00a0",
    "x" * 5000,
]
ODD = ['"a,b"', '"say ""so"""', '"two\nlines"', '"two\r\nlines"', '"\t"', '"\\."', '"\\\n.\n"', "a\\", '"x"y']
TYPED = [
    ("1,,,,,,", (1, None, None, None, None, None, None)),
    ("-9223372036854775808,,+7,-1e-3,T,2024-02-29,2025-06-03T08:00:00.123456+02:00",
     (-(2**63), None, 7, -0.001, True, date(2024, 2, 29), datetime(2025, 6, 3, 6, 0, 0, 123456, UTC))),
    ("9223372036854775807,, 8 ,0.1,0,1000-01-01,1000-01-01 00:00",
     (2**63 - 1, None, 8, 0.1, False, date(1000, 1, 1), datetime(1000, 1, 1, tzinfo=UTC))),
]  # fmt: skip
REFUSED = {
    "2,,2.5,,,,": "whole '2.5' is no whole number",
    "3,,,,maybe,,": "yes 'maybe' is neither true nor false",
    "4,,,,,2025-02-29,": "day '2025-02-29' is no date such as 2025-06-03",
    ",,,,,,": "id is empty",
}
QUERY = "SELECT id, words, whole, part, yes, day, moment FROM flat.cells ORDER BY id, words"
TYPES = """
SELECT column_name, lower(data_type), is_nullable FROM information_schema.columns
WHERE table_schema = 'flat' AND table_name = 'cells' ORDER BY column_name
"""


def texts(first: int, cells: list[str]) -> str:
    return "".join(f"{number},{cell},,,,,\n" for number, cell in enumerate(cells, first))


FILES = {
    "bom": (HEADER + texts(100, PLAIN)).encode("utf-8-sig"),
    "odd": (HEADER + texts(200, ODD)).encode(),
    "typed": "\r\n".join([HEADER.strip(), *(line for line, _ in TYPED), *REFUSED]).encode(),
    "west": (HEADER + texts(300, ["é", "ß“"])).replace(",", ";").encode("cp1252"),
    "wide": (HEADER + texts(400, ["日本", '"two\nlines"'])).encode("utf-16"),
}
WORDS = {
    **dict(enumerate([None, None, *PLAIN[2:]], 100)),
    **dict(enumerate(
        ["a,b", 'say "so"', "two\nlines", "two\r\nlines", "\t", "\\.", "\\\n.\n", "a\\"], 200)),
    300: "é", 301: "ß“", 400: "日本", 401: "two\nlines",
}  # fmt: skip


@pytest.fixture
def filled(workspace, postgres_url, monkeypatch):
    """A workspace whose folder `in` holds all files; blocks are so small that plain and odd ones take turns."""
    monkeypatch.setattr(delimited, "BLOCK_CHARACTERS", 40)
    made = workspace()
    made.postgres(postgres_url)
    made.source("flat", SOURCE, RESOURCES)
    (made.root / "in").mkdir()
    for name, content in FILES.items():
        (made.root / "in" / f"{name}.csv").write_bytes(content)
    return made


def test_cells_of_every_kind_are_the_same_in_both_warehouses(filled, postgres_url):
    ended = {env: filled.etl("run", "flat", "--env", env, "--with", "folder=in", "--output", "json")
             for env in ("test", "pg")}  # fmt: skip
    rejected = len(REFUSED) + 1
    assert [(result.code, result.json[0]["rejected"]) for result in ended.values()] == [(3, {"cells": rejected})] * 2
    with closing(psycopg2.connect(postgres_url)) as connection, connection.cursor() as cursor:
        cursor.execute(QUERY)
        stored = cursor.fetchall()
        cursor.execute("SELECT reason FROM _etl.quarantine WHERE resource = 'cells'")
        reasons = {reason for (reason,) in cursor.fetchall()}
        cursor.execute(TYPES)
        types = cursor.fetchall()
    assert {row[0]: row[1] for row in stored if 100 <= row[0] < 1000} == WORDS
    assert [row for row in stored if not 100 <= row[0] < 1000] == sorted(row for _, row in TYPED)
    assert set(REFUSED.values()) < reasons
    assert sorted(stored) == sorted(filled.query(QUERY))
    assert [(name, null) for name, _, null in types] == [(name, null) for name, _, null in filled.query(TYPES)]
    assert {kind for _, kind, _ in types} == {
        "bigint", "boolean", "character varying", "date", "double precision", "timestamp with time zone"
    }  # fmt: skip
    jobs = [*filled.root.glob(".dlt/state/*/flat/load/loaded/*/completed_jobs/cells.*.parquet")]
    assert {_packing(file) for file in jobs} == {"UNCOMPRESSED"}


def _packing(file: Path) -> str:
    return str(pq.ParquetFile(file).metadata.row_group(0).column(0).compression)


def test_a_load_job_has_a_few_rows_in_memory_at_a_time(filled, monkeypatch):
    held: list[int] = []

    class Watched(pq.ParquetFile):
        def iter_batches(self, *given, **named):
            for batch in super().iter_batches(*given, **named):
                held.append(pa.total_allocated_bytes())
                yield batch

    monkeypatch.setattr(delimited, "BLOCK_CHARACTERS", 100_000)
    monkeypatch.setattr(postgres, "ROWS_AT_ONCE", 100)
    monkeypatch.setattr(postgres, "BUFFER", 1 << 16)
    monkeypatch.setattr(pq, "ParquetFile", Watched)
    filled.write("in/long.csv", HEADER + texts(1000, [f"{n:01000}" for n in range(6000)]))
    before = pa.total_allocated_bytes()
    assert filled.etl("run", "flat", "--env", "pg", "--with", "folder=in").code == 3
    assert len(held) > 20
    assert max(held) - before < 4 << 20  # of six and more


@pytest.mark.parametrize(("env", "packing"), [("test", "none"), ("pg", "none"), ("bq", None)])
def test_only_files_that_cross_a_network_are_packed(workspace, env, packing):
    made = workspace()
    made.postgres("postgresql://someone@127.0.0.1:1/here") if env == "pg" else made.bigquery({})
    configuration.activate(environment.load(made.root, env))
    found = configuration.setting("compression", ("data_writer",))
    assert (found[0] if found else None) == packing
