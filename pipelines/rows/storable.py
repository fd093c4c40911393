"""Rows a load would choke on, found before dlt has them: a package that cannot be loaded blocks every later run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from dlt.common.json import custom_pua_encode
from dlt.common.json import json as dlt_json

DEEPEST = 250  # what dlt's own JSON writer takes
INT64 = range(-(2**63), 2**63)
UINT64 = range(2**64)
NAMELESS = (b'"":', b' ":')
NUL = b"\\u0000"
AS_DLT = orjson.OPT_PASSTHROUGH_DATETIME  # which writes times with a zone, as orjson does not


def written(value: Any) -> Any:
    """A value as dlt's normalize reads what its extract has written; TypeError where that cannot write it."""
    return dlt_json.typed_loadb(dlt_json.typed_dumpb(value))


class Storable:
    """What a destination can hold: `suspects` looks at a page at once, `fault` at one row.

    `widens` tells whether a column is declared as something that holds more than 64-bit integers.
    """

    def __init__(self, kind: str, widens: Callable[[str], bool] = lambda key: False) -> None:
        self._takes_nul, self._widens = kind != "postgres", widens
        self._marks = NAMELESS if self._takes_nul else (*NAMELESS, NUL)

    def suspects(self, page: list[Any]) -> bool:
        """Whether a row of the page may have a fault; costs one fast dump of the page."""
        try:
            text = orjson.dumps(page, custom_pua_encode, AS_DLT | orjson.OPT_STRICT_INTEGER)
        except TypeError:
            return True
        return any(mark in text for mark in self._marks)

    def fault(self, row: dict[str, Any]) -> str | None:
        """The first value that cannot be stored, and why, or None."""
        waiting: list[tuple[tuple[str, ...], Any]] = [((), row)]
        while waiting:
            path, value = waiting.pop()
            if not isinstance(value, (dict, list, tuple, str, int)):
                try:
                    value = written(value)
                except TypeError:
                    return f"{'.'.join(path)}: a {type(value).__name__} cannot be written as JSON"
            if isinstance(value, dict):
                reason = next(filter(None, map(self._of_key, value)), None)
                waiting += [((*path, str(key)), inner) for key, inner in reversed(value.items())]
            elif isinstance(value, (list, tuple)):
                reason = None
                waiting += [((*path, "*"), item) for item in reversed(value)]
            else:
                reason = self._of_leaf(value, path)
            if len(path) > DEEPEST:
                return f"{path[0]}: is nested more than {DEEPEST} levels deep"
            if reason:
                return ": ".join(filter(None, (".".join(path), reason)))
        return None

    def _of_key(self, key: Any) -> str | None:
        if not isinstance(key, str):
            return f"{key!r} is no name, names are text"
        if not key.strip():
            return f"{key!r} is no name"
        reason = self._of_text(key)
        return f"the name {key!r} {reason}" if reason else None

    def _of_leaf(self, value: Any, path: tuple[str, ...]) -> str | None:
        if isinstance(value, str):
            return self._of_text(value)
        if isinstance(value, int):
            fits = value in INT64 or (value in UINT64 and self._widens(path[0]))
            return None if fits else f"{value} does not fit into 64 bits"
        return None

    def _of_text(self, text: str) -> str | None:
        if not self._takes_nul and "\0" in text:
            return "holds a NUL character, which Postgres cannot store"
        try:
            text.encode()
        except UnicodeEncodeError:
            return "holds half a surrogate pair, which is not Unicode text"
        return None
