"""Coverage: holes in a year are found, and the commands that are printed fill them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import date
from typing import Any

import duckdb
import pytest

from tests import year_toy
from tests.scripted_server import serving
from tests.workspace import Workspace


@pytest.fixture
def upstream() -> year_toy.Upstream:
    return year_toy.Upstream()


@pytest.fixture
def year(workspace, upstream) -> Iterator[Workspace]:
    """A workspace with a year of days, its upstream at work."""
    with serving(upstream) as server:
        yield year_toy.install(workspace(), server.url)


def missing(workspace: Workspace, *words: str) -> dict[str, dict[str, str]]:
    """The units that are missing, by resource, each with its state."""
    told = workspace.etl("coverage", "year", "--env", "test", "--output", "json", *words)
    assert told.code == (4 if told.json["holes"] else 0), told.err
    return {
        sheet["resource"]: {
            unit["unit"]: unit["state"]
            for unit in sheet["units"]
            if unit["state"] in ("failed", "missing", "never asked")
        }
        for sheet in told.json["resources"]
    }


def delete(workspace: Workspace, *statements: str) -> None:
    with duckdb.connect(str(workspace.root / "warehouse.duckdb")) as connection:
        for statement in statements:
            connection.execute(f"DELETE FROM year.{statement}")


def fill(workspace: Workspace) -> None:
    """Run what the calendar prints."""
    told = workspace.etl("coverage", "year", "--env", "test")
    commands = [line.strip() for line in told.out.splitlines() if line.startswith("  etl run ")]
    assert commands, told.out
    for command in commands:
        result = workspace.etl(*shlex.split(command)[1:])
        assert result.code == 0, result.err


def test_holes_in_a_year_are_found_and_filled(year, upstream):
    assert {len(found) for found in missing(year).values()} == {366}
    upstream.broken = {date(2024, 5, 4), date(2024, 5, 5)}
    assert year.etl("run", "year", "--env", "test").code == 3
    assert missing(year) == {"steps": {"2024-05-04": "failed", "2024-05-05": "failed"}, "sleep": {}}
    delete(year, "steps WHERE day IN ('2024-02-29', '2024-03-31', '2024-05-06')", "sleep WHERE ended = '2024-03-30 23:30:00+00'")
    assert missing(year) == {
        "steps": {
            "2024-02-29": "missing",
            "2024-03-31": "missing",
            "2024-05-04": "failed",
            "2024-05-05": "failed",
            "2024-05-06": "missing",
        },
        "sleep": {"2024-03-31": "missing"},
    }
    upstream.broken = set()
    print(year.etl("coverage", "year", "--env", "test").out)
    fill(year)
    assert missing(year) == {"steps": {}, "sleep": {}}
    assert year.query("SELECT count(*) FROM year.steps") == [(366 - 12,)]
