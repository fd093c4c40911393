"""The bytes of one file: in memory while they are few, else in a file without a name, hashed as they come."""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from pipelines.files.steps import Bytes
from pipelines.files.throttle import Throttle

SPILL = 2**18  # bytes; more would have left the processor's cache before it is hashed
ReadAt = Callable[[int, int], Bytes]


class Body:
    """What came, whole: so many bytes, and their hash in hexadecimal."""

    def __init__(self, content: memoryview | int, size: int, sha256: str) -> None:
        """`content` is memory, or the descriptor of a file."""
        self._content, self.size, self.sha256 = content, size, sha256

    def stream(self, start: int = 0, end: int | None = None) -> Stream:
        """Its bytes from `start` up to `end`."""
        return Stream(self._read_at, start, self.size if end is None else end)

    def view(self) -> memoryview:
        """All of it at once, for as long as the body is; a long one is mapped while someone holds a piece of it."""
        if isinstance(self._content, memoryview):
            return self._content
        return memoryview(mmap.mmap(self._content, self.size, access=mmap.ACCESS_READ))

    def _read_at(self, start: int, size: int) -> Bytes:
        if isinstance(self._content, memoryview):
            return self._content[start : start + size]
        return os.pread(self._content, size, start)


class Stream:
    """A part of a body, to be read from its start."""

    def __init__(self, read_at: ReadAt, start: int, end: int) -> None:
        self._read_at, self._start, self._end, self._at = read_at, start, end, start

    def read(self, size: int = -1) -> Bytes:
        """The next bytes, none at the end; good for as long as the body is."""
        left = self._end - self._at
        data = self._read_at(self._at, left if size < 0 else min(size, left))
        self._at += len(data)
        return data

    def seek(self, offset: int, origin: int = 0) -> None:
        """Go on from there, counted from the start of the part."""
        self._at = self._start + offset


class Room:
    """Where one body after the other is taken in: memory and, for what is too long for it, a file without a name."""

    def __init__(self, in_memory: int, kept: int, spool: Path) -> None:
        """At most `in_memory` bytes and a chunk are held; longer bodies go to a file in the folder `spool`.

        The next one is written over the last in it, up to `kept` bytes: new pages of a file cost twice as much.
        """
        self.memory, self.in_memory = bytearray(), in_memory
        self._kept, self._spool = kept, spool
        self._file: IO[bytes] | None = None

    def file(self) -> int:
        """The descriptor of the file, at its start; it is gone with its process, however that ends."""
        if self._file is None:
            self._spool.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self._spool, buffering=0)  # noqa: SIM115
        self._file.seek(0)
        return self._file.fileno()

    def leave(self) -> None:
        """Make it ready for the next body; a file that takes more of the disk than may be kept goes."""
        if self._file is not None and os.fstat(self._file.fileno()).st_size > self._kept:
            self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class Incoming:
    """A body that is coming into a room; it is the context of all that is done with it."""

    def __init__(self, room: Room, throttle: Throttle | None = None) -> None:
        self._room, self._view, self._throttle = room, memoryview(room.memory), throttle
        self.trouble: OSError | None = None
        """Why bytes could not be taken."""
        self._coming: Callable[[], int | None] = lambda: None
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._end, self._spilt, self._limit, self._file = 0, 0, min(SPILL, self._room.in_memory), -1

    def expect(self, size: Callable[[], int | None]) -> None:
        """Bytes are coming, `size` in all: too many for memory are not gathered there first."""
        self._coming = size

    def write(self, chunk: Bytes) -> int | None:
        """Take bytes as libcurl gives them: 16 KiB at most, so they are gathered first."""
        if self._throttle:
            self._throttle.take(len(chunk))
        end = self._end + len(chunk)
        if end > len(self._view):  # never made longer in place: someone may still look at it
            self._room.memory = bytearray(self._view[: self._end]).ljust(max(end, min(2 * end, self._limit)), b"\0")
            self._view = memoryview(self._room.memory)
        self._view[self._end : end] = chunk
        self._end = end
        if end < self._limit or self._fits():
            return None
        try:
            self._spill()
        except OSError as error:  # raised here, libcurl would print it
            self.trouble = error
            return -1
        return None

    def whole(self) -> Body:
        """All that came; an OSError when the disk has no room for it."""
        if self._file < 0:
            content = self._view[: self._end]
            return Body(content, self._end, hashlib.sha256(content).hexdigest())
        self._spill()
        return Body(self._file, self._spilt, self._hash.hexdigest())

    def _fits(self) -> bool:
        """Whether memory has room for what is coming, as far as that can be known."""
        if self._file < 0 and (self._coming() or 0) <= self._room.in_memory:
            self._limit = self._room.in_memory
        return self._end < self._limit

    def _spill(self) -> None:
        if self._file < 0:
            self._file, self._limit, self._hash = self._room.file(), min(SPILL, self._room.in_memory), hashlib.sha256()
        self._hash.update(self._view[: self._end])
        done = 0
        while done < self._end:
            done += os.write(self._file, self._view[done : self._end])
        self._spilt, self._end = self._spilt + self._end, 0
