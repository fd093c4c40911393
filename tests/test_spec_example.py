"""The example of the first rung: a spec without a line of Python, run against its stand-in."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.sources.rest_api import rest_api_source

from pipelines.specs import rest_model, spec
from sandbox import github
from sandbox.server import Request, Sandbox, World

ROOT = Path(__file__).resolve().parents[1]
HEADERS = {"user-agent": "etl-tests", "host": "127.0.0.1:1"}


def ask(world: World, path: str, **query: Any) -> list[dict[str, Any]]:
    """All pages of a list, by their links."""
    rows: list[dict[str, Any]] = []
    for page in itertools.count(1):
        asked = {key: [str(value)] for key, value in {**query, "page": page}.items()}
        reply = github.answer(Request("GET", path, asked, HEADERS), world)
        assert reply.status == 200
        assert isinstance(reply.body, list)
        rows += reply.body
        if 'rel="next"' not in reply.headers.get("Link", ""):
            return rows
    raise AssertionError


def test_the_example_is_rest_only():
    example = spec.load(ROOT, "github")
    assert example.rest is not None
    assert not (ROOT / "sources" / "github.py").exists()
    assert spec.check_rest(example) == []
    assert spec.check_source(ROOT, example) == []


@pytest.mark.parametrize("records", [0, 1, 100, 250])
def test_the_issues_of_the_stand_in(records):
    rows = ask(World(records=records), "/issues", state="all", per_page=100)
    assert len(rows) == len({row["id"] for row in rows}) == records
    assert all(row["created_at"] <= row["updated_at"] <= "2024-03-15T12:00:00Z" for row in rows)
    by_state = [len(ask(World(records=records), "/issues", state=state)) for state in ("open", "closed")]
    assert sum(by_state) == records
    assert len(ask(World(records=records), "/issues")) == by_state[0]


def test_since_counts_the_moment_itself_and_order_is_obeyed():
    rows = ask(World(), "/issues", state="all", sort="updated", direction="asc")
    times = [row["updated_at"] for row in rows]
    assert times == sorted(times)
    assert ask(World(), "/issues", state="all", sort="updated", direction="desc") == rows[::-1]
    since = ask(World(), "/issues", state="all", sort="updated", direction="asc", since=times[60])
    assert since == rows[times.index(times[60]) :]


def test_a_day_brings_new_issues_and_changes_old_ones():
    before, after = ({row["id"]: row for row in ask(World(day=day), "/issues", state="all")} for day in (1, 2))
    changed = [row for key, row in after.items() if before.get(key) != row]
    assert set(before) < set(after)
    assert {row["id"] for row in changed} & set(before)
    newest = max(row["updated_at"] for row in before.values())
    assert all(newest < row["updated_at"] <= "2024-03-16T12:00:00Z" for row in changed)
    assert len(ask(World(day=2), "/releases")) == len(ask(World(), "/releases")) + 1


def test_pages_follow_the_link_header():
    first = github.answer(Request("GET", "/issues", {"state": ["all"], "per_page": ["40"]}, HEADERS), World())
    assert first.headers["Link"] == (
        '<http://127.0.0.1:1/github/issues?state=all&per_page=40&page=2>; rel="next", '
        '<http://127.0.0.1:1/github/issues?state=all&per_page=40&page=3>; rel="last"'
    )
    past = github.answer(Request("GET", "/issues", {"page": ["99"], "per_page": ["1000"]}, HEADERS), World())
    assert past.body == []


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (Request("GET", "/issues", {}, {"host": "x"}), 403),
        (Request("GET", "/nothing", {}, HEADERS), 404),
        (Request("POST", "/issues", {}, HEADERS), 404),
        (Request("GET", "/issues", {"page": ["x"], "per_page": ["-1"]}, HEADERS), 200),
    ],
)
def test_answers_that_are_no_rows(request_, status):
    assert github.answer(request_, World()).status == status


@pytest.fixture
def load(tmp_path, monkeypatch) -> Callable[[Sandbox], dlt.Pipeline]:
    """One run of the example into a DuckDB file."""
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "CRITICAL")

    def run(sandbox: Sandbox) -> dlt.Pipeline:
        config = rest_model.bind(spec.load(ROOT, "github").rest or {}, None)
        config["client"]["base_url"] = sandbox.settings("github")["sources.github.base_url"]
        destination = dlt.destinations.duckdb(str(tmp_path / "example.duckdb"))
        pipeline = dlt.pipeline("github", str(tmp_path / "state"), destination=destination, dataset_name="github")
        pipeline.run(rest_api_source(config, name="github", section="github"), loader_file_format="parquet")
        return pipeline

    return run


def issues(pipeline: dlt.Pipeline) -> dict[int, tuple[int, datetime]]:
    with pipeline.sql_client() as client:
        rows = client.execute_sql("SELECT id, comments, updated_at FROM issues ORDER BY id")
    assert rows is not None
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: (row[1], row[2]) for row in rows}


def served(world: World) -> dict[int, tuple[int, datetime]]:
    rows = ask(world, "/issues", state="all", per_page=100)
    return {row["id"]: (row["comments"], datetime.fromisoformat(row["updated_at"])) for row in rows}


def test_the_example_loads_what_the_stand_in_serves(load):
    with Sandbox(World(records=250)) as sandbox:
        assert issues(load(sandbox)) == served(sandbox.world)
        assert sum(request.path.startswith("/github/issues") for request in sandbox.requests) == 3
        sandbox.forget_requests()
        sandbox.move_to(2)
        assert issues(load(sandbox)) == served(sandbox.world)
        newest = max(moment for _, moment in served(World(records=250)).values())
        [asked] = [request.path for request in sandbox.requests if request.path.startswith("/github/issues")]
        assert f"since={newest:%Y-%m-%dT%H%%3A%M%%3A%SZ}" in asked
