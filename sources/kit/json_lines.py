"""JSONL files as pages of raw lines, parsed by nobody on the way; what is wrong with one is said by file and line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import pyarrow as pa

from sources.kit import notices
from sources.kit.delimited import MARKS

BLOCK = 1 << 20
LONGEST_LINE = 64 << 20
KEPT_TEXT = 64 << 10
UTF8, *OTHER_MARKS = (mark for mark, _ in MARKS)
COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
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
    """The lines of a JSONL file (also `.gz`, `.zst`) as they are, in order and in pages of bounded size, and notices.

    The engine looks at them as it looks at rows: one that is no JSON, or no row, is set aside. Blank lines, a byte
    order mark and carriage returns are no part of a line. `name` is what notices and places call the file.
    """
    name = name or path.name
    try:
        with pa.input_stream(str(path), compression=COMPRESSED.get(path.suffix)) as stream:
            for page in _pages(_blocks(stream)):
                yield from _told(name, page)
    except (OSError, pa.ArrowInvalid) as problem:
        yield [notices.failed(name, f"cannot be read: {problem}; check the file and the rights to read it")]
    except _OtherText as problem:
        yield [notices.failed(name, str(problem))]


class _OtherText(Exception):
    """The file is text in another encoding."""


def _blocks(stream: Any) -> Iterator[bytes]:
    """The bytes of the file, without the mark at its start."""
    first = True
    while block := stream.read(BLOCK):
        if first and block.startswith(tuple(OTHER_MARKS)):
            raise _OtherText("is UTF-16; save it as UTF-8")
        yield block.removeprefix(UTF8) if first else block
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
    """The lines of a page that are not blank, and a notice for each that is too long."""
    lines = [(number, stripped) for number, line in page if (stripped := line.strip())]
    long = [(number, line) for number, line in lines if len(line) > LONGEST_LINE]
    if long:
        reason = TOO_LONG.format(LONGEST_LINE)
        texts = [(number, line[:KEPT_TEXT].decode(errors="backslashreplace")) for number, line in long]
        yield [notices.rejected({"text": text}, reason, f"{name}:{number}") for number, text in texts]
        lines = [pair for pair in lines if pair not in long]
    if lines:
        yield Lines(name, lines)
