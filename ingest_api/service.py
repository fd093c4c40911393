"""What all requests share: settings, database, storage, and what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from fastapi import Request

from ingest_api import keys
from ingest_api.database import Database
from ingest_api.devices import Known
from ingest_api.limits import Pace
from ingest_api.metrics import Metrics
from ingest_api.settings import Settings
from ingest_api.storage import Storage
from ingest_api.tables import Status

if TYPE_CHECKING:
    from pipelines.files.stores import Store

DISK_THREADS = 8

P = ParamSpec("P")
T = TypeVar("T")


class Service:
    """One service on one database and one storage."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.storage = Storage(settings.storage)
        self.storage.prepare()
        self.tokens = keys.tokens_of(settings)
        self.first_status = Status.UPLOADED if settings.bucket else Status.QUEUED
        self.kept_here: tuple[str, ...] = (Status.UPLOADED, Status.ERROR) if settings.bucket else tuple(Status)
        """The statuses of chunks whose file must be in the storage."""
        self.database = Database(settings.database_url.get_secret_value())
        self.pace = Pace(settings.uploads_per_minute)
        self.known = Known()
        self.last_came: datetime | None = None
        self.metrics = Metrics()
        self.bucket: Store | None = None
        self._disk = ThreadPoolExecutor(DISK_THREADS, "disk")

    async def blocking(self, call: Callable[P, T], *values: P.args, **named: P.kwargs) -> T:
        """Make a call that waits for the disk, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, partial(call, *values, **named))

    async def close(self) -> None:
        """Give back what is held."""
        await self.database.close()
        self._disk.shutdown()


def of(request: Request) -> Service:
    """The service that a request is made to."""
    service: Service = request.app.state.service
    return service
