"""What a run that moves files hands on: lines, audio, and a manifest of `bh.v1.raw_audio` with its rules."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from sandbox.server import Sandbox, World
from tests.workspace import DESTINATIONS, Workspace

KEYS = [
    "schema", "schema_version", "step_id", "step_run_id", "flow_run_id", "producer", "run_mode", "started_at_utc",
    "finished_at_utc", "status", "input_refs", "outputs", "counts", "metrics", "errors", "notes",
]  # fmt: skip
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


class Site:
    """A workspace with spinoco, a vendor, and runs with names."""

    def __init__(self, root: Path, vendor: Sandbox, keep_audio: bool) -> None:
        self.made, self.vendor = Workspace(root, ("spinoco",)), vendor
        kept = "[test]\nkeep_audio = true" if keep_audio else "[test]"
        self.made.write("destinations.toml", DESTINATIONS.replace("[test]", kept))
        self.made.point_at({**vendor.settings("spinoco"), "sources.spinoco.http.backoff_seconds": 0.01})

    def run(self, name: str, *options: str, **variables: str) -> int:
        return self.made.etl("run", "spinoco", "--env", "test", "--run-id", name, *options, **variables).code

    def file(self, run: str, name: str) -> Any:
        return json.loads((self.made.root / "runs" / run / name).read_text())

    def lines(self, run: str, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.made.root / "runs" / run / "data" / name).read_text().splitlines()]

    def manifest(self, run: str) -> dict[str, Any]:
        """The manifest of a run, which keeps the rules of its schema."""
        said = self.file(run, "manifest.json")
        assert list(said)[: len(KEYS)] == KEYS
        assert (said["schema"], said["step_id"], said["step_run_id"]) == ("bh.v1.raw_audio", "01_ingest_spinoco", run)
        assert re.fullmatch(r"\d+\.\d+\.\d+", said["schema_version"])
        assert re.fullmatch(TIME, said["started_at_utc"])
        assert re.fullmatch(TIME, said["finished_at_utc"])
        assert bool(said["errors"]) == (said["status"] != "success")
        assert said["producer"].keys() == {"git_sha", "host", "user", "processor_version"}
        return said


@pytest.fixture
def vendor(tmp_path):
    with Sandbox(World(records=6), tmp_path / "upstream") as running:
        yield running


@pytest.fixture(params=[False, True], ids=["in the bucket", "and in the folder of the run"])
def site(tmp_path, vendor, request):
    return Site(tmp_path / "a workspace", vendor, request.param)


def test_a_run_that_is_not_whole_says_what_is_left_and_how_to_get_it(site, vendor):
    vendor.fault("/spinoco/recording-direct/", "403")
    assert site.run("first", ETL_FLOW_RUN_ID="flow-7") == 3
    said = site.manifest("first")
    (failed,) = site.file("first", "error.json")["failed_ids"]
    moved = sorted(id for (id,) in site.made.query("SELECT spinoco_recording_id FROM spinoco.recordings"))
    assert (said["status"], said["run_status"]) == ("partial", "partial")
    assert (said["run_mode"], said["flow_run_id"]) == ("incr", "flow-7")
    assert sorted(ref["value"] for ref in said["input_refs"]) == sorted([*moved, failed])
    assert [(error["unit_id"], error["error_key"]) for error in said["errors"]] == [(failed, "http_403")]
    counted = {"calls": 6, "recordings": 7, "downloaded": len(moved), "failed": 1}
    assert said["counts"].items() >= counted.items()
    size = sum(size for (size,) in site.made.query("SELECT bytes FROM spinoco.recordings"))
    assert said["metrics"]["bytes_downloaded"] == size
    assert site.file("first", "metrics.json").items() >= {
        "calls": 6, "recordings_total": 7, "downloaded_ok": len(moved), "failed": 1, "bytes_downloaded": size,
    }.items()  # fmt: skip
    retry = site.file("first", "error.json")["retry_command"]
    assert retry == f"etl run spinoco --env test --only {failed}"
    assert site.run("again", *retry.split()[5:]) == 0
    assert site.manifest("again")["input_refs"] == [{"type": "recording_id", "value": failed}]
    assert [line["spinoco_recording_id"] for line in site.lines("again", "metadata_recordings.jsonl")] == [failed]


def test_the_lines_are_those_of_calls_and_recordings(site):
    assert site.run("first") == 0
    said = site.manifest("first")
    assert said["outputs"]["primary"] == "metadata_recordings.jsonl"
    assert said["outputs"]["aux"]["calls"] == "metadata_call_tasks.jsonl"
    call = site.lines("first", "metadata_call_tasks.jsonl")[0]
    assert call["raw"]["id"] == call["spinoco_call_guid"]
    assert call["raw"]["lastUpdate"] == call["last_update_ms"]
    assert re.fullmatch(TIME, call["call_ts_utc"])
    assert call["call_id"] == re.sub("[-:Z]", "", call["call_ts_utc"]).replace("T", "_") + "_" + call["raw"]["id"][:8]
    told = {guid: one for line in site.lines("first", "metadata_call_tasks.jsonl")
            for guid, one in line["raw"]["detail"]["recordings"].items()}  # fmt: skip
    recordings = site.lines("first", "metadata_recordings.jsonl")
    assert {line["spinoco_recording_id"] for line in recordings} == told.keys()
    for line in recordings:
        one = told[line["spinoco_recording_id"]]
        assert (line["recording_date_ms"], line["duration_s"]) == (one["from"], one["duration"] / 1000)
        assert line["available"] == one["available"]


def test_audio_is_kept_in_the_folder_where_the_environment_says_so(site):
    assert site.run("first") == 0
    keeps = "keep_audio" in (site.made.root / "destinations.toml").read_text()
    folder = site.made.root / "runs/first/data"
    lines = site.lines("first", "metadata_recordings.jsonl")
    kept = {line["spinoco_recording_id"]: line["audio"] for line in lines if "audio" in line}
    receipts = site.made.query("SELECT spinoco_recording_id, recording_id, sha256 FROM spinoco.recordings")
    assert kept == {guid: f"audio/{recording_id}.ogg" for guid, recording_id, _ in receipts if keeps}
    assert site.manifest("first")["outputs"]["aux"]["audio_dir"] == "audio/" if keeps else "audio"
    assert (folder / "audio").exists() == keeps
    for guid, name in kept.items():
        assert sha256((folder / name).read_bytes()).hexdigest() == {r[0]: r[2] for r in receipts}[guid]


def test_an_empty_run_hands_on_empty_files(tmp_path, vendor):
    site = Site(tmp_path / "a workspace", vendor, keep_audio=False)
    assert site.run("first") == 0
    assert site.run("second") == 0
    said = site.manifest("second")
    assert (said["status"], said["input_refs"], said["errors"]) == ("success", [], [])
    assert {key: said["counts"][key] for key in ("calls", "recordings", "downloaded", "failed")} == {
        "calls": 0, "recordings": 0, "downloaded": 0, "failed": 0,
    }  # fmt: skip
    assert site.lines("second", "metadata_call_tasks.jsonl") == site.lines("second", "metadata_recordings.jsonl") == []
    assert (site.made.root / "runs/second/success.ok").exists()


def test_a_run_that_breaks_has_a_manifest(tmp_path, vendor):
    site = Site(tmp_path / "a workspace", vendor, keep_audio=False)
    assert site.run("broken", SOURCES__SPINOCO__TOKEN="another-token") == 6
    said = site.manifest("broken")
    assert (said["status"], said["run_status"], said["counts"]["calls"]) == ("error", "sign_in", 0)
    assert "another-token" not in json.dumps(said)
    assert site.run("later", "--mode", "backfill") == 0
    assert site.manifest("later")["run_mode"] == "backfill"
    shown = site.made.etl("status", "spinoco", "--env", "test", "--output", "json").out
    assert '"sign_in"' in shown, "a run has its own word for how it ended"


def test_what_is_erased_is_not_in_folders_of_runs(tmp_path, vendor):
    site = Site(tmp_path / "a workspace", vendor, keep_audio=True)
    assert site.run("first") == 0
    query = (
        "SELECT caller FROM spinoco.recordings WHERE caller IS NOT NULL AND direction = 'inbound' ORDER BY 1 LIMIT 1"
    )
    ((phone,),) = site.made.query(query)
    lines = site.lines("first", "metadata_recordings.jsonl")
    named = [line["audio"] for line in lines if line["caller"] == phone and "audio" in line]
    before = len(site.lines("first", "metadata_call_tasks.jsonl"))
    assert site.made.etl("erase", "spinoco", "--env", "test", "--phone", phone, "--yes").code == 0
    folder = site.made.root / "runs/first"
    assert not any(phone[1:] in file.read_text() for file in folder.rglob("*.json*"))
    assert len(site.lines("first", "metadata_call_tasks.jsonl")) == before - 1
    assert named
    assert not any((folder / "data" / name).exists() for name in named)
    assert list((folder / "data/audio").iterdir()), "that of others stays"
