"""Ogg, page by page: RFC 3533, with what RFC 7845 (Opus), Vorbis I and FLAC put into the first page of a stream.

A file is one stream, or several one after the other.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from zlib import adler32

from fastcrc.crc32 import cksum

from pipelines.files.sound import Sound, Suspicious, stretches

CAPTURE = b"OggS"
PAGE = struct.Struct("<4sxBqIIIB")
HEAD, read_head = PAGE.size, PAGE.unpack_from
CHECKED, BEHIND_CHECKSUM = 22, 26
NO_CHECKSUM, INVERTED = bytes(4), 0xFFFFFFFF
SUM = 0xFFFF
"""Of an Adler-32 from 0 on, this half is the sum of the bytes, modulo 65521: 255 lacing values are never that much."""
BEGINS, ENDS = 2, 4
NO_PACKET_ENDS, MOST = -1, 255
NO_PAGE = "no page at byte {}, where one must start"


Page = tuple[int, int, int, int, memoryview, int, int]
"""Flags, position, serial of its stream, the number that gives it, lacing, start and end of its body in the data.

A class of its own costs time, and so does a view of each body.
"""


@dataclass(slots=True)
class Stream:
    """One stream as far as it was read; positions count samples."""

    serial: int
    codec: str
    sample_rate: int
    channels: int
    ticks: int
    """Positions per second: Opus counts 48,000 whatever went in."""
    samples: Callable[[memoryview, memoryview], int]
    """How long the packets that end on a page sound, at most, by its lacing and body."""
    skip: int = 0
    pages: int = 1
    start: int | None = None
    end: int = 0
    ended: bool = False

    @property
    def seconds(self) -> float:
        return max(0, self.end - (self.start or 0) - self.skip) / self.ticks

    def follow(self, page: Page, data: memoryview) -> None:
        """Take the next page; Suspicious where it is another's, or not the next."""
        flags, granule, serial, number, lacing, body, end = page
        if serial != self.serial:
            raise Suspicious(f"page {self.pages} belongs to another stream")
        if number != self.pages:
            raise Suspicious(f"page {self.pages} is missing: page {number} stands there")
        self.pages = number + 1
        if flags & ENDS:
            self.ended = True
        if granule != NO_PACKET_ENDS:
            self.end = granule
            if self.start is None and granule > 0:
                self.start = max(0, granule - self.samples(lacing, data[body:end]))


def read_ogg(data: memoryview) -> Sound:
    """What the pages say, each with its checksum; the first stream's codec, the seconds of all."""
    streams: list[Stream] = []
    try:
        _follow(streams, data)
    except Suspicious as error:
        error.seconds = _seconds(streams)
        raise
    first = streams[0]
    return Sound(first.codec, "audio/ogg", _seconds(streams), first.sample_rate, first.channels)


def _follow(streams: list[Stream], data: memoryview) -> None:
    """Read the streams page by page, one after the other, up to the first fault; in one loop, as calls cost most."""
    stream: Stream | None = None
    at, size = 0, len(data)
    for stop in stretches(data):
        while at < stop:
            if size - at < HEAD:
                is_page = data[at : at + 4] == CAPTURE[: size - at]
                raise Suspicious(f"cut in the page at byte {at}" if is_page else NO_PAGE.format(at))
            capture, flags, granule, serial, number, checksum, segments = read_head(data, at)
            if capture != CAPTURE:
                raise Suspicious(NO_PAGE.format(at))
            body = at + HEAD + segments
            lacing = data[at + HEAD : body]
            end = body + (adler32(lacing, 0) & SUM)
            if end > size:
                raise Suspicious(f"cut in the page at byte {at}: {size - at} of {end - at} bytes")
            # CRC-32 as POSIX's cksum has it, not inverted, with zeros in the checksum's own place
            before = cksum(NO_CHECKSUM, cksum(data[at : at + CHECKED]))
            if cksum(data[at + BEHIND_CHECKSUM : end], before) ^ INVERTED != checksum:
                raise Suspicious(f"the page at byte {at} is damaged: its checksum differs")
            page = flags, granule, serial, number, lacing, body, end
            if stream is None or stream.ended:
                stream = _begun(page, data)
                streams.append(stream)
            else:
                stream.follow(page, data)
            at = end
    if not streams[-1].ended:
        raise Suspicious(f"cut after page {streams[-1].pages - 1}: the last page is missing")


def _seconds(streams: list[Stream]) -> float:
    return sum((stream.seconds for stream in streams), 0.0)


def _begun(page: Page, data: memoryview) -> Stream:
    """The stream a page begins."""
    flags, _, serial, number, _, start, end = page
    body = data[start:end]
    if not flags & BEGINS:
        raise Suspicious("the first page of its stream is missing")
    reader = next((read for head, read in CODECS.items() if body[: len(head)] == head), None)
    if reader is None:
        raise Suspicious("an Ogg stream that is neither Vorbis, Opus nor FLAC")
    try:
        stream = reader(serial, body)
    except (struct.error, IndexError):
        raise Suspicious("the first page of its stream is too short") from None
    if not stream.ticks or not stream.channels:
        raise Suspicious("the first page of its stream names no sample rate or no channel")
    stream.pages = number + 1
    stream.ended = bool(flags & ENDS)
    return stream


def _vorbis(serial: int, head: memoryview) -> Stream:
    channels, rate = struct.unpack_from("<BI", head, 11)
    longest = (1 << (head[28] >> 4)) // 2
    return Stream(serial, "vorbis", rate, channels, rate, partial(_as_long, longest))


def _opus(serial: int, head: memoryview) -> Stream:
    channels, skip, rate = struct.unpack_from("<BHI", head, 9)
    return Stream(serial, "opus", rate or 48_000, channels, 48_000, _opus_samples, skip)


def _flac(serial: int, head: memoryview) -> Stream:
    longest, packed = struct.unpack_from(">H", head, 19)[0], struct.unpack_from(">I", head, 27)[0]
    rate = packed >> 12
    return Stream(serial, "flac", rate, (packed >> 9 & 7) + 1, rate, partial(_as_long, longest))


def _as_long(longest: int, lacing: memoryview, _: memoryview) -> int:
    """Of packets that nobody looks into: one ends where a lacing value is less than 255."""
    return longest * (len(lacing) - bytes(lacing).count(MOST))


def _opus_samples(lacing: memoryview, body: memoryview) -> int:
    return sum(map(_opus_packet, _packets(lacing, body)))


def _opus_packet(packet: memoryview) -> int:
    """At 48,000 a second: the first byte says how long a frame is and how many there are (RFC 6716, 3.1)."""
    if not packet:
        return 0
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        frame = (480, 960, 1920, 2880)[config & 3]
    else:
        frame = (480, 960)[config & 1] if config < 16 else 120 << (config & 3)
    frames = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 0)[code]
    return frame * frames


def _packets(lacing: memoryview, body: memoryview) -> Iterator[memoryview]:
    """The packets that end on a page."""
    start = end = 0
    for length in lacing:
        end += length
        if length < MOST:
            yield body[start:end]
            start = end


CODECS = {b"\x01vorbis": _vorbis, b"OpusHead": _opus, b"\x7fFLAC": _flac}
