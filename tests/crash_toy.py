"""A source with all that a crash could spoil: merged rows with lists of lists, appended, replaced and bad ones."""

from __future__ import annotations

import json
from typing import Any

from tests.workspace import Workspace

RESOURCES = "resources: {events: {append_reason: what happened does not change}}\n"
SOURCE = '''\
"""Rows from a JSON file, in pages of 5."""

import json
import time
from pathlib import Path

import dlt


@dlt.source(name="crash", section="crash")
def crash(rows_file: str = dlt.config.value, pause_seconds: float = 0.0):
    yield things(rows_file, pause_seconds)
    yield events(rows_file)
    yield visits(rows_file)
    yield levels(rows_file)


@dlt.resource(primary_key="id", write_disposition="merge", columns={
    "id": {"data_type": "bigint", "nullable": False}, "amount": {"data_type": "double"}})
def things(rows_file, pause_seconds, changed=dlt.sources.incremental("changed", initial_value="2024-01-01T00:00:00Z")):
    fresh = [row for row in read(rows_file, "things") if row["changed"] >= changed.start_value]
    for start in range(0, len(fresh), 5):
        yield fresh[start : start + 5]
        time.sleep(pause_seconds)


@dlt.resource(primary_key="number", write_disposition="append")
def events(rows_file, number=dlt.sources.incremental("number", initial_value=0)):
    yield [row for row in read(rows_file, "events") if row["number"] > number.start_value]


@dlt.resource(write_disposition="merge")
def visits(rows_file, number=dlt.sources.incremental("number", initial_value=0)):
    """Without a key, merge appends."""
    yield [row for row in read(rows_file, "visits") if row["number"] > number.start_value]


@dlt.resource(write_disposition="replace")
def levels(rows_file):
    yield read(rows_file, "levels")


def read(rows_file, name):
    return json.loads(Path(rows_file).read_text())[name]
'''


def install(workspace: Workspace, day: int = 1) -> Workspace:
    """Write the spec, the source and its rows as they are on a day."""
    workspace.source("crash", SOURCE, RESOURCES)
    return move_to(workspace, day)


def twin(workspace: Workspace, name: str) -> None:
    """Add the source once more, under another name; it reads the same rows."""
    workspace.source(name, SOURCE.replace("crash", name), RESOURCES)
    workspace.variables[f"SOURCES__{name.upper()}__ROWS_FILE"] = workspace.variables["SOURCES__CRASH__ROWS_FILE"]


def move_to(workspace: Workspace, day: int) -> Workspace:
    """Write the rows of a day: new ones, changed ones, lists that grew and shrank; a column and a table more."""
    file = workspace.write("crash.json", json.dumps(rows(day)))
    workspace.variables["SOURCES__CRASH__ROWS_FILE"] = str(file)
    return workspace


def rows(day: int) -> dict[str, list[dict[str, Any]]]:
    """What the source has on a day, newest first."""
    count = 12 + 6 * day
    things = [_thing(number, day) for number in range(count, 0, -1)]
    bad = [{"id": None, "day": day, "changed": "9"}, {"id": 900 + day, "amount": "much", "changed": "9"}]
    events = [{"number": n, "parts": [{"part": f"{n}.{i}"} for i in range(n % 3)]} for n in range(1, count)]
    levels = [{"level": level, "day": day, "steps": [level, level + 1]} for level in range(4 + day)]
    return {"things": [*things[:3], *bad, *things[3:]], "events": events, "visits": events[:-3], "levels": levels}


def _thing(number: int, day: int) -> dict[str, Any]:
    """A thing as it is on a day: every fourth changes each day, the others stay as they appeared."""
    changes = day > 1 and number % 4 == 0
    since = day if changes else max(1, (number - 7) // 6)
    tags = [
        {"tag": f"{number}.{i}.{since}", "notes": [f"{number}.{i}.{n}" for n in range(i)]}
        for i in range(number % 3 + (1 if changes else 0))
    ]
    changed = f"2024-01-0{since}T{number // 60:02}:{number % 60:02}:00Z"
    extra = {"colour": "red", "links": [{"to": number - 1}]} if changes else {}
    return {"id": number, "changed": changed, "amount": number + 0.5, "tags": tags, **extra}
