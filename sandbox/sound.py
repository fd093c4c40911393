"""Sound made here: small real Ogg and MP3 files of any length, a tone each, no two seeds alike."""

from __future__ import annotations


def vorbis(seed: object, seconds: float) -> bytes:
    """Ogg Vorbis, 2 channels, 8,000 Hz, about 5 kB a second."""
    raise NotImplementedError


def opus(seed: object, seconds: float) -> bytes:
    """Ogg Opus, mono."""
    raise NotImplementedError


def mp3(seed: object, seconds: float) -> bytes:
    """MP3, mono, 16,000 Hz, 64 kbit/s (8 kB a second), with an Info header and no tag."""
    raise NotImplementedError


def wav(seed: object, seconds: float) -> bytes:
    """WAV, mono, 8,000 Hz, 16 bit."""
    raise NotImplementedError


def pieces(data: bytes) -> list[bytes]:
    """The pages of an Ogg file or the frames of an MP3: where to cut one."""
    raise NotImplementedError
