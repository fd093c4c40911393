"""The files that rows name, each once: those that a run is to move."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from pipelines.files.declared import Move
from pipelines.files.mover import NotMoved
from pipelines.files.tally import Tally
from pipelines.files.work import Prior, Row, Work
from sources.kit.files import FileItem

TAKEN = "another file has its key {}; the source must tell them apart"


class Listing:
    """Files as they are asked for, the first `most` of them; `tally.due` comes nearer to the truth with each."""

    def __init__(self, move: Move, work: Work, tally: Tally, most: int | None) -> None:
        self._move, self._work, self._tally, self._most = move, work, tally, most
        self._priors: dict[Any, Prior] = {}
        self._read = self._named = 0
        self.refused: list[NotMoved] = []
        """Files whose object would overwrite another one's."""
        self._items = islice(self._once(), most)
        self._first = next(self._items, None)

    @property
    def is_empty(self) -> bool:
        """Whether rows name no file at all."""
        return self._first is None

    def __iter__(self) -> Iterator[FileItem]:
        if self._first is not None:
            yield self._first
            yield from self._items

    def prior(self, item: FileItem) -> Prior | None:
        """What became of a file in earlier runs."""
        return self._priors.pop(item.row[self._move.files.identity], None)

    def _once(self) -> Iterator[FileItem]:
        """Of files that are the same the first; what fails with that, another run tries with the next."""
        seen, keys = set[int](), self._work.taken
        for item in self._move.files.items(self._rows()):
            self._named += 1
            same = ((column, item.row.get(column)) for column in self._move.files.same)
            mine = {hash((column, value)) for column, value in same if value is not None}
            if mine & seen:
                self._tally.same += 1
            elif hash(item.key) in keys:
                self.refused.append(NotMoved(item, "permanent", TAKEN.format(item.key)))
            else:
                seen |= mine
                keys.add(hash(item.key))
                self._count()
                yield item
        self._count()

    def _rows(self) -> Iterator[Row]:
        for row, prior in self._work:
            self._read += 1
            if prior:
                self._priors[row[self._move.files.identity]] = prior
            yield row

    def _count(self) -> None:
        """Rows may name no file."""
        due = self._work.rows - self._read + self._named
        self._tally.due = min(due, self._most or due)
