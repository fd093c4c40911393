"""Garmin Connect: what watches and scales of some accounts have measured, by day, and their activities.

Docs:   none by Garmin; https://github.com/cyberjunky/python-garminconnect names the endpoints.
Auth:   a person signs in once per account, with MFA (`etl auth login garmin --account NAME`); a sign-in that is used
        within 30 days renews itself. A 401, or a 429 to a login, is never repeated.
Limits: none published; four requests a second and four at once (`http.requests_per_second`, `requests_at_once`).
Cursor: per resource and account the day up to which it was asked for. A run asks again for the last days (`look_back`
        of `metrics.py`), today included, and for what failed before; for an activity when it is new or has changed.

Moments are in UTC, `calendar_date` is the day of the person's wall clock, `utc_offset_minutes` lies between them.
A day without data is told as covered without rows: 204, `null`, `[]`, or an answer that is a bare frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dlt
from dlt.extract import DltResource

from sources.garmin import columns as c
from sources.garmin import files
from sources.garmin.activities import ACTIVITIES, PARTS
from sources.garmin.catalogue import described
from sources.garmin.days import window
from sources.garmin.metrics import METRICS, Table
from sources.garmin.reading import ACCOUNT, Reading
from sources.garmin.sign_in import SIGN_IN as SIGN_IN
from sources.garmin.upstream import Account
from sources.kit import tokens
from sources.kit.errors import BadSetting
from sources.kit.foreign import Foreign

API = "https://connectapi.garmin.com"
RESOURCES = dict(described())


@dlt.source(name="garmin", section="garmin", max_table_nesting=0)
def garmin(
    accounts: list[str] = dlt.config.value,
    begin: str = "2024-01-01",
    timezone: str = "UTC",
    base_url: str = API,
    since: str | None = None,
    until: str | None = None,
) -> Iterable[DltResource]:
    """A table or two for each metric. `begin` is the first day of an account that was never read.

    `timezone` tells which day it is; `since` and `until` (ISO 8601 with an offset, half-open) narrow the days.
    """
    zone = _zone(timezone)
    people = [Account(name, base_url.rstrip("/"), zone) for name in _names(accounts)]
    read = Reading(people, window(begin, since, until, zone))
    return (
        *(_resource(table, read.metric(metric, table)) for metric in METRICS for table in metric.tables),
        _resource(ACTIVITIES, read.activities()),
        *(_resource(table, read.part(part, table)) for part in PARTS for table in part.tables),
    )


def foreign(accounts: list[str] = dlt.config.value) -> Foreign:
    """Files of others: answers of the API, one a line, as older ingestors have written them."""
    return files.read(_names(accounts))


def _resource(table: Table, rows: Iterator[Any]) -> DltResource:
    whole: Any = (ACCOUNT, *table.whole) if table.whole else None
    return dlt.resource(
        rows,
        name=table.name,
        write_disposition="merge",
        primary_key=(ACCOUNT, *table.key),
        merge_key=whole,
        columns={**table.columns, **(c.REMOVED if table.is_of_days else {})},
    )


def _names(accounts: list[str]) -> list[str]:
    names = list(dict.fromkeys(tokens.checked(str(account).strip()) for account in accounts))
    if not names or "" in names:
        raise BadSetting("garmin: accounts: names nobody; list names of your own in specs/garmin.yaml, e.g. [me]")
    return names


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadSetting(f"garmin: timezone: {name!r} is no zone; write e.g. Europe/Paris") from None
