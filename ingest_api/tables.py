"""The tables: devices and the audio chunks they sent, as documented, below them what was added; and a key."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Dialect, ForeignKey, Index, Integer, String, Text, TypeDecorator, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Status(StrEnum):
    """The life of a chunk."""

    UPLOADED = "UPLOADED"
    """Stored here, not yet in the bucket that has the audio, where there is one."""
    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    DONE = "DONE"
    ERROR = "ERROR"


class Moment(TypeDecorator[datetime]):
    """A moment in UTC, also where the database knows no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)


class Tables(DeclarativeBase):
    """All of them."""

    type_annotation_map = {datetime: Moment, str: Text}  # noqa: RUF012 SQLAlchemy reads it off the class


class Device(Tables):
    """A recorder, and the hash of its token."""

    __tablename__ = "devices"

    device_id: Mapped[UUID] = mapped_column(primary_key=True)
    point_id: Mapped[UUID]
    register_id: Mapped[UUID]
    token_hash: Mapped[str] = mapped_column(index=True)
    is_enabled: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(default=now, server_default=text("CURRENT_TIMESTAMP"))
    last_seen_at: Mapped[datetime | None]

    timezone: Mapped[str] = mapped_column(default="UTC", server_default="UTC")
    """In which its times are that name no zone."""
    previous_token_hash: Mapped[str | None] = mapped_column(index=True)
    """The token before the last rotation, good until `previous_token_until`."""
    previous_token_until: Mapped[datetime | None]


class Key(Tables):
    """The key of the tokens' hashes, by what it makes of nothing: that tells whether a key is this one, and no more."""

    __tablename__ = "token_key"

    only: Mapped[bool] = mapped_column(primary_key=True)
    """True: there is one row."""
    check_value: Mapped[str]


class Chunk(Tables):
    """A stretch of audio; `file_path` is its name below the storage."""

    __tablename__ = "audio_chunks"

    chunk_id: Mapped[UUID] = mapped_column(primary_key=True)
    device_id: Mapped[UUID] = mapped_column(ForeignKey("devices.device_id", ondelete="CASCADE"))
    point_id: Mapped[UUID]
    register_id: Mapped[UUID]
    start_ts: Mapped[datetime]
    end_ts: Mapped[datetime]
    duration_sec: Mapped[int] = mapped_column(Integer)
    codec: Mapped[str] = mapped_column(String(32))
    sample_rate: Mapped[int] = mapped_column(Integer)
    channels: Mapped[int] = mapped_column(Integer)
    file_path: Mapped[str]
    file_size_bytes: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(String(32), default=Status.UPLOADED, server_default=Status.UPLOADED)
    created_at: Mapped[datetime] = mapped_column(default=now, server_default=text("CURRENT_TIMESTAMP"))

    sha256: Mapped[str | None] = mapped_column(String(64))
    """Of the file; None in rows older than this column."""
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    audio_seconds: Mapped[float | None]
    """How long the file can really be heard, 0 where it is no sound; None in rows older than this column."""
    flags: Mapped[str] = mapped_column(default="", server_default="")
    """What is suspicious about it: words of `ingest_api.flags`, a blank between them."""
    note: Mapped[str | None]
    """What is wrong with the file, for people."""
    error_message: Mapped[str | None]
    processing_started_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_audio_chunks_point_id_start_ts", "point_id", "start_ts"),
        Index("ix_audio_chunks_device_id_start_ts", "device_id", "start_ts"),
        Index("uq_audio_chunks_content", "device_id", "start_ts", "sha256", unique=True),
        Index("uq_audio_chunks_idempotency_key", "device_id", "idempotency_key", unique=True),
        Index("ix_audio_chunks_created_at", "created_at", "chunk_id"),
        Index("ix_audio_chunks_status", "status", "start_ts"),
    )
