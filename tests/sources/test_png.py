"""Pictures: read, checked to their last part, and cut."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import pytest
from PIL import Image

from pipelines.files.audio import Suspicious, inspect
from sandbox import picture
from sources.kit import png

COLOURS = [picture.colour(number) for number in range(1, 20)]
SHEET = picture.sheet(COLOURS, columns=8, cell=6)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def made(width: int, height: int, pixels: bytes) -> bytes:
    form = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return png.SIGNATURE + chunk(b"IHDR", form) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def saved(mode: str, colour: int | tuple[int, ...]) -> bytes:
    file = BytesIO()
    Image.new(mode, (6, 6), colour).save(file, "PNG")
    return file.getvalue()


def test_each_cell_is_cut_as_it_was():
    sheet = png.Sheet(SHEET)
    for at, colour in enumerate(COLOURS):
        row, column = divmod(at, 8)
        part = png.check(sheet.cut(column * 6, row * 6, 6, 6))
        assert (part.size, part.mode, part.getcolors()) == ((6, 6), "RGBA", [(36, colour)])


@pytest.mark.parametrize(("mode", "colour"), [("P", 3), ("L", 7), ("1", 255), ("I;16", 999), ("RGB", (1, 2, 3))])
def test_whatever_a_pixel_is_a_part_has_the_pixels_of_the_whole(mode, colour):
    whole = saved(mode, colour)
    part, seen = png.check(png.Sheet(whole).cut(2, 2, 3, 3)), png.check(whole)
    assert inspect(memoryview(whole), "png").content_type == "image/png"
    assert (part.size, part.mode, part.getpixel((0, 0))) == ((3, 3), seen.mode, seen.getpixel((2, 2)))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "an empty file"),
        (b"<html>", "an HTML page"),
        (b'{"Message": "no"}', "a JSON answer"),
        (b"GIF89a", "no PNG: it starts with 47 49 46"),
        (SHEET[:-12], "a PNG that is not whole: "),
        (SHEET[:33], "no PNG, or one whose header makes no sense"),
        (SHEET[:60] + b"x" + SHEET[61:], "a PNG that is not whole: broken PNG file (bad header checksum in b'IDAT')"),
        (png.SIGNATURE + chunk(b"IEND", b""), "no PNG, or one whose header makes no sense"),
        (made(0, 4, b""), "no PNG, or one whose header makes no sense"),
        (made(60000, 60000, b""), "a PNG of more than 67,108,864 pixels, which is too large"),
        (made(9000, 9000, b""), "a PNG of more than 67,108,864 pixels, which is too large"),
        (made(2, 2, zlib.compress(b"\0" * 18)[:-6]), "a PNG that is not whole: "),
        (made(2, 2, b"none"), "a PNG that is not whole: "),
    ],
)
def test_what_is_no_whole_picture_is_told(data, why):
    with pytest.raises(Suspicious) as told:
        inspect(memoryview(data), "png")
    assert str(told.value).startswith(why)


@pytest.mark.parametrize("cell", [(-1, 0, 6, 6), (0, 13, 6, 6), (43, 0, 6, 6)])
def test_a_cell_beyond_the_sheet_is_told(cell):
    with pytest.raises(png.NotPng, match="a PNG of 48 × 18, which has no such cell"):
        png.Sheet(SHEET).cut(*cell)
