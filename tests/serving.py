"""The ingest service on a free port of loopback, for as long as a block runs, and a recorder that asks it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import text

from ingest_api import server
from ingest_api.settings import Settings
from sandbox.sound import opus

ADMIN = "a-token-of-the-administrator"
TOKEN = "a-token-of-the-recorder"
POINT, REGISTER, DEVICE = (f"00000000-0000-0000-0000-00000000000{n}" for n in (1, 2, 3))
START, END = "2026-01-28T10:00:00+00:00", "2026-01-28T10:01:00+00:00"


@contextlib.contextmanager
def serving(folder: Path, **variables: str) -> Iterator[Running]:
    """A service in a thread; `variables` are its settings by their names."""
    given = {"AUDIO_STORAGE_DIR": str(folder / "audio"), "ADMIN_TOKEN": ADMIN, "HOST": "127.0.0.1", "PORT": "0"}
    settings = Settings.read({**given, **variables}, folder)
    asyncio.run(server.migrated(settings))
    with server.bound(settings) as listening:
        running = Threaded(server.configured(settings))
        thread = threading.Thread(target=running.run, args=([listening],), daemon=True)
        thread.start()
        try:
            while not running.started:
                thread.join(0.01)
                assert thread.is_alive(), "the service did not start"
            yield Running(running.address, settings, running)
        finally:
            running.should_exit = True
            thread.join(30)
            assert not thread.is_alive(), "the service does not end"


class Threaded(server.Server):
    """A server that tells its loop."""

    async def startup(self, sockets: Any = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)


@dataclass
class Running:
    """A service that runs."""

    url: str
    settings: Settings
    server: Any
    session: requests.Session = field(default_factory=requests.Session)

    def ask(self, method: str, path: str, token: str | None = ADMIN, **more: Any) -> requests.Response:
        """One request, by default the administrator's."""
        headers = {**({"Authorization": f"Bearer {token}"} if token is not None else {}), **more.pop("headers", {})}
        return self.session.request(method, f"{self.url}{path}", headers=headers, timeout=30, **more)

    def register(self, token: str = TOKEN, device: str = DEVICE, **more: Any) -> requests.Response:
        """Make a device."""
        told = {"device_id": device, "point_id": POINT, "register_id": REGISTER, "token_plain": token, **more}
        return self.ask("POST", "/api/v1/admin/devices", json=told)

    def send(self, audio: bytes | None = None, token: str | None = TOKEN, headers: Any = None, **fields: Any) -> Any:
        """Send a chunk; a field that is None is left out."""
        told = {
            "point_id": POINT, "register_id": REGISTER, "device_id": DEVICE, "start_ts": START, "end_ts": END,
            "codec": "opus", "sample_rate": "48000", "channels": "1", **fields,
        }  # fmt: skip
        file = {"chunk_file": ("chunk.ogg", chunk() if audio is None else audio, "audio/ogg")}
        sent = {name: value for name, value in told.items() if value is not None}
        return self.ask("POST", "/api/v1/chunks", token, data=sent, files=file, headers=headers or {})

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do a piece of the service's own work in its own loop."""
        return asyncio.run_coroutine_threadsafe(work, self.server.loop).result(30)

    def say(self, statement: str) -> None:
        """Say something to the service's own database."""

        async def said() -> None:
            async with self.server.config.app.state.service.database.asking() as connection:
                await connection.execute(text(statement))

        self.run(said())

    def files(self) -> list[str]:
        """The names of all files that were kept."""
        folder = self.settings.storage
        return sorted(p.relative_to(folder).as_posix() for p in (folder / "audio").rglob("*") if p.is_file())

    def incoming(self) -> list[Path]:
        """What is left of uploads."""
        return [*(self.settings.storage / "incoming").iterdir()]


@cache
def chunk(seed: object = 1, seconds: float = 60.0) -> bytes:
    """A minute of sound as a recorder sends it."""
    return opus(seed, seconds)


def wait_for(condition: Callable[[], Any]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
