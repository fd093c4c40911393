"""What runs have learned, laid over one another: of each stretch of time and of each item the latest word counts."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby, pairwise

from pipelines.ledger import Covered

EMPTY, LOADED, FAILED = STATES = ("empty", "loaded", "failed")  # of one run the last word counts


def settled(rows: Iterable[Covered]) -> list[Covered]:
    """The same knowledge in the fewest rows: stretches that do not overlap, in order, and each item once."""
    ordered = sorted(rows, key=place)
    return [row for _, group in groupby(ordered, place) for row in _latest([*group])]


def place(row: Covered) -> tuple[str, str, str]:
    """What a row is about, beside its time."""
    return row.resource, row.part, row.item


def _latest(rows: list[Covered]) -> Iterator[Covered]:
    """The rows of one resource and part, or of one item."""
    if rows[0].item:
        yield max(rows, key=_rank)
        return
    last: Covered | None = None
    for row in _stretches(rows):
        if last and (last.until, last.state, last.reason) == (row.since, row.state, row.reason):
            row = replace(max(last, row, key=_rank), since=last.since, until=row.until)
        elif last:
            yield last
        last = row
    if last:
        yield last


def _stretches(rows: list[Covered]) -> Iterator[Covered]:
    """The time that rows tell of, cut wherever one begins or ends, each stretch as the latest row has it."""
    waiting = sorted(rows, key=lambda row: row.since, reverse=True)
    newest_first = sorted(rows, key=_rank, reverse=True)
    precedence = {id(row): at for at, row in enumerate(newest_first)}
    open_: list[tuple[int, Covered]] = []
    for begin, end in pairwise(sorted({moment for row in rows for moment in (row.since, row.until)})):
        while waiting and waiting[-1].since <= begin:
            row = waiting.pop()
            heapq.heappush(open_, (precedence[id(row)], row))
        while open_ and open_[0][1].until <= begin:
            heapq.heappop(open_)
        if open_:
            yield replace(open_[0][1], since=begin, until=end)


def _rank(row: Covered) -> tuple[object, int]:
    return row.checked_at, STATES.index(row.state)
