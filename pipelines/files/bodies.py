"""The bytes of one file: in memory while they are few, else in a file without a name, hashed as they come."""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from pipelines.files.throttle import Throttle

SPILL = 2**20
ReadAt = Callable[[int, int], bytes]


class Body:
    """What came, whole: so many bytes, and their hash in hexadecimal."""

    def __init__(self, content: memoryview | int, size: int, sha256: str) -> None:
        """`content` is memory, or the descriptor of a file."""
        self._content, self.size, self.sha256 = content, size, sha256

    def stream(self, start: int = 0, end: int | None = None) -> Stream:
        """Its bytes from `start` up to `end`."""
        return Stream(self._read_at, start, self.size if end is None else end)

    def view(self) -> memoryview:
        """All of it at once; a long one is mapped for as long as someone holds a piece of it, an error included."""
        if isinstance(self._content, memoryview):
            return self._content
        return memoryview(mmap.mmap(self._content, self.size, access=mmap.ACCESS_READ))

    def _read_at(self, start: int, size: int) -> bytes:
        if isinstance(self._content, memoryview):
            return bytes(self._content[start : start + size])
        return os.pread(self._content, size, start)


class Stream:
    """A part of a body, to be read from its start."""

    def __init__(self, read_at: ReadAt, start: int, end: int) -> None:
        self._read_at, self._start, self._end, self._at = read_at, start, end, start

    def read(self, size: int = -1) -> bytes:
        """The next bytes, none at the end."""
        left = self._end - self._at
        data = self._read_at(self._at, left if size < 0 else min(size, left))
        self._at += len(data)
        return data

    def seek(self, offset: int) -> None:
        """Go on from there, counted from the start of the part."""
        self._at = self._start + offset


class Incoming:
    """A body that is coming; it is the context of all that is done with it."""

    def __init__(self, buffer: bytearray, in_memory: int, spool: Path, throttle: Throttle | None = None) -> None:
        """At most `in_memory` bytes and a chunk are held; longer bodies go to a file in the folder `spool`."""
        self.buffer, self._spool, self._throttle = buffer, spool, throttle
        """What it began with, or a larger one: good for the next body, once this one is done with."""
        self._in_memory, self._file = in_memory, -1
        self.trouble: OSError | None = None
        """Why bytes could not be taken."""
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.close()
        self._hash, self._end, self._spilt, self._limit = hashlib.sha256(), 0, 0, self._in_memory

    def close(self) -> None:
        """Let go of the file; without a name, it is gone then."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def expect(self, size: int) -> None:
        """So many bytes are coming: too many for memory are not gathered there first."""
        self._limit = self._in_memory if size <= self._in_memory else min(SPILL, self._in_memory)

    def write(self, chunk: bytes) -> int | None:
        """Take bytes as libcurl gives them: 16 KiB at most, so they are gathered first."""
        if self._throttle:
            self._throttle.take(len(chunk))
        end = self._end + len(chunk)
        if end > len(self.buffer):  # never made longer in place: someone may still look at it
            self.buffer = self.buffer[: self._end].ljust(max(end, min(2 * end, self._limit)), b"\0")
        self.buffer[self._end : end] = chunk
        self._end = end
        if end < self._limit:
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
            content = memoryview(self.buffer)[: self._end]
            self._hash.update(content)
            return Body(content, self._end, self._hash.hexdigest())
        self._spill()
        return Body(self._file, self._spilt, self._hash.hexdigest())

    def _spill(self) -> None:
        if self._file < 0:
            self._file, self._limit = _nameless(self._spool), min(SPILL, self._in_memory)
        with memoryview(self.buffer) as view:
            self._hash.update(view[: self._end])
            done = 0
            while done < self._end:
                done += os.write(self._file, view[done : self._end])
        self._spilt, self._end = self._spilt + self._end, 0


def _nameless(folder: Path) -> int:
    """A file that is gone with its process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder)
    Path(name).unlink()
    return descriptor
