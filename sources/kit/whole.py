"""A list that is read whole each time: what is new or changed in it, and what has left it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

LEFT = "deleted_at"
Row = dict[str, Any]


class Whole:
    """One reading of a list; `memory` is what the last one left, in the state that moves with the load.

    A row that has left is yielded as it was with the time as `deleted_at`, and never again until it comes back.
    """

    def __init__(self, key: tuple[str, ...], memory: dict[str, Any]) -> None:
        self._key, self._before = key, dict[str, Row](memory.get("rows", {}))
        self._memory, self._now = memory, dict[str, Row]()
        self._refused: set[str] = set()
        self.complete = True
        """Set it to False where something could not be read: then no row has left."""

    def take(self, row: Row) -> bool:
        """Have a row; False where another one with its key was there before."""
        return self._now.setdefault(self._name(row), row) == row

    def refuse(self, key: Mapping[str, Any] | None) -> None:
        """A row is there and cannot be loaded; without its key it may be any."""
        if key is None:
            self.complete = False
        else:
            self._refused.add(self._name(key))

    def changes(self) -> Iterator[Row]:
        """The rows to load; once all are out they are remembered."""
        yield from (row for name, row in self._now.items() if self._before.get(name) != row)
        left = {name: row for name, row in self._before.items() if self._has_left(name)}
        gone = {name: {**row, LEFT: datetime.now(UTC).isoformat()} for name, row in left.items() if LEFT not in row}
        yield from gone.values()
        self._memory["rows"] = {**self._before, **gone, **self._now}

    def _has_left(self, name: str) -> bool:
        return self.complete and name not in self._now and name not in self._refused

    def _name(self, row: Mapping[str, Any]) -> str:
        return json.dumps([row[column] for column in self._key], ensure_ascii=False)
