"""`etl erase`: after it a search for the value over every table and file finds nothing, and all else is as it was."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dlt.common.versioned_state import decompress_state

from pipelines import environment as environments
from pipelines.erase.sought import ERASED, sought
from pipelines.errors import UsageError
from pipelines.order import Order, settle
from pipelines.specs import spec as specs
from pipelines.working import open_pipeline
from tests import killed
from tests.clouds.project import Project
from tests.killed import At
from tests.warehouse import Ask, contents, faults
from tests.workspace import DESTINATIONS, Workspace

PHONE, OTHER = "+33612345678", "+33698765432"
SPEC = """\
name: calls
about: Calls for tests.
python: {}
subjects:
  phone:
    rows: [calls.phone, calls.url, labels__numbers.value]
    cells: [labels.note]
    objects: [calls.object_key]
"""
SOURCE = '''\
"""Calls with lists in lists, remembered by phone; a line that is no call fails."""

import json
from pathlib import Path

import dlt

from sources.kit import notices


@dlt.source(name="calls", section="calls")
def calls(rows_file: str = dlt.config.value, only: str = ""):
    yield _calls(rows_file, only)
    yield labels(rows_file)


@dlt.resource(name="calls", primary_key="id", write_disposition="merge", columns={"length": {"data_type": "double"}})
def _calls(rows_file, only):
    seen = dlt.current.resource_state().setdefault("phones", {})
    for row in json.loads(Path(rows_file).read_text())["calls"]:
        if row.get("fails"):
            yield notices.failed(row["phone"], "hung up")
            continue
        seen[row["phone"]] = {"last": row["id"], "urls": [row["url"]]}
        yield [row]


@dlt.resource(primary_key="id", write_disposition="merge")
def labels(rows_file):
    yield json.loads(Path(rows_file).read_text())["labels"]
'''
AUDIO = """
[{}.audio]
destination_type = "filesystem"
bucket_url = "audio"
"""


def call(id: int, phone: str, **extra: Any) -> dict[str, Any]:
    name = f"{phone.removeprefix('+')}_{id}.ogg"
    legs = [{"to": "desk", "said": [{"word": f"hello {phone}"}, {"word": "bye"}]}]
    return {"id": id, "phone": phone, "url": f"https://v.test/{name}", "object_key": f"a/{name}", "legs": legs, **extra}


CALLS = [
    call(1, PHONE, length=1.5),
    call(2, OTHER, length=2.5),
    call(3, "0033 6 12 34 56 78"),
    call(4, OTHER, url=f"https://v.test/33612345678_{OTHER}.ogg", legs=[]),
    call(5, PHONE, length="long"),
    call(6, OTHER, length="short"),
    {"phone": PHONE, "fails": True},
    {"phone": OTHER, "fails": True},
]
LABELS = [
    {"id": 1, "note": f"call {PHONE} back", "numbers": [PHONE, OTHER]},
    {"id": 2, "note": f"call {OTHER} back", "numbers": [OTHER]},
]


@pytest.fixture
def made(workspace) -> Workspace:
    """The spec and its source; its rows stand in a file of the user."""
    made: Workspace = workspace()
    made.write("specs/calls.yaml", SPEC)
    made.write("sources/calls.py", SOURCE)
    file = made.write("calls.json", json.dumps({"calls": CALLS, "labels": LABELS}))
    made.variables["SOURCES__CALLS__ROWS_FILE"] = str(file)
    audio(made, "test")
    return made


def audio(made: Workspace, env: str) -> None:
    """An object for each call that can be loaded."""
    file = made.root / "destinations.toml"
    file.write_text(file.read_text() + AUDIO.format(env))
    for each in CALLS[:4]:
        made.write(f"audio/{each['object_key']}", "sound")


def give(made: Workspace, calls: list[Any]) -> str:
    """Let the source read these calls; returns what it read before."""
    file = made.root / "calls.json"
    before = file.read_text()
    file.write_text(json.dumps({"calls": calls, "labels": LABELS}))
    return before


def erase(made: Workspace, *words: str, env: str = "test") -> dict[str, Any]:
    result = made.etl("erase", *words, "--env", env, "--yes", "--output", "json")
    assert result.code == 0, result
    found: dict[str, Any] = result.json
    return found


def plant(made: Workspace) -> None:
    """The value in a package that waits, in a spool, and in the command that a failed run tells to repeat."""
    everything = give(made, CALLS[:1])
    assert made.etl("run", "calls", "--env", "test").code == 0
    (made.root / "calls.json").write_text(everything)
    assert made.etl("run", "calls", "--env", "test", "--with", f"only={PHONE},x").code == 3
    environment, spec = environments.load(made.root, "test"), specs.load(made.root, "calls")
    settle(environment, spec, Order())
    pipeline = open_pipeline(environment, spec)
    rows = [call(7, PHONE), {"id": 8}]
    pipeline.extract(rows, table_name="calls", primary_key="id", write_disposition="merge")
    pipeline.deactivate()
    spooled = {"spec": "calls", "resource": "calls", "reason": "is odd", "place": "", "payload": json.dumps({"p": PHONE})}
    made.write(".dlt/state/test/quarantine/calls/dead.jsonl", json.dumps(spooled) + "\n")


def occurrences(made: Workspace) -> set[str]:
    """Every file of the workspace that has the number in its bytes or its name, the user's left out."""
    files = [file for file in made.root.rglob("*") if file.is_file() and file.name not in ("calls.json", "calls.yaml")]
    return {str(f.relative_to(made.root)) for f in files if b"612345678" in f.read_bytes() + f.name.encode()}


def stored(ask: Ask, datasets: tuple[str, ...] = ("calls", "calls_staging", "_etl")) -> Iterator[str]:
    """Every row of every table that has the number, packed states unpacked."""
    for dataset in datasets:
        for table in {table for table, _ in ask.columns(dataset)}:
            for row in ask(f'SELECT * FROM {dataset}."{table}"'):
                cells = [json.dumps(decompress_state(c)) if str(c).startswith("eJ") else str(c) for c in row]
                if "612345678" in re.sub(r"\D", "", " ".join(cells).replace(" ", "")):
                    yield f"{dataset}.{table}: {row}"


def of_others(made: Workspace) -> dict[str, Any]:
    """The rows about the other number, and those about nobody."""
    found = contents(Ask(made), "calls")
    theirs = {table: [row for row in rows if OTHER in str(row) and "612345678" not in str(row)] for table, rows in found.items()}
    return {**theirs, "labels": [], "labels of all": made.query("SELECT id FROM calls.labels ORDER BY id")}


def test_it_is_gone_from_every_table_and_file(made: Workspace):
    plant(made)
    before = of_others(made)
    assert len(occurrences(made)) > 5
    assert made.query("SELECT count(*) FROM calls.calls") == [(4,)]
    found = erase(made, "--phone", "0033 6 12-34-56-78")
    assert found["counts"]["calls"] == {
        "objects in audio": 3, "calls__legs__said": 6, "calls__legs": 3, "calls": 4, "labels__numbers": 1,
        "labels.note": 1, "state": 2, "_etl.quarantine": 2, "files in runs/": 2,
    }  # fmt: skip
    assert (found["left"]["calls"], occurrences(made), list(stored(Ask(made)))) == ({}, set(), [])
    assert made.query("SELECT id FROM calls.calls ORDER BY id") == [(2,), (8,)]
    assert of_others(made) == before
    assert faults(Ask(made), "calls") == []
    assert made.query("SELECT id, note FROM calls.labels ORDER BY id") == [(1, ERASED), (2, LABELS[1]["note"])]
    assert sorted(file.name for file in (made.root / "audio/a").iterdir()) == ["33698765432_2.ogg"]
