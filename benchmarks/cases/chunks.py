"""Audio chunks over HTTP: the ingest service beside a handler that keeps files and does nothing else."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

from benchmarks.case import ENGINE, FLOOR, Case, Contender, Rows, Target, Work
from benchmarks.chunks import ONE, TOKEN
from benchmarks.measure import python

FILES = "files"
ROWS: Rows = {"small": (200,), "full": (3000,)}


def write(folder: Path, rows: int) -> None:
    """How many chunks are sent."""
    (folder / "count.txt").write_text(str(rows))


def run_service(work: Work, size: int) -> None:
    """The service as it is, on Postgres: hash, fsync, a look at every page, rename, commit."""
    from ingest_api import devices, server
    from ingest_api.database import Database
    from ingest_api.settings import Settings
    from ingest_api.tokens import Tokens, key_of

    told = {
        "DATABASE_URL": work.server,
        "AUDIO_STORAGE_DIR": str(work.folder / FILES),
        "HOST": "127.0.0.1",
        "PORT": "0",
        "UPLOADS_PER_MINUTE": "1000000000",
    }
    settings = Settings.read(told, work.folder)

    async def prepare() -> None:
        await server.migrated(settings)
        database = Database(settings.database_url.get_secret_value())
        ids = dict.fromkeys(("device_id", "point_id", "register_id"), ONE)
        device = devices.NewDevice.model_validate({**ids, "token_plain": TOKEN})
        await devices.add(database, Tokens(key_of(None, settings.storage)), device)
        await database.close()

    asyncio.run(prepare())
    with server.bound(settings) as listening:
        _serve(server.Server(server.configured(settings)), listening, work, size)


def run_upload_file(work: Work, size: int) -> None:
    """What a first draft looks like: the framework's form, a copy, fsync."""
    import socket

    import uvicorn

    from benchmarks.upload_file import create_app

    files = work.folder / FILES
    files.mkdir()
    config = uvicorn.Config(create_app(files), http="h11", log_config=None, access_log=False)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _serve(uvicorn.Server(config), listening, work, size)


def facts(work: Work) -> list[tuple[Any, ...]]:
    """How many files there are, and of how many bytes in all."""
    sizes = [path.stat().st_size for path in (work.folder / FILES).rglob("*.ogg")]
    return [(len(sizes), sum(sizes))]


def _serve(server: Any, listening: Any, work: Work, size: int) -> None:
    """Serve in this process until another has sent all chunks."""

    def load() -> None:
        host, port = listening.getsockname()
        count = (work.data / "count.txt").read_text()
        command = python("benchmarks.chunks", f"http://{host}:{port}", count, str(size))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        work.note.write_text(done.stdout)
        failed.append(done.stderr if done.returncode else "")
        server.should_exit = True

    failed: list[str] = []
    thread = Thread(target=load)
    thread.start()
    server.run([listening])
    thread.join()
    if failed != [""]:
        sys.exit(f"the load failed: {failed}")


def _of_size(run: Callable[[Work, int], None], size: int) -> Contender:
    return Contender(lambda work: run(work, size))


CASES = tuple(
    Case(
        name=f"chunks_{name}",
        about=f"audio chunks of {about} over HTTP, 8 connections, one process",
        write=write,
        contenders={ENGINE: _of_size(run_service, size), FLOOR: _of_size(run_upload_file, size)},
        facts=facts,
        rows=ROWS,
        targets=(Target("wall", 1 / 0.6, FLOOR), Target.at_most("peak", 150)),
        postgres=True,
    )
    for name, about, size in (("usual", "180 KB", 180_000), ("large", "1 MB", 1_000_000))
)
