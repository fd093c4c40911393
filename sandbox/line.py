"""The line between recorders and their service: it can be cut, and loses of what goes through it what it is told to.

One request a connection; a request goes on once it is whole, an answer likewise.
"""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

WHOLE, TORN, UNANSWERED, SILENT = "whole", "torn", "unanswered", "silent"
"""Nothing is lost; half of the request; the answer, at once; the answer, and nobody says so."""
LENGTH = re.compile(rb"content-length: *(\d+)", re.I)
AT_ONCE = 262_144
SERVICE_SECONDS = 60


class Line:
    """Listens at `url` and leads to `port` of this machine; `fate` is asked for each request, by its number from 1."""

    def __init__(self, fate: Callable[[int], str] = lambda _: WHOLE) -> None:
        self.port = 0
        self.is_cut = False
        self._fate, self._count, self._lock = fate, 0, threading.Lock()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def carry(self, client: socket.socket) -> None:
        """Carry one request there, and its answer back."""
        if self.is_cut:
            return
        with self._lock:
            self._count += 1
            fate = self._fate(self._count)
        request = _request(client)
        with socket.create_connection(("127.0.0.1", self.port), SERVICE_SECONDS) as service:
            service.sendall(request[: len(request) // 2] if fate == TORN else request)
            answer = b"" if fate == TORN else _until_end(service)
        if fate == SILENT:
            client.recv(1)
        elif fate == WHOLE and not self.is_cut:
            client.sendall(answer)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, line: Line) -> None:
        self.line = line
        super().__init__(("127.0.0.1", 0), _Carrier)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks breaks on both sides; that is all there is to say."""


class _Carrier(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.server.line.carry(self.request)


def _request(client: socket.socket) -> bytes:
    """A whole request: its head, and as much as that announces."""
    data = bytearray()
    while b"\r\n\r\n" not in data:
        data += _some(client)
    head = data.index(b"\r\n\r\n") + 4
    announced = LENGTH.search(data, 0, head)
    while len(data) < head + (int(announced[1]) if announced else 0):
        data += _some(client)
    return bytes(data)


def _some(client: socket.socket) -> bytes:
    data = client.recv(AT_ONCE)
    if not data:
        raise ConnectionError("the client has gone")
    return data


def _until_end(service: socket.socket) -> bytes:
    return b"".join(iter(lambda: service.recv(AT_ONCE), b""))
