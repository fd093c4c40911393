"""What is missing, and the command that fills it."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby

from dlt.extract import DltSource

from pipelines.coverage.accounts import accounts_of, takes_list
from pipelines.coverage.survey import HOLES, Cell, Sheet
from pipelines.cursors import cursor_of
from pipelines.environment import Environment
from pipelines.refusals import HARM, manner, takes_window
from pipelines.specs.spec import Spec
from pipelines.specs.types import Periods

ITEMS_AT_ONCE = 50  # named in one command


@dataclass(frozen=True)
class Hole:
    """Days or months in a row, or items, that one command fills; `accounts` is empty where all are meant."""

    by: str
    units: tuple[str, ...]
    resources: tuple[str, ...]
    accounts: tuple[str, ...]
    states: tuple[tuple[str, int], ...]
    reasons: tuple[str, ...]
    window: tuple[date, date] | None
    argument: str

    def command(self, spec: str, env: str) -> str:
        """The run that fills it."""
        words = ["etl", "run", spec, "--env", env, "--select", ",".join(self.resources)]
        words += ["--since", str(self.window[0]), "--until", str(self.window[1])] if self.window else []
        words += ["--with", self.argument] if self.argument else []
        return shlex.join(words)


def holes(environment: Environment, spec: Spec, source: DltSource, sheets: Iterable[Sheet]) -> list[Hole]:
    """Every hole in some sheets, oldest first: accounts and resources that lack the same are told of as one."""
    heeded = takes_window(environment, spec)
    found = [hole for sheet in sheets for hole in _in_sheet(environment, spec, source, sheet, heeded)]
    by_account = [_for_accounts(environment, spec, source, hole) for hole in _joined(found, "accounts")]
    return sorted(_joined(by_account, "resources"), key=lambda hole: hole.units)


def _in_sheet(environment: Environment, spec: Spec, source: DltSource, sheet: Sheet, heeded: bool) -> Iterator[Hole]:
    coverage, resource = sheet.declared.coverage, source.resources[sheet.resource]
    windowed = (heeded or cursor_of(resource) is not None) and manner(resource) not in HARM
    if isinstance(coverage, Periods):
        for cells in _in_a_row(sheet.cells):
            yield _hole(sheet, cells, windowed=windowed)
        return
    missing = [cell for cell in sheet.cells if cell.state in HOLES]
    argument = coverage.argument or ""
    size = ITEMS_AT_ONCE if takes_list(environment.root, spec, argument) else 1 if argument else max(len(missing), 1)
    for start in range(0, len(missing), size):
        cells = missing[start : start + size]
        names = [cell.name for cell in cells]
        yield _hole(sheet, cells, _naming(environment, spec, argument, names) if argument else "")


def _in_a_row(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    for is_hole, group in groupby(cells, key=lambda cell: cell.state in HOLES):
        if is_hole:
            yield [*group]


def _hole(sheet: Sheet, cells: Sequence[Cell], argument: str = "", windowed: bool = False) -> Hole:
    first, last = cells[0].days, cells[-1].days
    return Hole(
        by=sheet.by,
        units=tuple(cell.name for cell in cells),
        resources=(sheet.resource,),
        accounts=(sheet.account,) if sheet.account else (),
        states=tuple(Counter(cell.state for cell in cells).items()),
        reasons=tuple(dict.fromkeys(cell.reason for cell in cells if cell.reason)),
        window=(first[0], last[1]) if windowed and first and last else None,
        argument=argument,
    )


def _for_accounts(environment: Environment, spec: Spec, source: DltSource, hole: Hole) -> Hole:
    """The hole with the argument that names its accounts, where they are not all and can be read alone."""
    resource = hole.resources[0]
    coverage = spec.resources[resource].coverage
    if not isinstance(coverage, Periods) or not coverage.per or manner(source.resources[resource]) in HARM:
        return hole
    if set(hole.accounts) == set(accounts_of(environment.root, spec, coverage)):
        return replace(hole, accounts=())
    return replace(hole, argument=_naming(environment, spec, coverage.per.argument, hole.accounts))


def _naming(environment: Environment, spec: Spec, argument: str, names: Sequence[str]) -> str:
    """`--with` for some names; as JSON where a list of them would be read as something else."""
    odd = any("," in name or name.startswith(("[", "{")) or name != name.strip() for name in names)
    as_json = odd and takes_list(environment.root, spec, argument)
    return f"{argument}={json.dumps([*names]) if as_json else ','.join(names)}"


def _joined(found: Iterable[Hole], over: str) -> list[Hole]:
    """Holes that are alike but for their accounts, or their resources, as one."""
    alike: dict[Hashable, list[Hole]] = {}
    for hole in found:
        key = (hole.units, hole.window, hole.argument, hole.resources if over == "accounts" else hole.accounts)
        alike.setdefault(key, []).append(hole)
    return [_union(group) for group in alike.values()]


def _union(group: Sequence[Hole]) -> Hole:
    states: Counter[str] = Counter()
    for hole in group:
        states.update(dict(hole.states))
    return replace(
        group[0],
        resources=tuple(dict.fromkeys(name for hole in group for name in hole.resources)),
        accounts=tuple(dict.fromkeys(name for hole in group for name in hole.accounts)),
        states=tuple(states.items()),
        reasons=tuple(dict.fromkeys(reason for hole in group for reason in hole.reasons)),
    )
