"""The manners of the Spinoco stand-in, and what the clock does to it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import requests

from pipelines.files.audio import inspect
from sandbox.spinoco import TOKEN

QUERY = {"completed": "Only", "queryBy": "LastUpdate", "taskQueryTypes": ["CallSessionTask"], "from": {"L": "0"}}


@pytest.fixture
def ask(sandbox, client):
    """Ask the stand-in; a body makes it a POST."""

    def asked(path: str, body: Any = None, method: str = "", token: str = TOKEN) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        verb = method or ("GET" if body is None else "POST")
        return client.request(verb, f"{sandbox.url}/spinoco{path}", json=body, headers=headers, timeout=10)

    return asked


@pytest.fixture
def tasks(ask):
    """Every task, page by page."""

    def listed(count: int = 40) -> list[dict]:
        page = ask("/task/query", {"query": QUERY, "count": count}).json()
        found = page["result"]
        while "next" in page:
            page = ask("/task/query", {"page": page["next"], "count": count}).json()
            found += page["result"]
        return found

    return listed


def recordings(tasks: list[dict]) -> dict[str, dict]:
    return {guid: one for task in tasks for guid, one in task["detail"]["recordings"].items()}


@pytest.mark.parametrize("path", ["/task/query", "/skill/labels", "/recording-direct/a/b"])
def test_a_bad_token_is_refused_everywhere(ask, path):
    assert ask(path, token="another").status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"query": QUERY, "count": 10}, 200),
        ({"query": {**QUERY, "from": "0"}, "count": 10}, 400),
        ({"query": {**QUERY, "queryBy": "Name"}, "count": 10}, 400),
        ({"page": "no token of ours", "count": 10}, 400),
        ({"query": QUERY}, 400),
    ],
)
def test_what_it_takes_for_a_query(ask, body, status):
    assert ask("/task/query", body).status_code == status


def test_pages_are_in_the_order_of_the_last_update(tasks):
    found = tasks(30)
    assert len(found) == 100
    assert [task["lastUpdate"] for task in found] == sorted(task["lastUpdate"] for task in found)
    assert len({task["id"] for task in found}) == 100
    assert found == tasks(7)


def test_a_day_brings_calls_edits_and_recordings(sandbox, tasks):
    before = {task["id"]: task for task in tasks()}
    sandbox.move_to(2)
    after = {task["id"]: task for task in tasks()}
    assert len(after) == len(before) + 3
    moved = [guid for guid, task in before.items() if after[guid]["lastUpdate"] != task["lastUpdate"]]
    assert [guid for guid in moved if after[guid]["hashTags"]]
    then, now = recordings(list(before.values())), recordings(list(after.values()))
    came = [guid for guid, one in then.items() if not one["available"] and now[guid]["available"]]
    silent = [guid for guid, task in before.items() if guid not in moved and task != after[guid]]
    assert len(came) == 2
    assert len(silent) == 1, "one of them says nothing"


def test_the_audio_is_real(ask, tasks):
    task = next(task for task in tasks() if task["detail"]["recordings"])
    ((guid, one),) = task["detail"]["recordings"].items()
    reply = ask(f"/recording-direct/{task['id']}/{guid}")
    sound = inspect(memoryview(reply.content), "ogg")
    assert (sound.codec, sound.channels, sound.sample_rate) == ("vorbis", 2, 8000)
    assert sound.seconds == pytest.approx(one["duration"] / 1000, abs=0.01)
    assert reply.headers["Content-Type"] == "audio/ogg"


def test_what_is_not_there_is_not_served(ask, tasks):
    found = tasks()
    late = {
        guid: task["id"] for task in found for guid, one in task["detail"]["recordings"].items() if not one["available"]
    }
    for guid, task in late.items():
        assert ask(f"/recording-direct/{task}/{guid}").status_code == 404
    assert len(late) == 2


def test_a_deleted_recording_is_gone(ask, tasks):
    task = next(task for task in tasks() if task["detail"]["recordings"])
    (guid,) = task["detail"]["recordings"]
    address = f"/recording/{task['id']}/{guid}"
    assert [ask(address, method="DELETE").status_code for _ in range(2)] == [204, 404]
    assert ask(f"/recording-direct/{task['id']}/{guid}").status_code == 404
    assert not recordings(tasks())[guid]["available"]


def test_transcripts_are_there_where_they_are_announced(ask, tasks):
    for task in tasks()[:20]:
        for guid, one in task["detail"]["recordings"].items():
            reply = ask(f"/task/transcription/{task['id']}/{guid}")
            assert reply.status_code == (200 if one["transcriptions"] else 404)


def test_a_tag_remembers_what_it_has_handed_out(ask, tasks):
    query = {"tag": "mine", "get": ["Recordings"], "delete": [], "skillsMust": ["S1"]}
    first = ask("/task/sync/", {"query": query, "count": 30}).json()
    second = ask("/task/sync/", {"page": first["next"], "count": 30}).json()
    assert second == ask("/task/sync/", {"page": first["next"], "count": 30}).json(), "a token can be asked for again"
    assert (len(first["result"]) + len(second["result"]), "next" in second) == (50, False)
    assert ask("/task/sync/", {"query": query, "count": 30}).json() == {"result": []}
    other = ask("/task/sync/", {"query": {**query, "tag": "other", "skillsMust": []}, "count": 200}).json()
    assert [one["taskId"] for one in other["result"]] == [task["id"] for task in tasks()]


def test_a_task_has_the_keys_of_the_recorded_ones(tasks):
    folder = os.environ.get("ETL_PAYLOADS")
    if not folder:
        pytest.skip("ETL_PAYLOADS names no folder of recorded payloads")
    recorded = json.loads((Path(folder) / "spinoco/task_query_page_1.json").read_text("utf-8"))["result"]
    assert {path for task in recorded for path in paths(task)} <= {path for task in tasks() for path in paths(task)}


def paths(value: Any, at: str = "") -> set[str]:
    """The paths of keys in a document with the type at their ends; a GUID is any GUID."""
    if isinstance(value, dict):
        named = {("<guid>" if len(key) == 36 else key): one for key, one in value.items()}
        return {path for key, one in named.items() for path in paths(one, f"{at}.{key}")} or {at}
    if isinstance(value, list):
        return {path for one in value for path in paths(one, f"{at}[]")} or {at}
    return {f"{at}: {type(value).__name__}"}
