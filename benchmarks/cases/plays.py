"""Plays of tracks out of the landing into DuckDB, merged by their key: nested records with lists in three levels."""

from __future__ import annotations

from typing import Any

from benchmarks import data, engine, floor, stock
from benchmarks.case import ENGINE, FLOOR, STOCK, TUNED, Case, Contender, Rows, Target, Work

FACTS = """
SELECT count(*), count(DISTINCT played_at), epoch(min(played_at)), sum(track__duration_ms),
    count(DISTINCT track__album__uri), count(DISTINCT context__uri), count(*) FILTER (WHERE track__explicit),
    (SELECT count(*) || ' ' || count(DISTINCT id) FROM bench.recently_played__track__artists),
    (SELECT count(*) || ' ' || min(name) FROM bench.recently_played__track__album__artists),
    (SELECT count(*) || ' ' || sum(height) FROM bench.recently_played__track__album__images),
    (SELECT count(*) || ' ' || min(value) FROM bench.recently_played__track__album__available_markets)
FROM bench.recently_played
"""
SCALARS = {
    "context": "type href uri external_urls.site",
    "track": "id name type uri href duration_ms popularity explicit is_local disc_number track_number preview_url "
    "external_ids.isrc external_urls.site",
    "track.album": "id name album_type type uri href total_tracks release_date release_date_precision "
    "external_urls.site",
}
PATHS = [f"{above}.{below}" for above, names in SCALARS.items() for below in names.split()]
ROOT = ", ".join(f"{path} AS {path.replace('.', '__')}" for path in PATHS)
LISTS = ("track.artists", "track.album.artists", "track.album.images")
VALUES = ("track.available_markets", "track.album.available_markets")
READ = [
    "CREATE SCHEMA bench",
    "CREATE TEMP TABLE page AS FROM read_json('{path}', format = 'newline_delimited')",
    f"CREATE TABLE bench.recently_played AS SELECT played_at, {ROOT} FROM page",
    *(
        f"CREATE TABLE bench.recently_played__{each.replace('.', '__')} AS "
        f"SELECT played_at, unnest({each}, recursive := true) FROM page"
        for each in LISTS
    ),
    *(
        f"CREATE TABLE bench.recently_played__{each.replace('.', '__')} AS "
        f"SELECT played_at, unnest({each}) AS value FROM page"
        for each in VALUES
    ),
]
KEY: dict[str, Any] = {"primary_key": ("played_at", "track__uri"), "write_disposition": "merge"}
ROWS: Rows = {"small": (1_000,), "full": (100_000,)}


def land(work: Work) -> None:
    """The file as another program left it in the landing."""
    engine.land(work, "plays", "recently_played", "plays.jsonl")


def run_ingest(work: Work) -> None:
    """`etl ingest plays`."""
    engine.ingest(work, "plays")


def run_floor(work: Work) -> None:
    """`read_json` and `unnest` into six tables."""
    floor.duckdb_runs(work, *(sql.format(path=work.data / "plays.jsonl") for sql in READ))


def run_stock(work: Work) -> None:
    """`filesystem | read_jsonl`, merged by the same key."""
    stock.run(work, stock.jsonl(work, "plays.jsonl").with_name("recently_played"), **KEY)


def run_tuned(work: Work) -> None:
    """The same, parquet without gzip."""
    stock.run(work, stock.jsonl(work, "plays.jsonl").with_name("recently_played"), tuned=True, **KEY)


CASES = (
    Case(
        name="plays_landed",
        about="plays of tracks (lists in three levels), landing → DuckDB, merged",
        write=data.plays,
        contenders={
            ENGINE: Contender(run_ingest, before=land),
            FLOOR: Contender(run_floor),
            STOCK: Contender(run_stock),
            TUNED: Contender(run_tuned, up_to=1_000),
        },
        facts=FACTS,
        rows=ROWS,
        targets=(Target("wall", 1 / 15, STOCK),),
    ),
)
