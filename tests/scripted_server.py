"""A loopback HTTP/1.1 server that does what its script says, down to resets, stalls and broken bodies.

An answer is a list of steps: bytes are sent, a number is a pause in seconds, RESET breaks the connection, and
NEXT waits for the next request on it.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

RESET, NEXT = "reset", "next"
Steps = list[bytes | float | str]


@dataclass(frozen=True)
class Asked:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """Where it listens and what it was asked, in order."""

    url: str
    asked: list[Asked] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [one.path for one in self.asked]


def reply(status: int = 200, body: Any = b"", headers: dict[str, str] | None = None) -> Steps:
    """A whole answer; what is not bytes goes as JSON."""
    return [head(status, headers, len(encoded(body))) + encoded(body)]


def head(status: int = 200, headers: dict[str, str] | None = None, length: int | None = None) -> bytes:
    """Status line and headers; the connection is closed after every answer."""
    lines = {"Content-Type": "application/json", "Connection": "close", **(headers or {})}
    if length is not None:
        lines["Content-Length"] = str(length)
    told = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{told}\r\n".encode()


def encoded(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def in_turn(*answers: Steps) -> Callable[[Asked], Steps]:
    """The answers in the order of the requests; the last one stays."""
    left = list(answers)
    return lambda asked: left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def serving(answer: Callable[[Asked], Steps]) -> Iterator[Server]:
    """Answer every request by calling `answer` until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(f"http://127.0.0.1:{listener.getsockname()[1]}")
        threading.Thread(target=_listen, args=(listener, server, answer), daemon=True).start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)


def _listen(listener: socket.socket, server: Server, answer: Callable[[Asked], Steps]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(connection, server, answer), daemon=True).start()


def _serve(connection: socket.socket, server: Server, answer: Callable[[Asked], Steps]) -> None:
    with connection, connection.makefile("rb") as received:
        asked = _noted(server, received)
        for step in answer(asked) if asked else ():
            if step == NEXT:
                _noted(server, received)
            elif not _is_performed(connection, step):
                return


def _noted(server: Server, received: Any) -> Asked | None:
    """The next request, if there is one."""
    asked = _read(received)
    if asked:
        server.asked.append(asked)
    return asked


def _read(received: Any) -> Asked | None:
    first = received.readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers = dict(_header(line) for line in iter(received.readline, b"\r\n"))
    return Asked(first[0], first[1], headers, received.read(int(headers.get("content-length", 0))))


def _header(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("latin-1").partition(":")
    return name.lower(), value.strip()


def _is_performed(connection: socket.socket, step: bytes | float | str) -> bool:
    """Whether the connection is there for another step."""
    if step == RESET:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    if isinstance(step, bytes):
        try:
            connection.sendall(step)
        except OSError:
            return False  # the client has gone
    elif isinstance(step, (int, float)):
        time.sleep(step)
    return True
