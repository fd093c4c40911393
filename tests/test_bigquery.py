"""BigQuery: what a run leaves there is what it leaves in DuckDB; the lock, a crash, partitions and clusters."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests import crash_toy, killed, strategies_toy
from tests.clouds.bigquery import BigQuery
from tests.clouds.project import AskBigQuery, Project
from tests.killed import WAIT, At
from tests.warehouse import Ask, contents, faults
from tests.workspace import REPOSITORY, Workspace

Install = Callable[[Workspace, int], Workspace]


@pytest.fixture(autouse=True)
def short_polls(monkeypatch) -> None:
    """dlt asks for a load job once a second."""
    monkeypatch.setattr("dlt.destinations.impl.bigquery.bigquery.sleep", lambda seconds: None)


@pytest.fixture
def engine(workspace, project) -> Workspace:
    made = workspace()
    made.bigquery(project.variables)
    return made


def run_both(engine: Workspace, like: Workspace, name: str, *words: str) -> None:
    """Run a spec on BigQuery and on DuckDB; they must end alike."""
    here, there = engine.etl("run", name, "--env", "bq", *words), like.etl("run", name, "--env", "test", *words)
    assert (here.code, here.err) == (there.code, there.err)


@pytest.mark.parametrize(("name", "install"), [("crash", crash_toy.install), ("strategies", strategies_toy.install)])
def test_two_days_are_what_they_are_on_duckdb(engine: Workspace, project: Project, name: str, install: Install):
    like = Workspace(engine.root.parent / "on duckdb")
    for day in (1, 2):
        run_both(install(engine, day), install(like, day), name)
    assert faults(project.ask, name) == []
    assert contents(project.ask, name) == contents(Ask(like), name)


def test_raw_files_lead_to_what_is_on_duckdb(engine: Workspace, project: Project):
    like = Workspace(engine.root.parent / "on duckdb")
    for day in (1, 2):
        assert strategies_toy.install(engine, day).etl("fetch", "strategies", "--env", "bq").code == 0
        assert strategies_toy.install(like, day).etl("run", "strategies", "--env", "test").code == 0
        assert engine.etl("ingest", "strategies", "--env", "bq").code == 0
    expected = contents(Ask(like), "strategies")
    assert contents(project.ask, "strategies") == expected
    assert engine.etl("rebuild", "strategies", "--env", "bq").code == 0
    assert contents(project.ask, "strategies") == expected


@pytest.mark.parametrize(("name", "dataset"), [("chess", "chess"), ("recordings", "media_pipeline")])
def test_a_spec_is_what_it_is_on_duckdb(engine: Workspace, project: Project, sandbox: Sandbox, name: str, dataset: str):
    like = Workspace(engine.root.parent / "on duckdb")
    for each in (engine, like):
        each.link(name, REPOSITORY)
        each.point_at(sandbox.settings(name))
    files = ("--exclude", "audio_files") if name == "recordings" else ()  # see test_files_bigquery
    run_both(engine, like, name, *files)
    assert contents(project.ask, dataset) == contents(Ask(like), dataset)


def test_every_command_that_asks_the_warehouse(engine: Workspace, project: Project):
    crash_toy.install(engine)
    assert engine.etl("plan", "crash", "--env", "bq").code == 0
    assert engine.etl("run", "crash", "--env", "bq", "--limit", "2", "--select", "things").code == 3
    assert engine.etl("run", "crash", "--env", "bq").code == 3
    plan = engine.etl("plan", "crash", "--env", "bq", "--output", "json").json[0]
    assert {resource["schema"] for resource in plan["resources"]} == {"no change"}
    assert [row["status"] for row in engine.etl("status", "--env", "bq", "--output", "json").json] == ["partial"] * 2
    assert 'etl_run_exit_code{spec="crash",environment="bq"} 3\n' in engine.etl("metrics", "crash", "--env", "bq").out
    assert "changed" in engine.etl("state", "show", "crash", "--env", "bq").out
    waiting = engine.etl("quarantine", "list", "--env", "bq", "--output", "json").json
    assert [row["resource"] for row in waiting] == ["things", "things"]
    assert engine.etl("quarantine", "replay", "crash", "--env", "bq").code == 3
    assert engine.etl("quarantine", "drop", "crash", "--env", "bq", *(row["id"] for row in waiting), "--yes").code == 0
    assert engine.etl("quarantine", "list", "--env", "bq", "--output", "json").json == []
    assert engine.etl("run", "crash", "--env", "bq", "--full-refresh", "--yes").code == 3
    assert project.ask("SELECT count(*) FROM crash.things") == [(18,)]


def test_a_second_run_is_refused_until_the_first_is_dead(engine: Workspace, project: Project):
    crash_toy.install(engine)
    reading = At("dlt.pipeline.pipeline:Pipeline.extract")
    first = killed.start(engine, "run", "crash", "--env", "bq", "--run-id", "first", moment=reading, act=WAIT)
    try:
        first.until_waiting()
        refused = engine.etl("run", "crash", "--env", "bq")
    finally:
        first.signal(signal.SIGKILL)
        first.ended()
    holder = rf"crash is held by run first of crash \(pid {first.pid} on {re.escape(socket.gethostname())}, since .*\)"
    assert (refused.code, bool(re.fullmatch(f"ERROR: crash: {holder}; let it end, .*\n", refused.err))) == (7, True)
    assert engine.etl("run", "crash", "--env", "bq").code == 3
    assert project.ask("SELECT status FROM _etl.runs WHERE run_id = 'first'") == [("crashed",)]
    assert project.ask("SELECT name FROM _etl.locks") == []


KILLS = [
    At("pipelines.bigquery:BoundedClient._create_load_job", "after", nth=2),
    At("dlt.destinations.job_client_impl:SqlLoadJob.run", "after"),
    At("dlt.common.storages.load_package:PackageStorage.save_pending_transition", "after", among=r"^visits\..*\.sql$"),
    At("dlt.load.load:Load.complete_package"),
]


def test_a_run_after_a_kill_completes_it(tmp_path: Path):
    """With a stand-in each, side by side: most of it is waiting."""
    like = crash_toy.install(Workspace(tmp_path / "on duckdb"))
    assert like.etl("run", "crash", "--env", "test").code == 3

    def after(moment: At) -> object:
        with BigQuery() as service, service.client() as client:
            made = crash_toy.install(Workspace(tmp_path / str(moment)))
            made.bigquery(service.variables)
            killed.killed(made, moment, "run", "crash", "--env", "bq")
            result = killed.run(made, "run", "crash", "--env", "bq")
            return (
                (result.code, result.err.count("\n")),
                faults(AskBigQuery(client), "crash"),
                contents(AskBigQuery(client), "crash"),
            )

    with ThreadPoolExecutor(len(KILLS)) as pool:
        found = dict(zip(KILLS, pool.map(after, KILLS), strict=True))
    assert found == dict.fromkeys(KILLS, ((3, 0), [], contents(Ask(like), "crash")))


HINTED = """\
name: hinted
about: A source for tests of partitions and clusters.
python: {}
resources:
  by_time:
    columns:
      at: {data_type: timestamp, partition: true}
      owner: {data_type: text, cluster: true}
      id: {data_type: bigint, cluster: true, nullable: false}
  by_day: {columns: {day: {data_type: date, partition: true}}}
  by_number: {columns: {id: {data_type: bigint, partition: true, nullable: false}}}
"""
HINTED_SOURCE = """\
import dlt


@dlt.source(name="hinted", section="hinted")
def hinted():
    row = {"id": 1, "owner": "a", "at": "2024-01-01T00:00:00Z", "day": "2024-01-01"}
    for name in ("by_time", "by_day", "by_number"):
        yield dlt.resource([row], name=name, primary_key="id", write_disposition="merge")
"""
COMMON = "`_dlt_load_id` STRING  NOT NULL,\n`_dlt_id` STRING  NOT NULL)"
GOLDEN = f"""\
CREATE TABLE `loopback`.`hinted`.`by_day` (
`day` DATE,
`id` INT64  NOT NULL,
`owner` STRING,
`at` TIMESTAMP,
{COMMON}
PARTITION BY `day`;
CREATE TABLE `loopback`.`hinted`.`by_number` (
`id` INT64  NOT NULL,
`owner` STRING,
`at` TIMESTAMP,
`day` STRING,
{COMMON}
PARTITION BY RANGE_BUCKET(`id`, GENERATE_ARRAY(-172800000, 691200000, 86400));
CREATE TABLE `loopback`.`hinted`.`by_time` (
`at` TIMESTAMP,
`owner` STRING,
`id` INT64  NOT NULL,
`day` STRING,
{COMMON}
PARTITION BY DATE(`at`)
CLUSTER BY `owner`, `id`;"""


def test_partitions_and_clusters_of_a_spec_are_those_of_the_table(workspace, bigquery: BigQuery):
    made = workspace()
    made.write("specs/hinted.yaml", HINTED)
    made.write("sources/hinted.py", HINTED_SOURCE)
    made.bigquery(bigquery.variables)
    assert made.etl("run", "hinted", "--env", "bq").code == 0
    scripts = "\n".join(bigquery.statements)
    tables = re.findall(r"CREATE TABLE `loopback`\.`hinted`\.`by_[^;]*;", scripts.replace("  ,", ","))
    assert "\n".join(sorted(tables)) == GOLDEN
