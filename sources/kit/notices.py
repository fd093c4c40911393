"""What a source tells the engine beside its rows: plain dicts, so that no source imports the engine.

A notice may be yielded alone or inside a page of rows (never inside an Arrow table).
The engine takes it out before dlt sees it, counts it, and writes it down.
"""

from __future__ import annotations

from typing import Any

KEY = "_etl_notice"


def rejected(row: Any, reason: str, where: str) -> dict[str, Any]:
    """A row that must not be loaded: it goes to quarantine and makes the run partial.

    `row` is what was read (JSON-typed), `where` its place, e.g. `calls.csv:17`: there a person mends it.
    """
    return {KEY: "rejected", "row": row, "reason": reason, "where": where}


def failed(item: str, reason: str) -> dict[str, Any]:
    """An item (a player, a file, a page) that could not be read: the run is partial, the rest goes on."""
    return {KEY: "failed", "item": item, "reason": reason}


def warning(message: str) -> dict[str, Any]:
    """Something a person should know that leaves the run whole."""
    return {KEY: "warning", "message": message}
