"""kill -9 at any moment of a run, then one run: the rows of a run that was not killed.

Random moments are seeded and lie in every phase; there are eight times ETL_KILLS of them. With ETL_KILLS each
point meets an empty warehouse and a filled one, and each spec both kinds; without, one of the two.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from sandbox.server import Sandbox, World
from tests import crash_toy
from tests.killed import At, Moment, Step, killed, run, steps
from tests.postgres_server import database
from tests.warehouse import Ask, contents, faults
from tests.workspace import REPOSITORY, Result, Workspace

KILLS = int(os.environ.get("ETL_KILLS", "1"))
PHASES = ("extract", "normalize", "load")
SEED = 20

PIPELINE, EXTRACT = "dlt.pipeline.pipeline:Pipeline", "dlt.extract.extract:Extract"
NORMALIZE, LOAD = "dlt.normalize.normalize:Normalize", "dlt.load.load:Load"
PACKAGES, STORAGE = "dlt.common.storages.load_package:PackageStorage", "dlt.common.storages.load_storage:LoadStorage"
LEDGER = "pipelines.ledger:Ledger"
POINTS = {
    "start: the run is not yet written down": At(f"{LEDGER}.begin"),
    "extract: nothing is read": At(f"{PIPELINE}.extract"),
    "extract: bad rows are on disk, their page is not": At("pipelines.rows.quarantine:Intake.flush", "after"),
    "extract: between two pages": At("pipelines.rows.quarantine:Intercept.__call__", nth=3),
    "extract: all is read, nothing committed": At(f"{EXTRACT}.commit_packages"),
    "extract: committed, the state is not saved": At(f"{EXTRACT}.commit_packages", "after"),
    "extract: the bad rows are not in quarantine": At(f"{LEDGER}.quarantine"),
    "extract: the bad rows are in quarantine and on disk": At(f"{LEDGER}.quarantine", "after"),
    "normalize: nothing is done": At(f"{NORMALIZE}.run"),
    "normalize: all is written, nothing committed": At(f"{STORAGE}.commit_new_load_package"),
    "normalize: the package is in two places": At(f"{STORAGE}.commit_new_load_package", "after"),
    "load: the tables are made, this is not noted": At(f"{STORAGE}.commit_schema_update"),
    "load: no job has begun": At(f"{LOAD}.start_new_jobs"),
    "load: a job is committed, this is not noted": At(f"{PACKAGES}.save_pending_transition"),
    "load: four jobs are committed, one is not noted": At(f"{PACKAGES}.save_pending_transition", nth=4),
    "load: a job is noted, not put away": At(f"{PACKAGES}.save_pending_transition", "after", 2),
    "load: all that is merged is there, no merge has begun": At("dlt.destinations.job_client_impl:SqlLoadJob.run"),
    "load: staged rows are merged, this is not noted": At("dlt.destinations.job_client_impl:SqlLoadJob.run", "after"),
    "load: all jobs are done, the load is not counted": At(f"{LOAD}.complete_package"),
    "load: the load is counted, its package waits": At(f"{STORAGE}.complete_load_package"),
    "load: the package is marked, not put away": At(f"{PACKAGES}.complete_loading_package", "after"),
    "load: the package is put away, the pipeline does not know": At(f"{LOAD}.complete_package", "after"),
    "end: the end of the run is not written down": At(f"{LEDGER}.tell"),
    "end: the run's folder is not closed": At("pipelines.trace:Trace.end"),
}
LOADING = [name for name in POINTS if name.startswith("load")]
ON_POSTGRES = [
    "load: the tables are made, this is not noted", "load: a job is committed, this is not noted",
    "load: four jobs are committed, one is not noted", "load: staged rows are merged, this is not noted",
    "load: all jobs are done, the load is not counted", "load: the load is counted, its package waits",
]  # fmt: skip


@dataclass(frozen=True)
class Site:
    """A workspace with one spec and a warehouse; `url` is that of a Postgres."""

    workspace: Workspace
    spec: str
    dataset: str
    url: str | None = None

    @property
    def command(self) -> tuple[str, ...]:
        files = ("--exclude", "audio_files") if self.spec == "recordings" else ()  # see test_files_crash
        return ("run", self.spec, "--env", "pg" if self.url else "test", *files)

    @property
    def ask(self) -> Ask:
        return Ask(self.workspace, self.url)

    def contents(self) -> dict[str, Any]:
        return contents(self.ask, self.dataset)

    def kill(self, moment: Moment, *words: str) -> None:
        killed(self.workspace, moment, *self.command, *words)

    def run(self, *words: str) -> Result:
        return run(self.workspace, *self.command, *words)

    @property
    def state(self) -> Path:
        return self.workspace.root / ".dlt/state"


@dataclass(frozen=True)
class Yard:
    """Makes sites of one spec on one kind of warehouse: empty ones, and ones that hold the first day."""

    folder: Path
    spec: str
    dataset: str
    install: Callable[[Workspace, int], object]
    server: str | None
    side_by_side: int
    open: ExitStack

    @contextmanager
    def site(self, day: int, empty: bool = True) -> Iterator[Site]:
        """A site whose upstream is at `day`; not empty, it holds what was there on day 1."""
        with ExitStack() as mine:
            site = self._new(mine, None) if empty else self._new(mine, self.first_day())
            self.install(site.workspace, day)
            yield site
            shutil.rmtree(site.workspace.root)

    @cache  # noqa: B019 a yard lives as long as its tests
    def first_day(self) -> Site:
        site = self._new(self.open, None)
        self.install(site.workspace, 1)
        assert site.run().code in (0, 3)
        return site

    @cache  # noqa: B019
    def unbroken(self, day: int, empty: bool) -> tuple[dict[str, Any], Counter[str]]:
        """What a run that nobody kills leaves, and how many moments its phases have."""
        with self.site(day, empty) as site:
            result, moments = steps(site.workspace, *site.command)
            assert result.code in (0, 3), result
            assert faults(site.ask, self.dataset) == []
            return site.contents(), moments

    def _new(self, mine: ExitStack, like: Site | None) -> Site:
        root = self.folder / f"site {uuid4()}"
        if like:
            shutil.copytree(like.workspace.root, root, symlinks=True)
        workspace = Workspace(root)
        if not self.server:
            return Site(workspace, self.spec, self.dataset)
        url = mine.enter_context(database(self.server, (like.url if like else None) or ""))
        workspace.postgres(url)
        return Site(workspace, self.spec, self.dataset, url)

    def __hash__(self) -> int:
        return id(self)


def on_sandbox(sandbox: Sandbox, name: str) -> Callable[[Workspace, int], object]:
    """Install a spec of the repository, its upstream in the sandbox."""

    def install(workspace: Workspace, day: int) -> None:
        if not (workspace.root / f"specs/{name}.yaml").exists():
            workspace.link(name, REPOSITORY)
        sandbox.move_to(day)
        workspace.point_at({**sandbox.settings(name), f"sources.{name}.http.backoff_seconds": 0.01})

    return install


@pytest.fixture(scope="module")
def yards(tmp_path_factory) -> Iterator[Callable[[str, str | None], Yard]]:
    """Yards by spec and server, one each."""
    folder = tmp_path_factory.mktemp("crash sites")
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(World(records=20), folder / "upstream"))

        @cache
        def yard(spec: str, server: str | None) -> Yard:
            dataset = "media_pipeline" if spec == "recordings" else spec
            if spec == "crash":
                return Yard(folder, spec, dataset, crash_toy.install, server, os.cpu_count() or 1, stack)
            return Yard(folder, spec, dataset, on_sandbox(sandbox, spec), server, 1, stack)  # they share its clock

        yield yard


def assert_whole(site: Site, expected: dict[str, Any]) -> None:
    """One run makes the warehouse what it would be without the crash, and tells of the crash."""
    result = site.run()
    assert result.code in (0, 3), result
    with site.ask.held():
        assert faults(site.ask, site.dataset) == []
        found = site.contents()
    assert {table: found.get(table) for table in expected} == expected


SELDOM = {("chess", "postgres"), ("recordings", "duckdb")}
Case = tuple[Moment, bool]


def assert_all_whole(yard: Yard, cases: dict[str, Case], but: Callable[[Site], object] = lambda site: None) -> None:
    """Kill a run for each case, where possible some side by side, spoil what `but` spoils, and run once more."""
    for empty in {empty for _, empty in cases.values()}:
        yard.unbroken(_day(empty), empty)  # once, before threads ask for it

    def wrong(case: Case) -> str | None:
        moment, empty = case
        with yard.site(_day(empty), empty) as site:
            try:
                site.kill(moment)
                but(site)
                assert_whole(site, yard.unbroken(_day(empty), empty)[0])
            except Exception as error:  # noqa: BLE001 the other cases are worth knowing too
                return str(error)
        return None

    with ThreadPoolExecutor(yard.side_by_side) as pool:
        found = dict(zip(cases, pool.map(wrong, cases.values()), strict=True))
    assert {name: error for name, error in found.items() if error} == {}


def in_turns(names: list[str], empty: bool) -> list[str]:
    """Every other name, the one half for empty warehouses and the other for filled ones; all where many kills are."""
    return names if "ETL_KILLS" in os.environ else names[empty::2]


def _day(empty: bool) -> int:
    """An empty warehouse gets the first day; one that holds it, the second."""
    return 1 if empty else 2


EMPTY = pytest.mark.parametrize("empty", [True, False], ids=["empty", "filled"])


@EMPTY
def test_a_run_after_a_crash_completes_it(yards, empty):
    """Each point on an empty warehouse or on a filled one, in turns; ETL_KILLS asks for both."""
    assert_all_whole(yards("crash", None), {name: (POINTS[name], empty) for name in in_turns([*POINTS], empty)})


@EMPTY
def test_a_run_after_a_crash_completes_it_on_postgres(yards, postgres_server, empty):
    """What is in the warehouse matters to a load alone."""
    names = LOADING if "ETL_KILLS" in os.environ else ON_POSTGRES
    cases = {name: (POINTS[name], empty) for name in in_turns(names, empty)}
    assert_all_whole(yards("crash", postgres_server), cases)


@pytest.mark.parametrize(("spec", "share"), [("crash", 2), ("chess", 1), ("recordings", 1)])
@pytest.mark.parametrize("server", ["duckdb", "postgres"])
def test_random_moments(yards, spec, share, server, request):
    """A moment is a change of a file or a statement to the warehouse, so that a seed hits the same on any machine."""
    if (spec, server) in SELDOM and "ETL_KILLS" not in os.environ:
        pytest.skip(f"{spec} is killed on another warehouse; ETL_KILLS asks for this one, too")
    yard = yards(spec, request.getfixturevalue("postgres_server") if server == "postgres" else None)
    chance, cases = random.Random(f"{SEED} {spec} {server}"), {}
    for number in range(KILLS * share):
        empty, phase = bool(number % 2), PHASES[number % 3]
        moment = Step(phase, chance.randint(1, yard.unbroken(_day(empty), empty)[1][phase] * 9 // 10))
        cases[f"{number}: {moment}, {'empty' if empty else 'filled'}"] = (moment, empty)
    assert_all_whole(yard, cases)


TWICE = {
    "reading": (At("pipelines.rows.quarantine:Intercept.__call__", nth=2), At(f"{EXTRACT}.commit_packages")),
    "normalizing": (At(f"{STORAGE}.commit_new_load_package", "after"), At(f"{PACKAGES}.delete_package")),
    "making the package anew": (At(f"{PACKAGES}.save_pending_transition", nth=3), At("pipelines.resume:_renew", nth=4)),
    "loading again": (
        At(f"{PACKAGES}.save_pending_transition", nth=3),
        At(f"{PACKAGES}.save_pending_transition", nth=4),
    ),
    "putting away": (At(f"{STORAGE}.complete_load_package"), At(f"{PACKAGES}.complete_loading_package", "after")),
}


@pytest.mark.parametrize("moments", TWICE.values(), ids=TWICE)
def test_two_crashes_are_not_worse_than_one(yards, moments):
    yard = yards("crash", None)
    with yard.site(2, empty=False) as site:
        for moment in moments:
            site.kill(moment)
        assert_whole(site, yard.unbroken(2, False)[0])


LOST = {
    "reading": At("pipelines.rows.quarantine:Intercept.__call__", nth=3),
    "read": At(f"{LEDGER}.quarantine", "after"),
    "some jobs done": At(f"{PACKAGES}.save_pending_transition", nth=5),
    "all jobs done": At(f"{LOAD}.complete_package"),
    "counted": At(f"{STORAGE}.complete_load_package"),
}


@EMPTY
def test_a_crash_whose_working_folder_is_lost(yards, empty):
    """As on a CI runner, which starts from nothing each time."""
    cases = {name: (LOST[name], empty) for name in in_turns([*LOST], empty)}
    assert_all_whole(yards("crash", None), cases, but=lambda site: shutil.rmtree(site.state))


def test_a_crash_whose_working_folder_is_lost_on_postgres(yards, postgres_server):
    cases = {name: (LOST[name], False) for name in ("some jobs done", "all jobs done")}
    assert_all_whole(yards("crash", postgres_server), cases, but=lambda site: shutil.rmtree(site.state))


@pytest.mark.parametrize("name", ["read", "some jobs done", "counted"])
def test_a_crash_that_another_machine_went_on_from(yards, name, tmp_path):
    """It read again what waits here; loaded now, that would put old rows over new ones, and some twice."""
    yard = yards("crash", None)
    with yard.site(2, empty=False) as site:
        site.kill(LOST[name])
        shutil.move(site.state, tmp_path / "here")
        crash_toy.move_to(site.workspace, 3)
        assert site.run().code == 3
        shutil.rmtree(site.state)
        shutil.move(tmp_path / "here", site.state)
        expected = {table: rows for table, rows in yard.unbroken(3, False)[0].items() if table != "quarantine"}
        assert_whole(site, expected)


@pytest.mark.parametrize(("name", "empty"), [("read", False), ("some jobs done", False), ("counted", True)])
def test_a_crash_whose_warehouse_is_lost(yards, name, empty):
    """All is read again: the cursor of what was loaded before must not outlive the tables."""
    yard, day = yards("crash", None), _day(empty)
    with yard.site(day, empty) as site:
        site.kill(LOST[name])
        (site.workspace.root / "warehouse.duckdb").unlink()
        expected = {table: rows for table, rows in yard.unbroken(day, True)[0].items() if table != "quarantine"}
        assert_whole(site, expected)


@pytest.mark.parametrize("name", ["extract: nothing is read", "load: staged rows are merged, this is not noted"])
def test_a_limited_run_killed_loses_nothing_and_leaves_no_folder(yards, name):
    yard = yards("crash", None)
    with yard.site(2, empty=False) as site:
        site.kill(POINTS[name], "--limit", "2", "--select", "things")
        assert list(site.state.glob("test/scratch/*/crash"))
        assert_whole(site, yard.unbroken(2, False)[0])
        assert not list(site.state.glob("test/scratch/*"))


def test_a_crash_is_told_by_the_next_run(yards):
    with yards("crash", None).site(1) as site:
        site.kill(POINTS["load: a job is committed, this is not noted"], "--run-id", "first")
        assert site.run("--run-id", "second").code == 3
        runs = site.workspace.root / "runs"
        read = {name: json.loads((runs / name).read_text()) for name in ("first/manifest.json", "first/error.json")}
        assert (read["first/manifest.json"]["status"], read["first/error.json"]["exit_code"]) == ("crashed", 1)
        assert read["first/error.json"]["retry_command"] == "etl run crash --env test"
        assert json.loads((runs / "second/manifest.json").read_text())["resumed_pending_load"] is True
        statuses = site.ask("SELECT run_id, status FROM _etl.runs ORDER BY run_id")
        assert statuses == [("first", "crashed"), ("second", "partial")]


def test_a_file_that_dlt_was_writing_is_no_schema(yards):
    """A schema is written beside the schemas and renamed; dlt takes what it finds there for schemas."""
    yard = yards("crash", None)
    with yard.site(2, empty=False) as site:
        (site.state / "test/crash/schemas/0123456789abcdef").write_text("{")
        assert_whole(site, yard.unbroken(2, False)[0])
