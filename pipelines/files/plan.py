"""What a run would move, as far as tables name it now, or lists before a first load; asks no store."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from pipelines import build
from pipelines.environment import Environment
from pipelines.files.declared import Move, moves_of
from pipelines.files.journal import journal_of, read
from pipelines.files.listing import Listing
from pipelines.files.rehearsal import Rehearsal
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

    `calls` are by Backblaze's classes: A (PUT, free), B (HEAD, of objects in doubt), C (LIST).
    `new_rows`: the rows that the run itself loads may name more, which nobody can count before.
    """

    resource: str
    to: str
    files: int = 0
    bytes: int = 0
    of_unknown_size: int = 0
    left_alone: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    named_by: Literal["loaded rows", "lists"] = "loaded rows"
    new_rows: bool = True

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def line(self) -> str:
        """The plan for a person."""
        unknown = f", {self.of_unknown_size:,} of unknown size" if self.of_unknown_size else ""
        calls = ", ".join(f"{count:,} of class {name}" for name, count in self.calls.items())
        size = in_bytes(self.bytes)
        what = f"{counted(self.files, 'file')} of {self.resource} to {self.to}, of those that {self.named_by} name"
        moves = f"moves {what}: {size}{unknown}; calls: {calls or 'none'}"
        more = ["and those of the rows that this run loads: not known before"] if self.new_rows else []
        return "; ".join([moves, *alone(self.left_alone), *more])


def planned(
    environment: Environment, spec: Spec, order: Order, window: Window, lists: Sequence[Rehearsal]
) -> list[PlannedFiles]:
    """The files an order is about, before its first load those that lists name; the destination must be readable."""
    moves, wanted = moves_of(environment.root, spec, order, outlined=True), Wanted(order, window, datetime.now(UTC))
    read = {each.resource: each.files for each in lists if not each.trouble}
    return [
        _planned(environment, spec, move, wanted) or _of_lists(move, read.get(move.resource), wanted) for move in moves
    ]


def _of_lists(move: Move, files: int | None, wanted: Wanted) -> PlannedFiles:
    """A first load, which moves what it finds in lists; None where nobody has read them."""
    order, plan = wanted.order, PlannedFiles(move.resource, move.block.to, new_rows=not wanted.order.failed)
    if files is None or order.only or order.failed:
        return plan
    most = files if order.next_files is None else min(files, order.next_files)
    calls = {"A": most, "B": 0, "C": 0}
    return replace(plan, files=most, of_unknown_size=most, calls=calls, named_by="lists", new_rows=False)


def _planned(environment: Environment, spec: Spec, move: Move, wanted: Wanted) -> PlannedFiles | None:
    """What loaded rows name; None where none were ever loaded."""
    if environment.duckdb_file and not environment.duckdb_file.exists():
        return None
    plan, dataset = PlannedFiles(move.resource, move.block.to), environment.dataset(build.dataset_name(spec))
    left = read(journal_of(environment, spec.name, move.resource))
    with open_ledger(environment, create=False) as ledger:
        transfer = ledger.transfer(dataset, move.resource)
    with tempfile.TemporaryFile() as file:
        with tables_of(environment, dataset, move) as tables:
            if not tables.are_loaded:
                return None
            work, plan.left_alone = tables.due(wanted, file), tables.left_alone(wanted)
        in_doubt = 0
        for item in Listing(move, work, Tally(), wanted.order.next_files):
            if item.id not in left.receipts:
                plan.files += 1
                plan.bytes += item.bytes or 0
                plan.of_unknown_size += item.bytes is None
                in_doubt += item.id in left.intents or left.is_short_of(transfer)
    plan.calls = {"A": plan.files, "B": in_doubt, "C": 0}
    plan.new_rows = not (wanted.order.failed or plan.files == wanted.order.next_files)
    return plan
