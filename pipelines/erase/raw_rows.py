"""Rows as the upstream wrote them, looked at by the columns that they become in the tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.schema import Schema

from pipelines.erase.sought import ERASED, Sought
from pipelines.specs.types import Subject


class RawRows:
    """The rows of one resource; where nobody knows the `table` they go to, each that names the value is about it.

    Counts the rows that were `about` the value in whole or in part, and those that name it and stay, `left`.
    """

    def __init__(self, subject: Subject, sought: Sought, table: str | None) -> None:
        self._rows, self._cells, self._sought, self._table = set(subject.rows), set(subject.cells), sought, table
        self._normalized = Schema("raw").naming.normalize_identifier
        self.about, self.left = 0, 0

    def line(self, line: bytes) -> bytes | None:
        """A line of JSON without what is about the value; None where all of it is."""
        text = line.replace(b"\0", b"").decode("utf-8", errors="surrogateescape").removeprefix("\ufeff")
        if not self._sought.stands_in(text):
            return line
        kept = self._of_text(text)
        if kept is None or kept != text:
            self.about += 1
        if kept is None:
            return None
        self.left += self._sought.stands_in(kept)
        return line if kept == text else kept.encode()

    def table(self, table: pa.Table) -> pa.Table:
        """Arrow rows without those about the value."""
        about = self._holding(table, self._rows)
        kept = table.filter(pc.invert(about))
        cells = self._holding(kept, self._cells)
        for number, field in enumerate(kept.schema):
            if self._column(field.name) in self._cells:
                written = pc.if_else(_matches(kept[field.name], self._sought), ERASED, kept[field.name])
                kept = kept.set_column(number, field, written)
        self.about += _count(about) + _count(cells)
        self.left += _count(self._holding(kept))
        return kept

    def _holding(self, table: pa.Table, columns: Collection[str] | None = None) -> pa.Array:
        """Which rows hold the value in one of some columns, or in any."""
        found = pa.array([False] * table.num_rows, pa.bool_())
        for name in table.column_names:
            if columns is None or self._column(name) in columns:
                found = pc.or_(found, _matches(table[name], self._sought))
        return found

    def _column(self, name: str) -> str:
        return f"{self._table}.{self._normalized(name)}"

    def _of_text(self, text: str) -> str | None:
        try:
            row = json.loads(text)
        except ValueError:
            return None  # what is no JSON is in quarantine, where it is deleted, too
        if self._table is None or not isinstance(row, dict):
            return None
        kept = self._without(row, self._table)
        if kept is None:
            return None
        return text if kept == row else json.dumps(kept, separators=(",", ":"))

    def _without(self, row: dict[str, Any], table: str) -> dict[str, Any] | None:
        """A row without the elements of its lists that are about the value, or nothing where the row is."""
        if any(f"{table}.{path}" in self._rows and self._names(value) for path, value in self._paths(row)):
            return None
        return {key: self._kept(value, table, self._normalized(key)) for key, value in row.items()}

    def _paths(self, row: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
        """Each value of a row by the column it becomes; an object as a whole, too, since it may become one."""
        for key, value in row.items():
            path = f"{above}{self._normalized(key)}"
            yield path, value
            if isinstance(value, dict):
                yield from self._paths(value, f"{path}__")

    def _kept(self, value: Any, table: str, path: str) -> Any:
        if f"{table}.{path}" in self._cells and self._names(value):
            return ERASED
        match value:
            case dict():
                return {key: self._kept(each, table, f"{path}__{self._normalized(key)}") for key, each in value.items()}
            case list():
                kept = (self._element(each, f"{table}__{path}") for each in value)
                return [each["value"] for each in kept if each is not None]
        return value

    def _element(self, value: Any, table: str) -> dict[str, Any] | None:
        """An element of a list, which is a row of a table of its own, under `value`."""
        if isinstance(value, dict):
            kept = self._without(value, table)
            return None if kept is None else {"value": kept}
        if isinstance(value, list):
            inner = (self._element(each, f"{table}__list") for each in value)
            return {"value": [each["value"] for each in inner if each is not None]}
        return self._without({"value": value}, table)

    def _names(self, value: Any) -> bool:
        return self._sought.stands_in(value if isinstance(value, str) else json.dumps(value, default=str))


class RowsOfOthers(RawRows):
    """The lines of a file of another program: about whom the rows are that the source makes of them for some tables.

    `is_named`: the name of the file has the value, so that all of it is about that.
    """

    def __init__(
        self, subject: Subject, sought: Sought, tables: Sequence[str], told: Callable[[str, bytes], list[Any]],
        is_named: bool,
    ) -> None:  # fmt: skip
        super().__init__(subject, sought, tables[0])
        self._tables, self._told, self._is_named = tables, told, is_named

    def line(self, line: bytes) -> bytes | None:
        """A line without what is about the value; None where all of it is."""
        if self._is_named or any(
            self._is_about(table, row) for table in self._tables for row in self._told(table, line)
        ):
            self.about += 1
            return None
        return super().line(line)

    def _is_about(self, table: str, row: Any) -> bool:
        return isinstance(row, dict) and self._without(row, table) is None


def _matches(column: pa.ChunkedArray, sought: Sought) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_nested(kind):
        named = [sought.stands_in(json.dumps(value, default=str)) for value in column.to_pylist()]
        return pa.chunked_array([named], pa.bool_())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind):
        return pc.fill_null(pc.match_substring_regex(column.cast(pa.string()), sought.sql), False)
    return pa.chunked_array([[False] * len(column)], pa.bool_())


def _count(rows: Any) -> int:
    return int(pc.sum(rows).as_py() or 0)
