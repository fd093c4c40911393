"""The spec `recordings` of this repository without its audio: a list, the list again, and one that grew by 1 %."""

from __future__ import annotations

import shutil

from benchmarks import data, engine, floor
from benchmarks.case import ENGINE, FLOOR, Case, Contender, Rows, Target, Work

FACTS = """
SELECT count(*), count(DISTINCT url), count(DISTINCT phone), count(DISTINCT recording_id), min(phone), min(url),
    count(DISTINCT started), CAST(sum(round(CAST(duration_seconds AS DOUBLE) * 1000)) AS BIGINT),
    CAST(min(CAST(stopped AS TIMESTAMP)) AS VARCHAR), CAST(max(CAST(stopped AS TIMESTAMP)) AS VARCHAR)
FROM media_pipeline.recordings
"""
LIST = "list.csv"
LISTS_ALONE = ("--exclude", "audio_files")
ROWS: Rows = {"small": (10_000,), "full": (1_000_000,)}


def run_engine(work: Work) -> None:
    """The list in the folder of the process; relative, so that a copy of the folder reads its own."""
    if not (work.folder / LIST).exists():
        shutil.copy2(work.data / LIST, work.folder / LIST)
    engine.run(work, "recordings", f"csv_path={LIST}", options=LISTS_ALONE)


def run_grown(work: Work) -> None:
    """The same list with new lines at its end."""
    (work.folder / LIST).unlink()
    (work.folder / LIST).symlink_to(work.data / "grown.csv")
    engine.run(work, "recordings", f"csv_path={LIST}", options=LISTS_ALONE)


def run_floor(work: Work) -> None:
    """`read_csv` into a table."""
    _floor(work, LIST)


def run_floor_grown(work: Work) -> None:
    """The whole grown list into a new table."""
    _floor(work, "grown.csv")


def _floor(work: Work, name: str) -> None:
    source = f"SELECT *, location AS url FROM read_csv('{work.data / name}', types = {{'phone': 'VARCHAR'}})"
    floor.duckdb_runs(work, "CREATE SCHEMA media_pipeline", f"CREATE TABLE media_pipeline.recordings AS {source}")


CASES = (
    Case(
        name="recordings",
        about="recordings as specified → DuckDB, a new list",
        write=data.calls,
        contenders={ENGINE: Contender(run_engine), FLOOR: Contender(run_floor)},
        facts=FACTS,
        rows=ROWS,
        targets=(Target("wall", 6, FLOOR),),
    ),
    Case(
        name="recordings_again",
        about="recordings as specified → DuckDB, the unchanged list again",
        write=data.calls,
        contenders={ENGINE: Contender(run_engine, before=run_engine)},
        facts=FACTS,
        rows=ROWS,
        targets=(Target.at_most("wall", 1),),
    ),
    Case(
        name="recordings_grown",
        about="recordings as specified → DuckDB, 1 % new rows in the same list",
        write=data.calls,
        contenders={ENGINE: Contender(run_grown, before=run_engine), FLOOR: Contender(run_floor_grown)},
        facts=FACTS,
        rows=ROWS,
        targets=(Target("wall", 3, FLOOR),),
    ),
)
