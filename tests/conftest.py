"""What every test may ask for: a workspace, a sandbox, a Postgres."""

from __future__ import annotations

import compileall
import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import dlt
import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.config_providers_context import ConfigProvidersContainer
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.pipeline import PipelineContext
from hypothesis import HealthCheck, settings

from pipelines.configuration import Variables
from sandbox.server import Sandbox, World
from tests.clouds.bigquery import BigQuery
from tests.clouds.project import Project
from tests.clouds.project import project as clouds_project
from tests.crash_toy import move_to
from tests.landing_toy import Tables, Yard
from tests.postgres_server import database, postgres
from tests.swift import remember
from tests.workspace import REPOSITORY, Workspace

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a job of a shell's background; Ctrl-C is under test
    signal.signal(signal.SIGINT, signal.default_int_handler)

for variable in (
    "GITHUB_ACTIONS",
    "GITHUB_STEP_SUMMARY",
    "ETL_METRICS_FILE",
    "NOTIFY__WEBHOOK_URL",
    "NOTIFY__SLACK_URL",
    "DATABASE_URL",
    *(name for name in os.environ if name.startswith(("BACKBLAZE_B2_", "B2_BUCKET_NAME"))),
):
    os.environ.pop(variable, None)  # a test says itself who is told, and where its data goes

os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # a source changed twice in a second would be taken from its compiled copy

MEMORY, ROOM = Path("/dev/shm"), 8 << 30  # all tests together take half of it
if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)  # a sixth of a run's time would be that of the disk

settings.register_profile(
    "the same everywhere", derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile("the same everywhere")


remember()


def pytest_configure(config: pytest.Config) -> None:
    """The programs that tests start find compiled what is here."""
    if not hasattr(config, "workerinput"):
        compileall.compile_file(REPOSITORY / "cli.py", quiet=2)
        for package in REPOSITORY.glob("*/__init__.py"):
            compileall.compile_dir(package.parent, quiet=2)


def pytest_collection_finish() -> None:
    """From here on sources change; and what has been imported stays: it is not looked through for garbage."""
    sys.dont_write_bytecode = True
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Nothing stays in memory of tests that passed."""
    factory: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined]
    if exitstatus == 0 and factory.getbasetemp().is_relative_to(MEMORY) and not hasattr(session.config, "workerinput"):
        shutil.rmtree(factory.getbasetemp(), ignore_errors=True)


@pytest.fixture(autouse=True)
def own_settings() -> Iterator[None]:
    """No test inherits the settings or the pipeline that another one made dlt look at; it has the environment's.

    Half of the time of dlt's own runs would go into looking for files of settings.
    """
    Container()[PluggableRunContext].providers = ConfigProvidersContainer([Variables()])
    yield
    if Container()[PipelineContext].is_active():
        dlt.pipeline().deactivate()


@pytest.fixture
def workspace(tmp_path: Path) -> Callable[..., Workspace]:
    """Make a workspace; its path has a space in it."""
    return lambda *links: Workspace(tmp_path / "a workspace", links)


@pytest.fixture
def yard(workspace: Callable[..., Workspace]) -> Yard:
    """A workspace with the crash toy and a landing."""
    return Yard(workspace())


@pytest.fixture(scope="session")
def direct(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Tables]:
    """What runs without raw files leave after each day, days one after the other."""
    made, found = Yard(Workspace(tmp_path_factory.mktemp("direct") / "a workspace")), {}
    for day in (1, 2):
        move_to(made.workspace, day)
        made.etl("run")
        found[day] = made.tables()
    return found


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """A small sandbox of its own."""
    with Sandbox(World(records=20), folder=tmp_path / "sandbox") as running:
        yield running


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of one Postgres for the whole session."""
    with postgres() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A fresh database on it."""
    with database(postgres_server) as url:
        yield url


@pytest.fixture
def project() -> Iterator[Project]:
    """An empty BigQuery project."""
    with clouds_project() as empty:
        yield empty


@pytest.fixture
def bigquery() -> Iterator[BigQuery]:
    """A stand-in of BigQuery, which does what a test tells it to."""
    with BigQuery() as service:
        yield service


@pytest.fixture(scope="session")
def payloads() -> Path:
    """The folder of recorded payloads, or a skip that says so."""
    folder = os.environ.get("ETL_PAYLOADS")
    if not folder:
        pytest.skip("ETL_PAYLOADS is not set, so no recorded payloads are read")
    return Path(folder)
