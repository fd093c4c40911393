"""Recorded answers of the upstreams through the whole program: `etl run`, and the rows they must become."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sandbox.sound import mp3
from tests import files_toy
from tests.scripted_server import Asked, Steps, reply, serving
from tests.served import served

ROWS = {"player_profile": 1, "player_stats": 7, "games": 2, "clubs": 2, "tournaments": 4}


@pytest.fixture
def chess(payloads: Path):
    """The recorded answers behind the paths of the API."""
    folder = payloads / "chess"
    files = {
        "/player/player_one": "player_profile",
        "/player/player_one/stats": "player_stats",
        "/player/player_one/games/archives": "archives",
        "/player/player_one/games/2024/01": "games_2024_01",
        "/player/player_one/clubs": "clubs",
        "/player/player_one/tournaments": "tournaments",
    }
    with served(lambda asked: (folder / f"{files.get(asked.path, 'games_empty_month')}.json").read_bytes()) as url:
        yield url


@pytest.mark.parametrize("env", ["test", "pg"])
def test_chess(workspace, chess, postgres_url, env):
    made = workspace("chess")
    made.postgres(postgres_url)
    settings = {
        "SOURCES__CHESS__BASE_URL": chess.rstrip("/"),
        "SOURCES__CHESS__PLAYERS": json.dumps(["player_one"]),
        "SOURCES__CHESS__CONTACT": "tests@example.org",
    }
    first = made.etl("run", "chess", "--env", env, "--output", "json", **settings)
    assert (first.code, first.json[0]["tables"]) == (0, ROWS), first.err
    second = made.etl("run", "chess", "--env", env, "--output", "json", **settings)
    assert (second.code, second.json[0]["rejected"]) == (0, {})


@pytest.mark.parametrize("env", ["test", "pg"])
def test_recordings(workspace, payloads, postgres_url, env):
    made = workspace("recordings")
    made.postgres(postgres_url)
    lists = ["--with", f"csv_path={payloads}/csv_recordings/*.csv"]
    with (payloads / "csv_recordings" / "flat_location.csv").open(encoding="utf-8", newline="") as flat:
        seconds = {urlsplit(row["location"]).path: float(row["duration_seconds"]) for row in csv.DictReader(flat)}
    with files_toy.host() as host:
        host.bodies = {path: mp3(path, length) for path, length in seconds.items()}
        lists += ["--with", f"base_url={host.url}"]
        first = made.etl("run", "recordings", "--env", env, "--output", "json", *lists)
        tables = first.json[0]["tables"]
        assert (first.code, tables["recordings"], tables["audio_files"]) == (3, 25, len(seconds)), first.err
        second = made.etl("run", "recordings", "--env", env, "--output", "json", *lists)
        assert (second.code, second.json[0]["tables"]) == (0, {})
    (known,) = (made.root / "audio").rglob("*ef2b83240984259190db5ea22dffb4bf.mp3")
    assert known.relative_to(made.root / "audio").as_posix() == (
        "audio/+4915000000001/20250603_075800__Campaign_A_28.05__ef2b83240984259190db5ea22dffb4bf.mp3"
    )


@pytest.mark.parametrize("env", ["test", "pg"])
def test_spinoco(workspace, payloads, postgres_url, env):
    made = workspace("spinoco")
    made.postgres(postgres_url)
    page = json.loads((payloads / "spinoco" / "task_query_page_1.json").read_text("utf-8"))
    following = [page.pop("next")]

    def answer(asked: Asked) -> Steps:
        if asked.path == "/task/query":
            start = int(json.loads(asked.body).get("query", {}).get("from", {"L": "9" * 13})["L"])
            listed = [task for task in page["result"] if task["lastUpdate"] >= start]
            return reply(body={"result": listed, **({"next": following.pop()} if following else {})})
        return reply(404, {}) if "recording" in asked.path else reply(body={})

    with serving(answer) as server:
        settings = {"SOURCES__SPINOCO__BASE_URL": server.url, "SOURCES__SPINOCO__TOKEN": "a-token-of-a-user"}
        first = made.etl("run", "spinoco", "--env", env, "--output", "json", **settings)
        loaded = {"calls": 5, "call_recordings": 5, "recording_failures": 5}
        assert (first.code, first.json[0]["tables"]) == (3, loaded), first.err
        second = made.etl("run", "spinoco", "--env", env, "--output", "json", **settings)
    assert (second.code, second.json[0]["tables"]) == (0, {})
