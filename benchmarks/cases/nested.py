"""Nested records: new ones into DuckDB and Postgres, and a hundredth of them merged over what is there."""

from __future__ import annotations

from benchmarks import data, engine, floor, stock
from benchmarks.case import ENGINE, FLOOR, RAW, STOCK, TUNED, Case, Contender, Rows, Target, Work

FACTS = """
SELECT count(*), count(DISTINCT id), sum(count_0), CAST(sum(round(CAST(share_5 AS numeric) * 1000)) AS BIGINT),
    count(DISTINCT changed), count(*) FILTER (WHERE active), min(owner__phone), count(DISTINCT place__code),
    (SELECT CAST(sum(amount) AS VARCHAR) || ' ' || count(*) || ' ' || min(sku) FROM bench.records__items),
    (SELECT CAST(sum(round(CAST(weight AS numeric) * 1000)) AS VARCHAR) || ' ' || count(*) FROM bench.records__tags)
FROM bench.records
"""
DUCKDB_FACTS = FACTS.replace("numeric", "DOUBLE").replace(
    "CAST(sum(round(CAST(weight AS DOUBLE) * 1000)) AS VARCHAR)",
    "CAST(CAST(sum(round(CAST(weight AS DOUBLE) * 1000)) AS BIGINT) AS VARCHAR)",
)
ROWS: Rows = {"small": (1_000,), "full": (40_000, 200_000)}

ROOT = "* EXCLUDE (owner, place, items, tags), " + ", ".join(
    [f"owner.{name} AS owner__{name}" for name in ("name", "phone", "score")]
    + [f"place.{name} AS place__{name}" for name in ("city", "code")]
)
READ = """
CREATE SCHEMA bench;
CREATE TEMP TABLE page AS FROM read_json('{path}', format = 'newline_delimited');
CREATE TABLE bench.records AS SELECT {root} FROM page;
CREATE TABLE bench.records__items AS SELECT id, unnest(items, recursive := true) FROM page;
CREATE TABLE bench.records__tags AS SELECT id, unnest(tags, recursive := true) FROM page;
"""
FIELDS = {
    **{f"count_{n}": "bigint" for n in range(8)},
    **{f"share_{n}": "double precision" for n in range(6)},
    **{f"word_{n}": "text" for n in range(8)},
    "changed": "timestamptz",
    "active": "boolean",
}
POSTGRES = f"""
CREATE TABLE bench.records AS SELECT (j->>'id')::bigint AS id,
    {", ".join(f"(j->>'{name}')::{kind} AS {name}" for name, kind in FIELDS.items())},
    {", ".join(f"j->'owner'->>'{name}' AS owner__{name}" for name in ("name", "phone"))},
    (j->'owner'->>'score')::double precision AS owner__score,
    {", ".join(f"j->'place'->>'{name}' AS place__{name}" for name in ("city", "code"))}
FROM page;
CREATE TABLE bench.records__items AS
    SELECT (j->>'id')::bigint AS id, i->>'sku' AS sku, (i->>'amount')::bigint AS amount,
        (i->>'price')::double precision AS price
    FROM page, jsonb_array_elements(j->'items') AS i;
CREATE TABLE bench.records__tags AS
    SELECT (j->>'id')::bigint AS id, t->>'name' AS name, (t->>'weight')::double precision AS weight
    FROM page, jsonb_array_elements(j->'tags') AS t;
"""
# A control character that JSON text cannot hold keeps COPY from taking anything in it for a delimiter or a quote.
COPY_LINES = "COPY page FROM STDIN (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')"


def run_pages(work: Work) -> None:
    """The spec `records`, its lines parsed into pages of dicts."""
    engine.run(work, "records", f"jsonl_path={work.data / 'records.jsonl'}")


def run_lines(work: Work) -> None:
    """The spec `lines`, its lines as they are."""
    engine.run(work, "lines", f"jsonl_path={work.data / 'records.jsonl'}")


def run_first(work: Work) -> None:
    """All records, by their key."""
    engine.run(work, "records", f"jsonl_path={work.data / 'records.jsonl'}", "merged=true")


def run_changed(work: Work) -> None:
    """The changed hundredth, by its key."""
    engine.run(work, "records", f"jsonl_path={work.data / 'changed.jsonl'}", "merged=true")


def run_stock(work: Work) -> None:
    """`filesystem | read_jsonl`."""
    stock.run(work, stock.jsonl(work, "records.jsonl").with_name("records"))


def run_tuned(work: Work) -> None:
    """`filesystem | read_jsonl`, parquet without gzip."""
    stock.run(work, stock.jsonl(work, "records.jsonl").with_name("records"), tuned=True)


def run_floor(work: Work) -> None:
    """`read_json` and `unnest` into three tables."""
    floor.duckdb_runs(work, *READ.format(path=work.data / "records.jsonl", root=ROOT).strip().split("\n"))


def run_floor_postgres(work: Work) -> None:
    """`COPY` of the lines as jsonb, and `jsonb_array_elements` into three typed tables."""
    with floor.postgres_cursor(work) as cursor:
        cursor.execute("CREATE SCHEMA bench; CREATE TEMP TABLE page (j jsonb)")
        floor.copy(cursor, COPY_LINES, work.data / "records.jsonl")
        cursor.execute(POSTGRES)


CASES = (
    Case(
        name="nested_duckdb",
        about="nested JSONL (two lists, two structs) → DuckDB",
        write=data.nested,
        contenders={
            ENGINE: Contender(run_pages),
            RAW: Contender(run_lines),
            FLOOR: Contender(run_floor),
            STOCK: Contender(run_stock, up_to=40_000),
            TUNED: Contender(run_tuned, up_to=40_000),
        },
        facts=DUCKDB_FACTS,
        rows=ROWS,
        targets=(
            Target("cpu", 2.5, FLOOR, of=RAW),
            Target("cpu", 4, FLOOR),
            Target("cpu", 1 / 12, STOCK),
            Target("cpu", 1 / 2, TUNED),
        ),
    ),
    Case(
        name="nested_merged",
        about="nested JSONL → DuckDB, 1 % merged into all",
        write=data.nested,
        contenders={ENGINE: Contender(run_changed, before=run_first)},
        facts=DUCKDB_FACTS,
        rows=ROWS,
        targets=(Target.at_most("wall", 2),),
    ),
    Case(
        name="nested_postgres",
        about="nested JSONL → Postgres",
        write=data.nested,
        contenders={
            ENGINE: Contender(run_pages),
            RAW: Contender(run_lines),
            FLOOR: Contender(run_floor_postgres),
            TUNED: Contender(run_tuned, up_to=40_000),
        },
        facts=FACTS,
        rows=ROWS,
        targets=(Target("wall", 2.5, FLOOR, of=RAW),),
        postgres=True,
    ),
)
