"""`[<env>.retention]`: what is too old goes at the end of a run and by `etl erase --expired`, and nothing else does."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from pipelines.landing.manifest import Manifest
from pipelines.landing.rebuild import begins_after
from tests.toys import rows, toy
from tests.workspace import DESTINATIONS, Workspace

RETENTION = "[test.retention]\nruns_days = 30\nquarantine_days = 10\n"
RUNS = [  # run, spec, days ago, status
    ("other", "another", 40, "ok"), ("bad", "toy", 39, "failed"), ("good", "toy", 38, "ok"),
    ("worse", "toy", 37, "failed"), ("recent", "toy", 20, "failed"), ("last", "toy", 19, "failed"),
]  # fmt: skip


@pytest.fixture
def made(workspace) -> Workspace:
    """A run of today, called `new`, that leaves a row in quarantine."""
    made: Workspace = workspace()
    toy(made, [*rows(2), {"id": "odd", "changed": "2024-01-01T00:00:00Z"}])
    made.etl("run", "toy", "--env", "test", "--run-id", "new")
    made.write("destinations.toml", DESTINATIONS + RETENTION)
    return made


def ran(made: Workspace, run: str, spec: str, days: int, status: str) -> None:
    """A run that ended some days ago: its folder and its row, after those of `new`."""
    moment = datetime.now(UTC) - timedelta(days=days)
    said = json.loads((made.root / "runs/new/manifest.json").read_text())
    said |= {"run_id": run, "spec": spec, "status": status, "started_at": moment.isoformat()}
    made.write(f"runs/{run}/manifest.json", json.dumps(said))
    made.write(f"runs/{run}/error.json", "{}")
    change(
        made,
        "INSERT INTO _etl.runs SELECT * REPLACE (? AS run_id, ? AS spec, ? AS started_at, ? AS status) "
        "FROM _etl.runs WHERE run_id = 'new'",
        run, spec, moment, status,
    )  # fmt: skip


def change(made: Workspace, sql: str, *values: object) -> None:
    with duckdb.connect(str(made.root / "warehouse.duckdb")) as connection:
        connection.execute(sql, list(values))


def kept(made: Workspace) -> list[str]:
    """The runs that have a folder, each of which must have a row."""
    folders = sorted(folder.name for folder in (made.root / "runs").iterdir())
    assert made.query("SELECT run_id FROM _etl.runs ORDER BY 1") == [(name,) for name in folders]
    return folders


def expired(made: Workspace, *words: str) -> object:
    result = made.etl("erase", "toy", "--expired", "--env", "test", "--output", "json", *words)
    assert result.code == 0, result
    return result.json


def test_old_runs_go_but_the_last_of_each_outcome(made: Workspace):
    for run in RUNS:
        ran(made, *run)
    shutil.rmtree(made.root / "runs/new")
    change(made, "DELETE FROM _etl.runs WHERE run_id = 'new'")
    everything, two = kept(made), {"toy": {"folders in runs/": 2, "_etl.runs": 2}}
    assert (expired(made, "--dry-run"), kept(made)) == (two, everything)
    assert (expired(made, "--yes"), kept(made)) == (two, ["good", "last", "other", "recent"])
    made.write("destinations.toml", DESTINATIONS + RETENTION.replace("30", "1"))
    assert expired(made, "--yes") == {"toy": {"folders in runs/": 1, "_etl.runs": 1}}
    assert (expired(made, "--yes"), kept(made)) == ({"toy": {}}, ["good", "last", "other"])


def test_a_run_deletes_what_is_too_old_and_says_so(made: Workspace):
    made.write("destinations.toml", DESTINATIONS)
    ran(made, "old", "toy", 31, "partial")
    change(
        made,
        "INSERT INTO _etl.quarantine SELECT * REPLACE ('old' AS id, now() - INTERVAL 11 DAY AS last_seen_at) "
        "FROM _etl.quarantine",
    )
    refused = made.etl("erase", "--expired", "--yes", "--env", "test")
    assert (refused.code, refused.err) == (
        2, "destinations.toml: [test.retention] sets no days; add e.g. runs_days = 90\n",
    )  # fmt: skip
    assert "too old" not in made.etl("run", "toy", "--env", "test", "--run-id", "newer").out
    assert kept(made) == ["new", "newer", "old"]
    made.write("destinations.toml", DESTINATIONS + RETENTION)
    result = made.etl("run", "toy", "--env", "test", "--run-id", "newest")
    for line in ("1 too old in folders in runs/", "1 too old in _etl.runs", "1 too old in _etl.quarantine"):
        assert f"toy: {line}, deleted\n" in result.out
    assert kept(made) == ["new", "newer", "newest"]
    assert made.query("SELECT id = 'old' FROM _etl.quarantine") == [(False,)]


RAW = "[test.retention]\narchive_days = 30\nrejected_days = 10\n"
TEN = "2024_01_01_00_00_toy_others.jsonl"
STRANGERS = {  # days ago
    "archive/others/old.jsonl": 31, f"archive/others/{TEN}": 29, "toy_others.jsonl": 99,
    "rejected/a.jsonl": 40, "rejected/a.jsonl.error.json": 9, "rejected/b.jsonl": 9, "rejected/b.jsonl.error.json": 11,
    "rejected/c.jsonl": 11,
}  # fmt: skip


def age(file: Path, days: int) -> None:
    """Let a file be as if it was written some days ago, a manifest as if its rows were fetched then."""
    moment = datetime.now(UTC) - timedelta(days=days)
    if file.name.endswith(".manifest.json"):
        told = json.loads(file.read_text()) | {"fetched_at": moment.isoformat()}
        file.unlink()
        file = file.with_name(f"{moment:%Y_%m_%d_%H_%M}{file.name[16:]}")
        file.write_text(json.dumps(told))
    os.utime(file, (moment.timestamp(), moment.timestamp()))


def test_old_raw_files_go_and_a_rebuild_knows(workspace):
    made = workspace()
    toy(made, rows(2))
    source = made.root / "sources/toy.py"
    slashed = '    yield dlt.resource([{"id": 1}], name="of/one", primary_key="id", write_disposition="merge")\n'
    source.write_text(
        source.read_text().replace("    yield others(rows_file)\n", f"    yield others(rows_file)\n{slashed}")
    )
    made.write("destinations.toml", DESTINATIONS.replace("[test]", "[test]\nkeep_raw = true") + RAW)
    assert made.etl("run", "toy", "--env", "test").code == 0
    home, rebuild = made.root / "landing/toy", ("rebuild", "toy", "--yes", "--env", "test")
    for name, days in STRANGERS.items():
        age(made.write(f"landing/toy/{name}", '{"id": 10}\n'), days)
    assert expired(made, "--yes") == {"toy": {"raw files in archive": 1, "raw files in rejected": 2}}
    assert sorted(file.name for file in (home / "rejected").iterdir()) == ["a.jsonl", "a.jsonl.error.json"]
    assert "the raw files fetched until now are deleted, being too old" in made.etl(*rebuild).err
    assert made.etl(*rebuild, "--drop-direct").code == 0
    assert made.query("SELECT id FROM toy.others ORDER BY id") == [(1,), (10,)]

    (manifest,) = (home / "archive/_manifests").iterdir()
    age(manifest, 31)
    before = sorted(home.rglob("*"))
    all_three = {"toy": {"raw files in archive": 3}}
    assert (expired(made, "--dry-run"), sorted(home.rglob("*"))) == (all_three, before)
    assert (expired(made, "--yes"), expired(made, "--yes")) == (all_three, {"toy": {}})
    assert {file.name for file in (home / "archive").rglob("*.json*")} == {TEN, "toy.expired.json"}
    result = made.etl(*rebuild)
    assert (result.code, f"{datetime.now(UTC) - timedelta(days=31):fetched until %Y-%m-%d}" in result.err) == (2, True)


@pytest.mark.parametrize(
    ("refresh", "fetched", "begins"),
    [("drop_sources", "03", True), ("drop_sources", "02", False), ("drop_resources", "03", False), (None, "03", False)],
)
def test_a_full_refresh_since_makes_up_for_what_is_gone(refresh, fetched: str, begins: bool):
    fetch = Manifest("a", "toy", "r", f"2024-01-{fetched}T00:00", ["things"], [], refresh=refresh)
    assert begins_after("2024-01-02T00:00", [fetch]) == begins
