"""The guard before every resource: what must not be loaded is taken out of the stream before the cursor sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa
from dlt.common.schema import Schema
from dlt.extract import DltSource
from dlt.extract.incremental import Incremental, IncrementalResourceWrapper
from dlt.extract.items_transform import ItemTransform

from pipelines.rows.arrow_tables import sifted
from pipelines.rows.comparable import Comparable
from pipelines.rows.declared import Declared
from pipelines.rows.intake import Intake, shown
from pipelines.rows.raw_lines import Screen, parsed
from pipelines.rows.storable import Storable

SCALARS = (str, int, float, bool)


def guard(source: DltSource, intake: Intake, limit: int | None, kind: str, known: Schema | None = None) -> None:
    """Put the intake before the cursor of every selected resource, and the row limit at its end.

    `kind` is the destination's: what it cannot hold is set aside, too. `known` is the schema of what is loaded.

    The cursor must not see a row that is set aside: a bad value could move it past rows not read yet.
    """
    for resource in source.resources.values():  # a parent that is not selected still feeds its children
        steps = resource._pipe.steps
        cursors = [at for at, step in enumerate(steps) if isinstance(step, (Incremental, IncrementalResourceWrapper))]
        declared = Declared.of(source, resource, known, kind)
        intercept = Intercept(resource.name, intake, declared, Comparable(steps), kind)
        resource.add_step(intercept, insert_at=cursors[0] if cursors else len(steps))
        if resource.selected:
            resource.add_step(Counter(resource.name, intake, limit))


class Intercept(ItemTransform[Any, Any]):
    """A step of a resource that lets neither notices nor bad rows pass."""

    def __init__(self, resource: str, intake: Intake, declared: Declared, cursor: Comparable, kind: str) -> None:
        super().__init__(_same)
        self.resource, self.intake, self.declared, self.cursor = resource, intake, declared, cursor
        self.storable, self.screen = Storable(kind, declared.widens), Screen(declared, kind)

    def __call__(self, item: Any, meta: Any = None) -> Any:
        if not isinstance(item, (list, dict, orjson.Fragment, *SCALARS)):
            return self._table(item)
        page = item if isinstance(item, list) else [item]
        if not self.cursor.acts and self.screen.is_clean(page):
            return page
        pairs = [*self._pairs(page)]
        suspect = self.storable.suspects([row for _, row in pairs])
        rows = [given for given, row in pairs if self._passes(row, suspect)]
        self.intake.flush()
        return rows or None

    def _pairs(self, page: list[Any]) -> Iterator[tuple[Any, Any]]:
        """What is to go on, and the row to look at: an item twice, or a raw line and what stands in it."""
        for item in page:
            if not isinstance(item, orjson.Fragment):
                yield item, item
                continue
            line = orjson.dumps(item)
            try:
                row = parsed(line)
            except orjson.JSONDecodeError as error:
                self.intake.reject(self.resource, line.decode(errors="backslashreplace"), f"is not JSON: {error}")
                continue
            yield row if self.cursor.acts else item, row  # dlt's cursor cannot see into a line

    def _passes(self, row: Any, suspect: bool) -> bool:
        if not isinstance(row, (dict, list, *SCALARS, type(None))):
            return True  # a model or a table that dlt knows
        if isinstance(row, dict) and getattr(row, "is_notice", False):
            self.intake.notice(self.resource, row)
            return False
        reason = self._reason(row, suspect)
        if reason:
            self.intake.reject(self.resource, row, reason)
        return reason is None

    def _reason(self, row: Any, suspect: bool) -> str | None:
        if not isinstance(row, dict):
            return f"{shown(row)} is not a row of named values"
        fault = self.storable.fault(row) if suspect else None
        return fault or self.declared.violation(row) or self.cursor.fault(row)

    def _table(self, table: Any) -> Any:
        """An Arrow table without the rows that break the declaration."""
        if isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        if not isinstance(table, pa.Table):
            return table
        table = sifted(table, self.declared, self.cursor, lambda *given: self.intake.reject(self.resource, *given))
        self.intake.flush()
        return table if table.num_rows else None


class Counter(ItemTransform[Any, Any]):
    """The last step of a resource: counts rows and lets no more than `limit` pass."""

    placement_affinity = 1

    def __init__(self, resource: str, intake: Intake, limit: int | None) -> None:
        super().__init__(_same)
        self.resource, self.intake, self.left = resource, intake, limit

    def __call__(self, item: Any, meta: Any = None) -> Any:
        rows = item if hasattr(item, "__len__") and not isinstance(item, dict) else [item]
        if self.left is not None:
            rows = rows[: self.left]
            self.left -= len(rows)
        self.intake.read[self.resource] = self.intake.read.get(self.resource, 0) + len(rows)
        return rows if len(rows) else None


def _same(item: Any) -> Any:
    return item
