"""The rows of chunks: recorded once, listed, claimed, finished."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
)
from sqlalchemy import ColumnElement, Row, Select, Text, bindparam, case, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from ingest_api import flags
from ingest_api.database import Database
from ingest_api.moments import Span
from ingest_api.service import Service
from ingest_api.storage import Arrived, name_of
from ingest_api.tables import Chunk, Moment, Status, now

MOST = 1000
"""Of one page, or one claim."""
LOST = "the file is missing"
NOT_DONE = [status for status in Status if status is not Status.DONE]
UNREAD = (Status.UPLOADED, Status.QUEUED, Status.PROCESSING)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TRIES = 3
"""Others may record the same chunk between our look and our row."""


STARTS = [bindparam("start", type_=Moment), bindparam("other", type_=Moment)]
KIN = select(Chunk.chunk_id, Chunk.start_ts, Chunk.sha256, Chunk.idempotency_key, Chunk.file_path, Chunk.status).where(
    Chunk.device_id == bindparam("device_id"),
    or_(Chunk.start_ts.in_(STARTS), Chunk.idempotency_key == bindparam("key")),
)
FILED = select(Chunk.chunk_id, Chunk.status, Chunk.file_path, Chunk.sha256)
ANOTHER = aliased(Chunk)
SAME = exists().where(ANOTHER.device_id == bindparam("of"), ANOTHER.start_ts == bindparam("at", type_=Moment))
INSERT = (
    insert(Chunk)
    .values(flags=func.trim(bindparam("told", type_=Text) + case((SAME, f" {flags.SAME_START}"), else_="")))
    .returning(Chunk.flags)
)
"""Says itself whether the start is another's, too; most chunks are the first of theirs and need no look before."""


class Stored(BaseModel):
    """A chunk as its readers see it."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    chunk_id: UUID
    """Its id, given here."""
    device_id: UUID
    """Who sent it."""
    point_id: UUID
    """Where the device stood."""
    register_id: UUID
    """At which register."""
    start_ts: datetime
    """When it begins, in UTC."""
    end_ts: datetime
    """When it ends, as its sender says, in UTC."""
    duration_sec: int
    """From its start to its end, as its sender says."""
    codec: str
    """As its sender says, like the next two."""
    sample_rate: int
    """Samples a second."""
    channels: int
    """1 is mono."""
    file_path: str
    """Where its file lies below the storage, or in the bucket."""
    file_size_bytes: int
    """Of the file."""
    status: str
    """UPLOADED (waits for the bucket), QUEUED (for a claim), PROCESSING (claimed), DONE or ERROR."""
    created_at: datetime
    """When it came; what readers go on from."""
    sha256: str | None
    """Of the file, hexadecimal; null where nobody looked, as in rows of the first service."""
    audio_seconds: float | None
    """How long it can really be heard, 0 where it is no sound; null where nobody looked."""
    flags: list[str]
    """What is suspicious about it."""
    note: str | None
    """What is wrong with the file, for people."""
    error_message: str | None
    """Why it is in ERROR."""
    processing_started_at: datetime | None
    """When it was claimed."""

    @field_validator("flags", mode="before")
    @classmethod
    def _split(cls, text: str) -> list[str]:
        return text.split()


@dataclass(frozen=True)
class Upload:
    """A file that has arrived, and what its sender says of it."""

    chunk_id: UUID
    device_id: UUID
    point_id: UUID
    register_id: UUID
    span: Span
    codec: str
    sample_rate: int
    channels: int
    key: str | None
    arrived: Arrived
    kept_as: str | None = None
    """The name of the file, where it has it already: a chunk that needs no look at others before."""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Filed:
    """A chunk as far as its file is concerned."""

    chunk_id: UUID
    status: str
    file_path: str
    sha256: str | None


@dataclass(frozen=True)
class Recorded:
    """Where a chunk is; `repeated` when it was there before."""

    chunk_id: UUID
    name: str
    size: int
    repeated: bool = False
    flags: tuple[str, ...] = ()


class Conflict(Exception):
    """A client that sent a key says two things at once."""


def in_utc(moment: datetime) -> datetime:
    """The same moment; ValueError where UTC's calendar has no place for it."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is before the year 1 or after the year 9999") from None


def not_a_number(text: object) -> object:
    """What may be ISO 8601; ValueError where it is seconds since 1970."""
    if isinstance(text, str) and text.strip("-+. 0123456789") == "" and text.count("-") < 2:
        raise ValueError("is a number, not an ISO 8601 time")
    return text


def a_flag(name: str) -> str:
    """A flag by its name; ValueError where there is none of it."""
    if name not in flags.ALL:
        raise ValueError(f"is no flag; one of {', '.join(flags.ALL)}")
    return name


InUtc = Annotated[AwareDatetime, BeforeValidator(not_a_number), AfterValidator(in_utc)]
CURSOR = "^[0-9]{1,16},[0-9a-f]{32}$"


def cursor(chunk: Stored) -> str:
    """The place of a chunk in the order they came: microseconds since 1970, and its id."""
    return f"{(chunk.created_at - EPOCH) // timedelta(microseconds=1)},{chunk.chunk_id.hex}"


def place(text: str) -> tuple[datetime, UUID]:
    """The place that a cursor names."""
    microseconds, _, chunk = text.partition(",")
    return EPOCH + timedelta(microseconds=int(microseconds)), UUID(chunk)


class Filter(BaseModel):
    """Which chunks are listed, and from where on; `*_from` are included, `*_until` are not."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    device_id: UUID | None = None
    """Only of this device."""
    point_id: UUID | None = None
    """Only of this point."""
    register_id: UUID | None = None
    """Only of this register."""
    status: Status | None = None
    """Only those that stand there: UPLOADED waits for the bucket, QUEUED for a claim, PROCESSING is claimed."""
    flag: Annotated[str, AfterValidator(a_flag), Field(json_schema_extra={"enum": [*flags.ALL]})] | None = None
    """Only those with this flag."""
    start_from: InUtc | None = None
    """Only those that begin then or later: ISO 8601 with a zone."""
    start_until: InUtc | None = None
    """Only those that begin before."""
    created_from: InUtc | None = None
    """Only those that came then or later: the time to go on from, less a minute."""
    cursor: Annotated[str, Field(pattern=CURSOR)] | None = None
    """`next` of the page before."""
    limit: int = Field(100, ge=1, le=MOST)
    """So many at most."""

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """What a row must hold."""
        for name in ("device_id", "point_id", "register_id", "status"):
            if (value := getattr(self, name)) is not None:
                yield getattr(Chunk, name) == value
        if self.flag is not None:
            yield (" " + Chunk.flags + " ").contains(f" {self.flag} ", autoescape=True)
        if self.start_from is not None:
            yield Chunk.start_ts >= self.start_from
        if self.start_until is not None:
            yield Chunk.start_ts < self.start_until
        if self.created_from is not None:
            yield Chunk.created_at >= self.created_from
        if self.cursor is not None:
            created, chunk = place(self.cursor)
            yield or_(Chunk.created_at > created, (Chunk.created_at == created) & (Chunk.chunk_id > chunk))


async def record(service: Service, upload: Upload) -> Recorded:
    """Give an upload its name and its row, or find that it has them; Conflict where a key says otherwise."""
    for _ in range(TRIES):
        try:
            return await _stored(service, upload) if upload.kept_as else await _looked_up(service, upload)
        except IntegrityError as error:
            upload, last = replace(upload, kept_as=None), error
    raise last


async def listed(database: Database, wanted: Filter) -> list[Stored]:
    """Chunks in the order they came."""
    chosen = select(Chunk).where(*wanted.conditions()).order_by(Chunk.created_at, Chunk.chunk_id)
    async with database.asking() as connection:
        return [Stored.model_validate(row) for row in await connection.execute(chosen.limit(wanted.limit))]


async def found(database: Database, chunk_id: UUID) -> Stored | None:
    """One chunk."""
    async with database.asking() as connection:
        row = (await connection.execute(select(Chunk).where(Chunk.chunk_id == chunk_id))).one_or_none()
    return None if row is None else Stored.model_validate(row)


async def claim(database: Database, limit: int) -> list[Stored]:
    """Take chunks that wait, those that started first; no two ever get the same one."""
    waiting = (
        select(Chunk.chunk_id)
        .where(Chunk.status == Status.QUEUED)
        .order_by(Chunk.start_ts, Chunk.chunk_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = (
        update(Chunk)
        .where(Chunk.chunk_id.in_(waiting))
        .values(status=Status.PROCESSING, processing_started_at=now())
        .returning(*Chunk.__table__.columns)
    )
    async with database.asking() as connection:
        rows = [Stored.model_validate(row) for row in await connection.execute(taken)]
    return sorted(rows, key=lambda chunk: (chunk.start_ts, chunk.chunk_id))


async def finish(database: Database, chunk_id: UUID, status: Status, error_message: str | None) -> Stored | None:
    """Say what became of a claimed chunk; None where it is not claimed."""
    return await _turned(database, chunk_id, Status.PROCESSING, status=status, error_message=error_message)


async def retry(service: Service, chunk: Stored) -> Stored | None:
    """Queue a chunk in ERROR once more, by way of the bucket where that has it not yet; None where it is in none."""
    is_here = await service.blocking(service.storage.path(chunk.file_path).exists)
    status = service.first_status if is_here else Status.QUEUED
    return await _turned(
        service.database, chunk.chunk_id, Status.ERROR, status=status, error_message=None, processing_started_at=None
    )


async def requeue(database: Database, seconds: float) -> int:
    """Give back what was claimed too long ago, or nobody knows when, as by the first service's worker; how many."""
    claimed = Chunk.processing_started_at
    stuck = (
        update(Chunk)
        .where(Chunk.status == Status.PROCESSING, or_(claimed.is_(None), claimed < now() - timedelta(seconds=seconds)))
        .values(status=Status.QUEUED, processing_started_at=None)
    )
    async with database.asking() as connection:
        return (await connection.execute(stuck)).rowcount


async def not_done(database: Database) -> dict[str, int]:
    """How many there are of each status but DONE, of which there are more every day."""
    counted = select(Chunk.status, func.count()).where(Chunk.status.in_(NOT_DONE)).group_by(Chunk.status)
    async with database.asking() as connection:
        return dict((await connection.execute(counted)).all())


async def with_ids(database: Database, chunk_ids: Sequence[UUID]) -> dict[UUID, Filed]:
    """Those of some ids that have a row."""
    return {chunk.chunk_id: chunk for chunk in await _filed(database, FILED.where(Chunk.chunk_id.in_(chunk_ids)))}


async def awaited(database: Database, statuses: Sequence[Status], after: UUID | None, limit: int) -> list[Filed]:
    """Chunks with one of some statuses, by id."""
    chosen = FILED.where(Chunk.status.in_(statuses))
    if after is not None:
        chosen = chosen.where(Chunk.chunk_id > after)
    return await _filed(database, chosen.order_by(Chunk.chunk_id).limit(limit))


async def uploaded(database: Database, limit: int) -> list[Filed]:
    """Chunks that are to be moved to the bucket, those that started first."""
    chosen = FILED.where(Chunk.status == Status.UPLOADED)
    return await _filed(database, chosen.order_by(Chunk.start_ts, Chunk.chunk_id).limit(limit))


async def queue_uploaded(database: Database) -> None:
    """Queue what waits for a bucket, as there is none any more."""
    async with database.asking() as connection:
        await connection.execute(update(Chunk).where(Chunk.status == Status.UPLOADED).values(status=Status.QUEUED))


async def moved(
    database: Database, chunk_id: UUID, before: str, status: Status, error_message: str | None = None
) -> bool:
    """Say where a chunk stands now; False where it stands no more where it did: somebody else knew better."""
    return await _turned(database, chunk_id, before, status=status, error_message=error_message) is not None


async def _filed(database: Database, chosen: Select[UUID, str, str, str | None]) -> list[Filed]:
    async with database.asking() as connection:
        rows = await connection.execute(chosen)
        return [Filed(row.chunk_id, row.status, row.file_path, row.sha256) for row in rows]


async def _turned(database: Database, chunk_id: UUID, before: str, **values: Any) -> Stored | None:
    """Set columns of a chunk that has a status; None where it has not."""
    this = update(Chunk).where(Chunk.chunk_id == chunk_id, Chunk.status == before)
    async with database.asking() as connection:
        row = (await connection.execute(this.values(values).returning(*Chunk.__table__.columns))).one_or_none()
    return None if row is None else Stored.model_validate(row)


async def _kin(database: Database, upload: Upload) -> list[Row[*tuple[Any, ...]]]:
    """What this device sent before for the same moment, or by the same key."""
    start, other = upload.span.start, upload.span.other_start
    told = {"device_id": upload.device_id, "start": start, "other": other or start, "key": upload.key}
    async with database.asking() as connection:
        return [*await connection.execute(KIN, told)]


def _same(kin: Sequence[Row[Any]], upload: Upload) -> Row[Any] | None:
    """The row of this very chunk."""
    starts = (upload.span.start, upload.span.other_start)
    before = next((row for row in kin if row.sha256 == upload.arrived.sha256 and row.start_ts in starts), None)
    if upload.key is not None and any(row.idempotency_key == upload.key and row is not before for row in kin):
        raise Conflict("Idempotency-Key was used for another chunk")
    return before


async def _looked_up(service: Service, upload: Upload) -> Recorded:
    """The chunk that is there, or else this one."""
    kin = await _kin(service.database, upload)
    if (before := _same(kin, upload)) is not None:
        return await _repeated(service, upload, before)
    return await _stored(service, _placed(kin, upload))


def _placed(kin: Sequence[Row[Any]], upload: Upload) -> Upload:
    """An upload with a place in time: of an hour that came twice the second where the first is taken."""
    taken = {row.start_ts for row in kin}
    span = upload.span
    if span.start in taken and span.other_start is not None and span.other_start not in taken:
        return replace(upload, span=span.the_other())
    if span.start in taken and upload.key is not None:
        raise Conflict("Another chunk of this device has the same start_ts")
    return upload


async def _stored(service: Service, upload: Upload) -> Recorded:
    """The file first, then the row: what a row promises is there. IntegrityError where another came first."""
    arrived, span = upload.arrived, upload.span
    name = upload.kept_as or name_of(upload.point_id, upload.register_id, span.start, upload.chunk_id)
    if upload.kept_as is None:
        await service.blocking(service.storage.keep, arrived, name)
    row = {
        "chunk_id": upload.chunk_id, "device_id": upload.device_id, "point_id": upload.point_id,
        "register_id": upload.register_id, "start_ts": span.start, "end_ts": span.end,
        "duration_sec": int((span.end - span.start).total_seconds()), "codec": upload.codec,
        "sample_rate": upload.sample_rate, "channels": upload.channels, "file_path": name,
        "file_size_bytes": arrived.size, "status": service.first_status, "sha256": arrived.sha256,
        "idempotency_key": upload.key, "audio_seconds": arrived.seconds,
        "note": arrived.complaint, "told": " ".join(upload.flags), "of": upload.device_id, "at": span.start,
        "created_at": await _came(service),
    }  # fmt: skip
    try:
        async with service.database.asking() as connection:
            kept = (await connection.execute(INSERT, row)).scalar_one()
    except IntegrityError:
        await service.blocking(service.storage.take_back, arrived, name)
        raise
    return Recorded(upload.chunk_id, name, arrived.size, flags=tuple(kept.split()))


async def _repeated(service: Service, upload: Upload, before: Row[Any]) -> Recorded:
    """The chunk that is there; if its file was lost, this is it."""
    is_here = before.status in service.kept_here
    if is_here and not await service.blocking(service.storage.path(before.file_path).exists):
        await service.blocking(service.storage.keep, upload.arrived, before.file_path)
        await moved(service.database, before.chunk_id, before.status, service.first_status)
    return Recorded(before.chunk_id, before.file_path, upload.arrived.size, repeated=True)


async def _came(service: Service) -> datetime:
    """Now, or right after the last one: readers do not look again at a time to which the clock was set back."""
    if service.last_came is None:
        async with service.database.asking() as connection:
            service.last_came = (await connection.execute(select(func.max(Chunk.created_at)))).scalar() or EPOCH
    service.last_came = max(service.last_came + timedelta(microseconds=1), now())
    return service.last_came
