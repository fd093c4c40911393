"""One job per spec with a schedule, and the settings it must be given because they do not stand in git."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines import configuration, needs
from pipelines import environment as environments
from pipelines.build import sign_in_of
from pipelines.environment import LANDING, NOTIFY, WAREHOUSE, Environment
from pipelines.errors import UsageError
from pipelines.order import Order, settle
from pipelines.specs import spec as specs
from pipelines.translate import told_of

OPTIONAL = tuple(f"{NOTIFY}__{key}".upper() for key in ("webhook_url", "slack_url"))


@dataclass(frozen=True)
class Job:
    """A spec and when it runs; the names of the variables it cannot run without."""

    spec: str
    schedule: str
    secrets: tuple[str, ...]
    settings: tuple[str, ...]


def scheduled(root: Path, environment: Environment) -> list[Job]:
    """The specs with a schedule, by name."""
    jobs = [_job(root, environment, spec, spec.schedule) for spec in specs.load_all(root) if spec.schedule]
    if not jobs:
        raise UsageError('specs/: no spec has a schedule; give one, e.g. schedule: "17 * * * *"')
    return jobs


def kept_elsewhere(root: Path, env: str) -> Environment:
    """An environment whose tables and state outlive the machine that runs the job."""
    environment = environments.load(root, env)
    if environment.duckdb_file:
        raise UsageError(
            f"--env {env}: its DuckDB file would be gone with the machine that runs the job; name an environment with "
            "Postgres or BigQuery, or use etl deploy cron"
        )
    signed_in = [spec.name for spec in specs.load_all(root) if spec.schedule and sign_in_of(root, spec)]
    if signed_in and environment.tokens == "file":
        raise UsageError(
            f"--env {env}: the sign-ins of {', '.join(signed_in)} would be gone with the machine that runs the job; "
            f'write tokens = "destination" in [{env}], or use etl deploy cron'
        )
    return environment


def _job(root: Path, environment: Environment, spec: specs.Spec, schedule: str) -> Job:
    with told_of(spec.name):
        settle(environment, spec, Order())
        configuration.only_committed()
        places = (WAREHOUSE, LANDING) if environment.keeps_raw else (WAREHOUSE,)
        wanted = [need for place in places for need in needs.of_destination(environment, place)]
        wanted += needs.of_source(environment, spec)
    missing = [need for need in wanted if need.found is None]
    return Job(
        spec.name,
        schedule,
        tuple(need.variable for need in missing if need.secret),
        tuple(need.variable for need in missing if not need.secret),
    )
