"""Text cells to typed columns: null where a text is no value of the type. Arrow does what is plain, Python the rest."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

INSTANT = pa.timestamp("us", "UTC")
DAY = r"[12]\d{3}-\d\d-\d\d"
DAY_AND_TIME = rf"{DAY}[T ]\d\d:\d\d"
# What Arrow reads exactly as Python does, at many times the speed; the rest goes value by value.
PLAIN_LOCAL = rf"^{DAY_AND_TIME}:\d\d(\.\d{{1,6}})?$"
PLAIN_INSTANT = rf"^{DAY_AND_TIME}:\d\d(\.\d{{1,6}})?(Z|[+-](0\d|1[0-4]):[0-5]\d)$"
PLAIN_DAY = rf"^{DAY}$"
PLAIN_DOUBLE = r"^-?\d{1,15}(\.\d{1,12})?$"
PLAIN_INTEGER = r"^-?\d{1,18}$"
PLAIN_TRUTH = r"^(true|false)$"
ANY_INSTANT = re.compile(rf"{DAY_AND_TIME}(:\d\d([.,]\d{{1,9}})?)?( ?(Z|[+-]\d\d(:?\d\d)?))?", re.ASCII)
ANY_DOUBLE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
ANY_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
READINGS = ("earliest", "latest")  # what Arrow calls fold 0 and 1
TRUTHS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def instants(text: pa.StringArray, zone: ZoneInfo, fold: Literal[0, 1] = 0) -> pa.TimestampArray:
    """Times in UTC, null where the text is none.

    A time without an offset is local to `zone`: of the two readings of an hour that occurs twice the first is
    taken, with `fold` the second, and a time that the clock skipped moves forward by the gap (02:30 becomes 03:30),
    with `fold` back.
    """
    try:
        if all_match(text, PLAIN_INSTANT):
            return pc.cast(text, INSTANT)
        if all_match(text, PLAIN_LOCAL):
            local = pc.cast(text, pa.timestamp("us"))
            known = pc.assume_timezone(local, timezone=zone.key, ambiguous=READINGS[fold], nonexistent="raise")
            return pc.cast(known, INSTANT)
    except pa.ArrowInvalid:
        pass  # a 30th of February, or a time that the clock skipped: Python looks at each
    return pa.array([_instant(value, zone, fold) for value in text.to_pylist()], INSTANT)


def days(text: pa.StringArray) -> pa.Date32Array:
    """Dates as ISO 8601 writes them."""
    return _read(text, PLAIN_DAY, pa.date32(), _day)


def doubles(text: pa.StringArray) -> pa.DoubleArray:
    """Finite numbers with a decimal point."""
    return _read(text, PLAIN_DOUBLE, pa.float64(), _double)


def integers(text: pa.StringArray) -> pa.Int64Array:
    """Whole numbers of 64 bits; `2.5` and `2.0` are none."""
    return _read(text, PLAIN_INTEGER, pa.int64(), _integer)


def truths(text: pa.StringArray) -> pa.BooleanArray:
    """`true` and `false`, `t` and `f`, 1 and 0, in any case."""
    return _read(text, PLAIN_TRUTH, pa.bool_(), lambda value: TRUTHS.get(value.lower()))


def all_match(text: pa.StringArray, pattern: str) -> bool:
    """Whether every cell that is not null matches."""
    return bool(pc.all(pc.match_substring_regex(text, pattern), min_count=0).as_py())


def _read(text: pa.StringArray, plain: str, wanted: pa.DataType, one: Callable[[str], Any]) -> pa.Array:
    try:
        if all_match(text, plain):
            return pc.cast(text, wanted)
    except pa.ArrowInvalid:
        pass  # a 30th of February
    return pa.array([None if value is None else one(value) for value in text.to_pylist()], wanted)


def _instant(value: str | None, zone: ZoneInfo, fold: Literal[0, 1]) -> datetime | None:
    if value is None or not ANY_INSTANT.fullmatch(value):
        return None
    day, _, time = value.partition(value[10])
    try:
        parsed = datetime.fromisoformat(f"{day}T{time.replace(' ', '')}")
    except ValueError:
        return None
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=zone, fold=fold)
    return aware.astimezone(UTC)


def _day(value: str) -> date | None:
    try:
        return date.fromisoformat(value) if re.fullmatch(DAY, value, re.ASCII) else None
    except ValueError:
        return None


def _double(value: str) -> float | None:
    number = float(value) if ANY_DOUBLE.fullmatch(value) else math.inf
    return number if math.isfinite(number) else None


def _integer(value: str) -> int | None:
    number = int(value) if ANY_INTEGER.fullmatch(value) else None
    return number if number is not None and -(2**63) <= number < 2**63 else None
