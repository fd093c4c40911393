"""What the rows of other specs name in a place they share: no verb may take that for nobody's."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Set

from pipelines import build
from pipelines.environment import Environment
from pipelines.files import stores
from pipelines.files.book import Book
from pipelines.files.declared import Move, files_of
from pipelines.files.journal import journal_of, read
from pipelines.files.stores import Store
from pipelines.specs import spec as specs
from pipelines.specs.spec import Spec
from pipelines.translate import told_of
from pipelines.warehouse import open_warehouse

Named = dict[str, str]
"""The spec whose row names an object, by its key."""


def named_by_others(environment: Environment, spec: Spec, move: Move, store: Store, keys: Collection[str]) -> Named:
    """Which objects of a store other specs name, those whose rows no load has written yet, too.

    Ask after the store was listed: what a run stores is in its journal before, and in its table afterwards.
    """
    mine, named = environment.dataset(build.dataset_name(spec)), Named()
    places = {f"{store.place}/{key}": key for key in keys}
    for other in specs.load_all(environment.root) if keys else ():
        dataset = environment.dataset(build.dataset_name(other))
        passing = {move.block.table, move.block.failures} if dataset == mine else set()
        with told_of(other.name):
            for each in _moves(environment, other) if other.name != spec.name else ():
                unrecorded = {*_unrecorded(environment, other, each)}
                with open_warehouse(environment, dataset) as warehouse:
                    book = Book(warehouse, each)
                    if unrecorded or book.is_there:
                        named |= dict.fromkeys(_among(places, each, unrecorded, book, passing), other.name)
    return named


def _among(
    places: Mapping[str, str], move: Move, unrecorded: Set[str], book: Book, passing: Collection[str]
) -> Iterator[str]:
    """Those of some places that what is not recorded yet names, or a row of a table that is not passed over."""
    below = f"{stores.opened(move.block.to).place}/"
    theirs = {place.removeprefix(below): key for place, key in places.items() if place.startswith(below)}
    recorded = {key for _, key in book.naming([*theirs], passing)}
    return (theirs[key] for key in theirs.keys() & (unrecorded | recorded))


def _unrecorded(environment: Environment, spec: Spec, move: Move) -> Iterator[str]:
    """What a run has stored, or was about to store, whose rows are in its journal alone."""
    left = read(journal_of(environment, spec.name, move.resource))
    yield from left.aside
    yield from (intent.key for intent in left.intents.values())
    yield from (json.loads(receipt)[move.files.named.key] for receipt in left.receipts.values())


def _moves(environment: Environment, spec: Spec) -> Iterator[Move]:
    """All of a spec here, those of resources that are switched off, too: their objects stay."""
    blocks = {name: block for name, block in build.moves(spec).items() if block.to in environment.buckets}
    tables = dict(build.tables_of(environment.root, spec)) if blocks else {}
    for name, block in blocks.items():
        yield Move(name, tables[name], block, files_of(environment.root, spec, block, outlined=True))
