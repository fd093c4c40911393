"""What was found out about the bytes of a sound file, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound file that is whole."""

    codec: str | None
    """`vorbis`, `opus`, `flac`, `mp3`, `pcm` …; None where nobody looked (`any`)."""
    content_type: str
    seconds: float | None = None
    sample_rate: int | None = None
    channels: int | None = None


class Suspicious(Exception):
    """Bytes that are not the whole sound file they should be."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
