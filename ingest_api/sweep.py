"""What a kill, a crash or a lost disk leaves behind is put right, at the start and from time to time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from ingest_api import chunks
from ingest_api.chunks import Filed
from ingest_api.database import DatabaseAway
from ingest_api.events import tell
from ingest_api.service import Service
from ingest_api.tables import Status

BATCH = 500
LATE_SECONDS = 60.0
"""After the time an upload may take, what is left of it is rubbish."""

Named = tuple[str, UUID | None]


async def sweeping(service: Service) -> None:
    """Sweep for ever: claims often, files rarely."""
    settings, files_due = service.settings, 0.0
    while True:
        try:
            await requeue(service)
            if time.monotonic() >= files_due:
                await sweep_files(service)
                files_due = time.monotonic() + settings.orphan_seconds
        except (DatabaseAway, SQLAlchemyError, OSError) as error:
            tell("sweep_failed", logging.WARNING, error=str(error))
        await asyncio.sleep(settings.sweep_seconds)


async def requeue(service: Service) -> None:
    """Give claims that took too long, and what waits for a bucket that is no more, to whoever asks next."""
    if service.settings.bucket is None:
        await chunks.queue_uploaded(service.database)
    count = await chunks.requeue(service.database, service.settings.stuck_seconds)
    service.metrics.requeued += count
    if count:
        tell("chunks_requeued", logging.WARNING, count=count)


async def sweep_files(service: Service) -> None:
    """Remove what uploads left; move aside files without a row; say of rows whose file is gone that it is."""
    await service.blocking(service.storage.clear, service.settings.upload_seconds + LATE_SECONDS)
    await _set_aside_orphans(service)
    await _tell_of_lost(service)


async def old_files(service: Service) -> AsyncIterator[tuple[str, Filed | None]]:
    """The names of files that have been here for long, each with the chunk it is of."""
    files = service.storage.older_than(service.settings.orphan_seconds)
    while batch := await service.blocking(_next, files):
        known = await chunks.with_ids(service.database, [chunk for _, chunk in batch if chunk is not None])
        for name, chunk in batch:
            yield name, known.get(chunk) if chunk else None


async def _set_aside_orphans(service: Service) -> None:
    async for name, chunk in old_files(service):
        if chunk is None:
            await service.blocking(service.storage.set_aside, name)
            service.metrics.orphans += 1
            tell("orphan_set_aside", logging.WARNING, file=name)


async def _tell_of_lost(service: Service) -> None:
    last: UUID | None = None
    here = [status for status in chunks.UNREAD if status in service.kept_here]
    while batch := await chunks.awaited(service.database, here, last, BATCH):
        for chunk in batch:
            if not await service.blocking(service.storage.path(chunk.file_path).exists):
                await lose(service, chunk)
        last = batch[-1].chunk_id


async def lose(service: Service, chunk: Filed) -> None:
    """Say of a chunk that its file is gone; OSError where the whole storage is."""
    if not await service.blocking(service.storage.is_writable):
        raise OSError(f"{service.storage.folder}: is away or full")
    if await chunks.moved(service.database, chunk.chunk_id, chunk.status, Status.ERROR, chunks.LOST):
        service.metrics.lost += 1
        tell("file_lost", logging.ERROR, chunk_id=chunk.chunk_id, file=chunk.file_path)


def _next(files: Iterator[Named]) -> list[Named]:
    return list(islice(files, BATCH))
