"""What the folder of a run has of calls and recordings: the lines that the steps behind this one read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sources.kit.files import Lines, Row
from sources.spinoco.tables import milliseconds


def call_line(row: Row) -> dict[str, Any]:
    """A call as `metadata_call_tasks.jsonl` has it, with the whole task."""
    return {
        "call_id": row["call_id"],
        "spinoco_call_guid": row["spinoco_call_guid"],
        "last_update_ms": _milliseconds(row["last_update"]),
        "call_ts_utc": _second(row["last_update"]),
        "raw": _document(row["raw"]),
    }


def recording_line(row: Row) -> dict[str, Any]:
    """A recording as `metadata_recordings.jsonl` has it; `duration_s` are seconds."""
    return {
        "spinoco_recording_id": row["spinoco_recording_id"],
        "spinoco_call_guid": row["spinoco_call_guid"],
        "recording_id": row["recording_id"],
        "call_id": row["call_id"],
        "recording_date_ms": _milliseconds(row["started_at"]),
        "recording_ts_utc": _second(row["started_at"]),
        "duration_s": row["duration_seconds"],
        "available": row["available"],
        "direction": row["direction"],
        "caller": row["caller"],
        "callee": row["callee"],
    }


LINES = {
    "calls": Lines("metadata_call_tasks.jsonl", call_line),
    "call_recordings": Lines("metadata_recordings.jsonl", recording_line),
}


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _milliseconds(moment: datetime | None) -> int | None:
    return milliseconds(_utc(moment)) if moment else None


def _second(moment: datetime | None) -> str | None:
    return f"{_utc(moment):%Y-%m-%dT%H:%M:%SZ}" if moment else None


def _document(value: Any) -> Any:
    """What some warehouses give as text."""
    return json.loads(value) if isinstance(value, str) else value
