"""Small PNG pictures made from nothing: one colour each, or a sheet of cells of different colours."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from PIL import Image

Colour = tuple[int, int, int, int]


def colour(number: int) -> Colour:
    """A colour of its own for each number below 2**24: so much red, green, blue and opacity."""
    return (number * 37 % 256, number // 256 % 256, number % 256, 255)


def plain(colour: Colour, size: int) -> bytes:
    """A square of one colour, `size` pixels wide."""
    return _png(Image.new("RGBA", (size, size), colour))


def sheet(colours: Sequence[Colour], columns: int, cell: int) -> bytes:
    """Cells of one colour each, so many in a row; what is left of the last row is clear."""
    whole = Image.new("RGBA", (columns * cell, -(-len(colours) // columns) * cell))
    for at, colour in enumerate(colours):
        row, column = divmod(at, columns)
        whole.paste(colour, (column * cell, row * cell, (column + 1) * cell, (row + 1) * cell))
    return _png(whole)


def _png(picture: Image.Image) -> bytes:
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
