"""What the commands on files that are moved already share: whose files, under which lock and settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ulid import ULID

from pipelines.build import moves
from pipelines.environment import Environment
from pipelines.errors import EtlError, SettingError, TryLater, UsageError
from pipelines.files.book import Book
from pipelines.files.declared import Move, moves_of
from pipelines.files.journal import all_left
from pipelines.files.stores import Misleading, Refusal, Weather
from pipelines.lock import held
from pipelines.logs import LOGGER
from pipelines.order import Order, settle
from pipelines.resume import waits
from pipelines.specs.spec import Spec
from pipelines.translate import told_of


@contextmanager
def looking(environment: Environment, spec: Spec, writes: bool, resumes: bool = False) -> Iterator[None]:
    """The settings of a spec in force; its lock held, if something is to be changed.

    `resumes`: a load package that waits is loaded first.
    """
    if environment.duckdb_file and not environment.duckdb_file.exists():
        raise UsageError(f"{environment.duckdb_file.name}: is not there yet; load something first with etl run")
    with told_of(spec.name), store_told(spec.name):
        settle(environment, spec, Order(), read_only=not writes)
        if not writes:
            yield
            return
        with held(environment, spec.lock, str(ULID())):
            _refuse_unrecorded(environment, spec.name, resumes)
            yield


def _refuse_unrecorded(environment: Environment, name: str, resumes: bool) -> None:
    """Stop where the next run writes rows of what a killed one has stored: it would undo what is done to them."""
    run = f"etl run {name} --env {environment.name}"
    if not resumes and waits(environment.state_dir, name):
        drop = f"etl state reset {name} --pending --env {environment.name}"
        raise EtlError(f"{name}: a load package waits, whose rows the next run writes; first {run}, or drop it: {drop}")
    if any(left.receipts for left in all_left(environment, name)):
        raise EtlError(f"{name}: a run that died has stored files whose rows the next one writes; first {run}")


@contextmanager
def store_told(name: str) -> Iterator[None]:
    """What a store of a spec says in the words of the program."""
    try:
        yield
    except Weather as trouble:
        raise TryLater(f"{name}: its store did not answer well: {trouble}; run the command again") from trouble
    except Misleading as wrong:
        raise EtlError(f"{name}: {wrong}") from wrong
    except Refusal as refused:
        raise EtlError(f"{name}: its store refuses: {refused}; check the rights of its key") from refused


def tell_unknown(book: Book, only: Sequence[str]) -> bool:
    """Whether some files that are named are not known here, which is told of each."""
    unknown = book.unknown(only)
    for name in unknown:
        LOGGER.warning("%s: no file that was moved, or failed, has this name", name)
    return bool(unknown)


def move_of(environment: Environment, spec: Spec) -> Move:
    """The files of a spec that moves those of one resource."""
    if not moves(spec):
        raise UsageError(f"{spec.name}: moves no files; see files: in docs/spec.md")
    found = moves_of(environment.root, spec, Order(), outlined=True)
    if len(found) != 1:
        raise UsageError(f"{spec.name}: moves the files of {len(found)} resources; these commands know specs of one")
    if found[0].block.to not in environment.buckets:
        raise SettingError(
            f"{spec.name}: its files go to {found[0].block.to}; add [{environment.name}.{found[0].block.to}]"
        )
    return found[0]
