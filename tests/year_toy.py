"""A year of days for tests of coverage: `steps` asks an API day by day, `sleep` has a cursor."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from tests.scripted_server import Asked, Steps, reply
from tests.workspace import Workspace

SPEC = """\
name: year
about: A year of days, for tests.
timezone: {zone}
python: {{}}
resources:
  steps:
    coverage: {{by: day, column: day, since: 2024-01-01, until: 2025-01-01}}
  sleep:
    coverage: {{by: {by}, column: ended, since: 2024-01-01, until: 2025-01-01}}
"""
SOURCE = '''\
"""Steps day by day, and nights by a cursor."""

import json
from datetime import date, datetime, timedelta
from urllib.error import HTTPError
from urllib.request import urlopen

import dlt

from sources.kit import notices

DAY = timedelta(days=1)
STEPS = {"day": {"data_type": "date"}, "steps": {"data_type": "bigint"}}
SLEEP = {"ended": {"data_type": "timestamp"}, "minutes": {"data_type": "bigint"}}


@dlt.source(name="year", section="year")
def year(base_url: str = dlt.config.value, since: str = "2023-12-31T23:00:00Z", until: str = "2024-12-31T23:00:00Z"):
    return steps(base_url, since, until), sleep(base_url)


@dlt.resource(primary_key="day", write_disposition="merge", columns=STEPS)
def steps(base_url, since, until):
    day, end = ((datetime.fromisoformat(text) + timedelta(hours=2)).date() for text in (since, until))
    while day < end:
        try:
            rows = json.load(urlopen(f"{base_url}steps?day={day}"))
        except HTTPError as error:
            yield notices.failed(str(day), f"answered {error.code}", unit=str(day))
        else:
            yield rows
            yield notices.covered(str(day), rows=len(rows))
        day += DAY


@dlt.resource(primary_key="ended", write_disposition="merge", columns=SLEEP)
def sleep(base_url, ended=dlt.sources.incremental("ended", initial_value="2023-12-31T00:00:00Z",
                                                  end_value="2025-01-01T00:00:00Z")):
    yield json.load(urlopen(f"{base_url}sleep?since={ended.start_value[:10]}"))
'''
YEAR = [date(2024, 1, 1) + timedelta(days=n) for n in range(366)]


@dataclass
class Upstream:
    """What the API has: days without steps, days it fails at, and nights."""

    still: set[date] = field(default_factory=lambda: {day for day in YEAR if day.day == 20})
    broken: set[date] = field(default_factory=set)
    awake: set[date] = field(default_factory=lambda: {date(2024, 2, 29), date(2024, 12, 24)})

    def __call__(self, asked: Asked) -> Steps:
        """Answer a request."""
        query = parse_qs(urlsplit(asked.path).query)
        if "since" in query:
            nights = [_night(day) for day in YEAR if day not in self.awake]
            return reply(200, [night for night in nights if night["ended"] >= query["since"][0]])
        day = date.fromisoformat(query["day"][0])
        rows = [] if day in self.still else [{"day": str(day), "steps": 1000 + day.day}]
        return reply(500) if day in self.broken else reply(200, rows)


def install(workspace: Workspace, url: str, zone: str = "Europe/Paris", by: str = "day") -> Workspace:
    """Write the spec and its source, pointed at a server."""
    workspace.write("specs/year.yaml", SPEC.format(zone=zone, by=by))
    workspace.write("sources/year.py", SOURCE)
    workspace.variables["SOURCES__YEAR__BASE_URL"] = f"{url}/"
    return workspace


def _night(day: date) -> dict[str, Any]:
    """A night that ends at half past midnight in Paris, in UTC still on the day before."""
    ended = datetime(day.year, day.month, day.day, 0, 30, tzinfo=ZoneInfo("Europe/Paris")).astimezone(UTC)
    return {"ended": ended.isoformat(), "minutes": 400}
