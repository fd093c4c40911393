"""A flat CSV file into Postgres: as it is, typed and changed on the way, and merged by its key."""

from __future__ import annotations

from benchmarks import data, engine, floor, stock
from benchmarks.case import ENGINE, FLOOR, STOCK, TUNED, Case, Contender, Rows, Target, Work

TABLE = """
CREATE SCHEMA bench;
CREATE TABLE bench.flat (id bigint, phone text, agent text, campaign text, started timestamptz, stopped timestamptz,
    seconds double precision, cost double precision, answered boolean, attempts bigint, reference text, url text);
"""
FACTS = """
SELECT count(*), sum(CAST(id AS BIGINT)), count(DISTINCT phone), count(nullif(agent, '')), count(DISTINCT started),
    CAST(sum(round(CAST(seconds AS numeric) * 1000)) AS BIGINT), count(DISTINCT reference), min(url), min(phone)
FROM bench.flat
"""
ROWS: Rows = {"small": (5_000,), "full": (100_000, 1_000_000)}


def run_clean(work: Work) -> None:
    """The file as it stands, with declared types."""
    engine.run(work, "flat", f"csv_path={work.data / 'flat.csv'}")


def run_changed(work: Work) -> None:
    """A column is computed on the way, so the file cannot be taken as it stands."""
    engine.run(work, "flat", f"csv_path={work.data / 'flat.csv'}", "with_hour=true")


def run_merged(work: Work) -> None:
    """Merged by `id` into a new table."""
    engine.run(work, "flat", f"csv_path={work.data / 'flat.csv'}", "merged=true")


def run_stock(work: Work) -> None:
    """Rows of `csv.DictReader`."""
    stock.run(work, stock.csv_rows(work.data / "flat.csv"), table_name="flat")


def run_tuned(work: Work) -> None:
    """Pages of `csv.DictReader`, parquet (over ADBC) without gzip."""
    stock.run(work, stock.csv_pages(work.data / "flat.csv"), tuned=True, table_name="flat")


def run_floor(work: Work) -> None:
    """`COPY` of the file into a typed table."""
    with floor.postgres_cursor(work) as cursor:
        cursor.execute(TABLE)
        floor.copy(cursor, "COPY bench.flat FROM STDIN (FORMAT csv, HEADER)", work.data / "flat.csv")


def _case(name: str, about: str, times: float, contenders: dict[str, Contender]) -> Case:
    return Case(
        name=name,
        about=about,
        write=data.flat,
        contenders={**contenders, FLOOR: Contender(run_floor)},
        facts=FACTS,
        rows=ROWS,
        targets=(Target("wall", times, FLOOR),),
        postgres=True,
    )


CASES = (
    _case(
        "flat_postgres_clean",
        "flat CSV → Postgres, a clean file",
        1.5,
        {
            ENGINE: Contender(run_clean),
            STOCK: Contender(run_stock, up_to=100_000),
            TUNED: Contender(run_tuned, up_to=100_000),
        },
    ),
    _case(
        "flat_postgres_changed",
        "flat CSV → Postgres, typed and changed on the way",
        3,
        {ENGINE: Contender(run_changed)},
    ),
    _case("flat_postgres_merged", "flat CSV → Postgres, merged by its key", 5, {ENGINE: Contender(run_merged)}),
)
