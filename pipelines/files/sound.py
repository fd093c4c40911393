"""What was found out about the bytes of a sound file, and what is wrong with them."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import NamedTuple

STRETCH = 2**20


class Sound(NamedTuple):
    """A sound file that is whole."""

    codec: str | None
    """`vorbis`, `opus`, `flac`, `mp3`, `pcm` …; None where nobody looked (`any`)."""
    content_type: str
    seconds: float | None = None
    sample_rate: int | None = None
    channels: int | None = None


class Suspicious(Exception):
    """Bytes that are not the whole sound file they should be; `seconds` of it can be heard, as far as is known."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.seconds = 0.0


def stretches(data: memoryview, start: int = 0) -> Iterator[int]:
    """Where stretches of the bytes from `start` on end; of a mapped file with several, memory holds one at a time."""
    for end in range(start + STRETCH, len(data) + STRETCH, STRETCH):
        yield min(end, len(data))
        if len(data) > STRETCH and isinstance(data.obj, mmap.mmap):
            data.obj.madvise(mmap.MADV_DONTNEED)
