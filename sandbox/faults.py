"""Faults on demand: which request is hit, and what becomes of its answer.

429 (retry_after) · quota · 503 (retry_after) · 500 · 401 · 403 · 404 · 410 · html · empty the upstream is not asked
duplicate_page · drift (field) · malformed · flipped (at) · cut (pieces) · wrong_length   its answer is changed
reset · torn · truncated · slow (seconds) · drip (seconds)                                its answer travels badly

`cut` ends a sound file after so many pages or frames, `flipped` turns one bit of any body over, `torn` resets
the connection in the middle of a body, `wrong_length` promises half of what is sent.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from io import BufferedIOBase
from typing import Any

from sandbox import sound
from sandbox.exchange import Reply, Request

Options = Mapping[str, Any]
CONDITIONS = {"if-none-match", "if-modified-since"}
VALIDATORS = {"ETag", "Last-Modified"}

Sender = Callable[[socket.socket, BufferedIOBase, bytes, Options], bool]

HTML = "<!DOCTYPE html><html><head><title>One moment</title></head><body>Checking your browser.</body></html>"


@dataclass
class Fault:
    """One fault: what it hits, how often, how many matching requests it lets pass first, the day it is over."""

    pattern: re.Pattern[str]
    kind: str
    times: int
    after: int
    until: int | None
    options: Options

    def counts(self, target: str, day: int) -> bool:
        """Count a request that matches; whether the fault is due on it."""
        if not self.pattern.search(target) or (self.until is not None and day >= self.until):
            return False
        self.after -= 1
        return self.after < 0 < self.times


class Faults:
    """The faults that are set, asked by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(
        self, pattern: str, kind: str, times: int = 1, after: int = 0, until: int | None = None, **options: Any
    ) -> None:
        """Set a fault on requests whose path and query match `pattern`, before the day `until`; ValueError if not."""
        if kind not in OPTIONS:
            raise ValueError(f"fault: no kind {kind!r}; use one of {', '.join(OPTIONS)}")
        if unknown := sorted(set(options) - OPTIONS[kind]):
            known = ", ".join(sorted(OPTIONS[kind])) or "none"
            raise ValueError(f"fault {kind}: no option {unknown[0]!r}; it takes: {known}")
        fault = Fault(_compiled(pattern), kind, int(times), int(after), until, options)
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Forget every fault."""
        with self._lock:
            self._faults.clear()

    def due(self, target: str, day: int) -> Fault | None:
        """The first fault due on a request of that day, used up by one."""
        with self._lock:
            fault = next((f for f in [f for f in self._faults if f.counts(target, day)]), None)
            if fault:
                fault.times -= 1
            return fault


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"fault: pattern {pattern!r} is no regular expression: {error}") from error


def _refusal(status: HTTPStatus) -> Callable[[Options], Reply]:
    def refuse(options: Options) -> Reply:
        wait = options.get("retry_after")
        headers = {} if wait is None else {"Retry-After": str(wait)}
        return Reply(status, {"code": status.value, "message": status.phrase}, headers)

    return refuse


def _page_of_html(_: Options) -> Reply:
    return Reply(200, HTML, {"Content-Type": "text/html; charset=utf-8"})


def _used_up(_: Options) -> Reply:
    """As Spotify tells that the quota of a developer's account is used up."""
    error = {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}
    return Reply(429, {"error": error}, {"Retry-After": "86400"})


def _empty(_: Options) -> Reply:
    return Reply(200)


def unconditional(request: Request) -> Request:
    """The request of a client that has no copy, so that there is a body to spoil."""
    kept = {name: value for name, value in request.headers.items() if name not in CONDITIONS}
    return replace(request, headers=kept)


def _malformed(reply: Reply, _: Options) -> Reply:
    content = reply.content()
    return replace(reply, body=content[: len(content) // 2], headers=_typed(reply))


def _flipped(reply: Reply, options: Options) -> Reply:
    content = bytearray(reply.content())
    if content:
        content[int(options.get("at", len(content) // 2))] ^= 1
    return replace(reply, body=bytes(content), headers=_typed(reply))


def _wrong_length(reply: Reply, _: Options) -> Reply:
    length = str(len(reply.content()) // 2)
    return replace(reply, headers=_typed(reply) | {"Content-Length": length, "Connection": "close"})


def _cut(reply: Reply, options: Options) -> Reply:
    pieces = sound.pieces(reply.content())
    kept = int(options.get("pieces", len(pieces) // 2))
    return replace(reply, body=b"".join(pieces[:kept]), headers=_typed(reply))


def _duplicate_page(reply: Reply, _: Options) -> Reply:
    return _changed(reply, _twice)


def _drift(reply: Reply, options: Options) -> Reply:
    return _changed(reply, lambda body: _drifted_page(body, options.get("field")))


def _changed(reply: Reply, change: Callable[[Any], Any]) -> Reply:
    """The reply with its JSON body changed; anything else as it was."""
    try:
        body = json.loads(reply.content())
    except ValueError:
        return reply
    return replace(reply, body=change(body), headers=_typed(reply))


def _typed(reply: Reply) -> dict[str, str]:
    """The headers of a changed body: its type is kept, but it is no longer what the ETag names."""
    kept = {name: value for name, value in reply.headers.items() if name not in VALIDATORS}
    return {"Content-Type": reply.content_type(), **kept}


def _twice(value: Any) -> Any:
    """Each outermost list with its items two times."""
    if isinstance(value, list):
        return value * 2
    return {key: _twice(item) for key, item in value.items()} if isinstance(value, dict) else value


def _drifted_page(body: Any, field: str | None) -> Any:
    """The rows of a page drifted; what is around them keeps its numbers, for they lead to the next page."""
    drifted = _drifted(body, field)
    if isinstance(body, dict) and any(_is_rows(value) for value in body.values()):
        numbers = {key: value for key, value in body.items() if type(value) in (int, float)}
        return drifted | numbers
    return drifted


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(row, dict) for row in value)


def _drifted(value: Any, field: str | None) -> Any:
    """Each object with a new key, and one number (`field`, or the last) as a text no cast can read."""
    if isinstance(value, list):
        return [_drifted(item, field) for item in value]
    if not isinstance(value, dict):
        return value
    numbers = [key for key, item in value.items() if type(item) in (int, float) and field in (None, key)]
    changed = {key: _drifted(item, field) for key, item in value.items()}
    if numbers:
        changed[numbers[-1]] = f"about {value[numbers[-1]]}"
    return changed | {"new_field": "drift"}


def stays(connection: socket.socket, seconds: float) -> bool:
    """Wait; False as soon as the client has left, True at once when it asks for more."""
    if seconds <= 0:
        return True
    connection.settimeout(seconds)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return True
    finally:
        connection.settimeout(None)


def send_whole(connection: socket.socket, out: BufferedIOBase, content: bytes, options: Options) -> bool:
    """Send the body as it should be; like every sender, tell whether the connection lives on."""
    out.write(content)
    return True


def _send_half(connection: socket.socket, out: BufferedIOBase, content: bytes, options: Options) -> bool:
    out.write(content[: len(content) // 2])
    return False


def _tear(connection: socket.socket, out: BufferedIOBase, content: bytes, options: Options) -> bool:
    out.write(content[: len(content) // 2])
    out.flush()
    reset(connection)
    return False


def _drip(connection: socket.socket, out: BufferedIOBase, content: bytes, options: Options) -> bool:
    pause = float(options.get("seconds", 1)) / max(len(content), 1)
    for position in range(len(content)):
        out.write(content[position : position + 1])
        out.flush()
        if not stays(connection, pause):
            return False
    return True


def reset(connection: socket.socket) -> None:
    """Drop the connection so that the client sees RST, not an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())


INSTEAD: dict[str, Callable[[Options], Reply]] = {
    "429": _refusal(HTTPStatus.TOO_MANY_REQUESTS),
    "503": _refusal(HTTPStatus.SERVICE_UNAVAILABLE),
    "500": _refusal(HTTPStatus.INTERNAL_SERVER_ERROR),
    "401": _refusal(HTTPStatus.UNAUTHORIZED),
    "403": _refusal(HTTPStatus.FORBIDDEN),
    "404": _refusal(HTTPStatus.NOT_FOUND),
    "410": _refusal(HTTPStatus.GONE),
    "html": _page_of_html,
    "quota": _used_up,
    "empty": _empty,
}
CHANGED: dict[str, Callable[[Reply, Options], Reply]] = {
    "duplicate_page": _duplicate_page,
    "drift": _drift,
    "malformed": _malformed,
    "flipped": _flipped,
    "cut": _cut,
    "wrong_length": _wrong_length,
}
SENT: dict[str, Sender] = {"truncated": _send_half, "torn": _tear, "drip": _drip}
OPTIONS: dict[str, frozenset[str]] = {kind: frozenset() for kind in (*INSTEAD, *CHANGED, *SENT, "reset", "slow")} | {
    "429": frozenset({"retry_after"}),
    "503": frozenset({"retry_after"}),
    "drift": frozenset({"field"}),
    "flipped": frozenset({"at"}),
    "cut": frozenset({"pieces"}),
    "slow": frozenset({"seconds"}),
    "drip": frozenset({"seconds"}),
}
