"""What the older Spinoco program has fetched becomes receipts, and nothing of it is fetched again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import requests

from sandbox.server import Sandbox, World
from sandbox.spinoco import TOKEN
from tests.workspace import Workspace

STATE = """
CREATE TABLE schema_meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE calls (spinoco_call_guid TEXT PRIMARY KEY, call_id TEXT, last_update_ms INTEGER, seen_at_utc TEXT);
CREATE TABLE recordings (
    spinoco_recording_id TEXT PRIMARY KEY, spinoco_call_guid TEXT, recording_id TEXT, recording_date_ms INTEGER,
    size_bytes INTEGER, content_etag TEXT, status TEXT DEFAULT 'pending', retry_count INTEGER DEFAULT 0,
    last_error TEXT, last_error_at_utc TEXT, last_processed_at_utc TEXT
);
"""


def state(path: Path, *rows: tuple[str, str, int | None, str], version: str = "1") -> Path:
    """The records of the older program, with these recordings."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript(STATE)
        database.execute("INSERT INTO schema_meta VALUES ('schema_version', ?)", (version,))
        columns = "spinoco_recording_id, recording_id, size_bytes, status"
        database.executemany(f"INSERT INTO recordings ({columns}) VALUES (?, ?, ?, ?)", rows)
        database.commit()
    return path


@pytest.fixture
def site(tmp_path):
    made = Workspace(tmp_path / "a workspace", ("spinoco",))
    with Sandbox(World(records=8), tmp_path / "upstream") as vendor:
        made.point_at(vendor.settings("spinoco"))
        made.vendor = vendor
        yield made


def test_what_it_has_fetched_is_not_fetched_again(site, tmp_path):
    assert site.etl("run", "spinoco", "--env", "test", "--limit", "1").code == 0
    listed = site.query(
        "SELECT spinoco_recording_id, spinoco_call_guid, recording_id FROM spinoco.call_recordings AS i "
        "WHERE available AND NOT EXISTS (FROM spinoco.recordings AS r WHERE r.spinoco_recording_id = i.spinoco_recording_id) ORDER BY 1"
    )
    by_guid, by_number, cut = listed[:3]  # and one whose file is nowhere
    folder = tmp_path / "output/runs/01K6/data/audio"
    folder.mkdir(parents=True)
    for (guid, call, number), name in ((by_guid, 0), (by_number, 2), (cut, 0)):
        audio = requests.get(
            f"{site.vendor.url}/spinoco/recording-direct/{call}/{guid}",
            headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10,
        ).content  # fmt: skip
        kept = audio[:-100] if guid == cut[0] else audio
        (folder / f"{(guid, call, number)[name]}.ogg").write_bytes(kept)
    records = state(
        tmp_path / "processed.sqlite",
        *((guid, guid if guid != by_number[0] else number, None, "downloaded") for guid, _, number in listed[:4]),
        (listed[4][0], listed[4][0], None, "pending"),
    )
    site.vendor.forget_requests()
    adopted = site.etl(
        "files", "adopt", "spinoco", "--env", "test", "--records", str(records), "--folder", str(tmp_path / "output"),
        "--output", "json",
    )  # fmt: skip
    assert (adopted.code, sorted(adopted.json["adopted"])) == (3, sorted([by_guid[0], by_number[0]])), adopted
    assert len(adopted.json["refused"]) == 2, "one is cut off, one is in no folder"
    assert not site.vendor.requests
    assert site.etl("run", "spinoco", "--env", "test").code == 0
    fetched = {seen.path.rpartition("/")[2] for seen in site.vendor.requests if "recording-direct" in seen.path}
    assert fetched == {guid for guid, _, _ in listed} - {by_guid[0], by_number[0]}


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: state(path, version="2"), "has version 2"),
        (lambda path: path.write_bytes(b"no database at all, but long enough to be looked at"), "not a database"),
    ],
)
def test_records_that_cannot_be_read_say_so(site, tmp_path, write, said):
    assert site.etl("run", "spinoco", "--env", "test", "--limit", "1").code == 0
    write(tmp_path / "processed.sqlite")
    refused = site.etl(
        "files", "adopt", "spinoco", "--env", "test", "--records", str(tmp_path / "processed.sqlite"),
        "--folder", str(tmp_path),
    )  # fmt: skip
    assert (refused.code, said in refused.err, len(refused.err.splitlines())) == (2, True, 1), refused
