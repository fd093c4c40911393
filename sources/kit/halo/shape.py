"""Objects of the API as flat rows: names in snake case, durations as seconds, dates as they are, no nulls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, TypeAlias

from sources.kit import notices

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = dict[str, list[Row]]

WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
DURATION = re.compile(r"(-)?P(?=[\dT])(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
MOMENT = "ISO8601Date"  # an object of this key alone is a moment
XUID = re.compile(r"(?:xuid\()?(\d+)\)?")


def flat(told: Row, prefix: str = "", without: frozenset[str] = frozenset()) -> Row:
    """The fields of an object in one row; those of an object in it after its name and `__`, lists as they are."""
    row: Row = {}
    for key, value in told.items():
        kind = type(value)
        if value is None or key in without:
            continue
        name = prefix + snake(key)
        if kind is int:  # most are
            row[name] = value
        elif kind is dict:
            row |= {name: value[MOMENT]} if MOMENT in value else flat(value, f"{name}__")
        elif kind is str and value.startswith(("P", "-P")) and (length := seconds(value)) is not None:
            row[f"{name}_seconds"] = length
        else:
            row[name] = value
    return row


@cache
def snake(name: str) -> str:
    """`emp_assists` of `EmpAssists`, `kda` of `KDA`."""
    return WORDS.sub("_", name).lower()


def seconds(text: Any) -> float | None:
    """An ISO 8601 duration, of any number of decimals; None for what is none."""
    match = DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    sign, days, hours, minutes, rest = match.groups()
    whole = (int(days or 0) * 24 + int(hours or 0)) * 60 + int(minutes or 0)
    length = whole * 60 + float(rest or 0)
    return -length if sign else length


def xuid_of(player: Any) -> str | None:
    """The digits of `xuid(2535…)`, or of a bare number; None for a bot, `bid(…)`."""
    match = XUID.fullmatch(str(player))
    return match[1] if match else None


def objects(found: Any, where: str) -> Iterator[tuple[Row, bool]]:
    """The entries of a list, each with whether it is an object; a notice stands for one that is none."""
    for entry in found if isinstance(found, list) else [] if found is None else [found]:
        good = isinstance(entry, dict)
        yield (entry if good else notices.rejected({where: entry}, "is no object", where)), good


def below(told: Any, *path: str) -> Row:
    """The object at a path of keys; an empty one where there is none."""
    for key in path:
        told = told.get(key) if isinstance(told, dict) else None
    return told if isinstance(told, dict) else {}
