"""The cursor of a resource as the rows meet it: which of them dlt could not place before or after the others."""

from __future__ import annotations

import copy
from typing import Any

import pyarrow as pa
from dlt.extract.incremental import Incremental, IncrementalResourceWrapper
from dlt.extract.incremental.exceptions import (
    IncrementalCursorInvalidCoercion,
    IncrementalCursorPathHasValueNone,
    IncrementalCursorPathMissing,
)

from pipelines.rows.intake import MISSING, shown

INCOMPARABLE = "cannot be compared with the values before it"  # the same in every run, as it is part of an id
COMPARE_WITH_THEIR_OWN = (str, int)  # exact types whose values dlt can always order


class Comparable:
    """Asks a copy of dlt's own cursor step, which then knows the values seen so far and moves no state."""

    def __init__(self, steps: list[Any]) -> None:
        self._step = next((step for step in steps if isinstance(step, (Incremental, IncrementalResourceWrapper))), None)
        self._twin: Any = None
        self._kind: type | None = None
        self._keys: frozenset[str] = frozenset()

    @property
    def _cursor(self) -> Any:
        """The cursor; a wrapped one is there only once its function has been called."""
        return self._step.incremental if isinstance(self._step, IncrementalResourceWrapper) else self._step

    @property
    def acts(self) -> bool:
        """Whether the resource has a cursor."""
        return self._cursor is not None

    def faults(self, rows: list[Any]) -> list[str | None]:
        """Why dlt would stop at each row of a page, or None."""
        if not rows or (self._twin is None and not self._begin(rows)):
            return [None] * len(rows)
        found = [self._fault(row) for row in rows]
        lacking = [at for at, row in enumerate(rows) if not found[at] and self._lacks(row)]
        for at in self._looked_at(rows, lacking, found):
            found[at] = f"{min(self._lacks(rows[at]))}: {MISSING}"
        return found

    def _lacks(self, row: Any) -> frozenset[str]:
        return self._keys - row.keys() if isinstance(row, dict) else frozenset()

    def _fault(self, row: Any) -> str | None:
        path = self._cursor.cursor_path
        try:
            value = self._twin.find_cursor_value(row)
        except (IncrementalCursorPathMissing, IncrementalCursorPathHasValueNone):
            return f"{path}: {MISSING}"
        if value is None or type(value) is self._kind:
            return None
        return self._compared(path, value, row)

    def _looked_at(self, rows: list[Any], lacking: list[int], found: list[str | None]) -> list[int]:
        """Which of the rows that lack the key dlt asks for it: those where the page before ended or this one ends."""
        if not lacking:
            return []
        real, others = self._cursor._get_transform(rows), set(range(len(rows))) - set(lacking)
        ends, last = real.last_value_func, real.last_value
        for value in [real.find_cursor_value(rows[at]) for at in sorted(others) if not found[at]]:
            last = last if value is None else _end(ends, value, last)
        values = {at: real.find_cursor_value(rows[at]) for at in lacking}
        return [
            at
            for at, value in values.items()
            if value is not None and (_end(ends, value, last) != last or ends((value,)) in (last, real.start_value))
        ]

    def table_fault(self, table: pa.Table) -> str | None:
        """Why dlt would stop at this Arrow table, or None."""
        cursor = self._cursor
        if cursor is None:
            return None
        if cursor.cursor_path not in table.column_names:
            return f"{cursor.cursor_path}: {MISSING}"
        try:
            pa.scalar(cursor.start_value, table.schema.field(cursor.cursor_path).type)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return f"{cursor.cursor_path}: a {table.schema.field(cursor.cursor_path).type} {INCOMPARABLE}"
        return None

    def needs(self, name: str) -> bool:
        """Whether a null in this column of an Arrow table would stop dlt."""
        cursor = self._cursor
        return cursor is not None and cursor.cursor_path == name and cursor.on_cursor_value_missing == "raise"

    def _begin(self, rows: list[Any]) -> bool:
        cursor = self._cursor
        if cursor is None:
            return False
        twin = copy.copy(cursor._get_transform(rows))
        key = cursor.primary_key
        if twin.boundary_deduplication and key and not callable(key):
            self._keys = frozenset([key] if isinstance(key, str) else key)
        twin.boundary_deduplication = False
        self._twin = twin
        return True

    def _compared(self, path: str, value: Any, row: Any) -> str | None:
        last = self._twin.last_value
        try:
            self._twin(row)
        except IncrementalCursorInvalidCoercion:
            return f"{path}: {shown(value)} {INCOMPARABLE}"
        by_order = self._twin.last_value_func in (min, max)
        if (by_order and isinstance(value, dict)) or value != value:  # alone it passes, and the next one fails
            self._twin.last_value = last
            return f"{path}: {shown(value)} {INCOMPARABLE}"
        if type(value) in COMPARE_WITH_THEIR_OWN and by_order:
            self._kind = type(value)
        return None


def _end(function: Any, value: Any, last: Any) -> Any:
    """Where a cursor stands after a value."""
    return function((value,) if last is None else (value, last))
