"""A source that says what a script tells it to: rows and notices, in order, for tests of coverage."""

from __future__ import annotations

import json
from typing import Any

from tests.workspace import Workspace

SPEC = """\
name: toy
about: What a script says.
timezone: Europe/Berlin
python:
  accounts: [Ann, bob]
resources:
"""
SOURCE = '''\
"""Rows and notices of a script."""

import json
from datetime import datetime
from pathlib import Path

import dlt

from sources.kit import notices

COLUMNS = {
    "id": {"data_type": "bigint"}, "at": {"data_type": "timestamp"}, "day": {"data_type": "date"},
    "local_at": {"data_type": "timestamp", "timezone": False}, "who": {"data_type": "text"},
    "match": {"data_type": "text"},
}


@dlt.source(name="toy", section="toy")
def toy(script: str = dlt.config.value, accounts: list[str] = dlt.config.value, matches: list[str] | None = None,
        since: str | None = None, until: str | None = None):
    return [said(name, script) for name in ("days", "games", "stats")]


def said(name, script):
    @dlt.resource(name=name, primary_key="id", write_disposition="merge", columns=COLUMNS)
    def resource():
        for word, *told in json.loads(Path(script).read_text()).get(name, []):
            if word == "row":
                yield dict(told[0])
            elif word == "raise":
                raise ValueError(told[0])
            elif word == "asked":
                yield notices.covered(told[0], asked_at=datetime.fromisoformat(told[1]))
            else:
                yield getattr(notices, word)(*told)

    return resource()
'''


def install(workspace: Workspace, resources: str) -> Workspace:
    """Write the spec, with its resources as YAML, and the source."""
    workspace.write("specs/toy.yaml", SPEC + resources)
    workspace.write("sources/toy.py", SOURCE)
    workspace.variables["SOURCES__TOY__SCRIPT"] = str(workspace.root / "script.json")
    say(workspace)
    return workspace


def say(workspace: Workspace, **resources: list[Any]) -> None:
    """What the next run is told, by resource."""
    workspace.write("script.json", json.dumps(resources))


def row(number: int, at: str, **values: Any) -> list[Any]:
    """A row of a moment; its other columns follow from it."""
    return ["row", {"id": number, "at": at, "day": at[:10], "local_at": at[:19], **values}]
