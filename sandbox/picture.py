"""Small PNG pictures made from nothing: one colour each, or a sheet of cells of different colours."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

Colour = tuple[int, int, int, int]


def png(rows: Sequence[Sequence[Colour]]) -> bytes:
    """A picture of these pixels, 8 bits each of red, green, blue and opacity; each line filtered in its own way."""
    width, before, lines = len(rows[0]), bytes(4 * len(rows[0])), []
    for at, row in enumerate(rows):
        line = bytes(part for colour in row for part in colour)
        lines.append(bytes([at % 5]) + _filtered(at % 5, line, before))
        before = line
    header = struct.pack(">IIBBBBB", width, len(rows), 8, 6, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(b"".join(lines))), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def colour(number: int) -> Colour:
    """A colour of its own for each number below 2**24."""
    return (number * 37 % 256, number // 256 % 256, number % 256, 255)


def sheet(colours: Sequence[Colour], columns: int, cell: int) -> bytes:
    """Cells of one colour each, so many in a row; what is left of the last row is clear."""
    rows = -(-len(colours) // columns)
    padded = [*colours, *[(0, 0, 0, 0)] * (rows * columns - len(colours))]
    return png(
        [[padded[y // cell * columns + x // cell] for x in range(columns * cell)] for y in range(rows * cell)],
    )


def _filtered(kind: int, line: bytes, before: bytes) -> bytes:
    left, corner = bytes(4) + line[:-4], bytes(4) + before[:-4]
    guesses = {
        0: bytes(len(line)),
        1: left,
        2: before,
        3: bytes((a + b) // 2 for a, b in zip(left, before, strict=True)),
        4: bytes(map(_nearest, left, before, corner)),
    }
    return bytes((a - b) % 256 for a, b in zip(line, guesses[kind], strict=True))


def _nearest(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    return min((left, above, corner), key=lambda one: abs(guess - one))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
