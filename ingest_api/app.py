"""The application: `create_app(settings)` is the service as ASGI knows it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

from ingest_api import refusals
from ingest_api.database import DatabaseAway
from ingest_api.events import request_id, tell
from ingest_api.middleware import REQUEST_ID, Named, Unhurried
from ingest_api.routes import chunks, devices, health, page, uploads
from ingest_api.service import Service
from ingest_api.settings import Settings
from ingest_api.sweep import sweeping

ABOUT = "Receives audio chunks from recorders, each stored once however often it is sent."
ROUTERS = (uploads.router, chunks.router, devices.router, health.router, page.router)


def create_app(settings: Settings) -> FastAPI:
    """The service with these settings; its database has been migrated before."""
    service = Service(settings)
    work: list[Callable[[], Coroutine[Any, Any, None]]] = [partial(sweeping, service)]
    if settings.bucket:
        from ingest_api import bucket

        service.bucket = bucket.of(settings.root, settings.environment, settings.bucket)
        work += [partial(bucket.moving, service, service.bucket), partial(bucket.following, service, service.bucket)]

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(begin()) for begin in work]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await service.close()

    app = FastAPI(title="Ingest API", version=version("etl"), description=ABOUT, lifespan=running)
    app.state.service = service
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(405, _not_offered)
    app.add_exception_handler(DatabaseAway, _database_away)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _failed)
    if settings.cors:
        app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
    app.add_middleware(Unhurried, most_bytes=2 * settings.max_upload_bytes)
    app.add_middleware(Named)
    return app


async def _not_offered(request: Request, error: Exception) -> Response:
    """405, with all methods that the path has: the router knows those of one route."""
    paths, path = request.app.openapi()["paths"], request.url.path
    of_path: dict[str, object] = paths.get(path) or next(
        (paths[each] for each in paths if compile_path(each)[0].match(path)), {}
    )
    told: dict[str, str] = getattr(error, "headers", {})
    allow = {"Allow": ", ".join(sorted(method.upper() for method in of_path))} if of_path else told
    return JSONResponse({"detail": "Method Not Allowed"}, status_code=405, headers=allow)


async def _database_away(request: Request, error: Exception) -> Response:
    tell("database_away", logging.ERROR, error=str(error))
    return await http_exception_handler(request, refusals.short("Database is not available", 10))


async def _gone(request: Request, error: Exception) -> Response:
    """Nobody reads this."""
    return Response(status_code=400)


async def _failed(request: Request, error: Exception) -> Response:
    tell("request_failed", logging.ERROR, error=repr(error))
    told = {REQUEST_ID: request_id.get() or "", "connection": "close"}  # which uvicorn does after any exception
    return JSONResponse({"detail": "Internal Server Error"}, status_code=500, headers=told)
