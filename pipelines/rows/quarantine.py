"""The guard before every resource: what must not be loaded is taken out of the stream before the cursor sees it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import repeat
from typing import Any

import orjson
import pyarrow as pa
from dlt.common.destination import Destination
from dlt.common.schema import Schema
from dlt.common.schema.exceptions import DataValidationError
from dlt.extract import DltSource
from dlt.extract.extractors import MaterializedEmptyList, _to_arrow_table
from dlt.extract.incremental import Incremental, IncrementalResourceWrapper
from dlt.extract.items_transform import ItemTransform, ValidateItem
from dlt.extract.utils import get_data_item_format
from dlt.extract.validation import PydanticValidator

from pipelines.errors import EtlError
from pipelines.parsed_pages import ParsedPages
from pipelines.rows.arrow_tables import sifted
from pipelines.rows.comparable import Comparable
from pipelines.rows.intake import Intake, shown
from pipelines.rows.raw_lines import parsed
from pipelines.rows.storable import written
from pipelines.rows.targets import Target, Targets

ONE_LINE = bytes.maketrans(b"\r\n", b"  ")  # of JSON, in whose texts they are escaped

Seen = tuple[Any, Any, str]  # what goes on, the row it is, and the place it came from, if that is known
READ_ALREADY = (dict, list, str, int, float, bool, type(None))
LOOK_AT_ROWS = (ValidateItem, Incremental, IncrementalResourceWrapper)


def guard(
    source: DltSource,
    intake: Intake,
    limit: int | None,
    kind: str,
    known: Schema | None = None,
    *,
    feeders: Collection[str] = (),
    parsed_pages: ParsedPages | None = None,
) -> None:
    """Put the intake before the cursor of every resource, and the row limit at the end of those that are selected.

    `kind` is the destination's: what it cannot hold is set aside, too. `known` is the schema of what is loaded.
    `feeders` are what the source itself does not select: no table, so that no rule of a table holds for them.
    A parent that only this run leaves out still feeds its children the rows it feeds them in every run.
    `parsed_pages` gets the pages that were seen as a whole, for the normaliser.

    The cursor must not see a row that is set aside: a bad value could move it past rows not read yet.
    """
    caps = Destination.from_reference(kind).capabilities()  # type: ignore[union-attr]
    for resource in source.resources.values():
        steps = resource._pipe.steps
        first = next((at for at, step in enumerate(steps) if isinstance(step, LOOK_AT_ROWS)), len(steps))
        cursor = Comparable(steps)
        if resource.name in feeders and not resource.selected:
            resource.add_step(Feed(resource.name, intake, cursor), insert_at=first)
            continue
        validator = next((step for step in steps if isinstance(step, PydanticValidator)), None)
        targets = Targets(source, resource, known, kind, caps, parsed_pages)
        resource.add_step(Intercept(resource.name, intake, targets, cursor, validator), insert_at=first)
        if resource.selected:
            resource.add_step(Counter(resource.name, intake, limit))


class Feed(ItemTransform[Any, Any]):
    """A step of a resource that is not stored: takes out notices, and rows its cursor would stop at."""

    def __init__(self, resource: str, intake: Intake, cursor: Comparable) -> None:
        super().__init__(_same)
        self.resource, self.intake, self.cursor = resource, intake, cursor

    def __call__(self, item: Any, meta: Any = None) -> Any:
        if get_data_item_format(item) != "object":
            return item
        page = item if isinstance(item, list) else [item]
        rows = self._comparable([(row, row, "") for row in page if not self._is_notice(row)])
        self.intake.flush()
        return _like(item, rows) if len(rows) < len(page) else item

    def _is_notice(self, row: Any) -> bool:
        """Whether it is a notice, which is taken in."""
        is_notice = isinstance(row, dict) and getattr(row, "is_notice", False)
        if is_notice:
            self.intake.notice(self.resource, row)
        return is_notice

    def _comparable(self, page: list[Seen]) -> list[Any]:
        """What is to go on of a page: the rows in which the cursor finds its way."""
        faults = self.cursor.faults([row for _, row, _ in page])
        return [seen[0] for seen, fault in zip(page, faults, strict=True) if self._is_sound(seen, fault)]

    def _is_sound(self, seen: Seen, reason: str | None) -> bool:
        """Whether there is no reason to set a row aside, which is done."""
        if reason:
            self.intake.reject(self.resource, _told(seen), reason, seen[2])
        return reason is None


class Intercept(Feed):
    """A step of a resource that lets neither notices nor bad rows pass."""

    def __init__(
        self,
        resource: str,
        intake: Intake,
        targets: Targets,
        cursor: Comparable,
        validator: PydanticValidator[Any] | None = None,
    ) -> None:
        super().__init__(resource, intake, cursor)
        self.targets, self.validator = targets, validator

    def __call__(self, item: Any, meta: Any = None) -> Any:
        form, page = get_data_item_format(item), _on_one_line(item if isinstance(item, list) else [item])
        if form == "model":
            return item
        target = self.targets.of(meta)
        if form == "arrow" and target.form != "rows":
            tables = self._tables(page, target)
            target.form = "arrow" if tables else target.form
            return _like(item, tables)
        if form == "arrow":  # dlt gives a row an id that a table has not, and a column that must have it
            item = page = [row for table in page for row in _to_arrow_table(table).to_pylist()]
        rows = page if not self._reads and target.screen.is_clean(page) else self._rows(page, target)
        if rows and target.form == "arrow":
            raise EtlError(
                f"{self.intake.spec}.{self.resource}: yields rows after Arrow tables, which dlt cannot put into one "
                "table; yield one kind only, and load a table of the other kind anew with --full-refresh"
            )
        target.form = "rows" if rows else target.form
        return _like(item, rows)

    @property
    def _reads(self) -> bool:
        """Whether a step of dlt after this one has to see into each row."""
        return self.cursor.acts or self.validator is not None

    def _rows(self, page: list[Any], target: Target) -> list[Any]:
        seen = [*self._seen(page)]
        rows = [row for _, row, _ in seen]
        if not (self._reads and target.screen.is_clean(rows)):
            suspect = target.storable.suspects(rows)
            seen = [each for each in seen if self._fits(each, _reason(each[1], target, suspect))]
        kept = self._comparable(seen)
        self.intake.flush()
        return kept

    def _fits(self, seen: Seen, reason: str | None) -> bool:
        """Whether no rule of the table is against a row, else it is refused."""
        if reason:
            self.intake.refuse(self.resource, _told(seen), reason, seen[2])
        return reason is None

    def _seen(self, page: list[Any]) -> Iterator[Seen]:
        """What is to go on, and the row to look at: what dlt will make of a raw line, a model or another object."""
        for item, place in zip(page, getattr(page, "places", repeat("")), strict=False):
            if self._is_notice(item):
                continue
            try:
                row = _read(item)
                seen = self.validator(row) if self.validator else row
            except Unfit as unfit:
                self.intake.refuse(self.resource, unfit.item, str(unfit), place)
            except DataValidationError as error:
                if error.schema_entity != "data_type":
                    raise
                self.intake.refuse(self.resource, row, _first_error(error), place)
            else:
                if seen is not None:
                    yield row if self._reads else item, seen, place

    def _tables(self, page: list[Any], target: Target) -> list[pa.Table]:
        """Arrow tables without the rows that break the declaration."""
        tables = [self._table(_to_arrow_table(table), target) for table in page]
        self.intake.flush()
        return [table for table in tables if table.num_rows]

    def _table(self, table: Any, target: Target) -> pa.Table:
        if isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        return sifted(table, target.declared, self.cursor, lambda *given: self.intake.reject(self.resource, *given))


class Counter(ItemTransform[Any, Any]):
    """The last step of a resource: counts rows and lets no more than `limit` pass."""

    placement_affinity = 1

    def __init__(self, resource: str, intake: Intake, limit: int | None) -> None:
        super().__init__(_same)
        self.resource, self.intake, self.left = resource, intake, limit

    def __call__(self, item: Any, meta: Any = None) -> Any:
        if get_data_item_format(item) != "arrow":
            return _like(item, self._counted(item if isinstance(item, list) else [item]))
        tables = [self._counted(table) for table in (item if isinstance(item, list) else [item])]
        return _like(item, [table for table in tables if len(table)])

    def _counted(self, rows: Any) -> Any:
        if self.left is not None:
            rows = rows[: self.left]
            self.left -= len(rows)
        self.intake.read[self.resource] = self.intake.read.get(self.resource, 0) + len(rows)
        return rows


class Unfit(Exception):
    """What was read is no row; the message is the reason."""

    def __init__(self, item: Any, reason: str) -> None:
        super().__init__(reason)
        self.item = item


def _told(seen: Seen) -> Any:
    """The row as quarantine is to have it."""
    return seen[0] if isinstance(seen[0], dict) else seen[1]


def _read(item: Any) -> dict[str, Any]:
    """The row that dlt will make of an item."""
    if isinstance(item, dict):
        return item
    row = _parsed(item) if isinstance(item, orjson.Fragment) else item
    if not isinstance(row, READ_ALREADY):
        try:
            row = written(row)
        except TypeError:
            raise Unfit(row, f"a {type(row).__name__} cannot be written as JSON") from None
    if not isinstance(row, dict):
        raise Unfit(row, f"{shown(row)} is not a row of named values")
    return row


def _parsed(item: orjson.Fragment) -> Any:
    line = orjson.dumps(item)
    try:
        return parsed(line)
    except orjson.JSONDecodeError as error:
        raise Unfit(line.decode(errors="backslashreplace"), f"is not JSON: {error}") from None


def _reason(row: dict[str, Any], target: Target, suspect: bool) -> str | None:
    return (target.storable.fault(row) if suspect else None) or target.declared.violation(row)


def _first_error(error: DataValidationError) -> str:
    """What a model has against a row."""
    first = error.__cause__.errors()[0]  # type: ignore[union-attr]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _on_one_line(page: list[Any]) -> list[Any]:
    """Raw rows without a line break between their values: they are stored as lines. What was a line has none."""
    if hasattr(page, "places") or orjson.Fragment not in set(map(type, page)):
        return page
    return [_line_of(row) if isinstance(row, orjson.Fragment) else row for row in page]


def _line_of(row: orjson.Fragment) -> orjson.Fragment:
    """The same on one line; what is no JSON stays as it is, to be set aside so."""
    text = orjson.dumps(row)
    line = text.translate(ONE_LINE)
    if line == text or not _is_json(text):
        return row
    return orjson.Fragment(line)


def _is_json(text: bytes) -> bool:
    try:
        parsed(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _like(item: Any, kept: list[Any]) -> Any:
    """What is left of an item, as a page or alone as it came; None where nothing is, unless it asks for a table."""
    if not kept:
        return item if isinstance(item, MaterializedEmptyList) else None
    return kept if isinstance(item, list) else kept[0]


def _same(item: Any) -> Any:
    return item
