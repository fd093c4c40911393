"""`POST /api/v1/chunks`: a recorder sends a chunk."""

from __future__ import annotations

import logging
import time
from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from ingest_api import service, uploads
from ingest_api.access import Sender, SenderRoute, sender
from ingest_api.events import tell
from ingest_api.form import FILE
from ingest_api.refusals import Refused
from ingest_api.routes.documented import DEVICE_TOKEN, RETRY_AFTER, refused
from ingest_api.uploads import ChunkForm

router = APIRouter(tags=["chunks"], route_class=SenderRoute)
REPEATED = "Idempotency-Replayed"
FORM = ChunkForm.model_json_schema()
FILE_TOLD = {
    "type": "string",
    "format": "binary",
    "description": "The sound: an Ogg file; any other is kept and flagged.",
}
BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                **FORM,
                "properties": {**FORM["properties"], FILE: FILE_TOLD},
                "required": [*FORM["required"], FILE],
            }
        }
    },
}
KEY = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "description": "The client's own, one for each chunk: another chunk of the same key or start is told 409.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}  # fmt: skip


class Accepted(BaseModel):
    """A chunk that is stored, now or before."""

    status: Literal["ok"] = "ok"
    chunk_id: UUID
    stored_path: str
    queued: bool = True


@router.post(
    "/api/v1/chunks",
    dependencies=[DEVICE_TOKEN],
    response_model=Accepted,
    responses=refused(400, 401, 408, 409, 413, 422, 500) | RETRY_AFTER,
    openapi_extra={"requestBody": BODY, "parameters": [KEY]},
)
async def send_chunk(request: Request) -> Response:
    """Store a chunk, once however often it is sent; 200 means that it is on the disk and in the database."""
    here, began, outcome, who = service.of(request), time.monotonic(), "failed", None
    try:
        who = await sender(request)
        recorded = await uploads.receive(here, request, who)
        outcome = "repeated" if recorded.repeated else "stored"
    except (Refused, RequestValidationError) as refusal:
        outcome = _told(refusal, who)
        raise
    except ClientDisconnect:
        outcome = "disconnected"
        raise
    finally:
        here.metrics.uploaded(outcome, time.monotonic() - began)
    if not recorded.repeated:
        here.metrics.flags.update(recorded.flags)
        here.metrics.bytes += recorded.size
    tell(f"chunk_{'repeated' if recorded.repeated else 'uploaded'}", chunk_id=recorded.chunk_id, device_id=who.name,
         bytes=recorded.size, flags=recorded.flags)  # fmt: skip
    told = Accepted(chunk_id=recorded.chunk_id, stored_path=recorded.name).model_dump_json()
    return Response(told, headers={REPEATED: "true"} if recorded.repeated else None, media_type="application/json")


def _told(refusal: Refused | RequestValidationError, who: Sender | None) -> str:
    """The status of a refusal, once the log has it: a recorder shows its people nothing."""
    if isinstance(refusal, Refused):
        status, reason = refusal.status_code, refusal.detail
    else:
        status, reason = 422, "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in refusal.errors())
    tell("chunk_refused", logging.WARNING, status=status, reason=reason, device_id=who and who.name)
    return str(status)
