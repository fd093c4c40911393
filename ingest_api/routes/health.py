"""`/health` and `/metrics`: how the service is."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Request, Response, status
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel
from sqlalchemy import text

from ingest_api import chunks, metrics, service
from ingest_api.database import DatabaseAway
from ingest_api.service import Service
from ingest_api.tables import now

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """Whether a chunk could be stored now."""

    status: Literal["ok", "degraded"]
    db: bool
    storage_writable: bool
    time: datetime


@router.get("/health", responses={503: {"model": Health, "description": "Something is missing"}})
async def health(request: Request, response: Response) -> Health:
    """200 when all is well, else 503 and what is not."""
    here = service.of(request)
    db, storage = await _answers(here), await here.blocking(_takes_files, here)
    if not (db and storage):
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    told: Literal["ok", "degraded"] = "ok" if db and storage else "degraded"
    return Health(status=told, db=db, storage_writable=storage, time=now().replace(microsecond=0))


@router.get("/metrics", response_class=PlainTextResponse)
async def show_metrics(request: Request) -> PlainTextResponse:
    """Counters and gauges for Prometheus."""
    here = service.of(request)
    counted = await chunks.not_done(here.database)
    by_status = {f'{{status="{each}"}}': float(counted.get(each, 0)) for each in chunks.NOT_DONE}
    gauges = {
        "chunks": ("Chunks by status, save DONE.", by_status),
        "free_bytes": ("Room for files.", {"": float(here.storage.free_bytes())}),
    }
    return PlainTextResponse(here.metrics.text(gauges), media_type=metrics.CONTENT_TYPE)


async def _answers(here: Service) -> bool:
    try:
        async with here.database.asking() as connection:
            await connection.execute(text("SELECT 1"))
    except DatabaseAway:
        return False
    return True


def _takes_files(here: Service) -> bool:
    return here.storage.is_writable() and here.storage.free_bytes() >= here.settings.min_free_bytes
