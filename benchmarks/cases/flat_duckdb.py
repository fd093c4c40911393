"""A flat CSV file into DuckDB, appended."""

from __future__ import annotations

from benchmarks import data, engine, floor, stock
from benchmarks.case import ENGINE, FLOOR, STOCK, TUNED, Case, Contender, Target, Work

FACTS = """
SELECT count(*), sum(CAST(id AS BIGINT)), count(DISTINCT phone), count(nullif(agent, '')), count(DISTINCT started),
    count(DISTINCT stopped), CAST(sum(round(CAST(seconds AS DOUBLE) * 1000)) AS BIGINT),
    CAST(sum(round(CAST(cost AS DOUBLE) * 10000)) AS BIGINT), count(*) FILTER (WHERE CAST(answered AS BOOLEAN)),
    sum(CAST(attempts AS BIGINT)), count(DISTINCT reference), min(url), min(phone), count(DISTINCT campaign)
FROM bench.flat
"""


def run_engine(work: Work) -> None:
    """The spec `flat` of the benchmark's workspace."""
    engine.run(work, "flat", f"csv_path={work.data / 'flat.csv'}")


def run_stock(work: Work) -> None:
    """Rows of `csv.DictReader`."""
    stock.run(work, stock.csv_rows(work.data / "flat.csv"), table_name="flat")


def run_tuned(work: Work) -> None:
    """Pages of `csv.DictReader`, parquet without gzip."""
    stock.run(work, stock.csv_pages(work.data / "flat.csv"), tuned=True, table_name="flat")


def run_floor(work: Work) -> None:
    """`read_csv` into a table."""
    source = f"read_csv('{work.data / 'flat.csv'}', types = {{'phone': 'VARCHAR'}})"
    floor.duckdb_runs(work, "CREATE SCHEMA bench", f"CREATE TABLE bench.flat AS FROM {source}")


CASES = (
    Case(
        name="flat_duckdb",
        about="flat CSV → DuckDB, append",
        write=data.flat,
        contenders={
            ENGINE: Contender(run_engine),
            FLOOR: Contender(run_floor),
            STOCK: Contender(run_stock, up_to=300_000),
            TUNED: Contender(run_tuned, up_to=300_000),
        },
        facts=FACTS,
        rows={"small": (5_000,), "full": (300_000, 1_000_000, 10_000_000)},
        targets=(
            Target("wall", 2.5, FLOOR),
            Target("wall", 1 / 30, STOCK),
            Target("peak", 1.3, FLOOR, plus=300),
        ),
    ),
)
