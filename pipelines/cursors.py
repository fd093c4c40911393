"""A window put on the cursors of a source, those of its functions and those under `rest:` alike."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
import pyarrow as pa
from dlt.extract import DltResource
from dlt.extract.incremental import Incremental, IncrementalResourceWrapper
from dlt.extract.incremental.exceptions import IncrementalCursorPathHasValueNone, IncrementalCursorPathMissing
from dlt.extract.items_transform import ItemTransform

from pipelines.errors import UsageError
from pipelines.rows.intake import shown
from pipelines.rows.raw_lines import parsed
from pipelines.window import MICROSECOND, Window, like, moment_of

Cursor = Incremental[Any]
ROWS = (list, dict, orjson.Fragment, pa.Table, pa.RecordBatch)


def narrow(resource: DltResource, window: Window) -> bool:
    """Give a resource's cursor the window and let only rows in it pass; False when there is no cursor.

    The source, and through it the upstream, sees bounds in the form of `initial_value`, where that tells one. Which
    rows are in the window is seen from each row's own moment: texts and numbers of several forms have no order.
    """
    cursor = cursor_of(resource)
    if cursor is None:
        return False
    _refuse(resource, cursor, window)
    resource.set_incremental(_bounded(cursor, window))
    steps = resource._pipe.steps
    at = next(at for at, step in enumerate(steps) if step is resource.incremental)
    resource.add_step(Within(cursor.cursor_path, _limits(cursor, window)), insert_at=at)
    return True


def cursor_of(resource: DltResource) -> Cursor | None:
    """The cursor of a resource: its own step, or what its function was given or has as a default."""
    step: Incremental[Any] | IncrementalResourceWrapper | None = resource.incremental
    if not isinstance(step, IncrementalResourceWrapper):
        return step
    if step.incremental is not None:
        return step.incremental
    function = resource._pipe.gen
    parameters = inspect.signature(inspect.unwrap(function)).parameters.values() if callable(function) else ()
    default = next((p.default for p in parameters if isinstance(p.default, Incremental)), None)
    arguments = resource.explicit_args.values() if resource.args_bound else ()
    given = next((value for value in arguments if isinstance(value, Incremental)), None)
    return default.merge(given) if default is not None and given is not None else given or default


class Within(ItemTransform[Any, Any]):
    """The step before a cursor that lets rows in the window pass, and has the cursor pass them, too."""

    def __init__(self, path: str, window: Window) -> None:
        super().__init__(_same)
        self.path, self.window = path, window
        self.rejected = importlib.import_module("sources.kit.notices").rejected

    def bind(self, pipe: Any) -> Within:
        self._pipe = pipe
        return self

    def __call__(self, item: Any, meta: Any = None) -> Any:
        step = self._pipe.get_by_type(Incremental, IncrementalResourceWrapper)
        cursor = step.incremental if isinstance(step, IncrementalResourceWrapper) else step
        if cursor is None or not isinstance(item, ROWS) or item == []:
            return item  # what only dlt can look into has dlt's own filter
        cursor.advance(None)
        if isinstance(item, list):
            return [kept for one in item for kept in self._kept(cursor, one)] or None
        return next(self._kept(cursor, item), None)

    def _kept(self, cursor: Cursor, item: Any) -> Iterator[Any]:
        """The item where it is in the window, what is to be said of it, or nothing."""
        if isinstance(item, (pa.Table, pa.RecordBatch)):
            yield self._sifted(cursor, item)
            return
        if getattr(item, "is_notice", False):
            yield item
            return
        try:
            row = parsed(orjson.dumps(item)) if isinstance(item, orjson.Fragment) else item
            look: Any = cursor._get_transform([row])
            value = look.find_cursor_value(row)
        except (IncrementalCursorPathMissing, IncrementalCursorPathHasValueNone, orjson.JSONDecodeError):
            yield item  # the guard refuses it
            return
        moment = moment_of(value, self.window.zone)
        if moment is None and value is not None:
            reason = f"{cursor.cursor_path}: {shown(value)} tells no moment, and a window needs one"
            yield self.rejected(row, reason, "")
        elif self._holds(cursor, moment):
            yield item

    def _sifted(self, cursor: Cursor, table: Any) -> Any:
        """The rows of an Arrow table that are in the window; one that tells no moment is left to the guard."""
        if cursor.cursor_path not in table.schema.names:
            return table
        column = table[cursor.cursor_path]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
        told = [(value, moment_of(value, self.window.zone)) for value in column.to_pylist()]
        kept = [(moment is None and value is not None) or self._holds(cursor, moment) for value, moment in told]
        return table.filter(pa.array(kept, pa.bool_()))

    def _holds(self, cursor: Cursor, moment: datetime | None) -> bool:
        """Whether a row is in the window; a cursor that knows an order hears when the upstream has passed it."""
        if moment is None:
            return cursor.on_cursor_value_missing != "exclude"
        early = self.window.since is not None and moment < self.window.since
        late = self.window.until is not None and moment >= self.window.until
        backwards = cursor.last_value_func is min
        cursor.start_out_of_range, cursor.end_out_of_range = (late, early) if backwards else (early, late)
        if cursor.can_close() and not self._pipe.has_parent:
            self._pipe.close()
        return not early and not late


def _refuse(resource: DltResource, cursor: Cursor, window: Window) -> None:
    """A window on what is no time, and one with one end that the cursor does not reach."""
    where, start = f"{resource.source_name}: {resource.name}: its cursor {cursor.cursor_path}", cursor.initial_value
    if moment_of(start, window.zone) is None and start not in (None, ""):
        raise UsageError(
            f"{where} begins at {shown(start)}, which tells no moment, so --since and --until cannot act on it; "
            f"leave it out with --exclude {resource.name}"
        )
    limits = _limits(cursor, window)
    if limits.since and limits.until and limits.since >= limits.until:
        raise UsageError(f"{where} begins at {shown(start)} and never is in {window}; give both --since and --until")


def _bounded(cursor: Cursor, window: Window) -> Cursor:
    """The cursor, with all its settings, between the bounds that its form has room for."""
    bounded, example, zone = cursor.copy(), cursor.initial_value, window.zone
    since = window.since and like(window.since, example, zone)
    until = window.until and like(window.until, example, zone, late=True)
    start, end = (until, since) if cursor.last_value_func is min else (since, until)
    if cursor.last_value_func in (min, max):
        bounded.initial_value = example if start is None else start
        bounded.end_value = cursor.end_value if end is None else end
    return bounded


def _limits(cursor: Cursor, window: Window) -> Window:
    """The window; where it is open, the cursor's own values are its bounds."""
    start, end = moment_of(cursor.initial_value, window.zone), moment_of(cursor.end_value, window.zone)
    if cursor.last_value_func is min:
        return replace(window, since=window.since or end, until=window.until or (start and start + MICROSECOND))
    if cursor.last_value_func is max:
        return replace(window, since=window.since or start, until=window.until or end)
    return window


def _same(item: Any) -> Any:
    return item
