"""What a pipeline remembers between runs: shown, and forgotten on demand."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dlt
from ulid import ULID

from pipelines import environment as environments
from pipelines.build import resource_names
from pipelines.environment import Environment
from pipelines.errors import Exit, UsageError, did_you_mean
from pipelines.landing.position import Position
from pipelines.lock import held
from pipelines.order import Order, settle
from pipelines.printing import Printer
from pipelines.resume import adopt_stored, clear, waits
from pipelines.specs import spec as specs
from pipelines.translate import told_of
from pipelines.working import open_pipeline


def show(root: Path, env: str, name: str, printer: Printer) -> Exit:
    """Print the state of a spec's source as the destination has it, per resource."""
    environment, spec = environments.load(root, env), specs.load(root, name)
    settle(environment, spec, Order(), read_only=True)
    with told_of(name, env), remembered(environment, spec) as pipeline:
        state: dict[str, Any] = pipeline.state.get("sources", {}).get(name, {}) if pipeline else {}
    printer.document({"spec": name, "environment": env, "pending": waits(environment.state_dir, name), "state": state})
    printer.lines(f"{name}.{resource}: {content}" for resource, content in state.get("resources", {}).items())
    return Exit.OK


@contextmanager
def remembered(environment: Environment, spec: specs.Spec) -> Iterator[dlt.Pipeline | None]:
    """The pipeline as the destination knows it, in a folder that is thrown away; None before a DuckDB file is there."""
    if environment.duckdb_file and not environment.duckdb_file.exists():
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="etl-look-") as folder:
        pipeline = open_pipeline(environment, spec, Path(folder))
        pipeline.sync_destination()
        adopt_stored(pipeline, spec.name)
        yield pipeline


def reset(root: Path, env: str, name: str, resource: str | None, pending: bool) -> Exit:
    """Forget the cursors of a spec or of one resource, and with `pending` the packages that wait; tables stay."""
    environment, spec = environments.load(root, env), specs.load(root, name)
    known = resource_names(root, spec)
    if resource is not None and resource not in known:
        raise UsageError(f"{name}: no resource {resource!r}{did_you_mean(resource, known)}; it has: {', '.join(known)}")
    settle(environment, spec, Order())
    with told_of(name, env), held(environment, spec.lock, str(ULID())):
        clear(environment.state_dir, name)
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
    if not pipeline.schema_names:
        raise UsageError(f"{name}: was never loaded, so nothing is remembered")
    with pipeline.managed_state(extract_state=True) as state:
        mine = state.setdefault("sources", {}).get(name, {})
        if resource is None:
            mine.clear()
            replace(Position.of(state), rebuilt=None).put(state)  # nor is a rebuild gone on with
        else:
            mine.get("resources", {}).pop(resource, None)
    pipeline.normalize()
    pipeline.load()
