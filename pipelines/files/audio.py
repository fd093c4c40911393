"""Is this the sound or picture it should be, and all of it? Pure functions on bytes in memory, or mapped into it."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.files.mp3 import is_mp3, read_mp3
from pipelines.files.ogg import read_ogg
from pipelines.files.sound import Sound, Suspicious
from pipelines.files.wav import read_wav
from sources.kit import png

__all__ = ["Sound", "Suspicious", "agrees", "inspect"]

READERS: dict[str, Callable[[memoryview], Sound]] = {"ogg": read_ogg, "mp3": read_mp3, "wav": read_wav}
NAMES = {"ogg": "an Ogg file", "mp3": "an MP3 file", "wav": "a WAV file"}
OTHERS = {
    b"<!doctype html": "an HTML page",
    b"<html": "an HTML page",
    b"<": "an XML document",
    b"{": "a JSON answer",
    b"[": "a JSON answer",
    b"\x1f\x8b": "a gzip file",
    b"pk\x03\x04": "a zip file",
    b"%pdf": "a PDF",
    b"flac": "a FLAC file without Ogg",
}


def inspect(data: memoryview, media: str) -> Sound:
    """What the bytes hold; Suspicious where that is not `media`, or not all of it.

    `media` is ogg, mp3, wav, audio (one of these) or png; `any` is not looked at.
    """
    if media == "any":
        return Sound(None, "application/octet-stream")
    if media == "png":
        return _picture(data)
    found = _kind(data)
    if media not in (found, "audio"):
        raise Suspicious(f"{NAMES[found]}, not {NAMES[media]}")
    sound = READERS[found](data)
    if not sound.seconds:
        raise Suspicious(f"{NAMES[found]} without any sound")
    return sound


def agrees(sound: Sound, seconds: float | None) -> bool:
    """Whether a sound lasts as long as its source says, give or take a second or 2 %."""
    if sound.seconds is None or seconds is None:
        return True
    return abs(sound.seconds - seconds) <= max(1.0, seconds * 0.02)


def _picture(data: memoryview) -> Sound:
    head = bytes(data[:512])
    if not head.startswith(png.SIGNATURE):
        raise Suspicious(_other(head, "no PNG"))
    try:
        png.check(data)
    except png.NotPng as wrong:
        raise Suspicious(str(wrong)) from wrong
    return Sound(None, "image/png")


def _kind(data: memoryview) -> str:
    head = bytes(data[:512])
    if head.startswith(b"OggS"):
        return "ogg"
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        return "wav"
    if is_mp3(head):
        return "mp3"
    raise Suspicious(_other(head, "no sound file"))


def _other(head: bytes, otherwise: str) -> str:
    """What bytes are that are not what they should be."""
    if not head:
        return "an empty file"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    known = next((name for start, name in OTHERS.items() if text.startswith(start)), None)
    return known or f"{otherwise}: it starts with {head[:8].hex(' ')}"
