"""One upload, from its first byte to its row; what is refused is refused as early as it is known.

The order is the documented one: token, form, device, point and register, times, size, emptiness.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Row
from sqlalchemy.exc import SQLAlchemyError

from ingest_api import chunks, devices, flags, refusals
from ingest_api.access import Sender
from ingest_api.chunks import Conflict, Recorded, Upload
from ingest_api.events import tell
from ingest_api.form import FILE, ROOM, Form, Malformed, is_form
from ingest_api.moments import OutOfRange, Span, span, zone
from ingest_api.service import Service
from ingest_api.storage import Arrived, Incoming, name_of
from ingest_api.tables import now

BITE = 1_048_576
"""So much of a file waits in memory; a usual chunk is smaller, and takes one call to the disk."""
IN_MEMORY = 16 * BITE
"""So much of all files; where many come at once, each has its share."""
DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)
LEAST_PIECE = 1024
"""A piece of one byte takes more memory than that; so much is counted for it."""
LONGEST_KEY = 255
LONGEST = timedelta(seconds=2_147_483_647)
"""So many seconds fit their column."""


class ChunkForm(BaseModel):
    """The fields beside the file."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    point_id: UUID
    """Where the device is registered to stand."""
    register_id: UUID
    """At which register it is registered to stand."""
    device_id: UUID
    """Who sends; the token must be this device's."""
    start_ts: datetime
    """When the chunk begins, ISO 8601; without a zone it is read in the device's."""
    end_ts: datetime
    """When it ends, as `start_ts`."""
    codec: Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[ -~]+$")]
    """Of the sound, e.g. `opus`; one that the file does not have is flagged `other_codec`."""
    sample_rate: Annotated[int, Field(ge=1, le=2_147_483_647)]
    """Samples a second; not compared with the file."""
    channels: Annotated[int, Field(ge=1, le=255)]
    """1 is mono; a number that the file does not have is flagged `other_channels`."""


@dataclass(frozen=True)
class Promise:
    """What fields say that fit the device which sent them."""

    form: ChunkForm
    device: Row[Any]
    span: Span


async def receive(service: Service, request: Request, sender: Sender) -> Recorded:
    """Take one chunk; Refused when not."""
    limit = service.settings.max_upload_bytes
    _may_come(service, sender)
    key = _key(request)
    if _length(request) > limit + ROOM:
        raise refusals.too_large(limit)
    incoming, recorded = service.storage.incoming(), None
    service.metrics.uploading += 1
    try:
        reception = Reception(service, request, sender, incoming)
        promise = await reception.promise()
        if len(sender.devices) > 1:
            await devices.see(service.database, promise.device)
        upload = await reception.upload(promise, key)
        recorded = await chunks.record(service, upload)
        return recorded
    except Conflict as error:
        raise refusals.conflict(str(error)) from None
    except OSError as error:
        raise _of_disk(error) from error
    except SQLAlchemyError as error:
        tell("chunk_upload_failed", logging.ERROR, device_id=sender.name, error=type(error).__name__)
        raise refusals.failed() from error
    finally:
        service.metrics.uploading -= 1
        if recorded is None or recorded.repeated:
            await service.blocking(incoming.abandon)


class Reception:
    """The body of one request."""

    def __init__(self, service: Service, request: Request, sender: Sender, incoming: Incoming) -> None:
        self._service, self._request, self._sender, self._incoming = service, request, sender, incoming
        self._limit = service.settings.max_upload_bytes
        self._size = self._waiting_size = 0
        self._waiting: list[memoryview] = []

    def add(self, data: memoryview) -> None:
        """The next piece of the file."""
        self._size += len(data)
        if self._size > self._limit:
            raise refusals.too_large(self._limit)
        self._waiting.append(data)
        self._waiting_size += max(len(data), LEAST_PIECE)

    async def promise(self) -> Promise:
        """The form, once all of it and of its file has come."""
        seconds = self._service.settings.upload_seconds
        try:
            async with asyncio.timeout(seconds):
                fields = await self._read()
        except TimeoutError:
            raise refusals.too_slow(seconds) from None
        except Malformed as error:
            raise refusals.malformed(str(error)) from None
        if not self._size:
            raise refusals.unfitting("Empty file")
        return fields

    async def upload(self, promise: Promise, key: str | None) -> Upload:
        """The chunk with its file on the disk; at once under its name where no other can have a say in it."""
        chunk_id, device, span = uuid4(), promise.device, promise.span
        at_once = key is None and span.other_start is None
        name = name_of(device.point_id, device.register_id, span.start, chunk_id) if at_once else None
        arrived = await self._service.blocking(self._service.storage.take, self._incoming, self._taken(), name)
        return _upload(promise, arrived, chunk_id, key, name)

    async def _read(self) -> Promise:
        content_type = self._request.headers.get("content-type", "")
        if not is_form(content_type):
            raise _unfit({}, has_file=False)
        form, promise, size = Form(content_type, self), None, 0
        async for data in self._request.stream():
            size += len(data)
            if size > self._limit + ROOM:
                raise refusals.too_large(self._limit)
            form.write(data)
            if promise is None and form.has_file and form.fields.keys() >= ChunkForm.model_fields.keys():
                promise = _promise(form, self._sender)
            if self._waiting_size >= min(BITE, IN_MEMORY // self._service.metrics.uploading):
                await self._to_disk()
        form.finish()
        return promise or _promise(form, self._sender)

    async def _to_disk(self) -> None:
        await self._service.blocking(self._incoming.write, self._taken())

    def _taken(self) -> list[memoryview]:
        """What waits in memory, which its reader alone keeps there."""
        taken, self._waiting, self._waiting_size = self._waiting, [], 0
        return taken


def _may_come(service: Service, sender: Sender) -> None:
    """Refuse whoever comes too often, and everybody when there is no room."""
    settings = service.settings
    wait = service.pace.taken(sender.name)
    if wait:
        raise refusals.too_often(wait)
    if service.metrics.uploading >= settings.uploads_at_once:
        raise refusals.short("Too many uploads at once", 1)
    if service.storage.free_bytes() < settings.min_free_bytes:
        raise refusals.short("Storage is almost full")


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise refusals.malformed(f"Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters")
    return key


def _length(request: Request) -> int:
    """What the request says its body has; 0 where it says nothing."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


def _promise(form: Form, sender: Sender) -> Promise:
    """Check the fields, in the documented order."""
    fields = _unfit_or_valid(form)
    device = next((device for device in sender.devices if device.device_id == fields.device_id), None)
    if device is None:
        tell("chunk_upload_device_mismatch", logging.WARNING, device_id=sender.name)
        raise refusals.unfitting("device_id does not match authenticated device")
    if (fields.point_id, fields.register_id) != (device.point_id, device.register_id):
        raise refusals.unfitting("point_id or register_id does not match device registration")
    try:
        times = span(fields.start_ts, fields.end_ts, zone(device.timezone))
    except OutOfRange as error:
        raise refusals.unfitting(str(error)) from None
    if times.end <= times.start:
        raise refusals.unfitting("end_ts must be after start_ts")
    if times.end - times.start > LONGEST:
        raise refusals.unfitting("end_ts must be less than 68 years after start_ts")
    return Promise(fields, device, times)


def _unfit_or_valid(form: Form) -> ChunkForm:
    try:
        fields = ChunkForm.model_validate(form.fields)
    except ValidationError:
        raise _unfit(form.fields, form.has_file) from None
    if not form.has_file:
        raise _unfit(form.fields, has_file=False)
    return fields


def _unfit(fields: dict[str, str], has_file: bool) -> RequestValidationError:
    """What is missing or wrong, as a list."""
    found: list[dict[str, Any]] = []
    try:
        ChunkForm.model_validate(fields)
    except ValidationError as error:
        found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
    if not has_file:
        found.append({"type": "missing", "loc": ("body", FILE), "msg": "Field required"})
    return RequestValidationError([{**each, "input": None} if each["type"] == "missing" else each for each in found])


def _upload(promise: Promise, arrived: Arrived, chunk_id: UUID, key: str | None, kept_as: str | None) -> Upload:
    form, device = promise.form, promise.device
    return Upload(
        chunk_id, device.device_id, device.point_id, device.register_id, promise.span, form.codec, form.sample_rate,
        form.channels, key, arrived, kept_as, _suspicions(promise, arrived),
    )  # fmt: skip


def _suspicions(promise: Promise, arrived: Arrived) -> tuple[str, ...]:
    times, sound = promise.span, arrived.sound
    seconds = (times.end - times.start).total_seconds()
    said = {
        flags.TWICE_SHOWN: times.other_start is not None,
        flags.NEVER_SHOWN: times.skipped,
        flags.LONG_AGO: times.start < flags.SERVED_SINCE,
        flags.IN_FUTURE: times.start > now() + timedelta(seconds=flags.CLOCK_SECONDS),
        flags.NOT_WHOLE: sound is None,
        flags.OTHER_CODEC: sound is not None and sound.codec != promise.form.codec.lower(),
        flags.OTHER_CHANNELS: sound is not None and sound.channels != promise.form.channels,
        flags.OTHER_DURATION: sound is not None and abs((sound.seconds or 0) - seconds) > flags.TOLERANCE_SECONDS,
    }
    return tuple(flag for flag, holds in said.items() if holds)


def _of_disk(error: OSError) -> refusals.Refused:
    tell("chunk_upload_failed", logging.ERROR, error=error.strerror or type(error).__name__)
    return refusals.short("Storage is full") if error.errno in DISK_IS_FULL else refusals.failed()
