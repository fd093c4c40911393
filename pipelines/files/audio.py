"""Is this the sound file it should be, and whole? Pure functions on bytes in memory or mapped into it."""

from __future__ import annotations

from pipelines.files.sound import Sound, Suspicious

__all__ = ["Sound", "Suspicious", "agrees", "inspect"]


def inspect(data: memoryview, media: str) -> Sound:
    """What the bytes hold; Suspicious where that is not `media` (`ogg`, `mp3`, `wav`, `audio`), or not all of it.

    With `any` nothing is looked at.
    """
    raise NotImplementedError


def agrees(sound: Sound, seconds: float | None) -> bool:
    """Whether a sound lasts as long as its source says, give or take a second or 2 %."""
    raise NotImplementedError
