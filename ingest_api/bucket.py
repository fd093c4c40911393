"""The bucket that chunks are moved to once they are stored here: a filesystem destination of the environment.

A chunk is UPLOADED until its object is there and QUEUED from then on; the file here goes last, so that a kill at any
moment leaves at least one of both.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from ingest_api import chunks
from ingest_api.chunks import Waiting
from ingest_api.database import DatabaseAway
from ingest_api.events import tell
from ingest_api.service import Service
from ingest_api.tables import Status
from pipelines import configuration
from pipelines import environment as environments
from pipelines.errors import EtlError, SettingError, did_you_mean
from pipelines.files.bodies import Body
from pipelines.files.stores import About, Refusal, Store, Weather, opened

OGG = "audio/ogg"
BATCH = 100
IDLE_SECONDS, WEATHER_SECONDS = 1.0, 30.0


def of(root: Path, env: str, name: str) -> Store:
    """A bucket of an environment by its name in destinations.toml."""
    environment = environments.load(root, env)
    if name not in environment.buckets:
        hint = did_you_mean(name, environment.buckets)
        raise SettingError(f"AUDIO_BUCKET: [{env}] has no bucket {name!r}{hint}; name one of destinations.toml")
    configuration.activate(environment)
    return opened(name)


async def moving(service: Service, bucket: Store) -> None:
    """Move chunks for ever, those that started first before others."""
    while True:
        try:
            pause = 0.0 if await move(service, bucket) else IDLE_SECONDS
        except (Weather, EtlError, DatabaseAway, OSError) as error:
            tell("bucket_away", logging.WARNING, error=str(error))
            pause = WEATHER_SECONDS
        await asyncio.sleep(pause)


async def move(service: Service, bucket: Store) -> int:
    """Move chunks that wait for it; how many there were."""
    waiting = await chunks.uploaded(service.database, BATCH)
    for chunk in waiting:
        status, message = Status.QUEUED, None
        try:
            await asyncio.to_thread(_put, service.storage.path(chunk.file_path), chunk, bucket)
        except Refusal as error:
            status, message = Status.ERROR, f"the bucket refuses it: {error}"
            tell("bucket_refused", logging.ERROR, chunk_id=chunk.chunk_id, error=str(error))
        except FileNotFoundError:
            status, message = Status.ERROR, chunks.LOST
        await chunks.moved(service.database, chunk.chunk_id, status, message)
        if status is Status.QUEUED:
            await service.blocking(service.storage.remove, chunk.file_path)
    return len(waiting)


def _put(path: Path, chunk: Waiting, bucket: Store) -> None:
    data = path.read_bytes()
    body = Body(memoryview(data), len(data), chunk.sha256)
    bucket.put(chunk.file_path, body, About(OGG, chunk.sha256, str(chunk.chunk_id)))
