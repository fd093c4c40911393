"""`/api/v1/chunks`: those that read chunks list them, fetch their files, claim them and say what became of them."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from ingest_api import chunks, refusals, service
from ingest_api.access import ReaderRoute
from ingest_api.chunks import MOST, Filter, Stored, cursor
from ingest_api.events import tell
from ingest_api.routes.documented import guarded, refused
from ingest_api.tables import Status
from pipelines.errors import EtlError
from pipelines.files.stores import Refusal, Store, Weather

NO_CHUNK, NO_FILE = "Chunk not found", "Chunk file not found on disk"
NOT_CLAIMED, NOT_FAILED = "Chunk is not in PROCESSING", "Chunk is not in ERROR"
AWAY, BUCKET_SECONDS = "Bucket is not available", 30.0
OGG = "audio/ogg"
router = guarded("/api/v1", "chunks", ReaderRoute)


class Page(BaseModel):
    """Chunks in the order they came, and where the next page begins."""

    chunks: list[Stored]
    next: str | None


class Outcome(BaseModel):
    """What became of a claimed chunk; QUEUED is for one in ERROR that shall be tried again."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    status: Literal[Status.DONE, Status.ERROR, Status.QUEUED]
    """DONE or ERROR of a chunk in PROCESSING, QUEUED of one in ERROR."""
    error_message: Annotated[str, Field(max_length=4000, pattern="^[^\x00]*$")] | None = None
    """Why, for people."""


class Lent(FileResponse):
    """A file that is removed once it was sent, or was not."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            Path(self.path).unlink(missing_ok=True)


@router.get("/chunks")
async def list_chunks(request: Request, wanted: Annotated[Filter, Query()]) -> Page:
    """Chunks by the time they came, then by id; a row may show up 45 seconds after the time it bears."""
    found = await chunks.listed(service.of(request).database, wanted)
    return Page(chunks=found, next=cursor(found[-1]) if len(found) == wanted.limit else None)


@router.post("/claims")
async def claim_chunks(request: Request, limit: Annotated[int, Query(ge=1, le=MOST)] = 10) -> list[Stored]:
    """Take chunks that wait, those that started first; what is not finished in time is given to another."""
    return await chunks.claim(service.of(request).database, limit)


@router.get("/chunks/{chunk_id}", responses=refused(404))
async def show_chunk(request: Request, chunk_id: UUID) -> Stored:
    """One chunk."""
    return await _found(request, chunk_id)


@router.patch("/chunks/{chunk_id}", responses=refused(400, 404, 409))
async def finish_chunk(request: Request, chunk_id: UUID, outcome: Outcome) -> Stored:
    """Say what became of a chunk that was claimed, or that one in ERROR shall be tried again."""
    here, again = service.of(request), outcome.status is Status.QUEUED
    if again:
        changed = await chunks.retry(here, await _found(request, chunk_id))
    else:
        changed = await chunks.finish(here.database, chunk_id, outcome.status, outcome.error_message)
    if changed is None:
        await _found(request, chunk_id)
        raise refusals.conflict(NOT_FAILED if again else NOT_CLAIMED)
    return changed


@router.get(
    "/chunks/{chunk_id}/file",
    response_class=FileResponse,
    responses=refused(404)
    | {
        200: {"content": {OGG: {}}, "description": "The file"},
        206: {"content": {OGG: {}}, "description": "The bytes that `Range` names"},
        416: {"description": "`Range` names none"},
    },
)
async def fetch_file(request: Request, chunk_id: UUID) -> FileResponse:
    """The file of a chunk, or a range of its bytes."""
    here = service.of(request)
    name = (await _found(request, chunk_id)).file_path
    path = here.storage.path(name)
    if await here.blocking(path.is_file):
        return FileResponse(path, media_type=OGG, filename=path.name)
    if here.bucket is None:
        raise refusals.not_found(NO_FILE)
    copy = await here.blocking(here.storage.copied, await _read(here.bucket, name))
    return Lent(copy, media_type=OGG, filename=path.name)


async def _read(bucket: Store, name: str) -> bytes:
    """What the bucket has; in none of the threads that store uploads, as it may hang."""
    try:
        async with asyncio.timeout(BUCKET_SECONDS):
            return await asyncio.to_thread(bucket.read, name)
    except FileNotFoundError:
        raise refusals.not_found(NO_FILE) from None
    except (Weather, Refusal, EtlError, OSError) as error:
        tell("bucket_away", logging.WARNING, error=str(error) or f"no answer in {BUCKET_SECONDS:g} seconds")
        raise refusals.short(AWAY) from error


async def _found(request: Request, chunk_id: UUID) -> Stored:
    chunk = await chunks.found(service.of(request).database, chunk_id)
    if chunk is None:
        raise refusals.not_found(NO_CHUNK)
    return chunk
