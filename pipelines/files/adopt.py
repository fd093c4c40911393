"""`etl files adopt`: files that an older program has stored or fetched get their receipts; nothing is fetched again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import dlt

from pipelines import environment as environments
from pipelines.build import dataset_name
from pipelines.environment import Environment
from pipelines.errors import Exit, UsageError
from pipelines.files import stores
from pipelines.files.adoptable import Candidate, NotAdopted, in_records, in_store, in_table
from pipelines.files.book import Book, Chosen
from pipelines.files.declared import Move
from pipelines.files.receipts import is_due, source_of
from pipelines.files.stores import QUARANTINE
from pipelines.files.tables import heal, prepare
from pipelines.files.verbs import looking, move_of
from pipelines.files.work import Tables
from pipelines.printing import Printer, counted
from pipelines.specs import spec as specs
from pipelines.specs.spec import Spec
from pipelines.warehouse import Warehouse, open_warehouse
from pipelines.working import LOADER_FORMAT, synced

AT_ONCE = 32
Row = dict[str, Any]


@dataclass(frozen=True)
class Old:
    """Where an older program has left its files: one of a table, its records with folders, a prefix of the bucket."""

    table: str | None = None
    records: Path | None = None
    folders: tuple[Path, ...] = ()
    prefix: str | None = None

    def check(self) -> None:
        """Refuse what names no place, or more than one."""
        given = [self.table, self.records, self.prefix]
        if sum(each is not None for each in given) != 1 or (self.records is None) != (not self.folders):
            raise UsageError(
                "files adopt: name one place: --table TABLE, --records FILE with --folder FOLDER, or --prefix PREFIX"
            )
        if (self.prefix or "").startswith(f"{QUARANTINE}/"):
            raise UsageError("files adopt: what is in quarantine is no whole file; name another prefix")


@dataclass
class Adopted:
    """What became of the files that were found."""

    ids: list[str] = field(default_factory=list)
    bytes: int = 0
    refused: dict[str, str] = field(default_factory=dict)


def adopt(root: Path, env: str, name: str, old: Old, dry_run: bool, printer: Printer) -> Exit:
    """Write receipts of what verifies; PARTIAL when something does not, which is printed with its reason."""
    old.check()
    environment, spec = environments.load(root, env), specs.load(root, name)
    with looking(environment, spec, writes=not dry_run, resumes=True):
        adoption = _Adoption(environment, spec, dry_run)
        adopted = adoption.run(old)
    printer.document(
        {"spec": name, "dry_run": dry_run, "adopted": adopted.ids, "bytes": adopted.bytes, "refused": adopted.refused}
    )
    printer.lines(f"! {place}: {reason}" for place, reason in adopted.refused.items())
    done = "would be adopted" if dry_run else "adopted"
    printer.lines(
        [f"{name}: {counted(len(adopted.ids), 'file')} {done}, {len(adopted.refused)} not; nothing was fetched"]
    )
    return Exit.PARTIAL if adopted.refused else Exit.OK


class _Adoption:
    """The files of one spec on their way to receipts."""

    def __init__(self, environment: Environment, spec: Spec, dry_run: bool) -> None:
        self._environment, self._spec, self._dry_run = environment, spec, dry_run
        self._move, self._dataset = move_of(environment, spec), environment.dataset(dataset_name(spec))
        self._pipeline = None if dry_run else self._opened()

    def run(self, old: Old) -> Adopted:
        """Look at what is there, many at once, and record what is well."""
        adopted = Adopted()
        with self._warehouse() as warehouse:
            if self._pipeline and is_due(self._pipeline, self._environment, self._spec.name, self._move):
                prepare(warehouse, self._move)
            candidates = list(self._candidates(warehouse, old))
        rest = iter(candidates)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while some := list(islice(rest, self._move.block.checkpoint)):
                outcomes = pool.map(_checked, some)
                self._record(list(_sorted(some, outcomes, self._move, adopted)))
        return adopted

    def _candidates(self, warehouse: Warehouse, old: Old) -> Iterator[Candidate]:
        book, store = Book(warehouse, self._move), stores.opened(self._move.block.to)
        if old.table is not None:
            dataset, _, table = old.table.rpartition(".")
            mine = (dataset or self._dataset, table) == (self._dataset, self._move.block.table)
            if mine and not self._dry_run:
                heal(book)
            return in_table(book, store, table, dataset or self._dataset, mine)
        items = self._move.files.items(Tables(warehouse, self._move).unrecorded())
        if old.records is not None:
            return in_records(self._move.files, store, items, old.records, old.folders, self._dry_run)
        known = {receipt.key for receipt in book.receipts(Chosen(prefix=old.prefix))}
        return in_store(self._move.files, store, items, str(old.prefix), known)

    def _record(self, rows: list[Row]) -> None:
        if self._pipeline and rows:
            self._pipeline.extract(
                source_of(self._spec.name, self._move, rows, []), loader_file_format=LOADER_FORMAT
            )  # fmt: skip
            self._pipeline.normalize()
            self._pipeline.load()

    def _opened(self) -> dlt.Pipeline:
        pipeline = synced(self._environment, self._spec)
        if self._spec.name not in pipeline.schema_names:
            words = f"{self._spec.name} --env {self._environment.name}"
            raise UsageError(
                f"{self._spec.name}: its lists are not loaded yet, so nobody knows what is to be found; "
                f"load them without moving a file: etl fetch {words} && etl ingest {words}"
            )
        return pipeline

    def _warehouse(self) -> Any:
        return open_warehouse(self._environment, self._dataset)


def _checked(candidate: Candidate) -> Row | NotAdopted:
    try:
        return candidate.receipt()
    except NotAdopted as refusal:
        return refusal


def _sorted(
    candidates: list[Candidate], outcomes: Iterator[Row | NotAdopted], move: Move, adopted: Adopted
) -> Iterator[Row]:
    """The receipts of what verified; the others are noted with their reasons."""
    for candidate, outcome in zip(candidates, outcomes, strict=True):
        if isinstance(outcome, NotAdopted):
            adopted.refused[candidate.place] = str(outcome)
        else:
            adopted.ids.append(str(outcome[move.files.identity]))
            adopted.bytes += int(outcome.get(move.files.named.bytes) or 0)
            yield outcome
