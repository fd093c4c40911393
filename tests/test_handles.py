"""What one request leaves behind on a handle of libcurl is not the next one's."""

from __future__ import annotations

import time
import weakref
from pathlib import Path
from typing import Any

import pytest

from pipelines.files.bodies import Body, Incoming, Room
from pipelines.files.curl import performed
from pipelines.files.steps import Answer, Broken, Request, Steps
from tests.scripted_server import NEXT, RESET, head, in_turn, reply, serving
from tests.scripted_server import Steps as Script

BARE: Script = [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbare"]
PROXY_VARIABLES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


def answer_to(request: Request) -> Answer:
    def steps() -> Steps[Answer]:
        return (yield request)

    return performed(steps())


def body_of(text: bytes) -> dict[str, Any]:
    return {"body": Body(memoryview(text), len(text), "").stream(), "size": len(text)}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("first", "trouble"),
    [
        (reply(503, b"x" * 9, {"Retry-After": "7", "Content-Type": "audio/ogg"}), None),
        (reply(302, b"moved", {"Location": "/elsewhere"}), None),
        (reply(200, b"x" * 9, {"Set-Cookie": "session=1; Path=/"}), None),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", head(200, {"X-Is": "first"}, 9) + b"x" * 9], None),
        ([head(200, {}, 9) + b"xx", RESET], "reset|Recv failure"),
        ([head(200, {}, 9) + b"xx"], "7 bytes missing"),
        ([b"no HTTP at all\r\n\r\n"], "HTTP"),
    ],
    ids=["weather", "redirect", "cookie", "interim", "reset", "short", "nonsense"],
)
def test_an_answer_is_not_seen_in_the_next(first: Script, trouble: str | None):
    with serving(in_turn(first, BARE)) as server:
        secret = server.url.replace("://", "://user:pass@")
        request = Request("GET", f"{secret}/first", {"X-Token": "secret", "Range": "bytes=0-0", "X-Empty": ""})
        if trouble:
            with pytest.raises(Broken, match=trouble):
                answer_to(request)
        else:
            answer_to(request)
        answer = answer_to(Request("GET", f"{server.url}/second"))
    assert (answer.status, answer.body) == (200, b"bare")
    assert (answer.redirect, answer.retry_after) == (None, None)
    assert answer.headers == {"content-length": "4", "connection": "close"}
    asked = server.asked[-1]
    assert asked.path == "/second"
    assert set(asked.headers) == {"host", "user-agent", "accept"}


def test_an_error_with_status_200_says_when_to_come_again():
    with serving(in_turn(reply(200, b"<Error><Code>SlowDown</Code></Error>", {"Retry-After": "7"}))) as server:
        assert answer_to(Request("PUT", server.url, **body_of(b"x"))).retry_after == 7


def test_a_body_is_not_sent_with_the_next():
    with serving(in_turn(reply(500), BARE)) as server:
        for text in (b"a long one", b"", b"short"):
            answer_to(Request("PUT", server.url, **body_of(text)))
        answer_to(Request("POST", server.url))
        answer_to(Request("DELETE", server.url))
    assert [(asked.method, asked.body) for asked in server.asked] == [
        ("PUT", b"a long one"), ("PUT", b""), ("PUT", b"short"), ("POST", b""), ("DELETE", b""),
    ]  # fmt: skip


def test_a_body_is_sent_again_from_its_start_where_a_kept_connection_breaks():
    kept: Script = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NEXT, RESET]
    with serving(in_turn(kept, BARE)) as server:
        for text in (b"first", b"again"):
            assert answer_to(Request("PUT", server.url, **body_of(text))).status == 200
    assert [asked.body for asked in server.asked] == [b"first", b"again", b"again"]


def test_a_deadline_is_not_the_next_ones():
    with serving(in_turn([1.0, *BARE], BARE)) as server:
        with pytest.raises(Broken, match="timed out"):
            answer_to(Request("GET", server.url, until=time.monotonic() + 0.05))
        assert answer_to(Request("GET", server.url)).body == b"bare"


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
def test_bytes_go_where_each_request_has_them(tmp_path: Path, told: bool):
    """A long answer, a short one without a place of its own, and again: in memory as far as it may be, else on disk."""
    long = bytes(range(256)) * 8 * 1024
    sent = head(200, {} if told else {"X-Length": "unknown"}, len(long) if told else None) + long
    with serving(in_turn([sent], BARE, [sent], BARE)) as server:
        for in_memory in (2**20 - 1, 3 * 2**20):
            spool = tmp_path / str(in_memory)
            room = Room(in_memory, 0, spool)
            incoming = Incoming(room)
            answer_to(Request("GET", server.url, into=incoming))
            assert answer_to(Request("GET", server.url)).body == b"bare"
            assert bytes(incoming.whole().view()) == long
            assert spool.exists() is (in_memory < len(long))
            room.close()


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_bytes_are_let_go(tmp_path: Path, method: str):
    with serving(in_turn(BARE)) as server:
        incoming, sent = Incoming(Room(2**20, 0, tmp_path)), Body(memoryview(b"text"), 4, "")
        kept = [weakref.ref(incoming), weakref.ref(sent)]
        more = {"into": incoming} if method == "GET" else {"body": sent.stream(), "size": 4}
        answer_to(Request(method, server.url, **more))
        del incoming, sent, more
    assert [each() for each in kept] == [None, None]


def test_a_proxy_is_asked_for_one_as_for_the_next(monkeypatch):
    with serving(in_turn(reply(200, b"x", {"X-Is": "first"}), BARE)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        for name in "ab":
            answer = answer_to(Request("GET", f"http://{name}.example.test/{name}"))
        monkeypatch.delenv("http_proxy")
        assert answer_to(Request("GET", f"{proxy.url}/direct")).body == b"bare"
    assert answer.headers == {"content-length": "4", "connection": "close"}
    assert proxy.paths == ["http://a.example.test/a", "http://b.example.test/b", "/direct"]
