"""What a run has stored and not yet recorded: a file on this machine that the next run goes on from.

A line is written before each PUT and one after it; those of several files go together, for each write is a turn that
another thread may take. Nothing waits for the disk: a killed process loses no line that was flushed, and after a power
cut the lines are of another boot, which `is_short_of` tells.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import orjson
from dlt.common import json
from dlt.common.json import custom_pua_encode

from pipelines.environment import Environment
from pipelines.ledger import Transfer
from sources.kit.files import FileItem, Files, Stored

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Intent:
    """An object that was about to be stored."""

    id: str
    key: str
    bytes: int
    sha256: str


@dataclass
class Left:
    """What a journal holds: receipts that no load has committed, objects in doubt, and the runs that wrote it."""

    receipts: dict[str, bytes] = field(default_factory=dict)
    """As JSON, the way dlt keeps rows, but for moments: as ISO 8601 they cost nothing to write, to read and to load."""
    intents: dict[str, Intent] = field(default_factory=dict)
    aside: set[str] = field(default_factory=set)
    """Keys of objects that the run, or the one that was killed, has put into quarantine."""
    runs: list[str] = field(default_factory=list)
    boot: str = ""

    def is_short_of(self, transfer: Transfer | None) -> bool:
        """Whether objects may be stored that it has no line of: by a run elsewhere, or before a power cut."""
        if transfer is None:
            return False
        return bool(transfer.in_doubt) or transfer.run_id not in self.runs or self.boot != boot()


def journal_of(environment: Environment, spec: str, resource: str) -> Path:
    """Where the journal of a resource is."""
    return environment.state_dir / "files" / f"{spec}.{resource}.jsonl"


def is_unrecorded(environment: Environment, spec: str) -> bool:
    """Whether a run of a spec has stored something, or may have, that no receipt in the warehouse names."""
    return any(left.receipts or left.intents for left in all_left(environment, spec))


def all_left(environment: Environment, spec: str) -> Iterator[Left]:
    """What the journals of all resources of a spec hold."""
    every = journal_of(environment, spec, "*")
    return map(read, every.parent.glob(every.name))


def read(path: Path) -> Left:
    """What a journal holds; a last line that was torn was not yet acted on, another hole leaves no run to trust."""
    left = Left()
    *lines, torn = _content(path).split(b"\n")
    taken = [_is_taken_in(left, line) for line in lines if line]
    if not all(taken):
        left.runs = []
    if torn:
        _is_taken_in(left, torn)
    return left


def _is_taken_in(left: Left, line: bytes) -> bool:
    """Take in a line if it is whole."""
    try:
        told = json.loadb(line)
        if "stored" in told:
            left.receipts[told["stored"]] = json.dumpb(told["receipt"])
            left.intents.pop(told["stored"], None)
        elif "intends" in told:
            left.intents[told["intends"]["id"]] = Intent(**told["intends"])
        elif "aside" in told:
            left.aside.add(told["aside"])
        elif "refused" in told:
            left.intents.pop(told["refused"], None)
        else:
            left.runs, left.boot = told["runs"], told["boot"]
    except (ValueError, TypeError, KeyError):
        return False
    return True


def boot() -> str:
    """What tells one start of this machine from the others."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return f"{time.time() - time.monotonic():.0f}"[:-1]


class _Receipts:
    """Receipts in one piece of memory: thousands of pieces between bodies of files would take ten times as much."""

    def __init__(self, receipts: Mapping[str, bytes]) -> None:
        self._content, self._places = bytearray(), dict[str, slice]()
        for id, receipt in receipts.items():
            self.add(id, receipt)

    def __len__(self) -> int:
        return len(self._places)

    def add(self, id: str, receipt: bytes) -> None:
        """Take one in."""
        start = len(self._content)
        self._content += receipt
        self._places[id] = slice(start, len(self._content))

    def items(self) -> Iterator[tuple[str, bytes]]:
        """Each by its id."""
        return ((id, bytes(self._content[place])) for id, place in self._places.items())


class Journal:
    """The journal of a run, told by any thread; what it was told is in its file once it is flushed."""

    def __init__(self, path: Path, files: Files, left: Left, run_id: str) -> None:
        self._path, self._files, self._lock = path, files, Lock()
        self._intents, self._receipts, self._aside = dict(left.intents), _Receipts(left.receipts), set[str]()
        runs = left.runs if left.boot == boot() else []
        self._header = {"runs": [*runs[-1:], run_id], "boot": boot()}
        self._unwritten = bytearray()
        self._opened = self._rewritten()

    def intends(self, item: FileItem, bytes: int, sha256: str) -> None:
        """Note that an object is about to be stored; to be flushed before it is."""
        intent = Intent(item.id, item.key, bytes, sha256)
        line = _intends(intent)
        with self._lock:
            self._intents[item.id] = intent
            self._unwritten += line

    def stored(self, item: FileItem, stored: Stored) -> None:
        """Note its receipt."""
        receipt = orjson.dumps(self._files.receipt(item, stored), default=custom_pua_encode)
        line = _stored(item.id, receipt)
        with self._lock:
            self._intents.pop(item.id, None)
            self._receipts.add(item.id, receipt)
            self._unwritten += line

    def refused(self, item: FileItem) -> None:
        """Note that the object is not there."""
        line = _line({"refused": item.id})
        with self._lock:
            self._intents.pop(item.id, None)
            self._unwritten += line

    def puts_aside(self, key: str) -> None:
        """Note that an object is about to be put into quarantine; to be flushed before it is."""
        with self._lock:
            self._aside.add(key)
            self._unwritten += _line({"aside": key})

    def flush(self) -> None:
        """Write what it was told; what a full disk has no room for, even half a line, is written by the next one."""
        with self._lock:
            if self._unwritten:
                self._append()

    @property
    def in_doubt(self) -> dict[str, Intent]:
        """Objects of which nobody knows whether they are stored."""
        with self._lock:
            return dict(self._intents)

    @property
    def unrecorded(self) -> int:
        """How many receipts no load has committed."""
        return len(self._receipts)

    def receipts(self) -> dict[str, bytes]:
        """The receipts that no load has committed, as JSON by the ids of their items.

        The file has them before a load does, if the disk has room: without their lines the next run asks the store.
        """
        with self._lock:
            with suppress(OSError):
                self._append()
            return dict(self._receipts.items())

    def forget(self, recorded: Collection[str]) -> None:
        """Leave out what has a receipt in the warehouse."""
        with self._lock:
            self._receipts = _Receipts({id: told for id, told in self._receipts.items() if id not in recorded})
            for id in recorded:
                self._intents.pop(id, None)
            before, self._opened = self._opened, self._rewritten()
            self._unwritten.clear()
            os.close(before)

    def remove(self) -> None:
        """Remove the file: nothing is left to be recorded."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            try:
                self._append()
            finally:
                os.close(self._opened)

    def _append(self) -> None:
        while self._unwritten:
            del self._unwritten[: os.write(self._opened, self._unwritten)]

    def _rewritten(self) -> int:
        """The file anew, with what is not committed."""
        lines = [
            _line(self._header),
            *map(_intends, self._intents.values()),
            *(_line({"aside": key}) for key in self._aside),
            *(_stored(id, receipt) for id, receipt in self._receipts.items()),
        ]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(".part")
        part.write_bytes(b"".join(lines))
        opened = os.open(part, os.O_WRONLY | os.O_APPEND)
        try:
            part.replace(self._path)
        except BaseException:
            os.close(opened)
            raise
        return opened


@contextmanager
def journal(path: Path, files: Files, left: Left, run_id: str) -> Iterator[Journal]:
    """The journal of a run, which goes on from what others have left."""
    opened = Journal(path, files, left, run_id)
    try:
        yield opened
    finally:
        opened.close()


def _stored(id: str, receipt: bytes) -> bytes:
    return _line({"stored": id, "receipt": orjson.Fragment(receipt)})


def _intends(intent: Intent) -> bytes:
    return _line({"intends": intent})


def _line(content: dict[str, Any]) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
