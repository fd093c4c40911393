"""The CSV files of the recordings stand-in."""

from __future__ import annotations

import csv
import os
import re
from datetime import datetime
from pathlib import Path

import pytest

from sandbox import recordings
from sandbox.server import World

BASE = "http://127.0.0.1:1/recordings"


def written(folder: Path, world: World) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The rows of the flat and of the grouped file."""
    recordings.settings(BASE, folder, world)
    flat, grouped = ((folder / name).open(newline="") for name in ("flat.csv", "grouped.csv"))
    with flat, grouped:
        return list(csv.DictReader(flat)), list(csv.DictReader(grouped))


def test_settings(tmp_path):
    assert recordings.settings(BASE, tmp_path, World()) == {
        "sources.recordings.csv_path": f"{tmp_path}/*.csv",
        "sources.recordings.timezone": "UTC",
        "sources.recordings.base_url": "http://127.0.0.1:1/vault",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flat.csv", "grouped.csv"]


@pytest.mark.parametrize("records", [0, 1, 2, 100, 1000])
def test_flat(tmp_path, records):
    flat, _ = written(tmp_path, World(records=records))
    assert len(flat) == len({row["location"] for row in flat}) == records
    for row in flat:
        assert re.fullmatch(r"[0-9a-f]{32}", row["recording_id"])
        assert re.fullmatch(re.escape(recordings.VENDOR) + r"/vr/PR_[0-9a-f-]{36}\.mp3", row["location"])
        assert re.fullmatch(r"\+4915550\d{6}", row["phone"])
        assert re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}Z", row["started"])
        started, stopped = (datetime.fromisoformat(row[key]) for key in ("started", "stopped"))
        assert (stopped - started).total_seconds() == float(row["duration_seconds"])
        assert stopped.isoformat() < "2024-03-01T13"


def test_grouped(tmp_path):
    flat, grouped = written(tmp_path, World())
    in_flat = {row["location"]: row["phone"] for row in flat}
    assert len({row["phone"] for row in grouped}) == len(grouped) > 5
    shared = 0
    for row in grouped:
        urls = row["recording_urls"].split("\n")
        assert len(urls) == int(row["total_recordings"])
        assert row["first_call_time"] <= row["last_call_time"]
        assert re.fullmatch(r"[\d-]{10} [\d:]{8}\.\d{3}", row["first_call_time"])
        assert all(in_flat.get(url, row["phone"]) == row["phone"] for url in urls)
        shared += len(in_flat.keys() & set(urls))
    assert 0 < shared < sum(int(row["total_recordings"]) for row in grouped)


def test_each_world_has_its_files(tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir(), second.mkdir()
    assert written(first, World(seed=3)) == written(second, World(seed=3))
    assert written(first, World(seed=3)) != written(second, World(seed=4))


@pytest.mark.parametrize(("records", "more"), [(10, 3), (1000, 10)])
def test_day_2_adds_rows_at_the_end_of_the_flat_file(tmp_path, records, more):
    flat, grouped = written(tmp_path, World(records=records))
    flat_2, grouped_2 = written(tmp_path, World(records=records, day=2))
    assert (flat_2[: len(flat)], len(flat_2), grouped_2) == (flat, records + more, grouped)
    assert len({row["location"] for row in flat_2}) == records + more


def test_an_unchanged_file_is_left_alone(tmp_path):
    recordings.settings(BASE, tmp_path, World())
    for path in tmp_path.iterdir():
        os.utime(path, (1, 1))
    recordings.settings(BASE, tmp_path, World(day=2))
    assert {path.name: path.stat().st_mtime == 1 for path in tmp_path.iterdir()} == {
        "flat.csv": False,
        "grouped.csv": True,
    }
