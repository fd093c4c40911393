"""`etl quarantine`: look at rows that were not loaded, or drop them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ulid import ULID

from pipelines import environment as environments
from pipelines.environment import Environment
from pipelines.errors import Exit, UsageError
from pipelines.ledger import Ledger, Quarantined, open_ledger, read_ledger
from pipelines.lock import held
from pipelines.order import Order, settle
from pipelines.printing import Printer, counted
from pipelines.specs import spec as specs
from pipelines.translate import told_of

MINUTE = "%Y-%m-%d %H:%M"
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
    if limit < 1:
        raise UsageError(f"--limit {limit}: must be at least 1")
    with told_of(name or "quarantine", env), read_ledger(environments.load(root, env), "quarantine") as ledger:
        rows = ledger.quarantined(name, resource, everything=everything, limit=limit) if ledger else []
        total = ledger.count_quarantined(name, resource, everything) if ledger else 0
    if name and not total:
        specs.load(root, name)  # a name that is neither in quarantine nor a spec is a mistake
    printer.document([vars(row) for row in rows])
    if rows:
        cells = [
            (
                r.id[:SHORT], f"{r.first_seen_at:{MINUTE}}", f"{r.last_seen_at:{MINUTE}}", r.spec, r.resource, r.place,
                r.reason, "replayed" if r.replayed_at else "waits",
            )
            for r in rows
        ]  # fmt: skip
        printer.table(("id", "first seen", "last seen", "spec", "resource", "place", "reason", "state"), cells)
    printer.lines([f"{counted(total, 'row')} in quarantine" + (f", {len(rows)} shown" if total > len(rows) else "")])
    return Exit.OK


def show_one(root: Path, env: str, row: str, printer: Printer) -> Exit:
    """Print one row with its payload; the start of an id is enough."""
    with told_of("quarantine", env), read_ledger(environments.load(root, env), "quarantine") as ledger:
        found = [r for r in (ledger.quarantined(everything=True) if ledger else []) if r.id.startswith(row)]
    if len(found) != 1:
        many = f"{len(found)} rows" if found else "no row"
        raise UsageError(f"{row}: {many} with that id; see: etl quarantine list --env {env}")
    printer.document({**vars(found[0]), "payload": decoded(found[0].payload)})
    return Exit.OK


def drop(root: Path, env: str, name: str, resource: str | None, ids: Sequence[str]) -> Exit:
    """Delete rows of a spec from quarantine."""
    with writing(root, env, name) as (_, ledger):
        rows = chosen(ledger, env, name, resource, ids)
        ledger.drop_quarantined([row.id for row in rows])
    Printer("text").lines([f"{name}: {counted(len(rows), 'row')} dropped"])
    return Exit.OK


def chosen(ledger: Ledger, env: str, name: str, resource: str | None, ids: Sequence[str]) -> list[Quarantined]:
    """The waiting rows of a spec whose ids begin so, or all of them."""
    rows = ledger.quarantined(name, resource)
    found = [row for row in rows if not ids or any(row.id.startswith(start) for start in ids)]
    unknown = [start for start in ids if not any(row.id.startswith(start) for row in rows)]
    if unknown:
        raise UsageError(
            f"{name}: no row {', '.join(unknown)} in quarantine; see: etl quarantine list {name} --env {env}"
        )
    return found


def decoded(payload: str) -> Any:
    """A row as it was read, or its text where that is no JSON."""
    try:
        return json.loads(payload)
    except ValueError:
        return payload


@contextmanager
def writing(root: Path, env: str, name: str, order: Order | None = None) -> Iterator[tuple[Environment, Ledger]]:
    """The lock of a spec held, its settings in force and the ledger open."""
    environment, spec = environments.load(root, env), specs.load(root, name)
    with told_of(name, env):
        settle(environment, spec, order or Order())
        with held(environment, spec.lock, str(ULID())), open_ledger(environment) as ledger:
            yield environment, ledger
