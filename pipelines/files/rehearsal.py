"""A dry run of lists that stand in files of this machine: what they name, read without a network or a warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from pipelines import build
from pipelines.environment import Environment
from pipelines.errors import EtlError, Exit
from pipelines.files.declared import Move, moves_of
from pipelines.order import Order
from pipelines.printing import counted
from pipelines.rows.intake import NOTICE
from pipelines.specs.spec import Spec
from pipelines.translate import told_of

SHOWN = 3
FOUND = {"rejected": ("row", "refused"), "failed": ("list", "not readable")}


@dataclass
class Rehearsal:
    """What the lists of a resource name; `trouble` says why they cannot be read, `exit` how a run would end for it."""

    resource: str
    files: int = 0
    keys: list[str] = field(default_factory=list)
    noticed: dict[str, int] = field(default_factory=dict)
    trouble: str | None = None
    exit: Exit = Exit.OK

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "exit": int(self.exit)}

    def lines(self) -> list[str]:
        """The rehearsal for a person."""
        if self.trouble:
            return [f"lists of {self.resource}: {self.trouble}"]
        told = [(count, *FOUND[kind]) for kind, count in self.noticed.items() if kind in FOUND]
        noticed = "".join(f", {counted(count, noun)} {what}" for count, noun, what in told)
        named = f"lists of {self.resource}: {counted(self.files, 'file')}{noticed}"
        return [named, *(f"  e.g. {key}" for key in self.keys)]


def rehearsals(environment: Environment, spec: Spec, order: Order) -> list[Rehearsal]:
    """What the lists of an order name, done or not, where they can be read here."""
    moves = moves_of(environment.root, spec, order, outlined=True)
    return [_rehearsed(environment, spec, move) for move in moves if move.files.offline]


def _rehearsed(environment: Environment, spec: Spec, move: Move) -> Rehearsal:
    found = Rehearsal(move.resource)
    try:
        with told_of(spec.name, environment.name):
            items = move.files.items(_rows(environment, spec, move, found.noticed))
            found.keys = [item.key for item in islice(items, SHOWN)]
            found.files = len(found.keys) + sum(1 for _ in items)
    except EtlError as trouble:  # part of the plan: a run would end so
        found.trouble, found.exit = str(trouble), trouble.exit
    return found


def _rows(environment: Environment, spec: Spec, move: Move, noticed: dict[str, int]) -> Iterator[dict[str, Any]]:
    """The rows of the resource; its notices are counted."""
    for page in build.build(environment.root, spec).resources[move.resource]:
        for row in page.to_pylist() if hasattr(page, "to_pylist") else page if isinstance(page, list) else [page]:
            if getattr(row, "is_notice", False):
                noticed[row[NOTICE]] = noticed.get(row[NOTICE], 0) + 1
            else:
                yield row
