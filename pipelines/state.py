"""What a pipeline remembers between runs: shown, and forgotten on demand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
from ulid import ULID

from pipelines import environment as environments
from pipelines import spec as specs
from pipelines.build import resource_names
from pipelines.environment import Environment
from pipelines.errors import Exit, UsageError, did_you_mean
from pipelines.lock import held
from pipelines.printing import Printer
from pipelines.run import Order, open_pipeline, settle


def show(root: Path, env: str, name: str, printer: Printer) -> Exit:
    """Print the state of a spec's source as the destination has it, per resource."""
    environment, spec = environments.load(root, env), specs.load(root, name)
    settle(environment, spec, Order())
    pipeline = open_pipeline(environment, spec)
    if environment.duckdb_file is None or environment.duckdb_file.exists():
        pipeline.sync_destination()
    state = _source_state(pipeline, name)
    printer.document({"spec": name, "environment": env, "pending": pipeline.has_pending_data, "state": state})
    printer.lines(f"{name}.{resource}: {content}" for resource, content in state.get("resources", {}).items())
    return Exit.OK


def reset(root: Path, env: str, name: str, resource: str | None, pending: bool) -> Exit:
    """Forget the cursors of a spec or of one resource, and with `pending` the packages that wait; tables stay."""
    environment, spec = environments.load(root, env), specs.load(root, name)
    known = resource_names(root, spec)
    if resource is not None and resource not in known:
        raise UsageError(f"{name}: no resource {resource!r}{did_you_mean(resource, known)}; it has: {', '.join(known)}")
    settle(environment, spec, Order())
    with held(environment, name, str(ULID())):
        pipeline = open_pipeline(environment, spec)
        if pending:
            pipeline.abort_packages()
        else:
            _forget(environment, pipeline, name, resource)
    what = "the packages that waited are dropped" if pending else f"{resource or 'every resource'} is forgotten"
    Printer("text").lines([f"{name}: {what}, the next run reads from the beginning; tables are as they were"])
    return Exit.OK


def _forget(environment: Environment, pipeline: dlt.Pipeline, name: str, resource: str | None) -> None:
    if environment.duckdb_file and not environment.duckdb_file.exists():
        raise UsageError(f"{name}: {environment.duckdb_file.name} is not there, so nothing is remembered")
    if pipeline.has_pending_data:
        raise UsageError(f"{name}: a load package waits; run it first, or drop it with --pending")
    pipeline.sync_destination()
    with pipeline.managed_state(extract_state=True) as state:
        mine = state.setdefault("sources", {}).get(name, {})
        if resource is None:
            mine.clear()
        else:
            mine.get("resources", {}).pop(resource, None)
    pipeline.normalize()
    pipeline.load()


def _source_state(pipeline: dlt.Pipeline, name: str) -> dict[str, Any]:
    found: dict[str, Any] = pipeline.state.get("sources", {}).get(name, {})
    return found
