"""`etl coverage`: what is there of each day, month or item that a spec declares, and what fills what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines import build
from pipelines import environment as environments
from pipelines.coverage.calendar import calendar, legend
from pipelines.coverage.declared import problems
from pipelines.coverage.holes import Hole, holes
from pipelines.coverage.survey import Sheet, Survey
from pipelines.demo import asked, clock
from pipelines.environment import Environment
from pipelines.errors import Exit, SpecError, UsageError, in_one_line
from pipelines.ledger import Ledger, open_ledger
from pipelines.order import Order, settle
from pipelines.printing import Printer, counted
from pipelines.specs import spec as specs
from pipelines.specs.spec import Spec
from pipelines.translate import told_of
from pipelines.window import parse

SHOWN = 3  # items and reasons of a hole; JSON has all


def show(root: Path, env: str, name: str, since: str | None, until: str | None, printer: Printer) -> Exit:
    """Print what is there of each resource that declares a coverage; exit 4 where something is missing."""
    environment, spec = environments.load(root, env), _declaring(root, name)
    with told_of(name, env):
        window = parse(since, until, spec.timezone or "UTC")
        with asked(environment, [spec], Order()) as order:
            settle(environment, spec, order, read_only=True)
        source = build.outline(root, spec)
        with _ledger(environment) as ledger:
            sheets = [*Survey(environment, spec, source, ledger, window, clock(environment)).sheets()]
        missing = holes(environment, spec, source, sheets)
    printer.document(_document(environment, spec, sheets, missing))
    printer.lines(_lines(environment, spec, sheets, missing))
    return Exit.CHECKS if missing else Exit.OK


def _declaring(root: Path, name: str) -> Spec:
    """The spec, which has a coverage, without mistakes."""
    spec = specs.load(root, name)
    if not any(hints.coverage for hints in spec.resources.values()):
        raise UsageError(
            f"specs/{name}.yaml: declares no coverage; add one to a resource, "
            "e.g. coverage: {by: day, column: created_at, since: 2024-01-01}"
        )
    wrong = [*specs.check_rest(spec), *specs.check_source(root, spec)] or problems(root, spec)
    if wrong:
        raise SpecError(wrong)
    return spec


@contextmanager
def _ledger(environment: Environment) -> Iterator[Ledger | None]:
    """The ledger, for reading; None before there is a DuckDB file."""
    if environment.duckdb_file and not environment.duckdb_file.exists():
        yield None
        return
    with open_ledger(environment, create=False) as ledger:
        yield ledger


def _document(environment: Environment, spec: Spec, sheets: Sequence[Sheet], missing: Sequence[Hole]) -> dict[str, Any]:
    return {
        "spec": spec.name,
        "environment": environment.name,
        "timezone": spec.timezone or "UTC",
        "whole": not missing,
        "resources": [_sheet(sheet) for sheet in sheets],
        "holes": [_hole(hole, hole.command(spec.name, environment.name)) for hole in missing],
    }


def _sheet(sheet: Sheet) -> dict[str, Any]:
    return {
        "resource": sheet.resource,
        "account": sheet.account or None,
        "by": sheet.by,
        "totals": sheet.totals(),
        "quarantined_elsewhere": sheet.adrift,
        "units": [
            {
                "unit": cell.name,
                "state": cell.state,
                "rows": cell.rows,
                "quarantined": cell.quarantined,
                "reason": cell.reason or None,
            }
            for cell in sheet.cells
        ],
    }


def _hole(hole: Hole, command: str) -> dict[str, Any]:
    return {
        "resources": hole.resources,
        "accounts": hole.accounts,
        "units": hole.units,
        "states": dict(hole.states),
        "reasons": hole.reasons,
        "command": command,
    }


def _lines(environment: Environment, spec: Spec, sheets: Sequence[Sheet], missing: Sequence[Hole]) -> Iterator[str]:
    for sheet in sheets:
        yield f"{_title(spec, sheet)}: {_totals(sheet)}"
        yield from calendar(sheet)
    yield from legend(sheets)
    commands: dict[str, list[Hole]] = {}
    for hole in missing:
        commands.setdefault(hole.command(spec.name, environment.name), []).append(hole)
    for command, filled in commands.items():
        yield from (_told(hole) for hole in filled)
        yield f"  {command}"
    if any(sheet.adrift or any(cell.quarantined for cell in sheet.cells) for sheet in sheets):
        yield f"rows in quarantine: etl quarantine list {spec.name} --env {environment.name}"
    count = sum(count for hole in missing for _, count in hole.states)
    yield f"{spec.name}: {f'{count} missing' if count else 'nothing is missing'} in {environment.name}"


def _title(spec: Spec, sheet: Sheet) -> str:
    return f"{spec.name}.{sheet.resource}" + (f" of {sheet.account}" if sheet.account else "")


def _totals(sheet: Sheet) -> str:
    told = [f"{count:,} {state}" for state, count in sheet.totals().items()]
    told += [f"{counted(sheet.adrift, 'row')} in quarantine without a {sheet.by}"] if sheet.adrift else []
    return counted(len(sheet.cells), sheet.by) + (f": {', '.join(told)}" if told else "")


def _told(hole: Hole) -> str:
    """A hole in one line: where, of what and of whom, and why."""
    whose = f" of {', '.join(hole.accounts)}" if hole.accounts else ""
    states = ", ".join(f"{count:,} {state}" for state, count in hole.states)
    reasons = f" ({'; '.join(_first(hole.reasons))})" if hole.reasons else ""
    return in_one_line(f"{_where(hole)}, {', '.join(hole.resources)}{whose}: {states}{reasons}")


def _where(hole: Hole) -> str:
    if hole.by == "item":
        return ", ".join(_first(hole.units))
    first, last = hole.units[0], hole.units[-1]
    return first if first == last else f"{first} to {last}"


def _first(texts: Sequence[str]) -> list[str]:
    """As many as fit into a line."""
    return [*texts[:SHOWN], *(["…"] if len(texts) > SHOWN else [])]
