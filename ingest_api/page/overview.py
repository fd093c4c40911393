"""What the page tells, asked of the database and the disk."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, BigInteger, Float, Row, case, cast, extract, func, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ingest_api import devices, flags
from ingest_api.devices import Registered
from ingest_api.service import Service
from ingest_api.tables import Chunk, Status, now

HOUR = timedelta(hours=1)
HOURS, SECONDS = 24, 3600
MOST_GAPS = 20
TOLERANCE_SECONDS = 1.0
MISSING, DOUBLE, UNHEARD, SILENT = "missing", "double", "unheard", "silent"
SILENCE = timedelta(minutes=15)
"""After that long a device that has sent nothing is silent."""
UNFINISHED = (Status.UPLOADED, Status.QUEUED, Status.PROCESSING, Status.ERROR)


@dataclass(frozen=True)
class Hour:
    """What came of one device that began in one hour."""

    chunks: int
    seconds: float
    flagged: int


@dataclass(frozen=True)
class Gap:
    """Where two chunks do not follow one another, or one cannot be heard, or none has come until now."""

    device_id: UUID
    kind: str
    since: datetime
    until: datetime

    @property
    def lasts(self) -> timedelta:
        return self.until - self.since


@dataclass(frozen=True)
class Queue:
    """Chunks of one status, and when the first of them came."""

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
    """How all is at a moment; `hours` are by device and by the hour's beginning, `gaps` the latest of all there are.

    `flags` are those of the chunks of these hours, the most frequent first.
    """

    at: datetime
    devices: Sequence[Registered]
    hours: Mapping[tuple[UUID, datetime], Hour]
    flags: Mapping[str, int]
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
        hours, counts = await _hours(connection, _recent(known, since, at), since)
        recent = _recent(known, since - HOUR, at)
        enabled = [device.device_id for device in registered if device.is_enabled]
        gaps = [*await _silences(connection, recent, enabled, at), *await _gaps(connection, recent, since)]
        queue = await _queue(connection)
    gaps_of = Counter(gap.device_id for gap in gaps)
    disk = await service.blocking(_disk, service)
    return Overview(at, registered, hours, counts, gaps[:MOST_GAPS], gaps_of, queue, disk)


def _first_hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0) - (HOURS - 1) * HOUR


def _recent(devices: Sequence[UUID], since: datetime, at: datetime) -> CTE:
    """Chunks with their beginning and end as seconds since 1970, the end by their sound; by device, as the index is.

    A file that is not whole takes up the time its chunk claims, up to the next one.
    """
    begins = cast(extract("epoch", Chunk.start_ts), Float)
    is_whole = not_(Chunk.flags.contains(flags.NOT_WHOLE, autoescape=True))
    ends = begins + func.coalesce(Chunk.audio_seconds, case((is_whole, Chunk.duration_sec), else_=0))
    claimed, next_begins = begins + Chunk.duration_sec, func.lead(begins).over(**_of_device(Chunk))
    placed = (
        select(
            Chunk.device_id, Chunk.start_ts, Chunk.chunk_id, Chunk.flags,
            begins.label("begins"), ends.label("ends"), is_whole.label("is_whole"),
            case((next_begins < claimed, next_begins), else_=claimed).label("claimed"),
        )
        .where(Chunk.device_id.in_(devices), Chunk.start_ts.between(since, at + HOUR))
        .cte("placed")
    )  # fmt: skip
    taken = case((not_(placed.c.is_whole) & (placed.c.claimed > placed.c.ends), placed.c.claimed), else_=placed.c.ends)
    before = {**_of_device(placed.c), "rows": (None, -1)}
    return select(
        placed,
        taken.label("taken"),
        func.max(placed.c.ends).over(**before).label("heard_before"),
        func.max(taken).over(**before).label("taken_before"),
    ).cte("recent")


def _of_device(chunks: Any) -> dict[str, Any]:
    """A window on the chunks of a device, in the order of its clock."""
    return {"partition_by": chunks.device_id, "order_by": (chunks.start_ts, chunks.chunk_id)}


async def _hours(
    connection: AsyncConnection, recent: CTE, since: datetime
) -> tuple[dict[tuple[UUID, datetime], Hour], dict[str, int]]:
    """What came in each hour, and how many chunks have each flag, the most frequent first."""
    hour = ((cast(recent.c.begins, BigInteger) - int(since.timestamp())) // SECONDS).label("hour")
    kind = (recent.c.device_id, hour, recent.c.flags)
    heard = func.sum(recent.c.ends - recent.c.begins)
    hours: dict[tuple[UUID, datetime], Hour] = {}
    counts: Counter[str] = Counter()
    for device, nth, words, chunks, seconds in await connection.execute(
        select(*kind, func.count(), heard).group_by(*kind)
    ):
        at = device, since + nth * HOUR
        before = hours.get(at, Hour(0, 0.0, 0))
        flagged = before.flagged + chunks * bool(words)
        hours[at] = Hour(before.chunks + chunks, before.seconds + float(seconds), flagged)
        counts.update(dict.fromkeys(words.split(), chunks))
    return hours, dict(counts.most_common())


async def _silences(connection: AsyncConnection, recent: CTE, enabled: Sequence[UUID], at: datetime) -> list[Gap]:
    """The gaps that last until now, of devices from which something came before."""
    last = func.max(recent.c.taken)
    silent = last < (at - SILENCE).timestamp()
    chosen = select(recent.c.device_id, last).where(recent.c.device_id.in_(enabled)).group_by(recent.c.device_id)
    found = await connection.execute(chosen.having(silent).order_by(last.desc()))
    return [Gap(device, SILENT, _moment(ended), at) for device, ended in found]


async def _gaps(connection: AsyncConnection, recent: CTE, since: datetime) -> list[Gap]:
    """The gaps between chunks, the latest first."""
    here = recent.c
    missing = here.begins > here.taken_before + TOLERANCE_SECONDS
    double = (here.begins < here.heard_before - TOLERANCE_SECONDS) & (here.begins < here.ends - TOLERANCE_SECONDS)
    unheard = here.taken > here.ends + TOLERANCE_SECONDS
    chosen = select(here.device_id, here.begins, here.ends, here.taken, here.heard_before, here.taken_before).where(
        here.begins >= since.timestamp(), or_(missing, double, unheard)
    )
    found = await connection.execute(chosen.order_by(here.begins.desc()))
    return [gap for row in found for gap in _gaps_at(row)]


def _gaps_at(row: Row[*tuple[Any, ...]]) -> Iterator[Gap]:
    """The gap before a chunk, what another one has of it, too, and what of it cannot be heard; the latest first."""
    heard_before = row.begins if row.heard_before is None else row.heard_before
    taken_before = row.begins if row.taken_before is None else row.taken_before
    for kind, since, until in (
        (UNHEARD, max(row.ends, heard_before), row.taken),
        (DOUBLE, row.begins, min(row.ends, heard_before)),
        (MISSING, taken_before, row.begins),
    ):
        if until > since + TOLERANCE_SECONDS:
            yield Gap(row.device_id, kind, _moment(since), _moment(until))


def _moment(seconds: Any) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)


async def _queue(connection: AsyncConnection) -> dict[str, Queue]:
    chosen = select(Chunk.status, func.count(), func.min(Chunk.created_at)).where(Chunk.status.in_(UNFINISHED))
    found = await connection.execute(chosen.group_by(Chunk.status))
    return {status: Queue(chunks, oldest) for status, chunks, oldest in found}


def _disk(service: Service) -> Disk:
    usage = shutil.disk_usage(service.storage.folder)
    return Disk(usage.total, usage.free, service.settings.min_free_bytes)
