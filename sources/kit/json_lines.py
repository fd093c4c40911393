"""JSONL files as pages of raw lines, parsed by nobody on the way; what is wrong with one is said by file and line."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import pyarrow as pa

from sources.kit import notices

BLOCK = 1 << 20
LONGEST_LINE = 64 << 20
KEPT_TEXT = 64 << 10
BLANKS = b" \t\r\n"  # JSON has no others
OTHER_TEXT = {  # the longer marks first, for they start like others
    codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16",
}  # fmt: skip
PACKED = {"gzip": re.compile(rb"\x1f\x8b"), "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")}
ENDINGS = {".gz": "gzip", ".zst": "zstd"}
TOO_LONG = "is a line of more than {} bytes; write one record per line"
Numbered: TypeAlias = tuple[int, bytes]


class Lines(list[Any]):
    """A page of raw `lines` that knows where each stands, for the engine to name it if it must be set aside."""

    def __init__(self, name: str, numbered: Sequence[Numbered]) -> None:
        self.lines = [line for _, line in numbered]
        self._name, self._numbers = name, [number for number, _ in numbered]
        super().__init__(map(orjson.Fragment, self.lines))

    @property
    def places(self) -> list[str]:
        """`file:line` of each line."""
        return [f"{self._name}:{number}" for number in self._numbers]


def json_lines(path: Path, name: str | None = None) -> Iterator[list[Any]]:
    """The lines of a JSONL file as they are, in order and in pages of bounded size, and notices.

    The engine looks at them as it looks at rows: one that is no JSON, or no row, is set aside. Blank lines, a byte
    order mark and carriage returns are no part of a line. gzip and zstd are unpacked whatever the file is called.
    `name` is what notices and places call the file.
    """
    name = name or path.name
    try:
        with pa.input_stream(str(path), compression=_packing(path)) as stream:
            for page in _pages(_blocks(stream)):
                yield from _told(name, page)
    except (OSError, pa.ArrowInvalid) as problem:
        yield [notices.failed(name, f"cannot be read: {problem}; check the file and the rights to read it")]
    except _Unexpected as problem:
        yield [notices.failed(name, str(problem))]


class _Unexpected(Exception):
    """The file is something else than it should be."""


def _packing(path: Path) -> str | None:
    """What the file is packed with, by its first bytes; one that is named as packed has to be."""
    with path.open("rb") as file:
        start = file.read(4)
    named = ENDINGS.get(path.suffix.lower())
    kind = next((kind for kind, magic in PACKED.items() if magic.match(start)), None)
    if named and not kind:
        raise _Unexpected(f"is no {named} file, though its name says so; send it again or rename it")
    return kind


def _blocks(stream: Any) -> Iterator[bytes]:
    """The bytes of the file, without the mark at its start."""
    first = True
    while block := stream.read(BLOCK):
        other = next((text for mark, text in OTHER_TEXT.items() if first and block.startswith(mark)), None)
        if other:
            raise _Unexpected(f"is {other}; save it as UTF-8")
        yield block.removeprefix(codecs.BOM_UTF8) if first else block
        first = False


def _pages(blocks: Iterator[bytes]) -> Iterator[list[Numbered]]:
    """The lines that end in each block, by their numbers; a last line may lack its end."""
    number, begun = 1, bytearray()
    for block in blocks:
        head, *whole = block.split(b"\n")
        begun += head[: LONGEST_LINE + 1 - len(begun)]
        if whole:
            *whole, rest = whole
            yield list(enumerate((bytes(begun), *whole), number))
            number += len(whole) + 1
            begun = bytearray(rest)
    yield [(number, bytes(begun))]


def _told(name: str, page: list[Numbered]) -> Iterator[list[Any]]:
    """The lines of a page that are not blank, and a notice for each that is too long, of which the rest is gone."""
    long = [(number, line) for number, line in page if len(line) > LONGEST_LINE]
    if long:
        reason = TOO_LONG.format(LONGEST_LINE)
        texts = [(number, line[:KEPT_TEXT].decode(errors="backslashreplace")) for number, line in long]
        yield [notices.rejected({"text": text}, reason, f"{name}:{number}") for number, text in texts]
        page = [pair for pair in page if pair not in long]
    lines = [(number, stripped) for number, line in page if (stripped := line.strip(BLANKS))]
    if lines:
        yield Lines(name, lines)
