"""What the service says in its log: a word and its fields, with the request that made it say so."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

from pipelines.logs import LOGGER

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def tell(event: str, level: int = logging.INFO, **fields: Any) -> None:
    """One line of the log."""
    asked = request_id.get()
    LOGGER.log(level, event, extra={"fields": {"request_id": asked, **fields} if asked else fields})
