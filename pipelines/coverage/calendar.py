"""A sheet of coverage as lines of one character per day, month or item."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from pipelines.coverage.known import EMPTY, FAILED, LOADED
from pipelines.coverage.survey import IN_PART, MISSING, NEVER, OPEN, QUARANTINED, Cell, Sheet

MARKS = {LOADED: "#", EMPTY: ".", QUARANTINED: "q", FAILED: "x", MISSING: "!", IN_PART: "~", NEVER: "?", OPEN: "-"}
COLOURS = {LOADED: 32, EMPTY: 2, QUARANTINED: 35, FAILED: 31, MISSING: 31, IN_PART: 33, NEVER: 33, OPEN: 2}
RULERS = {"day": "1   5    10   15   20   25   30", "month": "JFMAMJJASOND"}
ITEMS_A_LINE = 60
FOLDED = 5  # so many lines in a row that say the same are shown as the first and the last


def calendar(sheet: Sheet) -> Iterator[str]:
    """A line per month of days, per year of months, or per sixty items."""
    if sheet.by == "item":
        for start in range(0, len(sheet.cells), ITEMS_A_LINE):
            yield f"  {start + 1:>9,}  {_marks(sheet.cells[start : start + ITEMS_A_LINE])}"
        return
    if sheet.cells:
        yield f"  {'':7}  {RULERS[sheet.by]}"
    lines = [[*cells] for _, cells in groupby(sheet.cells, key=_line)]
    for _, alike in groupby(lines, key=lambda cells: _sameness(cells)):
        yield from _folded([*alike])


def _folded(lines: Sequence[Sequence[Cell]]) -> Iterator[str]:
    """Lines, of which those in the middle are left out where all say the same."""
    for cells in lines if len(lines) < FOLDED else (lines[0], lines[-1]):
        yield f"  {_line(cells[0]):7}  {' ' * (int(cells[0].name[-2:]) - 1)}{_marks(cells)}"
        if len(lines) >= FOLDED and cells is lines[0]:
            yield f"  {'…':7}  {len(lines) - 2} lines like these"


def _line(cell: Cell) -> str:
    """The month of a day, the year of a month."""
    return cell.name.rpartition("-")[0]


def _sameness(cells: Sequence[Cell]) -> str:
    """The state of a line that has but one, and no rows; of any other its own name, which no line shares."""
    states = {cell.state for cell in cells}
    return states.pop() if len(states) == 1 and LOADED not in states else _line(cells[0])


def legend(sheets: Sequence[Sheet]) -> Iterator[str]:
    """What the characters mean that occur."""
    seen = {state for sheet in sheets for state in sheet.totals()}
    if seen:
        yield "  ".join(f"{_painted(mark, state)} {state}" for state, mark in MARKS.items() if state in seen)


def _marks(cells: Iterable[Cell]) -> str:
    runs = ((state, len([*group])) for state, group in groupby(cells, key=lambda cell: cell.state))
    return "".join(_painted(MARKS[state] * length, state) for state, length in runs)


def _painted(text: str, state: str) -> str:
    """In colour on a terminal, unless NO_COLOR forbids it."""
    wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return f"\x1b[{COLOURS[state]}m{text}\x1b[0m" if wanted else text
