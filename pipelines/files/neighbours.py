"""What the rows of other specs name in a store they share: no verb may take that for nobody's."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pipelines import build
from pipelines.environment import Environment
from pipelines.files.book import Book, Chosen
from pipelines.files.declared import Move, files_of
from pipelines.files.journal import journal_of, read
from pipelines.specs import spec as specs
from pipelines.specs.spec import Spec
from pipelines.warehouse import open_warehouse

Named = dict[str, str]
"""The spec whose row names an object, by its key."""


def named_by_others(environment: Environment, spec: Spec, move: Move) -> Named:
    """The objects of other specs in the same destination, those whose rows no load has written yet, too."""
    mine = (environment.dataset(build.dataset_name(spec)), move.block.table)
    named: Named = {}
    for other in specs.load_all(environment.root):
        dataset = environment.dataset(build.dataset_name(other))
        moves = [each for each in _moves(environment, other) if each.block.to == move.block.to]
        moves = [each for each in moves if (dataset, each.block.table) != mine]
        keys = [key for each in moves for key in _unrecorded(environment, other, each)]
        if moves:
            with open_warehouse(environment, dataset) as warehouse:
                for book in (Book(warehouse, each) for each in moves):
                    keys += [receipt.key for receipt in book.receipts_of_all()]
                    keys += [key for _, key in book.failed(Chosen()) if key]
        named.update(dict.fromkeys(keys, other.name))
    return named


def _unrecorded(environment: Environment, spec: Spec, move: Move) -> Iterator[str]:
    """What a run has stored, or was about to store, whose receipts are in its journal alone."""
    left = read(journal_of(environment, spec.name, move.resource))
    yield from (intent.key for intent in left.intents.values())
    yield from (json.loads(receipt)[move.files.named.key] for receipt in left.receipts.values())


def _moves(environment: Environment, spec: Spec) -> Iterator[Move]:
    """All of a spec, those of resources that are switched off, too: their objects stay."""
    tables = dict(build.tables_of(environment.root, spec))
    for name, block in build.moves(spec).items():
        yield Move(name, tables[name], block, files_of(environment.root, spec, block, outlined=True))
