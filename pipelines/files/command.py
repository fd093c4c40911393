"""`etl files`: how the files of a spec stand, and those that failed made due again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipelines import build
from pipelines import environment as environments
from pipelines.environment import Environment
from pipelines.errors import Exit, UsageError
from pipelines.files.declared import Move, moves_of
from pipelines.files.verbs import looking
from pipelines.files.work import Tables
from pipelines.logs import LOGGER
from pipelines.order import Order, settle
from pipelines.printing import Printer, counted
from pipelines.specs import spec as specs
from pipelines.specs.spec import Spec
from pipelines.translate import told_of
from pipelines.warehouse import open_warehouse


def status(root: Path, env: str, name: str, printer: Printer) -> Exit:
    """Print how many files there are by state and reason."""
    environment, spec = environments.load(root, env), moving(root, name)
    with told_of(name):
        settle(environment, spec, Order(), read_only=True)
        now = datetime.now(UTC)
        found = {move.resource: tables.states(now) for move, tables in _tables(environment, spec)}
    printer.document({"spec": name, "environment": env, "files": found})
    rows = [(resource, *state.values()) for resource, states in found.items() for state in states]
    if rows:
        printer.table(("resource", "state", "files", "http", "reason"), rows)
    else:
        printer.lines([f"{name}: nothing is loaded in {env!r} yet; try: etl run {name} --env {env}"])
    return Exit.OK


def retry(root: Path, env: str, name: str, only: Sequence[str], failed: bool, dry_run: bool, printer: Printer) -> Exit:
    """Make failed files due, or only say how many would be."""
    if bool(only) == failed:
        raise UsageError("etl files retry: name files with --only, or give --failed for all that failed")
    environment, spec, counts = environments.load(root, env), moving(root, name), dict[str, int]()
    unknown = set(only)
    with looking(environment, spec, writes=not dry_run):
        for move, tables in _tables(environment, spec):
            unknown -= tables.named(only)
            counts[move.resource] = tables.forgivable(only)
            if not dry_run:
                tables.forgive(only, datetime.now(UTC))
    printer.document({"spec": name, "environment": env, "due": counts, "dry_run": dry_run})
    what = "would be due" if dry_run else f"due; run: etl run {name} --env {env}"
    printer.lines(f"{name}.{resource}: {counted(count, 'file')} {what}" for resource, count in counts.items())
    for each in sorted(unknown):
        LOGGER.warning("%s: no row has a file of this name", each)
    return Exit.PARTIAL if unknown else Exit.OK


def moving(root: Path, name: str) -> Spec:
    """A spec that moves files."""
    spec = specs.load(root, name)
    if not build.moves(spec):
        raise UsageError(f"{name}: moves no files; a resource that does has files: in its spec")
    return spec


def _tables(environment: Environment, spec: Spec) -> Iterator[tuple[Move, Tables]]:
    """The tables of each resource with files; none before a DuckDB file is there."""
    if environment.duckdb_file and not environment.duckdb_file.exists():
        return
    with open_warehouse(environment, environment.dataset(build.dataset_name(spec))) as warehouse:
        for move in moves_of(environment.root, spec, Order(), outlined=True):
            yield move, Tables(warehouse, move)
