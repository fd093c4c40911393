"""What a kill, a crash or a lost disk leaves behind is put right, at the start and from time to time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from itertools import islice
from uuid import UUID

from ingest_api import chunks
from ingest_api.database import DatabaseAway
from ingest_api.events import tell
from ingest_api.service import Service

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
        except (DatabaseAway, OSError) as error:
            tell("sweep_failed", logging.WARNING, error=str(error))
        await asyncio.sleep(settings.sweep_seconds)


async def requeue(service: Service) -> None:
    """Give claims that took too long to whoever asks next."""
    count = await chunks.requeue(service.database, service.settings.stuck_seconds)
    service.metrics.requeued += count
    if count:
        tell("chunks_requeued", logging.WARNING, count=count)


async def sweep_files(service: Service) -> None:
    """Remove what uploads left; move aside files without a row; say of rows whose file is gone that it is."""
    await service.blocking(service.storage.clear, service.settings.upload_seconds + LATE_SECONDS)
    await _set_aside_orphans(service)
    await _tell_of_lost(service)


async def _set_aside_orphans(service: Service) -> None:
    files = service.storage.older_than(service.settings.orphan_seconds)
    while batch := await service.blocking(_next, files):
        ids = [chunk for _, chunk in batch if chunk is not None]
        known = await chunks.statuses(service.database, ids)
        for name, chunk in batch:
            status = known.get(chunk) if chunk else None
            if status is None:
                await service.blocking(service.storage.set_aside, name)
                service.metrics.orphans += 1
                tell("orphan_set_aside", logging.WARNING, file=name)
            elif status not in service.kept_here:
                await service.blocking(service.storage.remove, name)


async def _tell_of_lost(service: Service) -> None:
    last: UUID | None = None
    here = [status for status in chunks.UNREAD if status in service.kept_here]
    while batch := await chunks.awaited(service.database, here, last, BATCH):
        for chunk, name in batch:
            if not await service.blocking(service.storage.path(name).exists):
                await chunks.lose(service.database, chunk)
                service.metrics.lost += 1
                tell("file_lost", logging.ERROR, chunk_id=chunk, file=name)
        last = batch[-1][0]


def _next(files: Iterator[Named]) -> list[Named]:
    return list(islice(files, BATCH))
