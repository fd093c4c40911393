"""The service as a process: a socket, HTTP that waits for no one for ever, and an end that lets uploads finish."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

from ingest_api import keys
from ingest_api.app import create_app
from ingest_api.database import Database, DatabaseAway
from ingest_api.events import tell
from ingest_api.settings import Settings
from ingest_api.storage import Storage
from pipelines.errors import SettingError, TryLater

HEAD_SECONDS = 20.0
"""For the head of a request, from its first byte or the connection's beginning."""
MOST_HEAD_BYTES = 32_768
BODY_AHEAD = 131_072
KEEP_ALIVE_SECONDS = 75
END_SECONDS = 90
"""For what is under way when the service is told to end: more than its clients' patience of 60."""
LOOK_SECONDS = 0.1
"""From one look whether it was told twice to the next."""
BACKLOG = 2048


def serve(settings: Settings) -> None:
    """Bring the tables up to date and serve until told to end; the address goes to stdout once it can be asked."""
    Storage(settings.storage).prepare()
    asyncio.run(migrated(settings))
    with bound(settings) as listening:
        server = Server(configured(settings))
        server.announce = True
        server.run([listening])


async def migrated(settings: Settings, any_key: bool = False) -> None:
    """Wait until the tables are as this program needs them; SettingError where the key of their hashes is another."""
    database = Database(settings.database_url.get_secret_value())
    try:
        await database.migrate()
        if not any_key:
            await keys.refuse_another(settings, database)
    except DatabaseAway as error:
        raise TryLater(f"DATABASE_URL: the database does not answer ({error}); start it, or mend the URL") from error
    finally:
        await database.close()


def bound(settings: Settings) -> socket.socket:
    """A socket at the address of the settings."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise SettingError(f"{where}: {os.strerror(error.errno or 0)}; give another --host or --port") from error
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does so for sockets it made itself
    return listening


def configured(settings: Settings) -> uvicorn.Config:
    """uvicorn with our limits, and without its own log."""
    return uvicorn.Config(
        create_app(settings),
        http=Patient,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=END_SECONDS,
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
    )


class Server(uvicorn.Server):
    """A server that says where it is, and whose end by a signal is an end like any other."""

    announce = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what is there now stays to the end; to look at all of it again would hold every upload up
        tell("started", address=self.address)
        if self.announce:
            sys.stdout.write(f"{self.address}\n")
            sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        tell("ending", waiting_for=len(self.server_state.tasks), seconds=END_SECONDS)
        ending = asyncio.create_task(super().shutdown(sockets))
        while not (ending.done() or self.force_exit):
            await asyncio.wait([ending], timeout=LOOK_SECONDS)
        if not ending.done():  # since Python 3.12.1 it would wait for connections all the same
            ending.cancel()
            return
        await ending

    @property
    def address(self) -> str:
        """Where it can be asked."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            self._captured_signals.clear()


class Ahead(FlowControl):
    """Lets a body come up to `BODY_AHEAD` before it is read: to stop and go on at each piece takes longer than that."""

    def __init__(self, protocol: H11Protocol) -> None:
        super().__init__(protocol.transport)
        self._protocol = protocol

    def pause_reading(self) -> None:
        if self._protocol.conn.their_state is not h11.SEND_BODY or len(self._protocol.cycle.body) > BODY_AHEAD:
            super().pause_reading()


class Patient(H11Protocol):
    """HTTP by h11, for clients that send the head of a request in a reasonable time."""

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, **named)
        self._until: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = Ahead(self)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and not self.timeout_keep_alive_task:
            self._watch()
        else:
            self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._rest()

    def _watch(self) -> None:
        self._until = self._until or self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _rest(self) -> None:
        if self._until is not None:
            self._until.cancel()
            self._until = None
