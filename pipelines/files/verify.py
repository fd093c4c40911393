"""`etl files verify`: what receipts say against what is in the store, and what is wrong set right."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Any, Literal

from pipelines import environment as environments
from pipelines.build import dataset_name
from pipelines.environment import Environment
from pipelines.errors import Exit
from pipelines.files import stores
from pipelines.files.audio import agrees, inspect
from pipelines.files.book import Book, Chosen, Receipt, parts
from pipelines.files.declared import Move
from pipelines.files.neighbours import named_by_others
from pipelines.files.sound import Suspicious
from pipelines.files.stores import QUARANTINE, Head, Misleading, Remnant, Store
from pipelines.files.verbs import looking, move_of, tell_unknown
from pipelines.files.work import Tables
from pipelines.logs import LOGGER
from pipelines.printing import Printer
from pipelines.specs import spec as specs
from pipelines.warehouse import open_warehouse
from sources.kit.files import FileItem

AT_ONCE = 32
PER_LISTING = 1000
SIGNS = {  # with what they mean of one and of many
    "=": ("as its row says", "as their rows say"),
    "+": ("row without its object", "rows without their object"),
    "-": ("object without a row", "objects without a row"),
    "*": ("object that differs from its row", "objects that differ from their rows"),
}
UNFINISHED = "was begun and is not finished, by a run that died or goes on"
Mend = Literal["move again", "write its hash", "read it", "take it away"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One object or row; `mend` is what sets it right, None where nothing here does."""

    sign: str
    key: str
    id: str | None = None
    what: str = ""
    mend: Mend | None = None
    head: Head | None = None
    sha256: str | None = None
    """The hash that its row has."""
    remnant: Remnant | None = None

    def __str__(self) -> str:
        return f"{self.sign} {self.key}{': ' if self.what else ''}{self.what}"

    def as_dict(self) -> dict[str, Any]:
        return {"sign": self.sign, "key": self.key, "id": self.id, "what": self.what}


@dataclass
class Mended:
    """What was set right, by the ids of files, and what nobody can."""

    again: list[str]
    hashes: dict[str, tuple[int, str]]
    left: int
    taken: int = 0
    """Unfinished ones that are gone now."""

    def __str__(self) -> str:
        taken = f"{self.taken} unfinished taken away, " if self.taken else ""
        hashes = f"{len(self.hashes)} hash{'' if len(self.hashes) == 1 else 'es'}"
        again = f"{len(self.again)} will be moved again, {hashes} written"
        return f"{again}, {taken}{self.left} left as they are"


def verify(root: Path, env: str, name: str, chosen: Chosen, listing: bool, fix: bool, printer: Printer) -> Exit:
    """Print how receipts and objects differ; CHECKS while they do, PARTIAL where a file that is named is not known."""
    environment, spec = environments.load(root, env), specs.load(root, name)
    with looking(environment, spec, writes=fix):
        move = move_of(environment, spec)
        dataset = environment.dataset(dataset_name(spec))
        with open_warehouse(environment, dataset) as warehouse:
            book = Book(warehouse, move)
            receipts, is_short = book.receipts(chosen), tell_unknown(book, chosen.only)
            known = {receipt.key for receipt in (book.receipts(Chosen()) if chosen and listing else receipts)}
        prefixes = _prefixes(known, chosen.prefix) if listing else []
        if listing and not prefixes:
            LOGGER.warning("%s: no row names an object, so --list knows no folder; give --prefix", name)
        _tell_cost(move, len(receipts), prefixes)
        store = stores.opened(move.block.to)
        found = [*compared(store, receipts, known, prefixes), *_unfinished(store, prefixes)]
        strays = [each.key for each in found if each.sign == "-"]
        others = named_by_others(environment, spec, move, store, strays)
        found = [each for each in found if each.sign != "-" or each.key not in others]
        mended = _mend(environment, dataset, move, store, found) if fix else None
    _tell(name, found, mended, printer, bool(prefixes))
    wrong = sum(finding.sign != "=" for finding in found)
    if mended.left if mended else wrong:
        return Exit.CHECKS
    return Exit.PARTIAL if is_short else Exit.OK


def compared(store: Store, receipts: Sequence[Receipt], known: set[str], prefixes: Sequence[str]) -> Iterator[Finding]:
    """Each receipt with its object; then, where prefixes are listed, the objects there that no receipt knows."""
    listed = {head.key: head for prefix in prefixes for head in store.listed(prefix)}

    def head_of(receipt: Receipt) -> Head | Misleading | None:
        head = listed.get(receipt.key)
        try:
            store.check(receipt.key)
            return head if head and head.bytes != receipt.bytes else store.head(receipt.key)
        except Misleading as wrong:
            return wrong

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for receipt, head in zip(receipts, pool.map(head_of, receipts), strict=True):
            yield judged(receipt, head)
    for key in sorted(listed.keys() - known):
        if not key.startswith(f"{QUARANTINE}/"):
            yield Finding("-", key, what="no row names it")


def _unfinished(store: Store, prefixes: Sequence[str]) -> Iterator[Finding]:
    """What runs that died have left of objects they were about to store."""
    for prefix in (*prefixes, *(f"{QUARANTINE}/{prefix}" for prefix in prefixes)):
        for remnant in store.unfinished(prefix):
            yield Finding("-", remnant.key, what=UNFINISHED, mend="take it away", remnant=remnant)


def judged(receipt: Receipt, head: Head | Misleading | None) -> Finding:
    """How an object compares with its row, whose key may lead to the object of another."""
    if head is None or isinstance(head, Misleading):
        why = head.why if head else "is not there"
        return Finding("+", receipt.key, receipt.id, why, "move again")
    what, mend = _wrong(receipt, head) or ("", None)
    return Finding("*" if what else "=", receipt.key, receipt.id, what, mend, head, receipt.sha256)


def _wrong(receipt: Receipt, head: Head) -> tuple[str, Mend] | None:
    if receipt.bytes is not None and head.bytes != receipt.bytes:
        return f"has {head.bytes} bytes, its row says {receipt.bytes}", "move again"
    if receipt.sha256 is None:
        return "its row has no hash", "write its hash" if head.sha256 else "read it"
    if head.sha256 is not None:
        return None if head.sha256 == receipt.sha256 else ("its bytes have another hash", "move again")
    if receipt.etag is None or head.etag is None:
        return "tells no hash, so somebody else stored it", "read it"
    return None if _bare(head.etag) == _bare(receipt.etag) else ("somebody else stored it since", "read it")


def _bare(etag: str) -> str:
    return etag.strip('"')


def _prefixes(keys: Iterable[str], given: str | None) -> list[str]:
    """What to list: what was asked for, or the folders at the top that the keys of receipts are in."""
    return [given] if given else sorted({f"{key.split('/')[0]}/" for key in keys if "/" in key})


def _tell_cost(move: Move, receipts: int, prefixes: Sequence[str]) -> None:
    """What a bucket will bill; a folder is read whole instead."""
    lists = max(1, ceil(receipts / PER_LISTING)) + 2 * len(prefixes)
    listings = f", {lists} or more lists (class C)" if prefixes else ""
    LOGGER.info("%s: asks %s for %s objects (class B)%s", move.resource, move.block.to, receipts, listings)


def _mend(environment: Environment, dataset: str, move: Move, store: Store, found: Sequence[Finding]) -> Mended:
    """Let what is missing or wrong be moved again, and write the hashes that rows lack."""
    mended, wrong = Mended([], {}, 0), [finding for finding in found if finding.sign != "="]
    with open_warehouse(environment, dataset) as warehouse:
        book, ids = Book(warehouse, move), [finding.id for finding in wrong if finding.id]
        items, released = book.items(ids), book.released(ids)
    for finding in wrong:
        _sort(store, finding, items, mended)
    stuck = {id for id in mended.again if id not in items or id in released}
    for id in sorted(stuck):
        why = "it is deleted at its source" if id in released else f"no row of {move.table} names it"
        LOGGER.warning("%s: %s, so no run can move it again", id, why)
    mended.again, mended.left = [id for id in mended.again if id not in stuck], mended.left + len(stuck)
    with open_warehouse(environment, dataset) as warehouse:
        book = Book(warehouse, move)
        book.reopen(mended.again)
        book.complete(mended.hashes)
        for some in parts(mended.again):
            Tables(warehouse, move).forgive(some, datetime.now(UTC))
    return mended


def _sort(store: Store, finding: Finding, items: Mapping[str, FileItem], mended: Mended) -> None:
    """Note what is to be done about a finding; an object of unknown content is read for it."""
    id, head = finding.id, finding.head
    if finding.remnant:
        try:
            store.erase(finding.remnant)
            mended.taken += 1
        except Misleading:
            mended.left += 1
    elif id is None or finding.mend is None:
        mended.left += 1
    elif finding.mend == "move again" or head is None:
        mended.again.append(id)
    elif head.sha256 is not None:
        mended.hashes[id] = (head.bytes, head.sha256)
    else:
        data = store.read(finding.key)
        sha256 = hashlib.sha256(data).hexdigest()
        if finding.sha256 in (None, sha256) and _sounds(data, items.get(id)):
            mended.hashes[id] = (len(data), sha256)
        else:
            mended.again.append(id)


def _sounds(data: bytes, item: FileItem | None) -> bool:
    """Whether bytes that nobody has verified are what their item should be."""
    try:
        return item is None or agrees(inspect(memoryview(data), item.media), item.seconds)
    except Suspicious:
        return False


def _tell(name: str, found: Sequence[Finding], mended: Mended | None, printer: Printer, listed: bool) -> None:
    """Objects without a row are counted where they were looked for."""
    counts = {sign: sum(finding.sign == sign for finding in found) if listed or sign != "-" else None for sign in SIGNS}
    printer.lines(str(finding) for finding in found if finding.sign != "=")
    printer.lines(f"{sign} {count} {SIGNS[sign][count != 1]}" for sign, count in counts.items() if count is not None)
    if mended:
        printer.lines([f"{name}: {mended}; the next run moves what is to be moved"])
    printer.document(
        {
            "spec": name,
            "counts": counts,
            "found": [finding.as_dict() for finding in found if finding.sign != "="],
            "mended": mended and vars(mended) | {"hashes": sorted(mended.hashes)},
        }
    )
