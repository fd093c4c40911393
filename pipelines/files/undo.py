"""`etl files undo`: take back a batch of files, the objects first and their rows after them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipelines import environment as environments
from pipelines.build import dataset_name
from pipelines.errors import Exit, UsageError
from pipelines.files import stores
from pipelines.files.book import Book, Chosen, parts
from pipelines.files.neighbours import Named, named_by_others
from pipelines.files.stores import Misleading, Store
from pipelines.files.verbs import looking, move_of, tell_unknown
from pipelines.logs import LOGGER
from pipelines.printing import Printer, counted
from pipelines.specs import spec as specs
from pipelines.warehouse import open_warehouse
from pipelines.window import parse

AT_ONCE = 32
FOR_GOOD = "its lifecycle rule takes them, or --versions with --list and --prefix"


@dataclass(frozen=True)
class Batch:
    """What is to go: the ids of rows, each with its object if it has one, and objects that no row names."""

    rows: list[tuple[str, str | None]]
    orphans: list[str]
    versions: bool
    """Whether hidden and older versions go, too."""

    @property
    def keys(self) -> list[str]:
        """The objects."""
        return list(dict.fromkeys([*(key for _, key in self.rows if key), *self.orphans]))


def chosen(root: Path, name: str, only: Sequence[str], prefix: str | None, since: str | None) -> Chosen:
    """What the command line names; a time without offset is in the zone of the spec."""
    return Chosen(tuple(only), prefix, parse(since, None, specs.load(root, name).timezone or "UTC").since)


def undo(
    root: Path, env: str, name: str, chosen: Chosen, listing: bool, versions: bool, dry_run: bool, printer: Printer
) -> Exit:
    """Delete the objects and the rows of a batch; killed in between, the next call does the rest."""
    if not chosen:
        raise UsageError("files undo: would take back every file; give --only, --prefix or --since")
    if listing and not chosen.prefix:
        raise UsageError("files undo: --list takes what no row names below a prefix; give --prefix")
    environment, spec = environments.load(root, env), specs.load(root, name)
    with looking(environment, spec, writes=not dry_run):
        move = move_of(environment, spec)
        store, dataset = stores.opened(move.block.to), environment.dataset(dataset_name(spec))
        with open_warehouse(environment, dataset) as warehouse:
            book = Book(warehouse, move)
            tell_unknown(book, chosen.only)
            batch = _batch(book, store, chosen, listing, versions)
        others = named_by_others(environment, spec, move, store, batch.keys)
        with open_warehouse(environment, dataset) as warehouse:
            book = Book(warehouse, move)
            batch = _without(others, book, batch)
            for key in batch.keys:
                store.check(key)
            if gone := book.released([id for id, _ in batch.rows]):
                raise UsageError(
                    f"files undo: {len(gone)} of these files are deleted at their source, and their objects are the "
                    f"last there are; leave them out, e.g. {min(gone)}"
                )
            if not dry_run:
                _take_back(book, store, batch)
    _tell(name, batch, dry_run, printer)
    if store.hides and batch.keys and not (versions or dry_run):
        LOGGER.warning("%s: versions of deleted objects may stay in %s, hidden; %s", name, move.block.to, FOR_GOOD)
    return Exit.OK


def _batch(book: Book, store: Store, chosen: Chosen, listing: bool, versions: bool) -> Batch:
    rows = [*((receipt.id, receipt.key) for receipt in book.receipts(chosen)), *book.failed(chosen)]
    ids, mine = {id for id, _ in rows}, {*rows}
    rows += [row for row in book.failed(Chosen()) if row[0] in ids and row not in mine]
    if not (listing and chosen.prefix):
        return Batch(rows, [], versions)
    known = {receipt.key for receipt in book.receipts(Chosen(prefix=chosen.prefix))} | {key for _, key in rows}
    there = store.versions(chosen.prefix) if versions else store.listed(chosen.prefix)
    orphans = [key for key in sorted({each.key for each in there} - known) if not _is_misleading(store, key)]
    return Batch(rows, orphans, versions)


def _without(others: Named, book: Book, batch: Batch) -> Batch:
    """The batch without objects that other rows name, of this spec or another: they stay."""
    gone = {id for id, _ in batch.rows}
    named = {**others, **{key: id for id, key in book.naming(batch.keys) if id not in gone}}
    for key in batch.keys:
        if key in named:
            LOGGER.warning("left as it is: %s: %s names it, too", key, named[key])
    mine = [(id, None if key in named else key) for id, key in batch.rows]
    return Batch(mine, [key for key in batch.orphans if key not in named], batch.versions)


def _is_misleading(store: Store, key: str) -> bool:
    """Whether an object cannot be asked for, which is told."""
    try:
        store.check(key)
    except Misleading as wrong:
        LOGGER.warning("left as it is: %s", wrong)
        return True
    return False


def _take_back(book: Book, store: Store, batch: Batch) -> None:
    delete = partial(stores.erase, store) if batch.versions and store.hides else store.delete
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for some in parts(batch.rows):
            list(pool.map(delete, [key for _, key in some if key]))
            book.remove([id for id, _ in some])
        list(pool.map(delete, batch.orphans))


def _tell(name: str, batch: Batch, dry_run: bool, printer: Printer) -> None:
    printer.document(
        {"spec": name, "dry_run": dry_run, "objects": batch.keys, "rows": [id for id, _ in batch.rows]},
    )
    printer.lines(f"- {key}" for key in batch.keys)
    done = "would be deleted" if dry_run else "deleted"
    printer.lines([f"{name}: {counted(len(batch.keys), 'object')} and {counted(len(batch.rows), 'row')} {done}"])
