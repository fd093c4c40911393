"""JSON whose objects may name a key twice: what is said of it first is not lost."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import orjson

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Repeating(dict[str, Any]):
    """An object that has a key more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def parsed(content: bytes) -> Any:
    """The document; orjson.JSONDecodeError where it is none, or holds text that is no UTF-8."""
    content = content.removeprefix(BYTE_ORDER_MARK)
    orjson.loads(content)
    return json.loads(content, object_pairs_hook=_object)


def pairs(found: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """The keys and values of an object, those of a key that comes twice, too."""
    return found.pairs if isinstance(found, Repeating) else found.items()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Repeating(pairs)
