"""What a source tells the engine beside its rows: dicts that know they are notices; no source imports the engine.

A notice may be yielded alone or inside a page of rows (never inside an Arrow table).
The engine takes it out before dlt sees it, counts it, and writes it down.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sources.kit.secrets import without_secrets

KEY = "_etl_notice"
LONGEST_QUOTE = 80


class Notice(dict[str, Any]):
    """A type of its own, so that no row of an upstream can be taken for a notice, whatever its keys."""

    is_notice = True


def rejected(row: Any, reason: str, where: str) -> dict[str, Any]:
    """A row that must not be loaded: it goes to quarantine and makes the run partial.

    `row` is what was read (JSON-typed), `where` its place, e.g. `calls.csv:17`: there a person mends it.
    """
    return Notice({KEY: "rejected", "row": row, "reason": without_secrets(reason), "where": where})


def failed(item: str, reason: str, unit: str = "", part: str = "") -> dict[str, Any]:
    """An item (a player, a file, a page) that could not be read: the run is partial, the rest goes on.

    Where it is a unit of the resource's coverage, `unit` and `part` say which, as for `covered`.
    """
    return Notice({KEY: "failed", "item": item, "reason": without_secrets(reason), "unit": unit, "part": part})


def postponed(item: str, reason: str) -> dict[str, Any]:
    """An item that the upstream gives later: what was read is loaded, and the run ends as one to repeat."""
    return Notice({KEY: "postponed", "item": item, "reason": without_secrets(reason), "unit": "", "part": ""})


def signed_out(reason: str) -> dict[str, Any]:
    """An account that a person must sign in to: what was read of others is loaded, and the run ends as one for them.

    `reason` is the message of `SignInNeeded`; said again in one run, it is told once.
    """
    return Notice({KEY: "signed_out", "reason": without_secrets(reason)})


def covered(unit: str, rows: int = 0, part: str = "", asked_at: datetime | None = None) -> dict[str, Any]:
    """A unit that was asked for to its end: its rows, if it has any, are among those yielded in this run.

    `unit` is a day (`2024-03-09`), a month (`2024-03`), a half-open interval of days or ISO 8601 times
    (`2024-03-09/2024-04-01`), or the name of an item; `part` the account it belongs to. With `rows`, how many the
    upstream has, an empty table is known to be wrong. Of what is not over yet only the time before the run counts, or
    before `asked_at`: say it where a run that passes midnight would take the day for one that is over.
    """
    return Notice({KEY: "covered", "unit": unit, "rows": rows, "part": part, "asked_at": asked_at})


def warning(message: str) -> dict[str, Any]:
    """Something a person should know that leaves the run whole."""
    return Notice({KEY: "warning", "message": without_secrets(message)})


def quoted(value: str) -> str:
    """A value as a reason names it."""
    return repr(shortened(value, LONGEST_QUOTE))


def shortened(text: str, length: int) -> str:
    """A text, cut where it is longer than that."""
    return text if len(text) <= length else f"{text[:length]}…"
