"""What the rows of other specs name in a place they share: no verb may take that for nobody's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Set

from pipelines import build
from pipelines.environment import Environment
from pipelines.files import stores
from pipelines.files.book import Book, Chosen
from pipelines.files.declared import Move, files_of
from pipelines.files.journal import journal_of, read
from pipelines.files.stores import Store
from pipelines.specs import spec as specs
from pipelines.specs.spec import Spec
from pipelines.translate import told_of
from pipelines.warehouse import open_warehouse

Named = dict[str, str]
"""The spec whose row names an object, by its key."""


def named_by_others(environment: Environment, spec: Spec, move: Move, store: Store) -> Named:
    """The objects of other specs below the place of a store, those whose rows no load has written yet, too.

    Ask after the store was listed: what a run stores is in its journal before, and in its table afterwards.
    """
    mine = {(environment.dataset(build.dataset_name(spec)), table) for table in (move.block.table, move.block.failures)}
    named: Named = {}
    for other in specs.load_all(environment.root):
        dataset = environment.dataset(build.dataset_name(other))
        with told_of(other.name):
            for each in _moves(environment, other) if other.name != spec.name else ():
                keys = [*_unrecorded(environment, other, each), *_in_tables(environment, dataset, each, mine)]
                theirs = stores.opened(each.block.to).place
                places = (f"{theirs}/{key}" for key in keys)
                below = f"{store.place}/"
                named |= {place.removeprefix(below): other.name for place in places if place.startswith(below)}
    return named


def _unrecorded(environment: Environment, spec: Spec, move: Move) -> Iterator[str]:
    """What a run has stored, or was about to store, whose receipts are in its journal alone."""
    left = read(journal_of(environment, spec.name, move.resource))
    yield from (intent.key for intent in left.intents.values())
    yield from (json.loads(receipt)[move.files.named.key] for receipt in left.receipts.values())


def _in_tables(environment: Environment, dataset: str, move: Move, mine: Set[tuple[str, str]]) -> Iterator[str]:
    """What receipts and failures name that are not in tables of mine."""
    with open_warehouse(environment, dataset) as warehouse:
        book = Book(warehouse, move)
        if (dataset, move.block.table) not in mine:
            yield from (receipt.key for receipt in book.receipts_of_all())
        if (dataset, move.block.failures) not in mine:
            yield from (key for _, key in book.failed(Chosen()) if key)


def _moves(environment: Environment, spec: Spec) -> Iterator[Move]:
    """All of a spec here, those of resources that are switched off, too: their objects stay."""
    blocks = {name: block for name, block in build.moves(spec).items() if block.to in environment.buckets}
    tables = dict(build.tables_of(environment.root, spec)) if blocks else {}
    for name, block in blocks.items():
        yield Move(name, tables[name], block, files_of(environment.root, spec, block, outlined=True))
