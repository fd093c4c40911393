"""What the OpenAPI document says of tokens and refusals."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BaseModel


class Refusal(BaseModel):
    """Why not."""

    detail: str


class Lists(BaseModel):
    """Why not: a text, or one entry per field."""

    detail: str | list[dict[str, Any]]


WHY = {
    400: "No request of this kind",
    401: "No token, or one that nobody has",
    404: "There is none",
    408: "The upload takes too long",
    409: "Something else has that place",
    413: "The file is too large",
    422: "Fields are missing or wrong, a list of them; or they do not fit the device, a text",
    500: "It failed here",
}
AFTER = {"headers": {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}}
RETRY_AFTER: dict[int | str, dict[str, Any]] = {
    429: {"model": Refusal, "description": "Too many uploads of this device", **AFTER},
    503: {"model": Refusal, "description": "Disk or database are short", **AFTER},
}
DEVICE_TOKEN = Depends(HTTPBearer(scheme_name="device token", auto_error=False))
ADMIN_TOKEN = Depends(HTTPBearer(scheme_name="admin token", auto_error=False))


def refused(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route."""
    return {code: {"model": Lists if code == 422 else Refusal, "description": WHY[code]} for code in codes}


def guarded(prefix: str, tag: str, route_class: type[APIRoute]) -> APIRouter:
    """A router of routes that look at a token which is no device's."""
    responses = refused(401) | {503: RETRY_AFTER[503]}
    return APIRouter(
        prefix=prefix, tags=[tag], route_class=route_class, dependencies=[ADMIN_TOKEN], responses=responses
    )
