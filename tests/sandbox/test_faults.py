"""Each fault, as a real client sees it."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
import requests

from sandbox import recordings, sound
from sandbox.faults import CHANGED, OPTIONS, reset
from sandbox.server import Reply, Sandbox

STATS = "/chess/player/demo_anna/stats"
MONTH = "/chess/player/demo_anna/games/2024/03"


@pytest.mark.parametrize(
    ("kind", "options", "status", "retry_after"),
    [
        ("429", {}, 429, None),
        ("429", {"retry_after": "0"}, 429, "0"),
        ("429", {"retry_after": 7}, 429, "7"),
        ("429", {"retry_after": "Fri, 15 Mar 2024 12:00:05 GMT"}, 429, "Fri, 15 Mar 2024 12:00:05 GMT"),
        ("500", {}, 500, None),
        ("503", {}, 503, None),
        ("503", {"retry_after": "2"}, 503, "2"),
        ("401", {}, 401, None),
        ("403", {}, 403, None),
        ("404", {}, 404, None),
        ("410", {}, 410, None),
    ],
)
def test_refusals(sandbox, get, kind, options, status, retry_after):
    sandbox.fault(STATS, kind, **options)
    reply = get(STATS)
    assert (reply.status_code, reply.headers.get("Retry-After")) == (status, retry_after)
    assert reply.json()["code"] == status
    assert get(STATS).status_code == 200
    assert [seen.status for seen in sandbox.requests] == [status, 200]


def test_reset(sandbox, get):
    sandbox.fault(STATS, "reset")
    with pytest.raises(requests.ConnectionError, match="Connection reset by peer"):
        get(STATS)
    assert get(STATS).status_code == 200
    assert [seen.status for seen in sandbox.requests] == [0, 200]


def test_truncated(sandbox, get):
    whole = get(STATS).content
    sandbox.fault(STATS, "truncated")
    with get(STATS, stream=True) as reply:
        assert (reply.status_code, reply.headers["Content-Length"]) == (200, str(len(whole)))
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            reply.content  # noqa: B018
    assert get(STATS).content == whole


def test_slow_outlasts_an_impatient_client_whose_next_try_is_served(sandbox, client):
    sandbox.fault(STATS, "slow", seconds=60)
    with pytest.raises(requests.ReadTimeout):
        client.get(sandbox.url + STATS, timeout=0.2)
    replies = iter(lambda: client.get(sandbox.url + STATS, timeout=10).status_code, 200)
    assert set(replies) <= {429}, "429 only until the sandbox has seen the first client leave"


def test_slow_ends_with_the_right_answer(sandbox, get):
    whole = get(STATS).content
    sandbox.fault(STATS, "slow", seconds=0.05)
    assert get(STATS).content == whole


def test_drip_sends_byte_by_byte(sandbox, client):
    sandbox.fault("nobody", "drip", seconds=0.5)
    with client.get(f"{sandbox.url}/chess/player/nobody", stream=True, timeout=10) as reply:
        pieces = list(iter(lambda: reply.raw.read1(65536), b""))
    assert json.loads(b"".join(pieces))["code"] == 0
    assert len(pieces) > 1


def test_a_client_may_leave_a_drip(sandbox, client, get):
    sandbox.fault(STATS, "drip", seconds=600)
    with client.get(sandbox.url + STATS, stream=True, timeout=10) as reply:
        assert reply.raw.read(3) == b'{"c'
    assert get(STATS).status_code == 200


def test_html(sandbox, get):
    sandbox.fault(STATS, "html")
    reply = get(STATS)
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert reply.text.startswith("<!DOCTYPE html>")


def test_empty(sandbox, get):
    sandbox.fault(STATS, "empty")
    reply = get(STATS)
    assert (reply.status_code, reply.headers["Content-Length"], reply.content) == (200, "0", b"")


def test_torn_in_the_middle_of_a_body(sandbox, client):
    whole = client.get(sandbox.url + STATS).content
    sandbox.fault(STATS, "torn")
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.get(sandbox.url + STATS)
    assert client.get(sandbox.url + STATS).content == whole
    assert [seen.status for seen in sandbox.requests] == [200] * 3


def test_wrong_length(sandbox, get):
    whole = get(STATS).content
    sandbox.fault(STATS, "wrong_length")
    assert get(STATS).content == whole[: len(whole) // 2]
    assert get(STATS).content == whole


@pytest.mark.parametrize(("options", "at"), [({}, None), ({"at": 0}, 0), ({"at": -1}, -1)])
def test_flipped(sandbox, get, options, at):
    whole = get(STATS).content
    sandbox.fault(STATS, "flipped", **options)
    found = get(STATS).content
    different = [n for n in range(len(whole)) if found[n] ^ whole[n]]
    assert different == [range(len(whole))[len(whole) // 2 if at is None else at]]


@pytest.mark.parametrize(("options", "kept"), [({}, 1 / 2), ({"pieces": 3}, None)])
def test_cut(sandbox, get, options, kept):
    path = urlsplit(recordings.listed(sandbox.world)[0].url).path
    whole = get(f"/vault{path}").content
    sandbox.fault("vault", "cut", **options)
    pieces = sound.pieces(whole)
    assert get(f"/vault{path}").content == b"".join(pieces[: int(len(pieces) * kept) if kept else 3])


def test_until_a_day(sandbox, get):
    sandbox.fault(STATS, "404", times=100, until=3)
    found = []
    for day in (1, 2, 3):
        sandbox.move_to(day)
        found.append(get(STATS).status_code)
    assert found == [404, 404, 200]


def test_malformed_json_of_the_right_length(sandbox, get):
    whole = get(STATS).content
    sandbox.fault(STATS, "malformed")
    reply = get(STATS)
    assert reply.content == whole[: len(whole) // 2]
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    with pytest.raises(requests.JSONDecodeError):
        reply.json()


def test_duplicate_page(sandbox, get):
    games = get(MONTH).json()["games"]
    sandbox.fault(MONTH, "duplicate_page")
    assert get(MONTH).json() == {"games": games * 2}


@pytest.mark.parametrize(("options", "changed"), [({}, "end_time"), ({"field": "end_time"}, "end_time")])
def test_drift(sandbox, get, options, changed):
    game = next(g for g in get(MONTH).json()["games"] if g["time_class"] != "daily")
    sandbox.fault(MONTH, "drift", **options)
    drifted = next(g for g in get(MONTH).json()["games"] if g["uuid"] == game["uuid"])
    assert drifted["new_field"] == drifted["white"]["new_field"] == "drift"
    assert drifted[changed] == f"about {game[changed]}"


@pytest.mark.parametrize(("options", "rating"), [({}, str), ({"field": "end_time"}, int)])
def test_drift_of_one_field_leaves_the_others(sandbox, get, options, rating):
    sandbox.fault(MONTH, "drift", **options)
    assert isinstance(get(MONTH).json()["games"][0]["white"]["rating"], rating)


def test_drift_leaves_the_way_to_the_next_page():
    page = Reply(200, {"next": 2, "rows": [{"n": 1}]})
    drifted = json.loads(CHANGED["drift"](page, {}).content())
    assert drifted == {"next": 2, "rows": [{"n": "about 1", "new_field": "drift"}], "new_field": "drift"}


def test_a_connection_outlives_a_drip(sandbox, get):
    sandbox.fault(STATS, "drip", seconds=0.2)
    assert [get(STATS).status_code for _ in range(3)] == [200, 200, 200]


def test_times_after_and_order(sandbox, get):
    sandbox.fault("stats", "500", times=2, after=1)
    sandbox.fault("stats", "503")
    sandbox.fault("clubs", "401")
    assert [get(STATS).status_code for _ in range(5)] == [503, 500, 500, 200, 200]
    sandbox.clear_faults()
    assert get("/chess/player/demo_anna/clubs").status_code == 200


def test_a_pattern_may_name_the_query(sandbox, get):
    sandbox.fault(r"page=2$", "500")
    assert get(f"{STATS}?page=1").status_code == 200
    assert get(f"{STATS}?page=2").status_code == 500


def test_many_threads_use_up_a_fault_exactly(sandbox):
    sandbox.fault("/nowhere", "500", times=10)
    found: list[int] = []

    def ask() -> None:
        found.extend(requests.get(f"{sandbox.url}/nowhere", timeout=10).status_code for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [404] * 20 + [500] * 10


@pytest.mark.parametrize("kind", ["malformed", "duplicate_page", "drift", "truncated"])
def test_a_client_with_a_copy_gets_a_spoilt_body_too(sandbox, client, get, kind):
    headers = {"If-None-Match": get(MONTH).headers["ETag"]}
    assert get(MONTH, headers=headers).status_code == 304
    sandbox.fault(MONTH, kind)
    with client.get(sandbox.url + MONTH, headers=headers, stream=True, timeout=10) as reply:
        assert reply.status_code == 200
        assert ("ETag" in reply.headers) == (kind == "truncated")


def test_nothing_makes_noise(capfd):
    quick = {kind: {"seconds": 0.05} if "seconds" in options else {} for kind, options in OPTIONS.items()}
    with Sandbox() as running:
        for kind, options in quick.items():
            running.fault(kind, kind, **options)
            with suppress(requests.RequestException):
                requests.get(f"{running.url}/chess/{kind}", timeout=10)
        assert len(running.requests) == len(OPTIONS)
        for _ in range(5):
            _ask_and_drop(running, MONTH)
        assert requests.get(f"{running.url}/nowhere", timeout=10).status_code == 404
    assert capfd.readouterr() == ("", "")


def _ask_and_drop(running: Sandbox, path: str) -> None:
    connection = socket.create_connection(running.url.removeprefix("http://").split(":"), 10)
    connection.sendall(f"GET {path} HTTP/1.1\r\nUser-Agent: a@b\r\n\r\n".encode())
    reset(connection)
