"""The second half of a run: the files that loaded rows name are moved, and receipts say so.

A kill loses nothing. What is stored and not yet recorded stands in the journal of this machine; `_etl.transfers` says
that a run has not come to its end, so that one on another machine asks the store for each file before it moves it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

from pipelines.errors import EtlError, TryLater
from pipelines.files import stores
from pipelines.files.audio import Sound, Suspicious, agrees, inspect
from pipelines.files.declared import Move, moves_of
from pipelines.files.journal import Journal, Left, journal, journal_of, read
from pipelines.files.listing import Listing
from pipelines.files.mover import Moved, Mover, NotMoved, Outcome, Settings
from pipelines.files.receipts import Receipts, Row, failure_of
from pipelines.files.stores import Misleading, Refusal, Store, Weather
from pipelines.files.tally import Tally
from pipelines.files.transfer import why_unfit
from pipelines.files.work import Tables, Wanted, Work, tables_of
from pipelines.ledger import Transfer
from pipelines.load import Load
from pipelines.logs import LOGGER
from pipelines.order import Order, bytes_per_second
from pipelines.specs.types import Moves
from sources.kit.files import FileItem, Stored

CHECKPOINT_SECONDS = 60.0
ASKED_AT_ONCE = 8
SWITCH_SECONDS = 0.0005  # a tenth of what Python takes by itself
UNKNOWN = "no row has this name; look for it in {}"


def move_files(load: Load) -> None:
    """Move the files that an order is about; the report tells what became of them."""
    moves = moves_of(load.environment.root, load.spec, load.order)
    unknown = set(load.order.only)
    for move in moves:
        with load.timed(f"files of {move.resource}"):
            unknown -= _Phase(load, move).run()
    tables = ", ".join(move.table for move in moves)
    for name in sorted(unknown):
        load.report.failed_items.append({"resource": tables, "item": name, "reason": UNKNOWN.format(tables)})


class _Phase:
    """The files of one resource in one run."""

    def __init__(self, load: Load, move: Move) -> None:
        self.load, self.move = load, move
        self.dataset, self.ledger, self.report = load.report.dataset, load.ledger, load.report
        self.folder = load.environment.state_dir / "files"
        self.journal_file = journal_of(load.environment, load.spec.name, move.resource)
        self.receipts = Receipts(load, move)
        self.wanted = Wanted(load.order, load.window, datetime.now(UTC))
        self.tally = self.report.files.setdefault(move.resource, Tally())

    def run(self) -> set[str]:
        """Move what is due; which of the names that were asked for this resource has."""
        left = read(self.journal_file)
        self.receipts.prepare()
        before = self.ledger.transfer(self.dataset, self.move.resource)
        self.receipts.record(left.receipts.values(), [])
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.folder) as file:
            work, known = self._look(file, left)
            listing = Listing(self.move, work, self.tally, self.load.order.next_files)
            if before or left.intents or left.receipts or listing.refused or not listing.is_empty:
                self._move(listing, left, left.is_short_of(before))
            else:
                self.journal_file.unlink(missing_ok=True)
        return known

    def _look(self, file: IO[bytes], left: Left) -> tuple[Work, set[str]]:
        """Find what is due, and which intents are settled; which names this resource has."""
        with self._tables() as tables:
            for id in tables.recorded(left.intents):
                del left.intents[id]
            self.tally.left_alone = tables.left_alone(self.wanted)
            self.tally.stored_before = tables.stored(self.load.order.only)
            return tables.due(self.wanted, file), tables.named(self.load.order.only)

    def _move(self, listing: Listing, left: Left, in_doubt: bool) -> None:
        """Move what is listed, while the warehouse and a journal say that it goes on."""
        left.receipts.clear()
        store = stores.opened(self.move.block.to)
        with journal(self.journal_file, self.move.files, left, self.report.run_id) as journal_:
            spec, resource, run_id = self.load.spec.name, self.move.resource, self.report.run_id
            self.ledger.begin_transfer(Transfer(spec, self.dataset, resource, run_id, int(in_doubt), self.wanted.now))
            transfer = _Transfer(self, store, journal_, listing, in_doubt)
            try:
                transfer.run()
            finally:
                if transfer.is_recorded:
                    self._end(
                        journal_, store, still_in_doubt=in_doubt and not (transfer.is_through and self.wanted.is_whole)
                    )

    def _end(self, journal_: Journal, store: Store, still_in_doubt: bool) -> None:
        """Drop the failures of what is stored by now, and what says that files are moved where no doubt is left."""
        with self._tables() as tables:
            tables.drop_repaired(left=self._not_deleted(store, tables.repaired()))
        if not still_in_doubt and not journal_.in_doubt:
            self.ledger.end_transfer(self.dataset, self.move.resource)
            journal_.remove()

    def _not_deleted(self, store: Store, keys: list[str]) -> list[str]:
        """Delete what was in quarantine; what the store keeps is still named by its row, so that `erase` finds it."""
        left = []
        for number, key in enumerate(keys):
            try:
                store.delete(key)
            except Misleading as wrong:
                self.report.warnings.append(f"{key}: not deleted: {wrong}")
                left.append(key)
            except (Weather, Refusal, EtlError) as trouble:
                self.report.warnings.append(f"{key}: not deleted: {trouble}; a later run tries again")
                return left + keys[number:]
        return left

    def _tables(self) -> AbstractContextManager[Tables]:
        return tables_of(self.load.environment, self.dataset, self.move)


class _Transfer:
    """Files on their way, and what becomes of them."""

    def __init__(self, phase: _Phase, store: Store, journal: Journal, listing: Listing, in_doubt: bool) -> None:
        self.load, self.move, self.report, self.tally = phase.load, phase.move, phase.report, phase.tally
        self.receipts, self.journal, self.listing, self.in_doubt = phase.receipts, journal, listing, in_doubt
        self.store, self.intents = store, journal.in_doubt
        self.settings = settings_of(phase.load.order, self.move.block, phase.folder / "spool" / phase.load.spec.name)
        self.failures: list[Row] = []
        self.begun = self.committed = time.monotonic()
        self.is_through = self.is_recorded = False
        self.in_vain, self.trouble = 0, ""

    def run(self) -> None:
        """Move all of it; what was moved is recorded, however it ends."""
        mover = Mover(self.store, self.settings, self.journal, inspect)
        try:
            with closing(mover.move(self._not_stored(), self._quiet)) as outcomes:
                for outcome in outcomes:
                    self._note(outcome)
                    self._went_on()
            for outcome in self.listing.refused:
                self._note(outcome)
            self.is_through = True
        finally:
            self.tally.seconds = time.monotonic() - self.begun
            self._commit()
            self.is_recorded = True
        if self.in_vain and not self._got_anywhere:
            raise TryLater(f"no file got through, the last of {self.in_vain}: {self.trouble}; run again later")

    @property
    def _got_anywhere(self) -> bool:
        """Whether a file was stored, or refused for what it is rather than for the weather."""
        tally = self.tally
        return bool(tally.moved or tally.found or tally.quarantined or tally.failed > self.in_vain)

    def _not_stored(self) -> Iterator[FileItem]:
        """The files that the store has not; where it has one that is in doubt, that is its receipt."""
        items = iter(self.listing)
        if not (self.in_doubt or self.intents):
            yield from items
            return
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            while batch := list(islice(items, ASKED_AT_ONCE)):
                for item, stored in zip(batch, pool.map(self._found, batch), strict=True):
                    if stored is None:
                        yield item
                    else:
                        self.journal.stored(item, stored)
                        self.tally.found += 1
                        self._went_on()

    def _found(self, item: FileItem) -> Stored | None:
        """The object of an item, where a run that died has stored it."""
        intent = self.intents.get(item.id)
        if (intent is None and not self.in_doubt) or why_unfit(item.key):
            return None
        try:
            head = self.store.head(item.key)
        except Weather as trouble:
            raise TryLater(f"{self.move.block.to}: {trouble}; run again later") from trouble
        if head is None or head.sha256 is None or head.source_id not in (None, item.id):
            return None
        told = [(item.sha256, head.sha256), (item.bytes, head.bytes), (intent and intent.sha256, head.sha256)]
        if any(expected is not None and expected != there for expected, there in told):
            return None
        sound = head.sound or self._inspected(item)
        if sound is None or not agrees(sound, item.seconds):
            return None
        return Stored(
            item.key, head.bytes, head.sha256, head.content_type or sound.content_type, datetime.now(UTC), head.etag,
            head.version, sound.codec, sound.seconds, sound.sample_rate, sound.channels,
        )  # fmt: skip

    def _inspected(self, item: FileItem) -> Sound | None:
        """What an object is whose store has not written it down, or None when it is not what it should be."""
        try:
            return inspect(memoryview(self.store.read(item.key) if item.media != "any" else b""), item.media)
        except Suspicious:
            return None

    def _note(self, outcome: Outcome) -> None:
        match outcome:
            case Moved(_, stored):
                self.tally.moved += 1
                self.tally.bytes += stored.bytes
            case NotMoved(item, kind, reason):
                prior, now = self.listing.prior(item), datetime.now(UTC)
                self.failures.append(failure_of(outcome, prior, self.move, self.report.run_id, now))
                self.tally.quarantined += kind == "quarantined"
                self.tally.failed += kind != "quarantined"
                if kind == "transient":
                    self.in_vain, self.trouble = self.in_vain + 1, reason
                told = f"{reason} ({self.move.files.told(item.row)})" if self.move.files.told else reason
                self.report.failed_items.append({"resource": self.move.resource, "item": item.id, "reason": told})

    def _quiet(self, waits: str) -> None:
        """Say what a run waits for in which nothing ends."""
        if waits:
            LOGGER.info("%s: %s", self.move.resource, waits)
        self.load.progress.say("files", lambda: self._told(waits))

    def _went_on(self) -> None:
        """Say how far it is, and load receipts when there are many, or it is time."""
        self.load.progress.say("files", self._told)
        many = self.journal.unrecorded + len(self.failures) >= self.move.block.checkpoint
        if many or time.monotonic() - self.committed >= CHECKPOINT_SECONDS:
            self._commit()

    def _told(self, waits: str = "") -> tuple[str, dict[str, Any]]:
        """How far it is."""
        tally = self.tally
        tally.seconds = time.monotonic() - self.begun
        percent = round(100 * tally.done / tally.due, 1) if tally.due else None
        told = f"{self.move.resource}: {tally.done:,} of {tally.due:,}, {tally.line()}"
        return "; ".join(filter(None, (told, waits))), {
            "done": tally.done, "total": tally.due, "percent": percent, "bytes": tally.bytes,
            "eta_seconds": tally.seconds_left(),
        }  # fmt: skip

    def _commit(self) -> None:
        """Record what is stored and what failed."""
        receipts = self.journal.receipts()
        with _transfers_first():
            self.receipts.record(receipts.values(), self.failures)
        self.journal.forget(receipts)
        self.failures = []
        self.committed = time.monotonic()


@contextmanager
def _transfers_first() -> Iterator[None]:
    """Let transfers interrupt what is done in Python: libcurl calls back a dozen times a file, each waits its turn."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def settings_of(order: Order, block: Moves, spool: Path) -> Settings:
    """How to move: the command line before the spec."""
    rate = order.bwlimit or block.bwlimit
    return Settings(
        spool=spool,
        transfers=order.transfers or block.transfers,
        bwlimit=bytes_per_second(rate) if rate else None,
        tries=block.tries if order.max_retry is None else order.max_retry + 1,
        per_host=block.per_host,
    )
