"""An object of Garmin's JSON as one flat row: names in snake case with units, moments in UTC, one offset."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from sources.garmin.moments import offset_minutes, utc

Row = dict[str, Any]

GMT, LOCAL = ("GMT", "Gmt", ""), "Local"
OFFSET = "utc_offset_minutes"
MOMENTS = frozenset({"timestamp", "createTimeStamp", "beginTimestamp", "registeredDate", "issueDate", "startTime"})
OURS = {"removed": "was_removed"}  # names that mean something to us
WHOLE = frozenset(
    {
        "bodyBatteryDynamicFeedbackEvent", "endOfDayBodyBatteryDynamicFeedbackEvent", "geoPolylineDTO",
        "nextSleepNeed", "summarizedDiveInfo", "wellnessSpO2SleepSummaryDTO",
    }
)  # fmt: skip
FRAME = re.compile("userProfile|userId|userDailySummaryId|calendarDate|GMT|Gmt|Local|Descriptor|Version|Offset|Origin")


def flat(found: Mapping[str, Any], units: Mapping[str, str] | None = None, without: Collection[str] = ()) -> Row:
    """The row of an object; objects in it are joined by `__`, lists and what is `WHOLE` stay.

    `units` rename, `without` leaves out.
    """
    row: Row = {}
    _fill(row, found, "", units or {}, without)
    return row


def _fill(row: Row, found: Mapping[str, Any], prefix: str, units: Mapping[str, str], without: Collection[str]) -> None:
    for key, value in found.items():
        if key in without or _is_offset(row, key, found):
            continue
        name = prefix + snake(key)
        if isinstance(value, dict) and key not in WHOLE:
            _fill(row, value, f"{name}__", units, without)
        else:
            is_moment = key.endswith(GMT[:2]) or key in MOMENTS
            row[units.get(name, OURS.get(name, name))] = utc(value) if is_moment else value


def _is_offset(row: Row, key: str, found: Mapping[str, Any]) -> bool:
    """Whether it is the wall clock of a moment that is told in UTC, too; the first one tells the offset."""
    twin = next((key.removesuffix(LOCAL) + end for end in GMT if key.removesuffix(LOCAL) + end in found), None)
    if not key.endswith(LOCAL) or twin is None:
        return False
    if row.get(OFFSET) is None:
        row[OFFSET] = offset_minutes(found[key], found[twin])
    return True


@cache
def snake(key: str) -> str:
    """`averageSpO2HR` as `average_spo2_hr`: one spelling for what the API spells in several ways."""
    key = re.sub("S[pP]O2", "Spo2", key)
    key = key.replace("spO2", "spo2").replace("vO2", "vo2").replace("VO2", "Vo2")
    key = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", key)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", key).lower()


def is_bare(found: Any) -> bool:
    """Whether there is nothing but the frame of an answer: whose it is, of which day, and how to read it."""
    if isinstance(found, dict):
        return all(FRAME.search(key) or is_bare(value) for key, value in found.items())
    return found is None or found is False or found in ("", [])
