"""MP3: MPEG 1, 2 and 2.5 Layer III, with what Xing, Info and VBRI headers say of the whole.

A frame has no checksum of its own as a rule, but LAME and FFmpeg write one of all sound into the Info header, beside
the number of frames and of bytes. Where that is so of a constant rate, every byte is checked; elsewhere each frame is.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

from fastcrc.crc16 import arc

from pipelines.files.sound import STRETCH, Sound, Suspicious, stretches

MPEG_1, LAYER_3, MONO = 3, 1, 3
KILOBITS = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
TRAILERS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN")


@dataclass(frozen=True, slots=True)
class Format:
    """What all frames of a file share."""

    mpeg_1: bool
    sample_rate: int
    lengths: dict[int, int]
    """Bytes of a frame by the second and third byte of its header."""

    @property
    def samples(self) -> int:
        """Of one frame."""
        return 1152 if self.mpeg_1 else 576


@dataclass(frozen=True, slots=True)
class Info:
    """What the first frame says of the whole file, which counts from that frame on; 0 where it is silent."""

    frames: int = 0
    bytes: int = 0
    sound_bytes: int = 0
    checksum: int = 0


def is_mp3(head: bytes) -> bool:
    """Whether bytes begin with an ID3 tag or the header of a frame."""
    return head.startswith(b"ID3") or (len(head) > 2 and head[0] == 0xFF and _format(head[1], head[2]) is not None)


def read_mp3(data: memoryview) -> Sound:
    """What the frames say, up to the last one."""
    first = _after_tags(data)
    layout = _format(data[first + 1], data[first + 2]) if _synchronous(data, first) else None
    if layout is None:
        raise Suspicious(f"no MP3 frame at byte {first}, where the first must start")
    length = layout.lengths[data[first + 1] << 8 | data[first + 2]]
    info = _info(data[first : first + length], layout.mpeg_1)
    if info and _is_sealed(data, first, length, layout, info):
        frames = 1 + info.frames
    else:
        frames, end = _walk(data, first, layout.lengths)
        _check_end(data, frames, end)
        _check_info(data, first, length, frames, end, info or Info())
    seconds = (frames - (info is not None)) * layout.samples / layout.sample_rate
    channels = 1 if data[first + 3] >> 6 == MONO else 2
    return Sound("mp3", "audio/mpeg", seconds, layout.sample_rate, channels)


def _synchronous(data: memoryview, at: int) -> bool:
    return len(data) - at >= 4 and data[at] == 0xFF


def _after_tags(data: memoryview) -> int:
    """Where the first frame starts: behind ID3v2 tags, whose lengths have seven bits a byte, and what fills them up."""
    at = 0
    while bytes(data[at : at + 3]) == b"ID3" and len(data) - at >= 10:
        a, b, c, d = data[at + 6 : at + 10]
        at += 10 + (a << 21 | b << 14 | c << 7 | d)
    filling = bytes(data[at : at + 4096])
    return at + len(filling) - len(filling.lstrip(b"\0"))


@lru_cache
def _format(second: int, third: int) -> Format | None:
    """What the second and third byte of a header say of all frames; None where they are no header."""
    version, rate = second >> 3 & 3, third >> 2 & 3
    if second >> 5 != 7 or second >> 1 & 3 != LAYER_3 or version not in RATES or rate == 3:
        return None
    mpeg_1, sample_rate = version == MPEG_1, RATES[version][rate]
    lengths = {
        (second & 0xFE | protected) << 8 | bits << 4 | rate << 2 | padding << 1 | private:
        (144_000 if mpeg_1 else 72_000) * kilobits // sample_rate + padding
        for bits, kilobits in enumerate(KILOBITS[mpeg_1], 1)
        for padding in (0, 1)
        for private in (0, 1)
        for protected in (0, 1)
    }  # fmt: skip
    return Format(mpeg_1, sample_rate, lengths) if second << 8 | third in lengths else None


def _walk(data: memoryview, at: int, lengths: dict[int, int]) -> tuple[int, int]:
    """How many frames follow each other from here, and where they end, which may be behind the data."""
    frames, last = 0, len(data) - 3
    for stop in stretches(data, at):
        stop = min(stop, last)
        while at < stop and data[at] == 0xFF:
            length = lengths.get(data[at + 1] << 8 | data[at + 2])
            if length is None:
                break
            at += length
            frames += 1
    return frames, at


def _is_sealed(data: memoryview, first: int, length: int, layout: Format, info: Info) -> bool:
    """Whether all is there that the first frame counts, with its checksum, and no sound behind it.

    The checksum is not of the number of frames, so that must be what as much sound has at a constant rate.
    """
    start, end = first + length, first + info.sound_bytes
    if not (info.checksum and info.frames and start + 3 < end and max(end, first + info.bytes) <= len(data)):
        return False
    second, third = data[start + 1], data[start + 2]
    if data[start] != 0xFF or second << 8 | third not in layout.lengths:
        return False
    exact = layout.samples / 8 * 1000 * KILOBITS[layout.mpeg_1][(third >> 4) - 1] / layout.sample_rate
    is_constant = info.frames == round((end - start) / exact)
    return is_constant and _is_over(data, end) and _checksum(data[start:end]) == info.checksum


def _is_over(data: memoryview, end: int) -> bool:
    """Whether there is nothing but zeros and tags from here on."""
    for at in range(end, len(data), STRETCH):
        some = bytes(data[at : at + STRETCH])
        if rest := some.lstrip(b"\0"):
            at += len(some) - len(rest)
            return bytes(data[at : at + 16]).startswith(TRAILERS)
    return True


def _check_end(data: memoryview, frames: int, end: int) -> None:
    """Behind the last frame there is nothing but zeros and tags."""
    if end > len(data):
        raise Suspicious(f"cut in frame {frames}")
    rest = bytes(data[end : end + 16])
    if len(rest) < 4 and rest.startswith(b"\xff"):
        raise Suspicious(f"cut in frame {frames + 1}")
    if not _is_over(data, end):
        raise Suspicious(f"no MP3 frame at byte {end}, where frame {frames + 1} must start")


def _check_info(data: memoryview, first: int, length: int, frames: int, end: int, info: Info) -> None:
    """The file has all frames and bytes its first frame counts, and its sound the checksum that stands there."""
    if frames < info.frames:
        raise Suspicious(f"cut after frame {frames} of {info.frames}")
    if len(data) - first < info.bytes:
        raise Suspicious(f"cut after byte {len(data) - first} of {info.bytes}")
    if info.checksum and info.sound_bytes == end - first and _checksum(data[first + length : end]) != info.checksum:
        raise Suspicious("its sound is damaged: the checksum differs")


def _checksum(sound: memoryview) -> int:
    checksum = at = 0
    for stop in stretches(sound):
        checksum, at = arc(sound[at:stop], checksum), stop
    return checksum


def _info(frame: memoryview, mpeg_1: bool) -> Info | None:
    """What a frame says of the file; None where it is a frame of sound."""
    mono = frame[3] >> 6 == MONO
    at = 4 + ((17 if mono else 32) if mpeg_1 else (9 if mono else 17))
    name = bytes(frame[at : at + 4])
    if name in (b"Xing", b"Info"):
        return _xing(frame[at:])
    if bytes(frame[36:40]) == b"VBRI" and len(frame) >= 54:
        size, frames = struct.unpack_from(">II", frame, 46)
        return Info(frames, size)
    return None


def _xing(header: memoryview) -> Info:
    """Fields that are there by flag, then LAME's tag of 36 bytes."""
    padded = bytes(header) + bytes(156)
    flags = padded[7]
    fields = iter(struct.unpack_from(">II", padded, 8))
    frames = next(fields) if flags & 1 else 0
    size = next(fields) if flags & 2 else 0
    tag = 8 + 4 * (flags & 1) + 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) // 2
    sound_bytes, checksum = struct.unpack_from(">IH", padded, tag + 28)
    return Info(frames, size, sound_bytes, checksum)
