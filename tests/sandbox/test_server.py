"""The server: determinism, clock, control over HTTP, settings, `serve`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from sandbox import server
from sandbox.server import Sandbox, World, as_environment, names
from tests.sandbox.conftest import CONTACT

ROOT = Path(server.__file__).parents[1]
PAGES = [
    "/chess/player/demo_anna",
    "/chess/player/demo_anna/stats",
    "/chess/player/demo_anna/games/archives",
    "/chess/player/demo_anna/games/2024/03",
    "/chess/player/demo_anna/clubs",
    "/chess/player/demo_anna/tournaments",
]


def everything(world: World) -> list[tuple[int, dict[str, str], bytes]]:
    with Sandbox(world) as running:
        replies = [requests.get(running.url + page, headers=CONTACT, timeout=10) for page in PAGES]
        return [(reply.status_code, dict(reply.headers), reply.content) for reply in replies]


def test_two_sandboxes_of_one_world_answer_alike():
    assert everything(World(seed=7, records=30, day=3)) == everything(World(seed=7, records=30, day=3))


@pytest.mark.parametrize("other", [World(seed=8, records=30), World(seed=7, records=31)])
def test_seed_and_size_make_another_world(other):
    assert everything(World(seed=7, records=30)) != everything(other)


@pytest.mark.parametrize("wrong", [{"day": 0}, {"records": -1}])
def test_a_world_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="days start at 1"):
        World(**wrong)


def test_every_upstream_has_settings_of_its_own_source(sandbox):
    assert {"chess", "recordings"} <= set(names())
    for name in names():
        found = sandbox.settings(name)
        assert found
        assert all(key.startswith(f"sources.{name}.") for key in found)
    assert set(sandbox.settings()) == {key for name in names() for key in sandbox.settings(name)}


def test_a_stand_in_that_imports_the_server_is_found_though_it_came_first(tmp_path):
    (tmp_path / "made_up.py").write_text("from sandbox.server import Reply\n\ndef settings(*_): return {}\n")
    program = (
        f"import sandbox; sandbox.__path__.append({str(tmp_path)!r})\n"
        "import sandbox.made_up, sandbox.server; print(*sandbox.server.names())"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == sorted([*names(), "made_up"])


def test_an_unknown_upstream_is_named(sandbox, get):
    with pytest.raises(ValueError, match="no upstream 'chest'; use one of chess"):
        sandbox.settings("chest")
    reply = get("/chest/x")
    assert (reply.status_code, "try one of: chess" in reply.json()["message"]) == (404, True)
    assert get("/recordings/flat.csv").status_code == 404


def test_the_list_of_requests(sandbox, get):
    get("/chess/player/demo_anna/stats?x=1")
    get("/chess/player/nobody")
    assert [(seen.method, seen.path, seen.status) for seen in sandbox.requests] == [
        ("GET", "/chess/player/demo_anna/stats?x=1", 200),
        ("GET", "/chess/player/nobody", 404),
    ]
    assert sandbox.requests[0].headers["user-agent"] == CONTACT["User-Agent"]


def test_control_over_http(sandbox, client):
    def control(method: str, what: str, **options) -> requests.Response:
        return client.request(method, f"{sandbox.url}/__{what}", timeout=10, **options)

    moved = control("POST", "clock", json={"day": 2})
    assert moved.json() == {"day": 2, "now": "2024-03-02T12:00:00+00:00"}
    assert sandbox.world.day == 2

    assert control("POST", "faults", json={"pattern": "stats", "kind": "500", "times": 9}).status_code == 204
    assert client.get(f"{sandbox.url}/chess/player/demo_anna/stats").status_code == 500
    control("DELETE", "faults")
    assert client.get(f"{sandbox.url}/chess/player/demo_anna/stats").status_code == 200

    seen = control("GET", "requests").json()
    assert [(row["method"], row["status"]) for row in seen] == [("GET", 500), ("GET", 200)]
    control("DELETE", "requests")
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("what", "body", "message"),
    [
        ("clock", {"day": 0}, "days start at 1"),
        ("clock", {"days": 2}, "days"),
        ("faults", {"pattern": "x", "kind": "boom"}, "no kind 'boom'; use one of 429, 503"),
        ("faults", {"pattern": "x", "kind": "reset", "seconds": 1}, "no option 'seconds'; it takes: none"),
        ("faults", {"pattern": "(", "kind": "reset"}, "no regular expression"),
    ],
)
def test_control_that_makes_no_sense_is_refused(sandbox, client, what, body, message):
    reply = client.post(f"{sandbox.url}/__{what}", json=body, timeout=10)
    assert reply.status_code == 400
    assert message in reply.json()["message"]


def test_one_connection_carries_many_requests(sandbox):
    with socket.create_connection(sandbox.url.removeprefix("http://").split(":"), 10) as connection:
        for _ in range(3):
            connection.sendall(b"GET /chess/player/demo_anna HTTP/1.1\r\nHost: x\r\nUser-Agent: a@b\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_body_of_unknown_length_is_refused(sandbox, client):
    assert client.post(f"{sandbox.url}/chess/x", data=iter([b"a", b"b"]), timeout=10).status_code == 411


def test_stop_cuts_open_connections_and_can_be_called_twice(sandbox, client, get):
    assert get("/chess/player/demo_anna").status_code == 200
    sandbox.stop()
    sandbox.stop()
    with pytest.raises(requests.ConnectionError):
        get("/chess/player/demo_anna")


def test_files_follow_the_clock(sandbox):
    settings = sandbox.settings("recordings")
    flat = Path(settings["sources.recordings.csv_path"]).parent / "flat.csv"
    before = flat.read_bytes()
    sandbox.move_to(2)
    assert flat.read_bytes().startswith(before)
    assert flat.read_bytes() != before


def test_settings_as_dlt_reads_them_from_the_environment():
    settings = {"sources.chess.base_url": "http://x", "sources.chess.players": ["a", "b"], "sources.x.n": 3}
    assert as_environment(settings) == {
        "SOURCES__CHESS__BASE_URL": "http://x",
        "SOURCES__CHESS__PLAYERS": '["a", "b"]',
        "SOURCES__X__N": "3",
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_prints_what_a_shell_needs_and_ends_on_a_signal(tmp_path, number):
    program = "from sandbox.server import World, serve; serve(World(records=5), 0)"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    url = process.stdout.readline().strip().removeprefix("export SANDBOX_URL=")
    first = process.stdout.readline().strip()
    assert first == f"export SOURCES__CHESS__BASE_URL={url}/chess"
    assert requests.get(f"{url}/chess/player/demo_anna", headers=CONTACT, timeout=10).ok
    process.send_signal(number)
    with process.stdout, process.stderr:
        rest, noise = process.stdout.read(), process.stderr.read()
    assert """export SOURCES__CHESS__PLAYERS='["demo_anna", "demo_boris"]'\n""" in rest
    assert (process.wait(), noise) == (0, "")
    assert list(tmp_path.iterdir()) == []
