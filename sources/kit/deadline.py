"""A requests adapter whose answers end by a deadline: status line, headers and every body byte included.

The timeouts of requests hold for one read each, so an upstream that drips a byte now and then is never cut.
What other threads do ends by a `Cut`, too.
"""

from __future__ import annotations

import http.client
import io
import math
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import Event, Lock
from typing import Any
from weakref import WeakSet

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_ENDS = ContextVar("deadline", default=math.inf)


class Cut:
    """Ends what the threads do that have it in `CUT`: their pauses, their answers, and all they would begin."""

    def __init__(self) -> None:
        self._made, self._watching = Event(), Lock()
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def make(self) -> None:
        """End it, from any thread."""
        self._made.set()
        with self._watching:
            for connection in self._sockets:
                _hang_up(connection)

    def check(self) -> None:
        """ConnectionAbortedError once it has been made."""
        if self._made.is_set():
            raise ConnectionAbortedError("nobody waits for the answer any more")

    def pause(self, seconds: float) -> None:
        """Wait so long; ConnectionAbortedError as soon as the cut is made."""
        self._made.wait(seconds)
        self.check()

    def watch(self, connection: socket.socket) -> None:
        """Hang up on this connection, too."""
        with self._watching:
            self._sockets.add(connection)
        if self._made.is_set():
            _hang_up(connection)


CUT: ContextVar[Cut | None] = ContextVar("cut", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give the requests started inside, streamed bodies too, this many seconds from now."""
    if cut := CUT.get():
        cut.check()
    token = _ENDS.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ENDS.reset(token)


class DeadlineAdapter(HTTPAdapter):
    """The transport of requests under the deadline that `within` sets; TimeoutError ends an answer."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):  # those need pools of their own
            manager.pool_classes_by_scheme = _POOLS
        return manager

    def close(self) -> None:
        """Close idle connections at once; by itself urllib3 waits for the last answer that knows their pool to go."""
        managers = [self.poolmanager, *self.proxy_manager.values()]
        pools = [manager.pools.get(key) for manager in managers for key in manager.pools.keys()]  # noqa: SIM118
        super().close()
        for pool in filter(None, pools):
            pool.close()


class _Bytes(io.RawIOBase):
    """What a socket receives; a read lasts until the read timeout or the deadline, whichever is first."""

    def __init__(self, connection: socket.socket, received: io.RawIOBase) -> None:
        self._socket, self._received = connection, received
        self._patience, self._ends = connection.gettimeout() or math.inf, _ENDS.get()
        if cut := CUT.get():
            cut.watch(connection)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = min(self._patience, self._ends - time.monotonic())
        if left <= 0:
            raise TimeoutError("the deadline of the request has passed")
        self._socket.settimeout(None if left == math.inf else left)
        return self._received.readinto(buffer)

    def close(self) -> None:
        self._received.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Bytes(sock, self.fp.detach()))


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def _hang_up(connection: socket.socket) -> None:
    """Wake who reads from it; TLS is not asked, as its own goodbye would disturb the reader."""
    plain = getattr(connection, "socket", connection)  # of TLS inside TLS
    with suppress(OSError):
        socket.socket.shutdown(plain, socket.SHUT_RDWR)


_POOLS = {"http": _Pool, "https": _SecurePool}
