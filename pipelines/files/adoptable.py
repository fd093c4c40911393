"""What an older program has left of files: rows of its table, its records with folders, objects in the bucket."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.errors import UsageError
from pipelines.files.audio import agrees, inspect
from pipelines.files.bodies import Body
from pipelines.files.book import Book, Chosen
from pipelines.files.sound import Sound, Suspicious
from pipelines.files.stores import QUARANTINE, About, Head, Refusal, Store, Weather
from pipelines.files.transfer import why_unfit
from sources.kit.files import FileItem, Files, Kept, Stored

CHUNK = 2**20
UNKNOWN = "application/octet-stream"
Row = dict[str, Any]


class NotAdopted(Exception):
    """Why a file is left alone; the message is one line."""


@dataclass(frozen=True)
class Candidate:
    """A file that may be adopted: where it was found, and what gives its receipt once it is verified."""

    place: str
    receipt: Callable[[], Row]


def in_table(book: Book, store: Store, table: str, dataset: str, mine: bool) -> Iterator[Candidate]:
    """The rows of a table like that of the receipts; where it is that one, its rows with an object are."""
    files = book.files
    if files.recognise is None:
        raise UsageError(f"files adopt: the source does not know the rows of {dataset}.{table}; it has no `recognise`")
    known = set() if mine else {receipt.id for receipt in book.receipts(Chosen())}
    seen: dict[str, str] = {}
    found = False
    for row in book.rows(table, dataset):
        found, given = True, str(row.get(files.identity))
        place, identity = f"{table} {given}", files.recognise(row)
        if identity is None:
            yield Candidate(place, partial(_refuse, "is no row of a file"))
        elif identity in seen:
            yield Candidate(place, partial(_refuse, f"another row stands for its file: {seen[identity]}"))
        elif identity not in known:
            seen[identity] = given
            yield Candidate(place, partial(_of_row, files, store, {**row, files.identity: identity}))
    if not found:
        raise UsageError(f"files adopt: {dataset}.{table}: has no rows; name the table, as dataset.table if need be")


def in_records(
    files: Files, store: Store, items: Iterable[FileItem], records: Path, folders: Sequence[Path], dry_run: bool
) -> Iterator[Candidate]:
    """The files that an older program's own records say it fetched, in folders of this machine."""
    if files.kept is None:
        raise UsageError("files adopt: the source knows no records of an older program; it has no `kept`")
    listed, there = {item.id: item for item in items}, _by_name(folders)
    for kept in files.kept(records):
        paths = [path for name in kept.names for path in there.get(name, [])]
        receipt = partial(_of_file, files, store, listed.get(kept.id), kept, paths, dry_run)
        yield Candidate(f"{records.name} {kept.id}", receipt)


def in_store(
    files: Files, store: Store, items: Iterable[FileItem], prefix: str, known: set[str]
) -> Iterator[Candidate]:
    """The objects below a prefix that no receipt names: their keys tell what they are, or their metadata."""
    listed = {item.id: item for item in items}
    names = {item.id: files.alike(item.key) for item in listed.values()}
    times = Counter(names.values())
    by_name = {name: listed[id] for id, name in names.items() if times[name] == 1}
    for head in store.listed(prefix):
        if head.key not in known and not head.key.startswith(f"{QUARANTINE}/"):
            item = by_name.get(files.alike(head.key))
            yield Candidate(head.key, partial(_of_object, files, store, head, item, listed))


def _of_row(files: Files, store: Store, row: Row) -> Row:
    """The row, with what the store knows better."""
    named, key = files.named, row.get(files.named.key)
    if not key:
        raise NotAdopted("names no object; the next run moves its file")
    head = _there(store, key)
    told = {named.bytes: head.bytes, named.sha256: head.sha256}
    for column, there in told.items():
        if row.get(column) is not None and there is not None and row[column] != there:
            raise NotAdopted(f"its {column} is {row[column]}, that of the object {there}; see: etl files verify")
    whole = {**row, **{column: there for column, there in told.items() if there is not None}}
    return _with_etag(files, {name: _plain(files, name, value) for name, value in whole.items()}, head.etag)


def _of_object(files: Files, store: Store, listed: Head, item: FileItem | None, items: dict[str, FileItem]) -> Row:
    """The receipt of an object; its hash stays open where the store does not tell it."""
    head = _there(store, listed.key)
    item = items.get(head.source_id, item) if head.source_id else item
    if item is None or head.source_id not in (None, item.id):
        raise NotAdopted("no listed file without a receipt has this name")
    if not head.bytes or item.bytes not in (None, head.bytes):
        raise NotAdopted(f"has {head.bytes} bytes, its source says {item.bytes or 'more than none'}")
    if item.sha256 and head.sha256 and item.sha256 != head.sha256:
        raise NotAdopted("its bytes have another hash than its source says")
    sound = head.sound or _unsaid(store, head, item)
    stored = Stored(
        head.key, head.bytes, head.sha256 or "", sound.content_type, datetime.now(UTC), head.etag, head.version,
        sound.codec, sound.seconds, sound.sample_rate, sound.channels,
    )  # fmt: skip
    receipt = files.receipt(item, stored)
    return receipt if head.sha256 else {**receipt, files.named.sha256: None}


def _unsaid(store: Store, head: Head, item: FileItem) -> Sound:
    """What an object is that says nothing of itself; it is looked at where it was read for its hash, too."""
    if item.media == "any" or store.hides:
        return Sound(None, head.content_type or UNKNOWN)
    try:
        sound = inspect(memoryview(store.read(head.key)), item.media)
    except Suspicious as wrong:
        raise NotAdopted(wrong.reason) from wrong
    if not agrees(sound, item.seconds):
        raise NotAdopted(f"lasts {sound.seconds} s, its source says {item.seconds} s")
    return sound


def _of_file(
    files: Files, store: Store, item: FileItem | None, kept: Kept, paths: Sequence[Path], dry_run: bool
) -> Row:
    """The receipt of a file of this machine, which is stored unless it is there already."""
    if item is None:
        raise NotAdopted("no list names it, or it has a receipt")
    reasons = ["its file is in none of the folders"]
    for path in paths:
        with _read(path) as body:
            try:
                sound = _verified(body, item, kept)
            except Suspicious as wrong:
                reasons = [f"{path.name}: {wrong.reason}"]
                continue
            return files.receipt(item, _stored(store, item, body, sound, dry_run))
    raise NotAdopted(reasons[0])


def _verified(body: Body, item: FileItem, kept: Kept) -> Sound:
    for expected in (kept.bytes, item.bytes):
        if expected not in (None, body.size):
            raise Suspicious(f"has {body.size} bytes, {expected} are expected")
    if item.sha256 not in (None, body.sha256):
        raise Suspicious("its bytes have another hash than its source says")
    if not body.size:
        raise Suspicious("an empty file")
    with body.view() as data:
        sound = inspect(data, item.media)
    if not agrees(sound, item.seconds):
        raise Suspicious(f"lasts {sound.seconds} s, its source says {item.seconds} s")
    return sound


def _stored(store: Store, item: FileItem, body: Body, sound: Sound, dry_run: bool) -> Stored:
    if unfit := why_unfit(item.key):
        raise NotAdopted(f"its key {unfit}")
    head = store.head(item.key)
    etag, version = (head.etag, head.version) if head else (None, None)
    if not dry_run and (head is None or head.sha256 != body.sha256):
        try:
            put = store.put(item.key, body, About(sound.content_type, body.sha256, item.id, sound=sound))
        except (Weather, Refusal) as refused:
            raise NotAdopted(f"the store did not take it: {refused}") from refused
        etag, version = put.etag, put.version
    about = (sound.codec, sound.seconds, sound.sample_rate, sound.channels)
    return Stored(item.key, body.size, body.sha256, sound.content_type, datetime.now(UTC), etag, version, *about)


def _there(store: Store, key: str) -> Head:
    try:
        head = store.head(key)
    except Refusal as refused:
        raise NotAdopted(str(refused)) from refused
    if head is None:
        raise NotAdopted("its object is not there; etl files verify --fix has it moved again")
    return head


def _with_etag(files: Files, row: Row, etag: str | None) -> Row:
    """The row with the etag that the object has now, by which a change is noticed where no hash is told."""
    column, _, key = files.named.etag.partition(".")
    if etag is None or column not in files.columns:
        return row
    return {**row, column: {**(row.get(column) or {}), key: etag} if key else etag}


def _plain(files: Files, column: str, value: Any) -> Any:
    """A value as dlt takes it: JSON as what it says."""
    is_json = files.columns[column].get("data_type") == "json"
    return json.loads(value) if is_json and isinstance(value, str) else value


def _by_name(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """The files below some folders by their names, the same in every order of the disk."""
    found: dict[str, list[Path]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"--folder {folder}: is no folder; name the one with the audio files")
        for path in sorted(folder.rglob("*")):
            found.setdefault(path.name, []).append(path)
    return found


@contextmanager
def _read(path: Path) -> Iterator[Body]:
    """A file as the store takes it, hashed."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size, hash_ = 0, hashlib.sha256()
        while chunk := os.pread(descriptor, CHUNK, size):
            hash_.update(chunk)
            size += len(chunk)
        yield Body(descriptor, size, hash_.hexdigest()) if size else Body(memoryview(b""), 0, hash_.hexdigest())
    finally:
        os.close(descriptor)


def _refuse(reason: str) -> Row:
    raise NotAdopted(reason)
