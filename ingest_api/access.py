"""Who may ask: devices by their token, the administrator, and who reads and claims chunks. No body is read before."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from sqlalchemy import Row

from ingest_api import devices, service
from ingest_api.refusals import unauthorized
from ingest_api.tokens import same

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass(frozen=True)
class Sender:
    """Who sent a good token: the devices that have it."""

    devices: Sequence[Row[Any]]

    @property
    def name(self) -> str:
        return str(self.devices[0].device_id)


async def sender(request: Request) -> Sender:
    """The device that asks."""
    here, token = service.of(request), _token(request)
    if not token:
        raise unauthorized("Empty token")
    found = await devices.holders(here.database, here.tokens, here.known, token)
    if not found:
        raise unauthorized("Invalid or disabled device token")
    return Sender(found)


class SenderRoute(APIRoute):
    """A route whose function takes the request as it is; FastAPI only documents it, which costs a recorder nothing."""

    def get_route_handler(self) -> Handler:
        return self.endpoint


class AdminRoute(APIRoute):
    """A route for the administrator alone."""

    def get_route_handler(self) -> Handler:
        return _guarded(super().get_route_handler(), _admin)


class ReaderRoute(APIRoute):
    """A route for who reads chunks: the administrator, or the holder of INTERNAL_TOKEN."""

    def get_route_handler(self) -> Handler:
        return _guarded(super().get_route_handler(), _reader)


def _guarded(handler: Handler, allowed: Callable[[Request, bytes], bool]) -> Handler:
    async def guarded(request: Request) -> Response:
        if not allowed(request, _token(request)):
            raise unauthorized("Invalid admin token")
        return await handler(request)

    return guarded


def _admin(request: Request, token: bytes) -> bool:
    return same(token, service.of(request).settings.admin_token.get_secret_value())


def _reader(request: Request, token: bytes) -> bool:
    internal = service.of(request).settings.internal_token
    return _admin(request, token) or (internal is not None and same(token, internal.get_secret_value()))


def _token(request: Request) -> bytes:
    """The token as it was sent."""
    header = request.headers.get("authorization")
    if header is None:
        raise unauthorized("Missing Authorization header")
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise unauthorized("Invalid authorization scheme")
    return token.strip().encode("latin-1")
