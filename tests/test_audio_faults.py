"""What hosts of audio do to a run of the specs that move it: each fault ends in its state, and is repaired later."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sandbox.server import Sandbox, World
from tests.workspace import Workspace

ALWAYS = 1000
CUTS = (1, 2, 3, 4, 5, 6, -6, -5, -4, -3, -2, -1)  # pages or frames that are kept, or left out at the end
FAULTS: list[tuple[str, dict[str, Any], str, int | None, str]] = [
    ("empty", {}, "quarantined", 200, "an empty file"),
    ("html", {}, "quarantined", 200, "an HTML page"),
    ("flipped", {}, "quarantined", 200, "checksum differs"),
    *(("cut", {"pieces": kept}, "quarantined", 200, "cut after") for kept in CUTS),
    ("wrong_length", {}, "quarantined", 200, "cut "),
    ("truncated", {}, "transient", None, ""),
    ("torn", {}, "transient", None, ""),
    ("reset", {}, "transient", None, ""),
    ("403", {}, "transient", 403, "403"),
    ("404", {}, "transient", 404, "404"),
    ("410", {}, "transient", 410, "410"),
    ("429", {"retry_after": "0"}, "transient", 429, "429"),
    ("503", {}, "transient", 503, "503"),
]
WEATHER: list[tuple[str, dict[str, Any]]] = [
    ("429", {"retry_after": "0"}),
    ("503", {}),
    ("500", {}),
    ("truncated", {}),
    ("torn", {}),
    ("reset", {}),
    ("slow", {"seconds": 0.2}),
]


@dataclass(frozen=True)
class Audio:
    """Where a spec has its items, receipts and failures; `path` finds the files of its items in requests."""

    spec: str
    items: str
    receipts: str
    failures: str
    id: str
    path: str

    def ids(self, workspace: Workspace) -> dict[str, str]:
        """What a request for each file that is not stored looks like, by the file's identity."""
        sql = f"SELECT {self.id}, {self.path} FROM {self.items} ANTI JOIN {self.receipts} USING ({self.id}) ORDER BY 1"
        return {id: re.escape(urlsplit(path).path) for id, path in workspace.query(sql)}

    def told(self, workspace: Workspace) -> dict[str, tuple[Any, ...]]:
        """What is written of each failure, by the file's identity."""
        sql = f"SELECT {self.id}, status, http_status, attempts, error, quarantine_key FROM {self.failures}"
        return {id: tuple(rest) for id, *rest in workspace.query(sql)}


AUDIO = {
    "recordings": Audio(
        "recordings",
        "media_pipeline.recordings",
        "media_pipeline.audio_files",
        "media_pipeline.audio_failures",
        "url_sha1",
        "url",
    ),
    "spinoco": Audio(
        "spinoco",
        "(SELECT * FROM spinoco.call_recordings WHERE available)",
        "spinoco.recordings",
        "spinoco.recording_failures",
        "spinoco_recording_id",
        "'/recording-direct/' || spinoco_call_guid || '/' || spinoco_recording_id",
    ),
}


@pytest.mark.parametrize("name", AUDIO)
def test_each_fault_ends_in_its_state_and_what_became_good_is_stored(tmp_path: Path, name: str) -> None:
    audio, workspace = AUDIO[name], Workspace(tmp_path / "a workspace")
    workspace.link(name)
    impatient(workspace, name)
    with Sandbox(World(records=60), tmp_path / "upstream") as sandbox:
        workspace.point_at(sandbox.settings(name))
        assert workspace.etl("run", name, "--limit", "1", "--env", "test").code == 0
        files = audio.ids(workspace)
        spoilt = dict(zip(files, FAULTS, strict=False))
        for file, (kind, options, *_) in zip(files.values(), FAULTS, strict=False):
            sandbox.fault(file, kind, ALWAYS, until=2, **options)
        rained = list(files.values())[len(FAULTS) :][: len(WEATHER)]
        for file, (kind, options) in zip(rained, WEATHER, strict=True):
            sandbox.fault(file, kind, **options)

        broken = workspace.etl("run", name, "--env", "test")
        assert broken.code == 3, broken
        assert set(audio.ids(workspace)) == set(spoilt), "weather is no failure"
        told = audio.told(workspace)
        assert set(told) == set(spoilt)
        for id, (kind, _, status, http_status, reason) in spoilt.items():
            assert told[id][:3] == (status, http_status, 1), (kind, told[id])
            assert reason in told[id][3], (kind, told[id])
            assert bool(told[id][4]) == (status == "quarantined"), (kind, told[id])

        sandbox.move_to(2)
        repaired = workspace.etl("run", name, "--failed", "--env", "test")
        assert repaired.code == 0, repaired
        assert set(spoilt) & set(audio.ids(workspace)) == set()
        assert audio.told(workspace) == {}


def impatient(workspace: Workspace, name: str) -> None:
    """Have a run ask two times for a file, not nine."""
    spec = workspace.root / "specs" / f"{name}.yaml"
    text = spec.read_text()
    spec.unlink()
    spec.write_text(text.replace("by: audio,", "by: audio, tries: 2,"))
