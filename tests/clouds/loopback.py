"""A loopback HTTP/1.1 server in front of a function, with faults: the ground all stand-ins of clouds share."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request; the path is as it came, still quoted, and header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    target: str

    def json(self) -> Any:
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


@dataclass(frozen=True)
class Answer:
    """A status, a body (a dict travels as JSON) and headers."""

    status: int = 200
    body: bytes | dict[str, Any] = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Fault:
    """What becomes of the next `times` requests that match: another answer, heard or not, or none until released."""

    pattern: re.Pattern[str]
    times: int
    answer: Answer | None = None
    heard: bool = False
    released: threading.Event | None = None


class Loopback:
    """A server from construction to `stop`; `respond` answers what no fault is meant for."""

    def __init__(self, respond: Callable[[Asked], Answer]) -> None:
        self._respond, self._faults, self._lock = respond, [], threading.Lock()
        self.asked: list[str] = []
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"loopback": self}))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every request go that waits, and close the port."""
        self.heal()
        self._server.shutdown()
        self._server.server_close()

    def refuse(self, pattern: str, answer: Answer, times: int = 1) -> None:
        """Answer the next `times` requests whose method and target match with this instead."""
        self._add(Fault(re.compile(pattern), times, answer))

    def lose(self, pattern: str, answer: Answer, times: int = 1) -> None:
        """Do what the next requests ask for, and answer with this all the same."""
        self._add(Fault(re.compile(pattern), times, answer, heard=True))

    def hold(self, pattern: str, times: int = 1) -> None:
        """Leave requests without an answer until `heal`."""
        self._add(Fault(re.compile(pattern), times, released=threading.Event()))

    def heal(self) -> None:
        """Forget every fault."""
        with self._lock:
            faults, self._faults = self._faults, []
        for fault in faults:
            if fault.released:
                fault.released.set()

    def count(self, pattern: str) -> int:
        """How many requests so far match."""
        return sum(bool(re.search(pattern, each)) for each in self.asked)

    def answer(self, asked: Asked) -> Answer:
        """What a request gets, its fault included."""
        fault = self._due(str(asked))
        if fault and fault.released:
            fault.released.wait()
        if fault and fault.answer and not fault.heard:
            return fault.answer
        answer = self._respond(asked)
        return fault.answer if fault and fault.answer else answer

    def _add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def _due(self, asked: str) -> Fault | None:
        with self._lock:
            self.asked.append(asked)
            fault = next((f for f in self._faults if f.times > 0 and f.pattern.search(asked)), None)
            if fault:
                fault.times -= 1
            return fault


class _Server(ThreadingHTTPServer):
    """Quiet about clients that leave."""

    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    loopback: Loopback

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing; `Loopback.asked` keeps the list."""

    def handle_expect_100(self) -> bool:
        """Tell the client at once to send its body; what is written waits otherwise."""
        told = super().handle_expect_100()
        self.wfile.flush()
        return told

    def _converse(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        asked = Asked(self.command, parts.path, query, headers, b"".join(self._body()), self.path)
        self._send(self.loopback.answer(asked))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _converse

    def _body(self) -> Iterator[bytes]:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            yield self._exactly(int(self.headers.get("Content-Length") or 0))
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self._exactly(size)
            self.rfile.readline()
        self.rfile.readline()

    def _exactly(self, size: int) -> bytes:
        """So many bytes; a client that left in the middle of its request has asked for nothing."""
        read = self.rfile.read(size)
        if len(read) < size:
            raise ConnectionAbortedError
        return read

    def _send(self, answer: Answer) -> None:
        content = answer.content
        self.send_response(answer.status)
        kind = "application/octet-stream" if isinstance(answer.body, bytes) else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and answer.status not in (204, 304):
            self.wfile.write(content)


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port where every connection is refused, and that nobody else can take meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])
