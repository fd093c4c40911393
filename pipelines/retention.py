"""`[<env>.retention]`: what the engine keeps of runs is deleted once it is old enough, at the end of each run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ulid import ULID

from pipelines import environment as environments
from pipelines.environment import FILE, RETENTION, Environment
from pipelines.erase import duckdb_file
from pipelines.errors import Exit, UsageError
from pipelines.landing.expiry import expire_archive, expire_rejected
from pipelines.landing.store import Store
from pipelines.ledger import Ledger, RunRow, open_ledger, read_ledger
from pipelines.lock import held
from pipelines.order import Order, settle
from pipelines.printing import Printer
from pipelines.specs import spec as specs
from pipelines.trace import local_runs
from pipelines.translate import told_of

Expired = dict[str, int]
"""How much was too old, by place; a place where nothing was is left out."""
_MINE = "spec = %s AND environment = %s"
_LAST = f"SELECT max(started_at) FROM {{runs}} WHERE {_MINE} GROUP BY mode, status, rows_loaded > 0"


def expire_all(root: Path, env: str, names: Sequence[str], dry_run: bool, printer: Printer) -> Exit:
    """`etl erase --expired`: what a run does at its end, for the specs named or all; a DuckDB file shrinks by it."""
    environment = environments.load(root, env)
    if not environment.retention:
        raise UsageError(f"{FILE}: [{env}.{RETENTION}] sets no days; add e.g. runs_days = 90")
    found = {name: _expire(environment, specs.load(root, name), dry_run) for name in names or specs.names(root)}
    if environment.duckdb_file and any(found.values()) and not dry_run:
        with told_of("erase"), held(environment, "erase", str(ULID())):
            duckdb_file.rewrite(environment.duckdb_file)
    rows = [(name, place, count) for name, counts in found.items() for place, count in counts.items()]
    printer.document(found)
    printer.table(("spec", "place", "too old" if dry_run else "deleted"), rows) if rows else None
    printer.lines([] if rows else ["nothing is too old"])
    return Exit.OK


def _expire(environment: Environment, spec: specs.Spec, dry_run: bool) -> Expired:
    with told_of(spec.name):
        settle(environment, spec, Order(), read_only=dry_run)
        if dry_run:
            with read_ledger(environment, "runs") as looked_at:
                return expire(environment, spec.name, looked_at, act=False) if looked_at else {}
        with held(environment, spec.lock, str(ULID())), open_ledger(environment) as ledger:
            return expire(environment, spec.name, ledger)


def expire(environment: Environment, spec: str, ledger: Ledger, act: bool = True) -> Expired:
    """Delete what a spec has kept for too long, or count it; where no days are set nothing is looked at."""
    now, found = datetime.now(UTC), Expired()
    for key, days in environment.retention.items():
        found |= _PLACES[key](environment, spec, ledger, now - timedelta(days=days), act)
    return {place: count for place, count in found.items() if count}


def _runs(environment: Environment, spec: str, ledger: Ledger, before: datetime, act: bool) -> Expired:
    """Runs but the last of each kind and outcome: a rebuild, and who is told of a run, go by those."""
    folders = [environment.runs_dir / run.run_id for run in _old(local_runs(environment, spec, limit=None), before)]
    for folder in folders if act else ():
        shutil.rmtree(folder)
    where = f"FROM {{runs}} WHERE {_MINE} AND started_at < %s AND status <> 'running' AND started_at NOT IN ({_LAST})"
    values = (spec, environment.name, before, spec, environment.name)
    count = int(ledger.execute(f"SELECT count(*) {where}", *values)[0][0])
    if count and act:
        ledger.execute(f"DELETE {where}", *values)
    return {"folders in runs/": len(folders), "_etl.runs": count}


def _old(runs: list[RunRow], before: datetime) -> list[RunRow]:
    """Of the runs of a spec, newest first, those to delete."""
    last = {(run.mode, run.status, run.rows_loaded > 0): run for run in reversed(runs)}
    kept = [*last.values(), *runs[:1]]
    return [run for run in runs if run not in kept and run.started_at < before and run.status != "running"]


def _quarantine(environment: Environment, spec: str, ledger: Ledger, before: datetime, act: bool) -> Expired:
    """Rows that were last set aside long ago, whether they were loaded after all or not."""
    where = "FROM {quarantine} WHERE spec = %s AND last_seen_at < %s"
    count = int(ledger.execute(f"SELECT count(*) {where}", spec, before)[0][0])
    if count and act:
        ledger.execute(f"DELETE {where}", spec, before)
    return {"_etl.quarantine": count}


def _archive(environment: Environment, spec: str, ledger: Ledger, before: datetime, act: bool) -> Expired:
    """Raw files by when they were fetched; what is not loaded yet is not in the archive."""
    return {"raw files in archive": expire_archive(Store(environment, spec), before, act)}


def _rejected(environment: Environment, spec: str, ledger: Ledger, before: datetime, act: bool) -> Expired:
    """Raw files that could not be read, by when they were put aside."""
    return {"raw files in rejected": expire_rejected(Store(environment, spec), before, act)}


_PLACES: dict[str, Callable[[Environment, str, Ledger, datetime, bool], Expired]] = {
    "runs_days": _runs,
    "quarantine_days": _quarantine,
    "archive_days": _archive,
    "rejected_days": _rejected,
}
