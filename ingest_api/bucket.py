"""The bucket that chunks are moved to once they are stored here: a filesystem destination of the environment.

A chunk is UPLOADED until its object is there and QUEUED from then on; the file here goes last, so that a kill at any
moment leaves at least one of both. Files of chunks that were stored before there was a bucket follow.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from ingest_api import chunks
from ingest_api.chunks import Filed
from ingest_api.database import DatabaseAway
from ingest_api.events import tell
from ingest_api.service import Service
from ingest_api.sweep import lose, old_files
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

    async def moved() -> float:
        return 0.0 if await move(service, bucket) else IDLE_SECONDS

    await _for_ever(moved)


async def following(service: Service, bucket: Store) -> None:
    """Look for files that are to follow for ever, as often as for orphans."""

    async def followed() -> float:
        await follow(service, bucket)
        return service.settings.orphan_seconds

    await _for_ever(followed)


async def _for_ever(work: Callable[[], Awaitable[float]]) -> None:
    """Do what says how long it can wait until it is done again."""
    while True:
        try:
            pause = await work()
        except (Weather, EtlError, DatabaseAway, SQLAlchemyError, OSError) as error:
            tell("bucket_away", logging.WARNING, error=str(error))
            pause = WEATHER_SECONDS
        await asyncio.sleep(pause)


async def move(service: Service, bucket: Store) -> int:
    """Move chunks that wait for it; how many there were."""
    waiting = await chunks.uploaded(service.database, BATCH)
    for chunk in waiting:
        became = partial(chunks.moved, service.database, chunk.chunk_id, chunk.status)
        try:
            data = await asyncio.to_thread(service.storage.path(chunk.file_path).read_bytes)
        except FileNotFoundError:
            await lose(service, chunk)
            continue
        try:
            await asyncio.to_thread(_put, data, chunk, bucket)
        except Refusal as error:
            _tell_of_refusal(chunk, error)
            await became(Status.ERROR, f"the bucket refuses it: {error}")
        else:
            if await became(Status.QUEUED):
                await service.blocking(service.storage.remove, chunk.file_path)
    return len(waiting)


async def follow(service: Service, bucket: Store) -> None:
    """Remove files whose objects are there, as a kill leaves them; first put there those that are not."""
    async for name, chunk in old_files(service):
        if chunk is None or chunk.file_path != name or chunk.status in service.kept_here:
            continue
        try:
            await asyncio.to_thread(_put_once, service.storage.path(name), chunk, bucket)
        except Refusal as error:
            _tell_of_refusal(chunk, error)
        else:
            await service.blocking(service.storage.remove, name)


def _tell_of_refusal(chunk: Filed, error: Refusal) -> None:
    tell("bucket_refused", logging.ERROR, chunk_id=chunk.chunk_id, error=str(error))


def _put_once(path: Path, chunk: Filed, bucket: Store) -> None:
    there = bucket.head(chunk.file_path)
    if there is None or there.bytes != path.stat().st_size:
        _put(path.read_bytes(), chunk, bucket)


def _put(data: bytes, chunk: Filed, bucket: Store) -> None:
    sha256 = chunk.sha256 or hashlib.sha256(data).hexdigest()  # the first service's chunks have none
    body = Body(memoryview(data), len(data), sha256)
    bucket.put(chunk.file_path, body, About(OGG, sha256, str(chunk.chunk_id)))
