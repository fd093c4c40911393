"""A window put on the cursors of a source: those of its functions, or those under `rest:`."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import dlt
from dlt.extract import DltResource
from dlt.sources import incremental

from pipelines.window import Window, like


def narrow(resource: DltResource, window: Window) -> bool:
    """Give a resource's own cursor the window; False when its function has none."""
    cursor = own_cursor(resource)
    if cursor is None:
        return False
    bounds = _bounds(window, cursor.initial_value)
    resource.apply_hints(incremental=dlt.sources.incremental(cursor.cursor_path, **bounds))
    return True


def own_cursor(resource: DltResource) -> incremental[Any] | None:
    """The cursor a resource's function declares as the default of an argument, or None."""
    function = resource._pipe.gen
    if not callable(function):
        return None
    parameters = inspect.signature(inspect.unwrap(function)).parameters.values()
    return next((p.default for p in parameters if isinstance(p.default, incremental)), None)


def narrow_rest(config: dict[str, Any], window: Window) -> tuple[dict[str, Any], bool]:
    """A copy of a REST config with the window in its `incremental` blocks, and whether it has any."""
    narrowed = copy.deepcopy(config)
    blocks = list(_incremental_blocks(narrowed))
    for block in blocks:
        block.update(_bounds(window, block.get("initial_value")))
    return narrowed, bool(blocks)


def _bounds(window: Window, start: Any) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    if window.since:
        bounds["initial_value"] = like(window.since, start)
    if window.until:
        bounds |= {"initial_value": bounds.get("initial_value", start), "end_value": like(window.until, start)}
    return bounds


def _incremental_blocks(node: Any) -> list[dict[str, Any]]:
    """Every `incremental:` mapping, and every parameter of that type, anywhere in the config."""
    if isinstance(node, list):
        return [block for item in node for block in _incremental_blocks(item)]
    if not isinstance(node, dict):
        return []
    found = [node] if node.get("type") == "incremental" else []
    for key, value in node.items():
        found += [value] if key == "incremental" and isinstance(value, dict) else _incremental_blocks(value)
    return found
