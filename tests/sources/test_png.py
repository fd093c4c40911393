"""Pictures: read, checked to their last byte, and cut."""

from __future__ import annotations

import struct
import zlib

import pytest

from pipelines.files.audio import Suspicious, inspect
from sandbox import picture
from sources.kit import png

COLOURS = [picture.colour(number) for number in range(1, 20)]
SHEET = picture.sheet(COLOURS, columns=8, cell=6)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def made(header: tuple[int, ...], pixels: bytes, *more: bytes) -> bytes:
    form = struct.pack(">IIBBBBB", *header)
    return png.SIGNATURE + chunk(b"IHDR", form) + b"".join(more) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_each_cell_is_cut_as_it_was_whatever_its_lines_are_filtered_with():
    sheet = png.Sheet(SHEET)
    for at, colour in enumerate(COLOURS):
        row, column = divmod(at, 8)
        part = sheet.cut(column * 6, row * 6, 6, 6)
        assert part == made((6, 6, 8, 6, 0, 0, 0), zlib.compress((b"\0" + bytes(colour) * 6) * 6, 9))


def test_a_palette_goes_with_the_parts():
    palette = chunk(b"PLTE", bytes(range(6)))
    whole = made((4, 1, 8, 3, 0, 0, 0), zlib.compress(b"\0\0\1\0\1"), palette)
    assert png.Sheet(whole).cut(2, 0, 2, 1) == made((2, 1, 8, 3, 0, 0, 0), zlib.compress(b"\0\0\1", 9), palette)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "an empty file"),
        (b"<html>", "an HTML page"),
        (b'{"Message": "no"}', "a JSON answer"),
        (b"GIF89a", "no PNG: it starts with 47 49 46"),
        (SHEET[:-1], "a PNG that ends within"),
        (SHEET[:33], "a PNG that ends within 33 bytes"),
        (SHEET[:60] + b"x" + SHEET[61:], "a PNG with a part that has changed on its way, at byte 33"),
        (png.SIGNATURE + chunk(b"IEND", b""), "a PNG without its header"),
        (made((0, 4, 8, 6, 0, 0, 0), b""), "a PNG whose header makes no sense"),
        (made((60000, 60000, 8, 6, 0, 0, 0), b""), "a PNG of 60000 × 60000, which is too large"),
        (made((2, 2, 8, 6, 0, 0, 0), zlib.compress(b"\0" * 9)), "a PNG with 9 bytes of pixels instead of 18"),
        (made((2, 2, 8, 6, 0, 0, 0), b"none"), "a PNG whose pixels cannot be unpacked"),
    ],
)
def test_what_is_no_whole_picture_is_told(data, why):
    with pytest.raises(Suspicious) as told:
        inspect(memoryview(data), "png")
    assert str(told.value).startswith(why)


@pytest.mark.parametrize("header", [(2, 2, 16, 6, 0, 0, 0), (2, 2, 8, 6, 0, 0, 1)])
def test_what_nobody_here_can_cut_is_told_and_may_be_stored(header):
    whole = made(header, zlib.compress(bytes((2 * 2 * 4 * header[2] // 8) + 2)))
    assert inspect(memoryview(whole), "png").content_type == "image/png"
    with pytest.raises(png.NotPng, match="which nobody here can cut"):
        png.Sheet(whole)
