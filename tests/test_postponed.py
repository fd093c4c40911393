"""What a source puts off, and a table that is there while it has no rows: in runs, and by way of raw files."""

from __future__ import annotations

import pytest

SOURCE = '''\
"""Two pages, of which the upstream gives the second one another day."""

import dlt

from sources.kit import notices


@dlt.source(name="days", section="days")
def days(reject: bool = False):
    return rows(reject), later()


@dlt.resource(primary_key="id", write_disposition="merge", columns={"id": {"data_type": "bigint", "nullable": False}})
def rows(reject):
    state = dlt.current.resource_state()
    page = state.setdefault("page", 1)
    yield [{"id": page}]
    yield [notices.failed(f"item {number}", "broken") for number in range(60) if reject]
    state["page"] = page + 1
    if page == 1:
        yield notices.postponed("page 2", "used up; run again later")
    if reject:
        yield [{"id": None}]


UPSERT = {"disposition": "merge", "strategy": "upsert"}  # whose rows have ids made of their keys


@dlt.resource(primary_key="id", write_disposition=UPSERT, columns={"id": {"data_type": "bigint"}})
def later():
    yield dlt.mark.materialize_table_schema()
'''


@pytest.fixture
def days(workspace):
    made = workspace()
    made.source("days", SOURCE)
    return made


def test_what_was_read_is_loaded_and_the_run_asks_for_another(days):
    first = days.etl("run", "days", "--env", "test", "--with", "reject=true")
    assert first.code == 5
    assert "days.rows: page 2: used up; run again later" in first.out
    assert days.query("SELECT id FROM days.rows") == [(1,)]
    assert days.query("SELECT count(*) FROM days.later") == [(0,)]
    second = days.etl("run", "days", "--env", "test")
    assert (second.code, days.query("SELECT id FROM days.rows ORDER BY 1")) == (0, [(1,), (2,)])


def test_raw_files_hold_what_was_read(days):
    assert days.etl("fetch", "days", "--env", "test").code == 5
    for verb in ("ingest", "rebuild"):
        assert days.etl(verb, "days", "--env", "test").code == 0
        assert days.query("SELECT id FROM days.rows") == [(1,)]
        assert days.query("SELECT count(*) FROM days.later") == [(0,)], verb
