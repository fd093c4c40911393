"""Chunks of the ingest service: what the spec cannot say of their rows, and how their audio is moved.

Docs:   `/docs` of the service
Auth:   the administrator's token (`credentials.token`, a secret).
Limits: none of its own for readers.
Cursor: `created_at`, when a chunk came, less two minutes; late chunks have it late, so none is passed over.

What becomes of a chunk in the service's queue is not loaded: it changes after the chunk was read, and no list tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import dlt
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth

from sources.kit import secrets
from sources.kit.files import OF_OBJECT, OF_SOUND, FileItem, Files, Row, receipt_of

NOT_WHOLE = "not_whole_ogg"
OF_THE_QUEUE = ("status", "error_message", "processing_started_at")
RECEIPT: Any = {
    "chunk_id": {"data_type": "text", "nullable": False},
    "device_id": {"data_type": "text"},
    "point_id": {"data_type": "text"},
    "register_id": {"data_type": "text"},
    "start_ts": {"data_type": "timestamp"},
    "heard_until": {"data_type": "timestamp"},
    "flags": {"data_type": "json"},
    **OF_OBJECT,
    **OF_SOUND,
}


def as_recorded(row: dict[str, Any]) -> dict[str, Any]:
    """A chunk without its place in the queue, and with the moment at which its sound ends."""
    kept = {name: value for name, value in row.items() if name not in OF_THE_QUEUE}
    seconds = row.get("audio_seconds")
    if NOT_WHOLE in (row.get("flags") or ()):
        return {**kept, "heard_until": _heard_until(row, seconds or 0.0), "is_whole": False}
    return {**kept, "heard_until": _heard_until(row, seconds), "is_whole": None if seconds is None else True}


def audio(
    credentials: BearerTokenAuth = dlt.secrets.value,
    base_url: str = "http://127.0.0.1:8000/",
    prefix: str = "chunks",
) -> Files:
    """The audio of all chunks, `<prefix>/<point>/<register>/<YYYY-MM-DD>/<HH>/chunk_<start>_<id>.ogg` in UTC.

    What is no whole Ogg file lies in quarantine: the service takes it and says so in `flags`.
    """
    secrets.keep_out(credentials.token)
    headers = {"Authorization": f"Bearer {credentials.token}"}

    def items(rows: Iterable[Row]) -> Iterator[FileItem]:
        for row in rows:
            yield FileItem(
                id=row["chunk_id"],
                url=f"{base_url.rstrip('/')}/api/v1/chunks/{row['chunk_id']}/file",
                key=f"{prefix.strip('/')}/{row['file_path'].removeprefix('audio/')}",
                row=row,
                headers=headers,
                media="ogg",
                bytes=row["file_size_bytes"],
                sha256=row["sha256"],
                seconds=row["audio_seconds"],
            )

    return Files(
        identity="chunk_id",
        items=items,
        receipt=partial(receipt_of, RECEIPT),
        columns=RECEIPT,
        when="start_ts",
        about=("device_id",),
    )


def _heard_until(row: dict[str, Any], seconds: Any) -> Any:
    """Its claimed end where nobody looked how long it sounds; a row that is no such row is for whoever checks them."""
    try:
        return (datetime.fromisoformat(row["start_ts"]) + timedelta(seconds=seconds)).isoformat()
    except (KeyError, TypeError, ValueError, OverflowError):
        return row.get("end_ts")
