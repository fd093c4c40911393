"""What holds for every request: its id, one line in the log, and that a refused body is still read to its end.

A client that is refused before it has sent its body would find the connection broken, not the answer.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest_api.events import request_id, tell
from ingest_api.refusals import short

REQUEST_ID = "x-request-id"
FIT = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
DRAIN_SECONDS = 10.0


class Named:
    """Gives each request an id, the client's where it sent a fit one, and says in the log how it ended."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = _fit(Headers(scope=scope).get(REQUEST_ID))
        began, status, answered = time.monotonic(), 500, False

        async def named(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], True
                MutableHeaders(scope=message)[REQUEST_ID] = name
            await send(message)

        request_id.set(name)  # for good: a request has a context of its own
        try:
            await self._app(scope, receive, named)
        except asyncio.CancelledError:  # told twice to end, or too long after it was told once
            if not answered:
                await _ending(scope, receive, named)
            raise
        finally:
            seconds = round(time.monotonic() - began, 4)
            tell("request", _level(status), method=scope["method"], path=scope["path"], status=status, seconds=seconds)


class Unhurried:
    """Answers at once and then reads what is left of a body, up to a limit."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._app, self._most = app, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _has_body(Headers(scope=scope)):
            body = _Body(receive, Headers(scope=scope))
            await self._app(scope, body.receive, self._patient(body, send))
        else:
            await self._app(scope, receive, send)

    def _patient(self, body: _Body, send: Send) -> Callable[[Message], Awaitable[None]]:
        async def patient(message: Message) -> None:
            if message["type"] == "http.response.start" and not body.over:
                MutableHeaders(scope=message)["connection"] = "close"
            if body.over or message["type"] != "http.response.body" or message.get("more_body"):
                await send(message)
                return
            await send({**message, "more_body": True})
            await body.drain(self._most)
            await send({"type": "http.response.body"})

        return patient


class _Body:
    """The body of a request, and whether all of it has come."""

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive, self.over = receive, False
        self._expects = headers.get("expect", "").lower() == "100-continue"

    async def receive(self) -> Message:
        message = await self._receive()
        self._expects = False
        self.over = self.over or not message.get("more_body", False)
        return message

    async def drain(self, most: int) -> None:
        """Read and forget; a client that waits to be asked for its body sends none."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while not self.over and not self._expects and most > 0:
                    most -= len((await self.receive()).get("body", b""))
        except TimeoutError:
            return


async def _ending(scope: Scope, receive: Receive, send: Send) -> None:
    refusal = short("Service is ending")
    told = {**(refusal.headers or {}), "connection": "close"}
    await JSONResponse({"detail": refusal.detail}, refusal.status_code, told)(scope, receive, send)


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _fit(given: str | None) -> str:
    return given if given and FIT.fullmatch(given) else str(uuid4())


def _level(status: int) -> int:
    """Of a healthy service only uploads are news, and those tell of themselves."""
    if status >= 500:
        return logging.ERROR
    return logging.DEBUG if status < 400 else logging.INFO
