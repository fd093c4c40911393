"""Bytes to cells: which encoding and delimiter a list has, and its records with the lines they start on."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, TextIO

import pyarrow as pa
import pyarrow.csv

from sources.kit.errors import Unreadable

CHUNK = 1 << 20
LONGEST_CELL = 8 << 20
LONGEST_HEADER = 1 << 20
KEPT_TEXT = 64 << 10
DELIMITERS = (",", ";", "\t", "|")
DECLARED = re.compile(r'"?sep=([^"\r\n])"?\s*', re.I)  # Excel's own first line, which is no data
MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
BLOCK_CHARACTERS = 4 << 20
RECORDS_AT_ONCE = 10_000
CHARACTERS_AT_ONCE = 16 << 20
RECORDS_AT_A_GULP = 100
NUL = "\0"
HOLDS_NUL = "holds NUL bytes, as a file does that was half written; send the file again"
LINE_BREAK = re.compile(r"\r\n|\r|\n")
CUT = "the file was cut; send the whole file again"


class Broken(NamedTuple):
    """A record that cannot be taken apart: its line, its text as far as it is kept, and why."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """Records in the order of the file: their cells by column, the line each starts on, and the broken ones."""

    cells: list[pa.StringArray]
    lines: pa.Int64Array
    broken: list[Broken]

    @classmethod
    def of(cls, width: int, lines: Sequence[int], rows: list[list[str]], broken: list[Broken]) -> Batch:
        """A batch of records that were taken one by one."""
        columns = zip(*rows, strict=True) if rows else ([] for _ in range(width))
        return cls([pa.array(column, pa.string()) for column in columns], pa.array(lines, pa.int64()), broken)

    def __len__(self) -> int:
        return len(self.lines)

    def row(self, number: int) -> list[str]:
        """The cells of one record."""
        return [column[number].as_py() for column in self.cells]

    def line(self, number: int) -> int:
        """The line on which a record starts."""
        return int(self.lines[number].as_py())


@dataclass
class Gathering:
    """Records as they are taken one by one."""

    lines: list[int] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    characters: int = 0

    @property
    def full(self) -> bool:
        """Whether it is time for another one."""
        return len(self.rows) + len(self.broken) >= RECORDS_AT_ONCE or self.characters > CHARACTERS_AT_ONCE


class Records:
    """The header and the records of a list that is open as text with `newline=""`.

    A block of lines with nothing odd in it goes through Arrow as a whole. In any other, records are taken in gulps,
    and only a gulp with something odd in it is looked at record by record.
    """

    def __init__(self, stream: TextIO, delimiter: str | None) -> None:
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
        skipped, first = _first_line(stream)
        if declared := DECLARED.fullmatch(first):
            delimiter = delimiter or declared[1]
            more, first = _first_line(stream)
            skipped += 1 + more
        self._stream = stream
        self._waiting = deque([first])
        self._kept: list[str] = []
        self._delimiter = delimiter or delimiter_of(first)
        self._reader = csv.reader(self._lines(), delimiter=self._delimiter, strict=True)
        self._line = skipped + 1
        self.header = self._read_header()

    def batches(self) -> Iterator[Batch]:
        """Every record with as many cells as the header, and what is broken between."""
        while block := self._stream.read(BLOCK_CHARACTERS):
            block += self._stream.readline()
            cells = plain_cells(block, len(self.header), self._delimiter)
            if cells is None:
                self._waiting.extend(io.StringIO(block, newline=""))
                yield from self._one_by_one()
            else:
                following = self._line + len(cells[0])
                yield Batch(cells, pa.arange(self._line, following), [])
                self._line = following

    def _lines(self) -> Iterator[str]:
        """The lines of an odd block, each also noted in `_kept`; a record that goes on beyond it takes more."""
        while line := self._waiting.popleft() if self._waiting else self._stream.readline():
            self._kept.append(line)
            yield line

    def _one_by_one(self) -> Iterator[Batch]:
        """The records of an odd block, to the end of the last that starts in it."""
        gathered = Gathering()
        while self._waiting and self._gulp(gathered):
            if gathered.full:
                yield self._batch(gathered)
                gathered = Gathering()
        yield self._batch(gathered)

    def _batch(self, gathered: Gathering) -> Batch:
        return Batch.of(len(self.header), gathered.lines, gathered.rows, gathered.broken)

    def _read_header(self) -> list[str]:
        rows, error = self._take(1)
        problem = error or (HOLDS_NUL if NUL in "".join(rows[0]) else None)
        if problem:
            raise Unreadable(f"its header {problem}")
        self._line += len(self._kept)
        return rows[0]

    def _gulp(self, batch: Gathering) -> bool:
        """Add the next records; whether there may be more."""
        rows, error = self._take(RECORDS_AT_A_GULP)
        following = self._line + len(self._kept)
        text = "".join(chain.from_iterable(rows))
        batch.characters += len(text)
        if len(self._kept) == len(rows) and NUL not in text and all(len(row) == len(self.header) for row in rows):
            batch.lines.extend(range(self._line, following))
            batch.rows.extend(rows)
        else:
            self._add_each(batch, rows, error)
        self._line = following
        return bool(rows or error)

    def _take(self, count: int) -> tuple[list[list[str]], str | None]:
        """The next records, up to one that csv cannot take apart, and what is wrong with that."""
        self._kept.clear()
        rows: list[list[str]] = []
        try:
            for cells in islice(self._reader, count):
                rows.append(cells)
        except csv.Error as error:
            return rows, _explained(error)
        return rows, None

    def _add_each(self, batch: Gathering, rows: list[list[str]], error: str | None) -> None:
        """The records of a gulp one by one, each with the lines it takes."""
        first = 0
        for cells in rows:
            after = first + 1 + len(LINE_BREAK.findall(NUL.join(cells)))
            fault = self._fault(cells)
            if fault:
                self._refuse(batch, first, after, fault)
            elif cells:
                batch.lines.append(self._line + first)
                batch.rows.append(cells)
            first = after
        if error:
            self._refuse(batch, first, len(self._kept), error)

    def _refuse(self, batch: Gathering, first: int, after: int, reason: str) -> None:
        text = "".join(self._kept[first:after])[:KEPT_TEXT].replace(NUL, "\u2400")  # no destination stores NUL
        batch.broken.append(Broken(self._line + first, text, reason))
        batch.characters += len(text)

    def _fault(self, cells: list[str]) -> str | None:
        if any(NUL in cell for cell in cells):
            return HOLDS_NUL
        if cells and len(cells) != len(self.header):
            return (
                f"has {len(cells)} cells where the header has {len(self.header)}; quote a cell that holds the delimiter"
            )
        return None


def plain_cells(block: str, width: int, delimiter: str) -> list[pa.StringArray] | None:
    """The cells of whole lines by column; None unless each line is plainly one record of this width.

    What Arrow reads here is what csv reads, at many times the speed: no NUL, no byte order mark at the start, no line
    break in a cell, and no quote but the two around a cell.
    """
    lines = block.count("\n") + (not block.endswith("\n"))
    if len(block) > LONGEST_CELL or NUL in block or block.startswith("\ufeff") or not delimiter.isascii():
        return None
    if "\r" in block and block.count("\r") != block.count("\r\n"):
        return None
    if '"' in block and not _quotes_enclose_cells(block, delimiter):
        return None
    names = [str(number) for number in range(width)]
    try:
        table = pa.csv.read_csv(
            pa.py_buffer(block.encode()),
            pa.csv.ReadOptions(column_names=names),
            pa.csv.ParseOptions(delimiter=delimiter),
            pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowInvalid:  # another number of cells
        return None
    return [column.combine_chunks() for column in table.columns] if len(table) == lines else None


def refuse_repeated(names: Sequence[str]) -> None:
    """Unreadable when a header names a column twice."""
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise Unreadable(f"names a column twice: {', '.join(twice)}; keep one of each")


def encoding_of(path: Path, wanted: str | None) -> str:
    """The encoding in which the whole file can be read; Unreadable when there is none.

    A mark at the start decides, then the zero bytes of UTF-16, then whether all is valid UTF-8, then whether
    all bytes mean something in CP1252; Latin-1 takes the rest.
    """
    known = wanted or _by_first_bytes(path)
    if known is None:
        return next(name for name in ("utf-8", "cp1252", "latin-1") if _decodes(path, name))
    if not _decodes(path, known):
        raise Unreadable(f"is not {known} text throughout; save it as UTF-8 or set encoding")
    return known


def delimiter_of(header: str) -> str:
    """The most frequent known delimiter outside the quotes of the first line; a comma if there is none."""
    outside = re.sub(r'"[^"]*("|$)', "", header)
    return max(DELIMITERS, key=outside.count)


def _by_first_bytes(path: Path) -> str | None:
    with path.open("rb") as stream:
        first = stream.read(8)
    for mark, encoding in MARKS:
        if first.startswith(mark):
            return encoding
    even, odd = first[::2], first[1::2]
    if odd and not any(odd) and all(even):
        return "utf-16-le"
    return "utf-16-be" if odd and not any(even) and all(odd) else None


def _decodes(path: Path, encoding: str) -> bool:
    """Whether all bytes are text in this encoding; Unreadable when only the last character is incomplete."""
    decoder = codecs.getincrementaldecoder(encoding)()
    characters = 0
    with path.open("rb") as stream:
        try:
            while chunk := stream.read(CHUNK):
                characters += len(decoder.decode(chunk))
        except UnicodeDecodeError:
            return False
        size = stream.tell()
    incomplete = len(decoder.getstate()[0])
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        if characters + incomplete < size:  # else it is ASCII up to a last byte, which says nothing of UTF-8
            raise Unreadable(f"ends in the middle of a character: {CUT}") from None
        return False
    return True


def _quotes_enclose_cells(block: str, delimiter: str) -> bool:
    part = re.escape(delimiter)
    cells = re.findall(rf'(?<![^{part}\n])"[^"\n]*"(?![^{part}\r\n])', block)
    return 2 * len(cells) == block.count('"')


def _first_line(lines: TextIO) -> tuple[int, str]:
    """The first line that is not blank, and how many blank ones stand before it."""
    skipped = 0
    while line := lines.readline(LONGEST_HEADER).lstrip("\ufeff"):
        if len(line) == LONGEST_HEADER:
            raise Unreadable("has a first line of more than a million characters: this is no list in CSV")
        if line.strip():
            return skipped, line
        skipped += 1
    raise Unreadable("is empty; send the list again, with a header line")


def _explained(error: csv.Error) -> str:
    """What csv means, in words that say what to do."""
    text = str(error)
    if "unexpected end" in text:
        return f"ends in the middle of a quoted cell: {CUT}, or close the quote"
    if "field larger" in text:
        return f"holds a cell of more than {LONGEST_CELL} characters; close its quote"
    return f"has a quote inside a quoted cell ({text}); double it"
