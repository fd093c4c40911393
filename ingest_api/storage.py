"""The folder of the audio: what arrives lies in `incoming/` until it is whole, what is whole below `audio/`."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO
from uuid import UUID, uuid4

from pipelines.errors import SettingError
from pipelines.files.ogg import read_ogg
from pipelines.files.sound import Sound, Suspicious, stretches

INCOMING, AUDIO, ORPHANS = "incoming", "audio", "orphans"
PART = ".part"

Piece = bytes | memoryview


@dataclass(frozen=True)
class Arrived:
    """A file that is whole and durable, and has no name yet."""

    path: Path
    size: int
    sha256: str
    sound: Sound | None
    seconds: float | None
    """How long it can be heard; 0 where it is no sound file."""
    complaint: str | None
    """Why it is no whole sound file."""


class Storage:
    """Files below one folder, named relative to it. Every call blocks: make it from a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._free, self._asked_again = 0, 0.0

    def prepare(self) -> None:
        """Make what must be there; SettingError where that is not to be."""
        try:
            for name in (INCOMING, AUDIO):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            disks = {(self.folder / name).stat().st_dev for name in (INCOMING, AUDIO)}
        except OSError as error:
            raise SettingError(f"{self.folder}: {error.strerror}; let AUDIO_STORAGE_DIR name another folder") from error
        if len(disks) > 1:
            raise SettingError(
                f"{self.folder}: {INCOMING}/ and {AUDIO}/ lie on two disks; let AUDIO_STORAGE_DIR name a folder on one"
            )

    def is_writable(self) -> bool:
        """Whether a file can be made."""
        probe = self.folder / INCOMING / f"probe-{uuid4()}{PART}"
        try:
            probe.write_bytes(b"?")
            probe.unlink()
        except OSError:
            return False
        return True

    def free_bytes(self) -> int:
        """How much room is left, none where the folder is away; asked once a second at most."""
        if time.monotonic() >= self._asked_again:
            self._free, self._asked_again = 0, time.monotonic() + 1
            with suppress(OSError):
                self._free = shutil.disk_usage(self.folder).free
        return self._free

    def incoming(self) -> Incoming:
        """A file to be written."""
        return Incoming(self.folder / INCOMING / f"{uuid4()}{PART}")

    def copied(self, data: bytes) -> Path:
        """A file for a moment."""
        path = self.folder / INCOMING / f"{uuid4()}{PART}"
        path.write_bytes(data)
        return path

    def path(self, name: str) -> Path:
        """Where a file lies."""
        return self.folder / name

    def take(self, incoming: Incoming, last: Sequence[Piece], name: str | None) -> Arrived:
        """Finish a file, and keep it where it has a name by now."""
        arrived = incoming.finish(last)
        if name is not None:
            self.keep(arrived, name)
        return arrived

    def keep(self, arrived: Arrived, name: str) -> None:
        """Give a file its name, for good: also after a power cut it has it."""
        target = self.path(name)
        try:
            arrived.path.replace(target)
        except FileNotFoundError:
            _make_durably(target.parent)
            arrived.path.replace(target)
        _sync_folder(target.parent)

    def take_back(self, arrived: Arrived, name: str) -> None:
        """Undo `keep`, as another request came first."""
        self.path(name).replace(arrived.path)

    def remove(self, name: str) -> None:
        """Remove a file that the bucket has."""
        self.path(name).unlink(missing_ok=True)

    def set_aside(self, name: str) -> None:
        """Move a file that no row names to `orphans/`: audio is never deleted."""
        target = self.folder / ORPHANS / name
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path(name).replace(target)

    def older_than(self, seconds: float) -> Iterator[tuple[str, UUID | None]]:
        """The files below `audio/` that are older: the name of each, and the chunk in it."""
        latest = time.time() - seconds
        for folder, _, files in os.walk(self.folder / AUDIO):
            for file in files:
                path = Path(folder, file)
                if _is_older(path, latest):
                    yield path.relative_to(self.folder).as_posix(), _chunk_in(file)

    def clear(self, seconds: float) -> None:
        """Remove what was left in `incoming/` by uploads that are over."""
        latest = time.time() - seconds
        for path in (self.folder / INCOMING).glob(f"*{PART}"):
            if _is_older(path, latest):
                path.unlink(missing_ok=True)


class Incoming:
    """One file on its way: written as it comes, and in the end hashed, looked into and made durable."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def write(self, pieces: Sequence[Piece]) -> None:
        """What came next."""
        self._opened().writelines(pieces)

    def finish(self, pieces: Sequence[Piece]) -> Arrived:
        """What came last; then the file is on the disk."""
        file = self._opened()
        file.writelines(pieces)
        file.flush()
        content = memoryview(mmap(file.fileno(), 0, access=ACCESS_READ))
        arrived = Arrived(self.path, len(content), _digest(content), *_heard(content))
        os.fsync(file.fileno())
        file.close()
        return arrived

    def _opened(self) -> BinaryIO:
        self._file = self._file or self.path.open("w+b")
        return self._file

    def abandon(self) -> None:
        """Remove what there is of it, unless it has got its name."""
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
        with suppress(OSError):
            self.path.unlink()


def name_of(point: UUID, register: UUID, start: datetime, chunk: UUID) -> str:
    """Where a chunk lies: `audio/<point>/<register>/<YYYY-MM-DD>/<HH>/chunk_<YYYYMMDD_HHMMSS>_<chunk>.ogg`, in UTC."""
    day, clock = start.date().isoformat(), f"{start:%H%M%S}"
    file = f"chunk_{day.replace('-', '')}_{clock}_{chunk}.ogg"
    return f"{AUDIO}/{point}/{register}/{day}/{clock[:2]}/{file}"


def _is_older(path: Path, latest: float) -> bool:
    """Whether a file is from before a moment; one that has gone since it was listed is not."""
    try:
        return path.stat().st_mtime <= latest
    except FileNotFoundError:
        return False


def _chunk_in(file: str) -> UUID | None:
    """The id in a file's name."""
    try:
        return UUID(file.removesuffix(".ogg").rpartition("_")[2])
    except ValueError:
        return None


def _digest(data: memoryview) -> str:
    found, at = hashlib.sha256(), 0
    for stop in stretches(data):
        found.update(data[at:stop])
        at = stop
    return found.hexdigest()


def _heard(data: memoryview) -> tuple[Sound | None, float | None, str | None]:
    try:
        sound = read_ogg(data)
    except Suspicious as error:
        return None, error.seconds, error.reason
    return sound, sound.seconds, None


def _make_durably(folder: Path) -> None:
    """Make a folder, and those above it, so that a power cut does not take them away."""
    if not folder.exists():
        _make_durably(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
