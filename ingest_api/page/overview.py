"""What the page tells, asked of the database and the disk."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, BigInteger, Float, and_, cast, extract, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ingest_api import devices
from ingest_api.devices import Registered
from ingest_api.service import Service
from ingest_api.tables import Chunk, Status, now

HOUR = timedelta(hours=1)
HOURS, SECONDS = 24, 3600
MOST_GAPS = 20
TOLERANCE_SECONDS = 1.0
MISSING, DOUBLE = "missing", "double"
UNFINISHED = (Status.UPLOADED, Status.QUEUED, Status.PROCESSING, Status.ERROR)


@dataclass(frozen=True)
class Hour:
    """What came of one device that began in one hour."""

    chunks: int
    seconds: float


@dataclass(frozen=True)
class Gap:
    """Where two chunks do not follow one another: minutes are missing, or double."""

    device_id: UUID
    kind: str
    since: datetime
    until: datetime

    @property
    def lasts(self) -> timedelta:
        return self.until - self.since


@dataclass(frozen=True)
class Queue:
    """Chunks of one status, and the start of the first of them."""

    chunks: int
    oldest: datetime


@dataclass(frozen=True)
class Disk:
    """Room for files, in bytes, and below how much none is taken."""

    total: int
    free: int
    least: int


@dataclass(frozen=True)
class Overview:
    """How all is at a moment; `hours` are by device and by the hour's beginning, `gaps` the latest of all there are."""

    at: datetime
    devices: Sequence[Registered]
    hours: Mapping[tuple[UUID, datetime], Hour]
    gaps: Sequence[Gap]
    gaps_of: Mapping[UUID, int]
    queue: Mapping[str, Queue]
    disk: Disk

    @property
    def begins(self) -> datetime:
        """The first of the hours that are shown."""
        return _first_hour(self.at)


async def overview(service: Service) -> Overview:
    """How all is now; DatabaseAway where nobody can say."""
    at = now()
    since = _first_hour(at)
    registered = await devices.listed(service.database)
    known = [device.device_id for device in registered]
    async with service.database.asking() as connection:
        hours = await _hours(connection, _recent(known, since, at), since)
        gaps, gaps_of = await _gaps(connection, _recent(known, since - HOUR, at), since)
        queue = await _queue(connection)
    return Overview(at, registered, hours, gaps, gaps_of, queue, await service.blocking(_disk, service))


def _first_hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0) - (HOURS - 1) * HOUR


def _recent(devices: Sequence[UUID], since: datetime, at: datetime) -> CTE:
    """Chunks with their beginning and end as seconds since 1970, the end by their sound; by device, as the index is."""
    begins = cast(extract("epoch", Chunk.start_ts), Float)
    ends = begins + func.coalesce(Chunk.audio_seconds, Chunk.duration_sec)
    before = func.max(ends).over(
        partition_by=Chunk.device_id, order_by=(Chunk.start_ts, Chunk.chunk_id), rows=(None, -1)
    )
    return (
        select(Chunk.device_id, begins.label("begins"), ends.label("ends"), before.label("heard_before"))
        .where(Chunk.device_id.in_(devices), Chunk.start_ts.between(since, at + HOUR))
        .cte("recent")
    )


async def _hours(connection: AsyncConnection, recent: CTE, since: datetime) -> dict[tuple[UUID, datetime], Hour]:
    hour = ((cast(recent.c.begins, BigInteger) - int(since.timestamp())) // SECONDS).label("hour")
    heard = func.sum(recent.c.ends - recent.c.begins)
    chosen = select(recent.c.device_id, hour, func.count(), heard).group_by(recent.c.device_id, hour)
    found = await connection.execute(chosen)
    return {(device, since + nth * HOUR): Hour(chunks, float(seconds)) for device, nth, chunks, seconds in found}


async def _gaps(connection: AsyncConnection, recent: CTE, since: datetime) -> tuple[list[Gap], Counter[UUID]]:
    """The latest gaps, and how many each device has."""
    begins, ends, before = recent.c.begins, recent.c.ends, recent.c.heard_before
    apart = begins > before + TOLERANCE_SECONDS
    double = and_(begins < before - TOLERANCE_SECONDS, begins < ends - TOLERANCE_SECONDS)
    chosen = select(recent.c.device_id, begins, ends, before).where(begins >= since.timestamp(), or_(apart, double))
    found = (await connection.execute(chosen.order_by(begins.desc()))).all()
    return [_gap(*row) for row in found[:MOST_GAPS]], Counter(device for device, *_ in found)


def _gap(device: UUID, begins: float, ends: float, before: float) -> Gap:
    if begins > before:
        return Gap(device, MISSING, _moment(before), _moment(begins))
    return Gap(device, DOUBLE, _moment(begins), _moment(min(ends, before)))


def _moment(seconds: Any) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)


async def _queue(connection: AsyncConnection) -> dict[str, Queue]:
    chosen = select(Chunk.status, func.count(), func.min(Chunk.start_ts)).where(Chunk.status.in_(UNFINISHED))
    found = await connection.execute(chosen.group_by(Chunk.status))
    return {status: Queue(chunks, oldest) for status, chunks, oldest in found}


def _disk(service: Service) -> Disk:
    usage = shutil.disk_usage(service.storage.folder)
    return Disk(usage.total, usage.free, service.settings.min_free_bytes)
