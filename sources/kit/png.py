"""PNG files: whether one is whole, and pictures cut out of one. Pure functions on bytes, as the standard has them.

https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
KEPT = (b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT")  # what colours mean, in a part as in the whole
LARGEST = 256 * 2**20  # bytes of pixels; the largest sheet known has 42 MB
NONE, LEFT, ABOVE, MEAN, NEAREST = range(5)  # filters of a line


class NotPng(ValueError):
    """Bytes that are no PNG file, or not all of one; the message says what is wrong."""


@dataclass(frozen=True)
class Header:
    """What a picture is."""

    width: int
    height: int
    depth: int
    colour_type: int
    interlaced: bool

    @property
    def pixel(self) -> int:
        """Bytes from one pixel to the next, at least 1."""
        return max(1, self.depth * CHANNELS[self.colour_type] // 8)

    @property
    def line(self) -> int:
        """Bytes of a line, without that of its filter."""
        return (self.width * self.depth * CHANNELS[self.colour_type] + 7) // 8


def check(data: bytes | memoryview) -> Header:
    """What a picture is that is whole: every part with its checksum, and all of its pixels."""
    header, parts = _read(data)
    if not header.interlaced:
        _pixels(header, parts)
    return header


class Sheet:
    """A picture out of which others are cut, unpacked once."""

    def __init__(self, data: bytes) -> None:
        self._header, self._parts = _read(data)
        if self._header.interlaced or self._header.depth != 8:
            raise NotPng("a PNG that is interlaced, or has not 8 bits of each colour, which nobody here can cut")
        self._lines = _unfiltered(self._header, _pixels(self._header, self._parts))

    def cut(self, left: int, top: int, width: int, height: int) -> bytes:
        """A part of it as a PNG of its own; NotPng where it would reach beyond."""
        header = self._header
        if left < 0 or top < 0 or left + width > header.width or top + height > header.height:
            raise NotPng(f"a PNG of {header.width} × {header.height}, which has no such cell")
        begin, end = left * header.pixel, (left + width) * header.pixel
        lines = b"".join(b"\0" + line[begin:end] for line in self._lines[top : top + height])
        form = struct.pack(">IIBBBBB", width, height, 8, header.colour_type, 0, 0, 0)
        kept = [part for part in self._parts if part[0] in KEPT]
        parts = [(b"IHDR", form), *kept, (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")]
        return SIGNATURE + b"".join(_chunk(*part) for part in parts)


def _read(data: bytes | memoryview) -> tuple[Header, list[tuple[bytes, bytes]]]:
    """The header and all parts, each of them whole."""
    parts = list(_parts(bytes(data)))
    if not parts or parts[0][0] != b"IHDR" or len(parts[0][1]) != 13:
        raise NotPng("a PNG without its header")
    width, height, depth, colour_type, packing, filtering, interlaced = struct.unpack(">IIBBBBB", parts[0][1])
    if not (width and height) or colour_type not in CHANNELS or depth not in (1, 2, 4, 8, 16) or packing or filtering:
        raise NotPng("a PNG whose header makes no sense")
    header = Header(width, height, depth, colour_type, bool(interlaced))
    if header.line * height > LARGEST:
        raise NotPng(f"a PNG of {width} × {height}, which is too large")
    return header, parts


def _parts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not data.startswith(SIGNATURE):
        raise NotPng("no PNG")
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", data[at : at + 8]) if len(data) >= at + 12 else (len(data), b"")
        body, sum_at = data[at + 8 : at + 8 + length], at + 8 + length
        if len(data) < sum_at + 4:
            raise NotPng(f"a PNG that ends within {len(data):,} bytes")
        if zlib.crc32(kind + body) != int.from_bytes(data[sum_at : sum_at + 4]):
            raise NotPng(f"a PNG with a part that has changed on its way, at byte {at:,}")
        yield kind, body
        at = sum_at + 4


def _pixels(header: Header, parts: list[tuple[bytes, bytes]]) -> bytes:
    """Its lines as they were packed, each after the byte of its filter."""
    wanted, unpacking = (header.line + 1) * header.height, zlib.decompressobj()
    try:
        pixels = unpacking.decompress(b"".join(body for kind, body in parts if kind == b"IDAT"), wanted + 1)
    except zlib.error as wrong:
        raise NotPng(f"a PNG whose pixels cannot be unpacked: {wrong}") from wrong
    if len(pixels) != wanted:
        raise NotPng(f"a PNG with {len(pixels):,} bytes of pixels instead of {wanted:,}")
    return pixels


def _unfiltered(header: Header, pixels: bytes) -> list[bytes]:
    """The lines as they are seen."""
    lines, before, step = [], bytes(header.line), header.line + 1
    for at in range(0, len(pixels), step):
        before = _seen(pixels[at], pixels[at + 1 : at + step], before, header.pixel)
        lines.append(before)
    return lines


def _seen(kind: int, line: bytes, above: bytes, pixel: int) -> bytes:
    """A line without its filter, which told each byte by its difference to what stands left of it or above."""
    if kind == NONE:
        return line
    if kind == ABOVE:
        return bytes((a + b) & 255 for a, b in zip(line, above, strict=True))
    if kind not in (LEFT, MEAN, NEAREST):
        raise NotPng(f"a PNG with a filter {kind}, which there is not")
    found = bytearray(pixel) + line
    for at in range(len(line)):
        left, up = found[at], above[at]
        if kind == LEFT:
            guess = left
        elif kind == MEAN:
            guess = (left + up) >> 1
        else:
            corner = above[at - pixel] if at >= pixel else 0
            to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
            nearest_up = up if to_up <= to_corner else corner
            guess = left if to_left <= to_up and to_left <= to_corner else nearest_up
        found[at + pixel] = (line[at] + guess) & 255
    return bytes(found[pixel:])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
