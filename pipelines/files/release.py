"""`etl files release`: files that are stored for sure are deleted at their source, which no other command does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pipelines import environment as environments
from pipelines.build import dataset_name
from pipelines.errors import Exit, UsageError
from pipelines.files import stores
from pipelines.files.book import Book, Chosen, Row, parts
from pipelines.files.stores import Store
from pipelines.files.verbs import looking, move_of
from pipelines.files.verify import compared
from pipelines.printing import Printer, counted
from pipelines.specs import spec as specs
from pipelines.warehouse import open_warehouse
from sources.kit.files import Release

AT_ONCE = 4  # at the source, whose limits nobody knows


@dataclass
class Batch:
    """What became of the files that were chosen: deleted at their source, or left there for a reason, by id."""

    released: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


def release(root: Path, env: str, name: str, chosen: Chosen, dry_run: bool, printer: Printer) -> Exit:
    """Delete files at their source whose objects are as their receipts say; PARTIAL where some are left."""
    if not chosen:
        raise UsageError("files release: would delete every file at its source; give --only, --prefix or --since")
    environment, spec = environments.load(root, env), specs.load(root, name)
    with looking(environment, spec, writes=not dry_run):
        move = move_of(environment, spec)
        if move.files.release is None:
            raise UsageError(f"{name}: its source keeps its files; there is nothing to release")
        with open_warehouse(environment, environment.dataset(dataset_name(spec))) as warehouse:
            book, batch = Book(warehouse, move), Batch()
            rows = _verified(book, stores.opened(move.block.to), chosen, move.files.release.column, batch)
            for some in parts(rows):
                _release(book, move.files.release, some, dry_run, batch)
    _tell(name, batch, dry_run, printer)
    return Exit.PARTIAL if batch.left else Exit.OK


def _verified(book: Book, store: Store, chosen: Chosen, column: str, batch: Batch) -> list[Row]:
    """The receipts that are chosen and not released yet, and whose objects are as they say."""
    found = list(compared(store, book.receipts(chosen), set(), ()))
    batch.left |= {str(one.id): f"{one.key} {one.what}" for one in found if one.sign != "="}
    good = {one.id for one in found if one.sign == "="}
    rows = (row for row in book.rows() if str(row[book.files.identity]) in good)
    return [row for row in rows if row.get(column) is None]


def _release(book: Book, release: Release, rows: list[Row], dry_run: bool, batch: Batch) -> None:
    """Delete some files at their source, and write down which are gone before an error is raised."""
    ids = [str(row[book.files.identity]) for row in rows]
    if dry_run:
        batch.released += ids
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = {id: pool.submit(release.delete, row) for id, row in zip(ids, rows, strict=True)}
    gone = [id for id, told in asked.items() if told.exception() is None and told.result() is None]
    book.mark_now(release.column, gone)
    batch.released += gone
    batch.left |= {id: reason for id, told in asked.items() if (reason := told.result()) is not None}


def _tell(name: str, batch: Batch, dry_run: bool, printer: Printer) -> None:
    printer.document({"spec": name, "dry_run": dry_run, "released": batch.released, "left": batch.left})
    printer.lines(f"{id}: left at its source: {reason}" for id, reason in batch.left.items())
    done = "would be deleted" if dry_run else "deleted"
    printer.lines(
        [f"{name}: {counted(len(batch.released), 'file')} {done} at the source, {len(batch.left)} left there"]
    )
