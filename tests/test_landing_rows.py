"""Rows of every kind come back from raw files as they were given."""

from __future__ import annotations

from collections import Counter
from datetime import date

from tests import year_toy
from tests.landing_toy import RAW
from tests.scripted_server import serving
from tests.warehouse import Ask, contents
from tests.workspace import DESTINATIONS, Workspace

SPEC = """\
name: odd
about: Rows of every kind.
python: {}
resources:
  events: {append_reason: what happened does not change}
"""
SOURCE = '''\
"""Rows of every kind."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from uuid import UUID

import dlt
import orjson
import pyarrow as pa
from pydantic import BaseModel

from sources.kit import notices


class Point(BaseModel):
    id: int
    at: datetime


@dlt.source(name="odd", section="odd")
def odd():
    return typed, raw, arrow, parents, parents | children, events, models, nothing, refused


@dlt.resource(primary_key="id", write_disposition="merge")
def typed():
    yield [
        {"id": 1, "at": datetime(2024, 1, 1, 5, tzinfo=UTC), "naive": datetime(2024, 1, 1), "on": date(2024, 2, 3)},
        {"id": 2, "price": Decimal("1.50"), "key": UUID(int=7), "raw": b"bytes", "when": time(1, 2), "é": "é"},
        {"id": 3, "list": [{"at": datetime(2024, 1, 1, tzinfo=UTC), "n": Decimal("0.1")}], "big": 2**60},
    ]
    yield {"id": 4, "text": "alone\\nin its page"}


@dlt.resource(primary_key="id", write_disposition="merge", columns={"id": {"data_type": "bigint"}})
def raw():
    yield [orjson.Fragment(b'{"id": 1, "x": 1.10}'), orjson.Fragment(b'{"id": 2, "x":  [1, 2]}')]
    yield [orjson.Fragment(b'{"id": "no"}'), orjson.Fragment(b"broken"), {"id": float("nan")}]


@dlt.resource(primary_key="id", write_disposition="merge")
def arrow():
    yield pa.table({"id": [1, 2], "at": pa.array([0, 1], pa.timestamp("us", "UTC")), "t": ["a", None]})
    yield pa.table({"id": [3], "more": [0.5]})


@dlt.resource(primary_key="id", write_disposition="merge", table_name=lambda row: f"parents_{row['kind']}")
def parents():
    yield [{"id": 1, "kind": "a"}, {"id": 2, "kind": "b"}]


@dlt.transformer(primary_key="id", write_disposition="merge")
def children(rows):
    yield [{"id": row["id"] * 10, "of": row["id"]} for row in rows]


@dlt.resource(write_disposition="append", primary_key="id")
def events(id=dlt.sources.incremental("id", initial_value=0)):
    yield [{"id": 2}, {"id": 1}, {"id": None}, {"id": "text"}]


@dlt.resource(primary_key="id", write_disposition="merge", columns=Point)
def models():
    yield [{"id": 1, "at": "2024-01-01T00:00:00Z"}, {"id": "x", "at": "never"}]


@dlt.resource(primary_key="id", write_disposition="replace")
def nothing():
    yield []


@dlt.resource(primary_key="id", write_disposition="merge")
def refused():
    yield [{"id": 1}, notices.rejected({"id": 2}, "is no good", "list.csv:2"), notices.failed("page 3", "is gone")]
'''


def test_every_kind_of_row(tmp_path):
    found = {}
    for env in ("test", "raw"):
        made = Workspace(tmp_path / f"a workspace for {env}")
        made.write("destinations.toml", DESTINATIONS + RAW.format(compression='raw_compression = "none"'))
        made.write("specs/odd.yaml", SPEC)
        made.write("sources/odd.py", SOURCE)
        assert made.etl("run", "odd", "--env", env).code == 3
        found[env] = contents(Ask(made), "odd")
    plain = {env: sorted((*row[:3], row[4]) for row in kept["quarantine"].elements()) for env, kept in found.items()}
    assert plain["raw"] == plain["test"]
    assert {**found["raw"], "quarantine": None} == {**found["test"], "quarantine": None}
    endings = {file.name.split(".", 1)[1] for file in (made.root / "landing/odd/archive").glob("*/2*")}
    assert endings == {"jsonl", "parquet", "2.parquet", "manifest.json"}
    before = {**contents(Ask(made), "odd"), "quarantine": None}
    assert made.etl("rebuild", "odd", "--env", "raw").code == 3
    assert {**contents(Ask(made), "odd"), "quarantine": None} == before
    some = ("run", "odd", "--env", "test", "--select", "parents", "--limit", "1")
    assert made.etl(*some).code == 0, "rows that name their table may have a key, too"


def test_what_was_asked_for_is_claimed_with_the_rows(workspace):
    """Not by the fetch: nothing is loaded then, and days with rows would be taken for empty ones."""
    upstream = year_toy.Upstream()
    upstream.broken = {date(2024, 5, 4)}
    with serving(upstream) as server:
        year = year_toy.install(workspace(), server.url)
        assert year.etl("fetch", "year", "--env", "test").code == 3
        assert year.query("SELECT 1 FROM information_schema.tables WHERE table_name = 'coverage'") == []
        assert year.etl("ingest", "year", "--env", "test").code == 0
        told = year.etl("coverage", "year", "--env", "test", "--output", "json").json
    states = {sheet["resource"]: Counter(unit["state"] for unit in sheet["units"]) for sheet in told["resources"]}
    assert {name: each.keys() for name, each in states.items()} == {
        "steps": {"loaded", "empty", "failed"}, "sleep": {"loaded", "empty"}
    }  # fmt: skip
