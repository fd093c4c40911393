"""Sound made here: real Ogg and MP3 files of any length, a tone each, no two seeds alike.

An Ogg file is the packets of a short encoded tone (`tones/`, made by `tests/tones.py`), over and over, on pages of its
own. An MP3 is built bit by bit: each of its frames has one line of the spectrum.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import accumulate, cycle, islice
from pathlib import Path
from typing import NamedTuple

from fastcrc.crc16 import arc
from fastcrc.crc32 import cksum

TONES = Path(__file__).parent / "tones"
PAGE = struct.Struct("<4sBBqIII")
BEGINS, ENDS = 2, 4
FULL_PAGE = 4096
MOST_PACKETS = 128
"""Of one page: none is longer than 510 bytes, and a page has 255 segments."""
NOTHING = b"\x18"
"""A packet of Opus: 60 ms of which nothing was sent (RFC 6716, 3.1 and 2.1.9)."""


class Sheet(NamedTuple):
    """A page without its head: packets, and how they lie on it."""

    packets: Sequence[bytes]
    content: bytes


class Tone(NamedTuple):
    """An encoded tone."""

    head: bytes
    setup: Sequence[bytes]
    """What follows the comments and precedes the sound."""
    sound: Sequence[Sheet]


def vorbis(seed: object, seconds: float) -> bytes:
    """Ogg Vorbis, 2 channels, 8,000 Hz, about 5 kB a second."""
    samples = round(seconds * 8_000)
    count = -(-samples // 256) + 1  # packets overlap: the first alone gives no sound
    comments = b"\x03vorbis" + _comments(seed) + b"\x01"
    return _ogg(seed, _tone("vorbis", 3), comments, count, lambda packets: 256 * (packets - 1), samples)


def opus(seed: object, seconds: float) -> bytes:
    """Ogg Opus, mono, about 4 kB a second."""
    tone = _tone("opus", 2)
    end = round(seconds * 48_000) + int.from_bytes(tone.head[10:12], "little")
    comments = b"OpusTags" + _comments(seed)
    return _ogg(seed, tone, comments, -(-end // 960), lambda packets: 960 * packets, end)


def silence(seed: object, seconds: float) -> bytes:
    """Ogg Opus, mono, in which nothing is to be heard, about 40 bytes a second."""
    tone = _tone("opus", 2)
    end = round(seconds * 48_000) + int.from_bytes(tone.head[10:12], "little")
    hush = tone._replace(sound=[_sheet([NOTHING] * MOST_PACKETS)])
    comments = b"OpusTags" + _comments(seed)
    return _ogg(seed, hush, comments, -(-end // 2_880), lambda packets: 2_880 * packets, end)


def mp3(seed: object, seconds: float) -> bytes:
    """MP3, mono, 16,000 Hz, 64 kbit/s (8 kB a second), with an Info header and no tag before it."""
    count = max(1, round(seconds * 16_000 / 576))
    sound = b"".join(random.Random(f"mp3 {seed}").choices(_frames(), k=count))
    return _info_frame(count, sound) + sound


def pieces(data: bytes) -> list[bytes]:
    """The pages of an Ogg file or the frames of an MP3 made here: where to cut one."""
    if data.startswith(b"OggS"):
        return list(_pages(data))
    return [data[at : at + MP3_FRAME] for at in range(0, len(data), MP3_FRAME)]


def _pages(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        lacing = data[at + 27 : at + 27 + data[at + 26]]
        end = at + 27 + len(lacing) + sum(lacing)
        yield data[at:end]
        at = end


@cache
def _tone(codec: str, headers: int) -> Tone:
    packets = list(_packets((TONES / f"{codec}.ogg").read_bytes()))
    return Tone(packets[0], packets[2:headers], list(_sheets(packets[headers + 2 : -2])))


def _sheets(packets: Sequence[bytes]) -> Iterator[Sheet]:
    """Packets on as many pages as they fill."""
    while packets:
        sizes = accumulate(map(len, packets[:MOST_PACKETS]))
        count = next((n for n, size in enumerate(sizes, 1) if size >= FULL_PAGE), MOST_PACKETS)
        yield _sheet(packets[:count])
        packets = packets[count:]


def _sheet(packets: Sequence[bytes]) -> Sheet:
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    return Sheet(packets, bytes([len(lacing)]) + lacing + b"".join(packets))


def _packets(data: bytes) -> Iterator[bytes]:
    packet = b""
    for page in _pages(data):
        end = 27 + page[26]
        for length in page[27:end]:
            packet, end = packet + page[end : end + length], end + length
            if length < 255:
                yield packet
                packet = b""


def _comments(seed: object) -> bytes:
    """Who made it, and what for, as Vorbis and Opus both write it."""
    vendor, comment = b"sandbox", f"TITLE=tone {seed}".encode()
    return struct.pack("<I", len(vendor)) + vendor + struct.pack("<II", 1, len(comment)) + comment


def _ogg(seed: object, tone: Tone, comments: bytes, count: int, granule: Callable[[int], int], end: int) -> bytes:
    """An Ogg stream of so many packets; `granule` is where a number of them ends, `end` where all do."""
    rng = random.Random(f"ogg {seed}")
    serial = rng.getrandbits(32)
    pages = [
        _page(BEGINS, 0, serial, 0, _sheet([tone.head])),
        _page(0, 0, serial, 1, _sheet([comments, *tone.setup])),
    ]
    done = 0
    for sheet in islice(cycle(tone.sound), rng.randrange(len(tone.sound)), None):
        if done + len(sheet.packets) >= count:
            pages.append(_page(ENDS, end, serial, len(pages), _sheet(sheet.packets[: count - done])))
            break
        done += len(sheet.packets)
        pages.append(_page(0, granule(done), serial, len(pages), sheet))
    return b"".join(pages)


def _page(flags: int, granule: int, serial: int, number: int, sheet: Sheet) -> bytes:
    head = PAGE.pack(b"OggS", 0, flags, granule, serial, number, 0)
    checksum = cksum(sheet.content, cksum(head)) ^ 0xFFFFFFFF
    return head[:22] + struct.pack("<I", checksum) + sheet.content


MP3_HEADER = bytes.fromhex("fff388c4")
MP3_FRAME = 288
SIDE = 9
LINES = range(8, 64)
"""Of 576 up to 8,000 Hz: tones between 110 and 890 Hz."""


@cache
def _frames() -> tuple[bytes, ...]:
    return tuple(_frame(line, sign) for line in LINES for sign in (0, 1))


def _frame(line: int, sign: int) -> bytes:
    """A frame with one line of the spectrum at 1 or -1, after ISO 13818-3: one granule, no scale factors.

    The lines are written in pairs by Huffman table 1: `1` is (0, 0), `01` (1, 0), `001` (0, 1); the sign follows.
    """
    pairs = line // 2
    sound = "1" * pairs + ("001" if line % 2 else "01") + str(sign)
    side = [
        (0, 8),  # the sound is in this frame, not in an earlier one
        (0, 1),
        (len(sound), 12),
        (pairs + 1, 9),
        (194, 8),  # global gain
        (0, 9),  # scale factors have no bits
        (0, 1),
        (1, 5), (1, 5), (1, 5),  # Huffman table 1 in each of three regions
        (0, 4), (0, 3),
        (0, 1),
        (0, 1),
    ]  # fmt: skip
    bits = "".join(f"{value:0{width}b}" for value, width in side) + sound
    content = int(bits.ljust(8 * (MP3_FRAME - 4), "0"), 2).to_bytes(MP3_FRAME - 4, "big")
    return MP3_HEADER + content


def _info_frame(count: int, sound: bytes) -> bytes:
    """A silent frame that says how many follow, how many bytes that is, and their checksum, where LAME writes it."""
    size = MP3_FRAME + len(sound)
    contents = bytes(range(0, 200, 2))
    info = b"Info" + struct.pack(">III", 7, count, size) + contents + b"Sandbox".ljust(28, b"\0")
    info += struct.pack(">IH", size, arc(sound))
    return (MP3_HEADER + bytes(SIDE) + info).ljust(MP3_FRAME, b"\0")
