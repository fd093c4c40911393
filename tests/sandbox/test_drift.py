"""What the sandbox serves has the keys and types of what was recorded, so it cannot drift into fantasy."""

from __future__ import annotations

import csv
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.server import Sandbox

PAYLOADS = os.environ.get("ETL_PAYLOADS")
pytestmark = pytest.mark.skipif(not PAYLOADS, reason="ETL_PAYLOADS names no folder of recorded payloads")

ANNA, BORIS = "/chess/player/demo_anna", "/chess/player/demo_boris"
MONTHS = [f"{player}/games/2024/0{month}" for player in (ANNA, BORIS) for month in (1, 2, 3)]
SERVED = {
    "player_profile.json": [ANNA, BORIS],
    "player_stats.json": [f"{ANNA}/stats", f"{BORIS}/stats"],
    "archives.json": [f"{ANNA}/games/archives"],
    "games_2024_01.json": MONTHS,
    "games_empty_month.json": [f"{ANNA}/games/2023/08"],
    "clubs.json": [f"{ANNA}/clubs"],
    "tournaments.json": [f"{ANNA}/tournaments"],
}
MORE = {
    r"\.verified|\.league|\.streaming_platforms": "seen on pages of 2025, after the recorded profile",
    r"\.chess960_daily(\..+)?": "keyed by rules and time class; the record has standard rules only",
    r"\.games\[\]\.match": "optional key of games played in a team match",
}


def recorded(*parts: str) -> Path:
    return Path(PAYLOADS or "", *parts)


def paths(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Every key path of a JSON value with its type; int and float are one."""
    yield at, {int: "number", float: "number"}.get(type(value), type(value).__name__)
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, f"{at}.{key}")
    if isinstance(value, list):
        for item in value:
            yield from paths(item, f"{at}[]")


def types(*values: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for value in values:
        for path, kind in paths(value):
            found[path].add(kind)
    return found


def differences(ours: dict[str, set[str]], theirs: dict[str, set[str]]) -> list[str]:
    allowed = re.compile("|".join(f"({path})" for path in MORE))
    return [
        *(f"not served: {path} as {theirs[path]}" for path in theirs if theirs[path] - ours.get(path, set())),
        *(f"never recorded: {path}" for path in ours.keys() - theirs.keys() if not allowed.fullmatch(path)),
        *(f"other type: {path} {ours[path]}" for path in theirs if ours.get(path, set()) - theirs[path]),
    ]


@pytest.mark.parametrize("name", sorted(SERVED))
def test_chess_pages(get, name):
    theirs = types(json.loads(recorded("chess", name).read_text()))
    assert differences(types(*(get(path).json() for path in SERVED[name])), theirs) == []


def test_every_recorded_chess_page_is_compared():
    assert {path.name for path in recorded("chess").glob("*.json")} == set(SERVED)


def test_each_allowance_is_needed(get):
    served = [path for pages in SERVED.values() for page in pages for path, _ in paths(get(page).json())]
    for allowance in MORE:
        assert any(re.fullmatch(allowance, path) for path in served), allowance


def refusal(sandbox: Sandbox, name: str) -> requests.Response:
    """The sandbox's answer of a recorded kind."""
    agent = {"User-Agent": "etl (a@example.org)"}
    match name:
        case "chess_304_not_modified.json":
            agent["If-None-Match"] = requests.get(sandbox.url + ANNA, headers=agent, timeout=10).headers["ETag"]
        case "chess_403_no_user_agent.json":
            agent["User-Agent"] = ""
        case "chess_429_parallel.json":
            return _beside_another(sandbox, agent)
    player = {"chess_404_unknown_user.json": "nobody_here", "chess_410_gone.json": "gone"}.get(name, "demo_anna")
    return requests.get(f"{sandbox.url}/chess/player/{player}", headers=agent, timeout=10)


def _beside_another(sandbox: Sandbox, agent: dict[str, str]) -> requests.Response:
    with sandbox.turn("chess"):
        return requests.get(sandbox.url + ANNA, headers=agent, timeout=10)


@pytest.mark.parametrize("name", [path.name for path in sorted(recorded("errors").glob("chess_*.json"))])
def test_chess_refusals(sandbox, name):
    theirs = json.loads(recorded("errors", name).read_text())
    ours = refusal(sandbox, name)
    assert ours.status_code == theirs["status"]
    assert set(theirs.get("headers", {})) <= set(ours.headers)
    assert "Retry-After" not in ours.headers
    if isinstance(theirs["body"], dict):
        assert types(ours.json()) == types(theirs["body"])
        assert ours.json()["code"] == theirs["body"]["code"]
    else:
        assert bool(ours.content) == (theirs["body"] is not None)
    if content_type := theirs.get("headers", {}).get("Content-Type"):
        assert ours.headers["Content-Type"] == content_type


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("flat.csv", "flat_location.csv"), ("grouped.csv", "grouped_recording_urls.csv")],
)
def test_csv_files(sandbox, ours, theirs):
    sandbox.settings("recordings")
    shapes = [_shape(path) for path in (sandbox.folder / "recordings" / ours, recorded("csv_recordings", theirs))]
    assert shapes[0] == shapes[1]


def _shape(path: Path) -> tuple[list[str], list[str], bool]:
    """The header, the first row with each run of letters or digits made one, and the line end."""
    with path.open(newline="", encoding="utf-8") as file:
        text = file.read()
    header, first = [row for _, row in zip(range(2), csv.reader(text.splitlines(True)), strict=False)]
    return header, [_pattern(cell.split("\n")[0]) for cell in first], "\r\n" in text


def _pattern(cell: str) -> str:
    return "address" if "://" in cell else re.sub(r"[A-Za-z ]+", "a", re.sub(r"\d+", "9", _plain(cell)))


def _plain(cell: str) -> str:
    return "id" if re.fullmatch(r"[0-9a-f]{32}", cell) else cell
