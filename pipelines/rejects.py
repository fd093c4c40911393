"""`etl quarantine`: look at rows that were not loaded, load them after all, or drop them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt
from dlt.extract import DltResource, DltSource
from ulid import ULID

from pipelines import build, configuration
from pipelines import environment as environments
from pipelines import spec as specs
from pipelines.environment import Environment
from pipelines.errors import Exit, UsageError
from pipelines.ledger import Ledger, Quarantined, open_ledger
from pipelines.lock import held
from pipelines.printing import Printer
from pipelines.quarantine import Intake, guard
from pipelines.resume import clear, take_up
from pipelines.run import LOADER_FORMAT, Order, open_pipeline, reopened, scratch_copy, settle

SHORT = 12  # characters of an id that tell rows apart for a person


def show_all(
    root: Path,
    env: str,
    name: str | None,
    resource: str | None,
    everything: bool,
    limit: int,
    printer: Printer,
) -> Exit:
    """Print the rows in quarantine, oldest first."""
    with _reading(root, env) as ledger:
        rows = ledger.quarantined(name, resource, everything=everything, limit=limit) if ledger else []
        total = ledger.count_quarantined(name, resource) if ledger else 0
    if name and not total and not rows:
        specs.load(root, name)  # a name that is neither in quarantine nor a spec is a mistake
    printer.document([vars(row) for row in rows])
    if rows:
        cells = [
            (r.id[:SHORT], r.spec, r.resource, r.place, r.reason, "replayed" if r.replayed_at else "waits")
            for r in rows
        ]
        printer.table(("id", "spec", "resource", "place", "reason", "state"), cells)
    printer.lines([f"{total} rows in quarantine" + (f", {len(rows)} shown" if total > len(rows) else "")])
    return Exit.OK


def show_one(root: Path, env: str, row: str, printer: Printer) -> Exit:
    """Print one row with its payload; the start of an id is enough."""
    with _reading(root, env) as ledger:
        found = [r for r in (ledger.quarantined(everything=True) if ledger else []) if r.id.startswith(row)]
    if len(found) != 1:
        raise UsageError(
            f"{row}: {'no row' if not found else f'{len(found)} rows'} with that id; see: etl quarantine list"
        )
    printer.document({**vars(found[0]), "payload": _decoded(found[0].payload)})
    return Exit.OK


def drop(root: Path, env: str, name: str, resource: str | None, ids: Sequence[str]) -> Exit:
    """Delete rows of a spec from quarantine."""
    with _writing(root, env, name) as (_, ledger):
        rows = _chosen(ledger, name, resource, ids)
        ledger.drop_quarantined([row.id for row in rows])
    Printer("text").lines([f"{name}: {len(rows)} rows dropped"])
    return Exit.OK


def replay(
    root: Path,
    env: str,
    name: str,
    resource: str | None,
    ids: Sequence[str],
    values: Sequence[str],
    printer: Printer,
) -> Exit:
    """Feed rows through their resource again; those that pass are loaded and marked, the others stay.

    A row the source itself refused (it has a place) is not a row of the table yet, so it is mended at that place.
    """
    spec = specs.load(root, name)
    with _writing(root, env, name, Order(values=tuple(values))) as (environment, ledger):
        chosen = _chosen(ledger, name, resource, ids)
        rows = [row for row in chosen if not row.place]
        passed: list[str] = []
        for each in dict.fromkeys(row.resource for row in rows):
            passed += _replay_resource(environment, spec, each, [row for row in rows if row.resource == each])
        ledger.replayed(passed)
    left = len(chosen) - len(passed)
    printer.lines(
        f"{name}: {row.place}: mend it there and run again, then drop {row.id[:SHORT]}" for row in chosen if row.place
    )
    printer.document({"spec": name, "loaded": len(passed), "still_rejected": left})
    printer.lines([f"{name}: {len(passed)} rows loaded, {left} still in quarantine"])
    return Exit.PARTIAL if left else Exit.OK


def _replay_resource(environment: Environment, spec: specs.Spec, name: str, rows: list[Quarantined]) -> list[str]:
    """Load the rows that pass now; returns their ids."""
    source = build.build(environment.root, spec)
    if name not in source.resources:
        raise UsageError(f"{spec.name}.{name}: the source has no such resource any more; drop its rows")
    intake = Intake(spec.name, environment.state_dir / "scratch" / "replay.jsonl")
    passed, pages = [], []
    for row in rows:
        fresh = _guarded(source, name, [_decoded(row.payload)], intake, environment.kind)
        if fresh:
            passed.append(row.id)
            pages += fresh
    intake.close()
    intake.spool.unlink(missing_ok=True)
    if pages:
        _load(environment, spec, _fed(source, name, pages))
    return passed


def _guarded(source: DltSource, name: str, page: list[Any], intake: Intake, kind: str) -> list[Any]:
    """The rows of a page, or nothing when one of them is refused again."""
    before = intake.rejected.get(name, 0)
    fed = _fed(source, name, page)
    guard(fed, intake, None, kind)
    rows = list(fed.resources[name])
    return rows if intake.rejected.get(name, 0) == before and not intake.failed else []


def _fed(source: DltSource, name: str, rows: list[Any]) -> DltSource:
    """A source with one resource: the named one's hints over given rows."""
    like = source.resources[name]
    table: Any = like.compute_table_schema()
    hints: dict[str, Any] = {"table_name": table["name"], "columns": table.get("columns", {})}
    hints["write_disposition"] = _disposition(like, table)
    if like.max_table_nesting is not None:
        hints["max_table_nesting"] = like.max_table_nesting
    resource = dlt.resource(rows, name=name, **hints)
    return DltSource(source.schema.clone(), source.section, [resource])


def _disposition(like: DltResource, table: Any) -> Any:
    """How a few rows may join a table without touching the others: by key, or appended where all are."""
    if any(column.get("primary_key") for column in table.get("columns", {}).values()):
        return {"disposition": "merge", "strategy": "upsert"}
    if like.write_disposition == "append":
        return "append"
    raise UsageError(f"{like.name}: has no key, so a single row cannot join its table; run the spec again instead")


def _load(environment: Environment, spec: specs.Spec, source: DltSource) -> None:
    """Load with a copy of the pipeline, so that the cursor stays."""
    clear(environment.state_dir, spec.name)
    main = open_pipeline(environment, spec)
    if take_up(main, environment.kind):
        main.normalize()
        main.load()
    main = reopened(environment, spec, main)
    main.sync_destination()
    with scratch_copy(environment, spec, main, f"replay-{ULID()}") as pipeline:
        pipeline.extract(source, loader_file_format=LOADER_FORMAT[environment.kind])  # type: ignore[arg-type]
        pipeline.normalize()
        pipeline.load()


def _chosen(ledger: Ledger, name: str, resource: str | None, ids: Sequence[str]) -> list[Quarantined]:
    rows = ledger.quarantined(name, resource)
    chosen = [row for row in rows if not ids or any(row.id.startswith(start) for start in ids)]
    unknown = [start for start in ids if not any(row.id.startswith(start) for row in rows)]
    if unknown:
        raise UsageError(f"{name}: no row {', '.join(unknown)} in quarantine; see: etl quarantine list {name}")
    return chosen


def _decoded(payload: str) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload


@contextmanager
def _reading(root: Path, env: str) -> Iterator[Ledger | None]:
    """The ledger, or None where no run has made the file yet."""
    environment = environments.load(root, env)
    configuration.activate(environment)
    if environment.duckdb_file and not environment.duckdb_file.exists():
        yield None
        return
    with open_ledger(environment) as ledger:
        yield ledger


@contextmanager
def _writing(root: Path, env: str, name: str, order: Order | None = None) -> Iterator[tuple[Environment, Ledger]]:
    environment, spec = environments.load(root, env), specs.load(root, name)
    settle(environment, spec, order or Order())
    with held(environment, name, str(ULID())), open_ledger(environment) as ledger:
        yield environment, ledger
