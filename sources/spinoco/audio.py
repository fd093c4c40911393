"""The audio of calls: `spinoco/YYYY/MM/DD/<guid>.ogg` by the day a recording began (UTC), Ogg Vorbis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from urllib.parse import quote

import dlt
from dlt.common.schema.typing import TTableSchemaColumns
from dlt.common.typing import TSecretStrValue

from sources.kit import http, secrets
from sources.kit.files import OF_OBJECT, OF_SOUND, FileItem, Files, Release, Row, receipt_of
from sources.kit.given import askable
from sources.spinoco.lines import LINES
from sources.spinoco.processed import kept
from sources.spinoco.tables import columns
from sources.spinoco.upstream import API, PROTOCOL

IDENTITY = "spinoco_recording_id"
RECEIPT: TTableSchemaColumns = {
    **columns(
        "spinoco_recording_id spinoco_call_guid",
        text="spinoco_recording_id spinoco_call_guid call_id recording_id direction caller callee",
        timestamp="started_at ended_at released_at",
        double="duration_seconds",
    ),
    **OF_OBJECT,
    **OF_SOUND,
}


def audio(token: TSecretStrValue = dlt.secrets.value, base_url: str = API, validate_ogg_header: bool = True) -> Files:
    """The audio of the rows of `call_recordings` that can be had.

    `validate_ogg_header` has every page of an Ogg file checked, its length against what the vendor says; without
    it anything is stored.
    """
    secrets.keep_out(token)
    headers = {"Authorization": f"Bearer {token}", **PROTOCOL}
    base_url = askable("spinoco.base_url", base_url)
    media = "ogg" if validate_ogg_header else "any"

    def items(rows: Iterable[Row]) -> Iterator[FileItem]:
        for row in rows:
            if row["available"]:
                yield FileItem(
                    id=row[IDENTITY],
                    url=_address(base_url, row),
                    key=object_key(row),
                    row=row,
                    headers=headers,
                    media=media,
                    seconds=row["duration_seconds"] if validate_ogg_header else None,
                )

    return Files(
        identity=IDENTITY,
        items=items,
        receipt=partial(receipt_of, RECEIPT),
        columns=RECEIPT,
        when="started_at",
        there="available",
        names=("recording_id", "call_id", "spinoco_call_guid"),
        release=Release(partial(_delete, base_url, headers), "released_at"),
        about=("caller", "callee"),
        lines=LINES,
        kept=kept,
        alike=lambda key: key.rpartition("/")[2],
        kept_as=lambda receipt: f"{receipt['recording_id']}.ogg",
    )


def object_key(row: Row) -> str:
    """The name of a recording's object; by its GUID alone it is the same for good."""
    return f"spinoco/{_day(row['started_at'])}/{quote(row[IDENTITY], safe='')}.ogg"


def _day(started_at: datetime | None) -> str:
    if started_at is None:
        return "unknown"
    return (started_at.astimezone(UTC) if started_at.tzinfo else started_at).strftime("%Y/%m/%d")


def _address(base_url: str, row: Row) -> str:
    task, recording = (quote(str(row[name]), safe="") for name in ("spinoco_call_guid", IDENTITY))
    return f"{base_url}/recording-direct/{task}/{recording}"


def _delete(base_url: str, headers: dict[str, str], receipt: Row) -> str | None:
    """Delete a recording at the vendor, for good, or say why it is still there."""
    task, recording = (quote(str(receipt[name]), safe="") for name in ("spinoco_call_guid", IDENTITY))
    with http.open_session("spinoco") as session:
        response = session.delete(f"{base_url}/recording/{task}/{recording}", headers=headers)
    gone = response.ok or response.status_code == 404
    return None if gone else f"the vendor answered {response.status_code}"
