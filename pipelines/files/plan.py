"""What a run would move, as far as the tables name it now; asks neither a source nor a store."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipelines import build
from pipelines.environment import Environment
from pipelines.files.declared import Move, moves_of
from pipelines.files.journal import journal_of, read
from pipelines.files.listing import Listing
from pipelines.files.tally import Tally, alone, in_bytes
from pipelines.files.work import Wanted, tables_of
from pipelines.ledger import open_ledger
from pipelines.order import Order
from pipelines.printing import counted
from pipelines.specs.spec import Spec
from pipelines.window import Window


@dataclass
class PlannedFiles:
    """The files of one resource: how many, how large where that is known, and what a bucket counts for them.

    `may_grow`: rows that the run loads may name more, which nobody knows before. `calls` are by Backblaze's classes:
    A (PUT, free), B (HEAD, of objects in doubt), C (LIST).
    """

    resource: str
    to: str
    may_grow: bool
    files: int = 0
    bytes: int = 0
    of_unknown_size: int = 0
    left_alone: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def line(self) -> str:
        """The plan for a person."""
        unknown = f", {self.of_unknown_size:,} of unknown size" if self.of_unknown_size else ""
        calls = ", ".join(f"{count:,} of class {name}" for name, count in self.calls.items())
        size = in_bytes(self.bytes)
        more = ["rows that come may name more"] if self.may_grow else []
        what = f"{counted(self.files, 'file')} of {self.resource} to {self.to}, of rows that are loaded"
        moves = f"moves {what}: {size}{unknown}; calls: {calls or 'none'}"
        return "; ".join([moves, *more, *alone(self.left_alone)])


def planned(environment: Environment, spec: Spec, order: Order, window: Window) -> list[PlannedFiles]:
    """The files an order is about; the destination must be there to be read."""
    moves = moves_of(environment.root, spec, order, outlined=True)
    if not moves or (environment.duckdb_file and not environment.duckdb_file.exists()):
        return [PlannedFiles(move.resource, move.block.to, not order.failed) for move in moves]
    wanted = Wanted(order, window, datetime.now(UTC))
    return [_planned(environment, spec, move, wanted) for move in moves]


def _planned(environment: Environment, spec: Spec, move: Move, wanted: Wanted) -> PlannedFiles:
    plan = PlannedFiles(move.resource, move.block.to, not wanted.order.failed)
    dataset = environment.dataset(build.dataset_name(spec))
    left = read(journal_of(environment, spec.name, move.resource))
    with open_ledger(environment, create=False) as ledger:
        transfer = ledger.transfer(dataset, move.resource)
    with tempfile.TemporaryFile() as file:
        with tables_of(environment, dataset, move) as tables:
            work, plan.left_alone = tables.due(wanted, file), tables.left_alone(wanted)
        in_doubt = 0
        for item in Listing(move, work, Tally(), wanted.order.next_files):
            if item.id not in left.receipts:
                plan.files += 1
                plan.bytes += item.bytes or 0
                plan.of_unknown_size += item.bytes is None
                in_doubt += item.id in left.intents or left.is_short_of(transfer)
    plan.calls = {"A": plan.files, "B": in_doubt, "C": 0}
    return plan
