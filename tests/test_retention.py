"""`[<env>.retention]`: what is too old goes at the end of a run and by `etl erase --expired`, and nothing else does."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from tests.toys import rows, toy
from tests.workspace import DESTINATIONS, Workspace

RETENTION = "[test.retention]\nruns_days = 30\nquarantine_days = 10\n"
ENDS = {"other": 40, "bad": 39, "good": 38, "worse": 37, "recent": 20, "last": 19}  # days ago


@pytest.fixture
def made(workspace) -> Workspace:
    made: Workspace = workspace()
    toy(made, rows(2))
    made.write("destinations.toml", DESTINATIONS + RETENTION)
    return made


def age(made: Workspace, run: str, days: int) -> None:
    """Make a run, its folder and its row, one of some days ago."""
    moment, file = datetime.now(UTC) - timedelta(days=days), made.root / f"runs/{run}/manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "started_at": moment.isoformat()}))
    change(made, "UPDATE _etl.runs SET started_at = ? WHERE run_id = ?", moment, run)


def change(made: Workspace, sql: str, *values: object) -> None:
    with duckdb.connect(str(made.root / "warehouse.duckdb")) as connection:
        connection.execute(sql, list(values))


def kept(made: Workspace) -> tuple[set[str], set[str]]:
    """The runs that have a folder, and those that have a row."""
    folders = {folder.name for folder in (made.root / "runs").iterdir()}
    return folders, {run for (run,) in made.query("SELECT run_id FROM _etl.runs")}


def expired(made: Workspace, *words: str) -> object:
    result = made.etl("erase", "toy", "--expired", "--env", "test", "--output", "json", *words)
    assert result.code == 0, result
    return result.json


def test_old_runs_go_but_the_last_and_the_last_good_one(made: Workspace):
    toy(made, rows(1), name="another")
    made.etl("run", "another", "--env", "test", "--run-id", "other")
    for run in list(ENDS)[1:]:
        broken = {} if run == "good" else {"SOURCES__TOY__ROWS_FILE": "gone.json"}
        made.etl("run", "toy", "--env", "test", "--run-id", run, **broken)
    for run, days in ENDS.items():
        age(made, run, days)
    two = {"toy": {"folders in runs/": 2, "_etl.runs": 2}}
    assert (expired(made, "--dry-run"), kept(made)) == (two, ({*ENDS}, {*ENDS}))
    assert (expired(made, "--yes"), kept(made)) == (two, ({*ENDS} - {"bad", "worse"},) * 2)
    age(made, "recent", 31)
    age(made, "last", 31)
    assert (expired(made, "--yes"), kept(made)[0]) == (
        {"toy": {"folders in runs/": 1, "_etl.runs": 1}},
        {"other", "good", "last"},
    )
    assert expired(made, "--yes") == {"toy": {}}


def test_a_run_deletes_what_is_too_old_and_says_so(made: Workspace):
    file = toy(made, [{"id": "x", "changed": "2024-01-01T00:00:00Z"}, {"id": "y", "changed": "2024-01-01T00:00:00Z"}])
    assert made.etl("run", "toy", "--env", "test").code == 3
    change(made, "UPDATE _etl.quarantine SET last_seen_at = now() - INTERVAL 11 DAY WHERE payload LIKE '%x%'")
    file.write_text("[]")
    result = made.etl("run", "toy", "--env", "test")
    assert (result.code, "toy: 1 too old in _etl.quarantine, deleted" in result.out) == (0, True)
    assert made.query("SELECT payload LIKE '%y%' FROM _etl.quarantine") == [(True,)]


def test_without_days_nothing_is_deleted(made: Workspace):
    made.write("destinations.toml", DESTINATIONS)
    for run in ("first", "second"):
        made.etl("run", "toy", "--env", "test", "--run-id", run)
        age(made, run, 1000)
    made.etl("run", "toy", "--env", "test", "--run-id", "third")
    assert kept(made) == ({"first", "second", "third"},) * 2
    refused = made.etl("erase", "--expired", "--yes", "--env", "test")
    assert (refused.code, refused.err) == (
        2, "destinations.toml: [test.retention] sets no days; add e.g. runs_days = 90\n",
    )  # fmt: skip
