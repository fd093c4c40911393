"""PNG pictures: whether one is whole, and pictures cut out of one. Pillow reads and writes them."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST = 2**26  # pixels, of four bytes; the largest sheet known has 10 million


class NotPng(ValueError):
    """Bytes that are no PNG file, or not all of one; the message says what is wrong."""


def check(data: bytes | memoryview) -> Picture:
    """The picture of a file that is whole: every part with its checksum, and all of its pixels."""
    from PIL import Image, UnidentifiedImageError

    try:
        Image.open(BytesIO(data), formats=("PNG",)).verify()  # which leaves a picture that cannot be used
        picture = Image.open(BytesIO(data), formats=("PNG",))
        if picture.width * picture.height > LARGEST:
            raise Image.DecompressionBombError
        picture.load()
    except UnidentifiedImageError as wrong:
        raise NotPng("no PNG, or one whose header makes no sense") from wrong
    except Image.DecompressionBombError as wrong:
        raise NotPng(f"a PNG of more than {LARGEST:,} pixels, which is too large") from wrong
    except (OSError, SyntaxError, ValueError) as wrong:
        raise NotPng(f"a PNG that is not whole: {wrong}") from wrong
    return picture


class Sheet:
    """A picture out of which others are cut, unpacked once."""

    def __init__(self, data: bytes) -> None:
        self._picture = check(data)

    def cut(self, left: int, top: int, width: int, height: int) -> bytes:
        """A part of it as a PNG of its own; NotPng where it would reach beyond."""
        whole = self._picture
        if left < 0 or top < 0 or left + width > whole.width or top + height > whole.height:
            raise NotPng(f"a PNG of {whole.width} × {whole.height}, which has no such cell")
        part = BytesIO()
        whole.crop((left, top, left + width, top + height)).save(part, "PNG", optimize=True)
        return part.getvalue()
