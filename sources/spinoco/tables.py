"""The tables of Spinoco, and how a task becomes their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from dlt.common.schema.typing import TTableSchemaColumns

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DIRECTIONS = {"Terminating": "inbound", "Originating": "outbound"}
TASK_KEYS = frozenset({"id", "lastUpdate", "tpe", "result", "detail", "hashTags", "owner", "assignee"})
RECORDING_KEYS = frozenset({"id", "from", "duration", "vm", "available", "transcriptions"})
FIRST_SEEN = "x-first-seen"  # a hint: the column keeps the value it was loaded with first, whatever comes later

Row = dict[str, Any]

DESCRIPTIONS = {
    "spinoco_call_guid": "Spinoco's id of the task",
    "call_id": "`YYYYMMDD_HHMMSS_<8 of the guid>` of the `last_update` (UTC) the call was loaded with first; stays",
    "last_update": "when Spinoco changed the task last: the cursor",
    "direction": "inbound or outbound",
    "caller": "the number that called, as the vendor writes it",
    "callee": "the number that was called",
    "caller_user_id": "the user who called, if one did",
    "callee_user_id": "the user who was called, if one was named",
    "ringing_at": "when it began to ring (UTC)",
    "answered": "whether somebody answered; null where the vendor does not say",
    "answered_at": "when somebody answered (UTC)",
    "ended_at": "when it ended (UTC)",
    "completed_at": "when the task was completed (UTC)",
    "continuation": "what followed, e.g. TransferredTo",
    "recordings": "how many recordings the task names",
    "recordings_available": "how many of them can be had",
    "raw": "the task as it came",
    "spinoco_recording_id": "Spinoco's GUID of the recording: the identity of its file",
    "recording_id": "`<call_id>_pNN`, by time and id; stays: a recording that comes later takes the next number",
    "available": "whether the audio can be had; looked at again while it is false",
    "vm": "whether it is a voice mail",
    "started_at": "when the recording began (UTC): `from`",
    "duration_ms": "as the vendor has it",
    "transcriptions": "what the task says of transcripts",
    "text": "what was said, in the order of the channels",
    "kind": "skills, hashtags or users",
    "deactivated": "whether it is in use no longer",
    "released_at": "when the recording was deleted at the vendor, by `etl files release`",
}


def columns(keys: str, /, **types: str) -> TTableSchemaColumns:
    """Columns by data type, declared so that they exist while no row fills them; `keys` are never null."""
    found: TTableSchemaColumns = {}
    for data_type, names in types.items():
        for name in names.split():
            found[name] = {"data_type": data_type, "nullable": name not in keys.split()}  # type: ignore[typeddict-item]
            if name in DESCRIPTIONS:
                found[name]["description"] = DESCRIPTIONS[name]
            if name in ("call_id", "recording_id"):
                found[name][FIRST_SEEN] = True  # type: ignore[literal-required]
    return found


CALLS = columns(
    "spinoco_call_guid call_id last_update",
    text=(
        "spinoco_call_guid call_id direction caller callee caller_user_id callee_user_id continuation "
        "transferred_to_session node_id owner_type owner_label owner_user_id contact_id assignee_user_id"
    ),
    timestamp="last_update ringing_at answered_at ended_at completed_at",
    bool="answered by_caller was_connecting_to_user transfer_with_consultation assignee_by_play",
    bigint="recordings recordings_available",
    json="hash_tags raw",
)
CALL_RECORDINGS = columns(
    "spinoco_recording_id spinoco_call_guid call_id recording_id",
    text="spinoco_recording_id spinoco_call_guid call_id recording_id direction caller callee",
    bool="available vm",
    timestamp="started_at ended_at",
    bigint="duration_ms",
    double="duration_seconds",
    json="transcriptions",
)
TRANSCRIPTS = columns(
    "spinoco_recording_id spinoco_call_guid",
    text="spinoco_recording_id spinoco_call_guid call_id recording_id direction caller callee text",
)
LABELS = columns("kind id", text="kind id label", bool="deactivated")


def call(task: Row, call_id: str | None) -> Row:
    """A task as a row of `calls`; what it does not have is null, what nobody knows is kept as it came."""
    direction, outcome = _map(_map(task, "tpe"), "direction"), _outcome(task)
    owner, continuation = _map(task, "owner"), _map(outcome, "continuation")
    recordings = list(_map(_map(task, "detail"), "recordings").values())
    return {
        **_others(task, TASK_KEYS),
        "spinoco_call_guid": task.get("id"),
        "call_id": call_id,
        "last_update": moment(task.get("lastUpdate")),
        **ends(task),
        "caller_user_id": _at(direction, "from", "tpe", "userId"),
        "callee_user_id": _at(direction, "to", "tpe", "userId"),
        "ringing_at": moment(outcome.get("ringing")),
        **_answered(outcome.get("answered")),
        "ended_at": moment(outcome.get("terminated")),
        "completed_at": moment(_completed(task)),
        "by_caller": outcome.get("byCaller"),
        "was_connecting_to_user": outcome.get("wasConnectingToUser"),
        "continuation": continuation.get("__tpe"),
        "transferred_to_session": continuation.get("sessionId"),
        "transfer_with_consultation": continuation.get("withConsultation"),
        "node_id": _at(task, "tpe", "nodeId"),
        "owner_type": owner.get("__tpe"),
        "owner_label": owner.get("label") or _at(owner, "contactRequestOwner", "label"),
        "owner_user_id": owner.get("userId"),
        "contact_id": owner.get("contactId") or _at(owner, "contactRequestOwner", "contactId"),
        "assignee_user_id": _at(task, "assignee", "userId"),
        "assignee_by_play": _at(task, "assignee", "byPlay"),
        "recordings": len(recordings),
        "recordings_available": sum(_is_available(one) for one in recordings),
        "hash_tags": task.get("hashTags"),
        "raw": task,
    }


def ends(task: Row) -> Row:
    """Who called whom; a number that the vendor leaves out is null."""
    direction = _map(_map(task, "tpe"), "direction")
    kind = direction.get("__tpe")
    return {
        "direction": DIRECTIONS.get(str(kind), kind),
        "caller": direction.get("fromPhoneNumber") or _number(direction.get("from")),
        "callee": direction.get("toPhoneNumber") or _number(direction.get("to")),
    }


def recordings_of(task: Row) -> dict[str, Row]:
    """The recordings of a task by their GUID, in the order in which they are numbered."""
    found = _map(_map(task, "detail"), "recordings")
    readable = {guid: one for guid, one in found.items() if isinstance(one, dict)}
    return dict(sorted(readable.items(), key=lambda item: (*_order(item[1].get("from")), item[0])))


def unreadable_recordings(task: Row) -> Iterator[tuple[str, Any]]:
    """What stands in the place of recordings and is none."""
    found = _map(_map(task, "detail"), "recordings")
    yield from ((guid, one) for guid, one in found.items() if not isinstance(one, dict))


def recording(task: Row, guid: str, told: Row, call_id: str | None, recording_id: str | None) -> Row:
    """One recording as a row of `call_recordings`."""
    begin, duration = told.get("from"), told.get("duration")
    whole = is_number(begin) and is_number(duration)
    return {
        **_others(told, RECORDING_KEYS),
        "spinoco_recording_id": guid,
        "spinoco_call_guid": task.get("id"),
        "call_id": call_id,
        "recording_id": recording_id,
        "available": told.get("available"),
        "vm": told.get("vm"),
        "started_at": moment(begin),
        "ended_at": moment(begin + duration) if whole else None,  # type: ignore[operator]
        "duration_ms": duration,
        "duration_seconds": duration / 1000 if is_number(duration) else None,  # type: ignore[operator]
        **ends(task),
        "transcriptions": told.get("transcriptions") or None,
    }


def transcript(task: Row, guid: str, told: Row, call_id: str | None, recording_id: str | None) -> Row:
    """One transcript as a row of `transcripts`, its phrases below it; offsets come in ticks of 100 ns."""
    listed = told.get("transcription")
    channels = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    phrases = [phrase for channel in _once(channels) for phrase in _phrases(channel)]
    return {
        **_others(told, frozenset({"recordingId", "transcription"})),
        "spinoco_recording_id": guid,
        "spinoco_call_guid": task.get("id"),
        "call_id": call_id,
        "recording_id": recording_id,
        **ends(task),
        "text": "\n".join(str(phrase["text"]) for phrase in phrases if phrase["text"]) or None,
        "phrases": phrases,
    }


def is_waited_for(task: Row) -> bool:
    """Whether a recording of the task cannot be had yet."""
    return any(not _is_available(one) for one in recordings_of(task).values())


def announces_transcript(task: Row, told: Row) -> bool:
    """Whether the task says that a recording has been transcribed."""
    return bool(told.get("transcriptions") or _map(_map(task, "detail"), "transcriptions"))


def call_id_of(task: Row) -> str | None:
    """`YYYYMMDD_HHMMSS_<first 8 of the guid>` from `lastUpdate` in UTC; None where the task does not have them."""
    guid, changed = task.get("id"), task.get("lastUpdate")
    when = since_epoch(changed) if is_number(changed) and changed > 0 else None  # type: ignore[operator]
    return f"{when:%Y%m%d_%H%M%S}_{guid[:8]}" if when and isinstance(guid, str) and len(guid) >= 8 else None


def moment(value: Any) -> Any:
    """Epoch milliseconds as ISO 8601 in UTC; anything else as it came, for whoever checks the rows to see."""
    when = since_epoch(value) if is_number(value) else None
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z") if when else value


def since_epoch(value: Any) -> datetime | None:
    """Epoch milliseconds as a time in UTC; None for one that no calendar has."""
    try:
        return EPOCH + timedelta(milliseconds=value)
    except (OverflowError, ValueError):
        return None


def milliseconds(moment: datetime) -> int:
    """A time as the vendor counts it."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def is_number(value: Any) -> bool:
    """Whether it is a number of JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _answered(told: Any) -> Row:
    """The Either of an answer: `{"R": ms}` is one, `{"L": …}` is none."""
    if not isinstance(told, Mapping) or not {"R", "L"} & set(told):
        return {"answered": None, "answered_at": moment(told) if is_number(told) else None}
    return {"answered": "R" in told, "answered_at": moment(told.get("R"))}


def _outcome(task: Row) -> Row:
    """The object of the pair that is the result."""
    return next((one for one in _result(task) if isinstance(one, dict)), {})


def _completed(task: Row) -> Any:
    """The time of the pair that is the result."""
    return next((one for one in _result(task) if not isinstance(one, dict)), None)


def _result(task: Row) -> list[Any]:
    told = task.get("result")
    return told if isinstance(told, list) else [told]


def _number(side: Any) -> Any:
    """The number of one end of a call: of a trunk, of an application, or of a user's mobile."""
    for path in (("number", "e164"), ("tpe", "inboundDestination", "number"), ("tpe", "mobile")):
        if found := _at(side, *path):
            return found
    return None


def _is_available(told: Any) -> bool:
    return isinstance(told, dict) and told.get("available") is True


def _order(begin: Any) -> tuple[bool, Any]:
    return (False, begin) if is_number(begin) else (True, 0)


def _once(channels: list[Row]) -> list[Row]:
    """Each channel once, though it may come twice."""
    return list({str(channel.get("id", place)): channel for place, channel in enumerate(channels)}.values())


def _phrases(channel: Row) -> Iterator[Row]:
    for told in channel.get("recognized") or []:
        if isinstance(told, dict):
            yield {
                **_others(told, frozenset({"offset", "duration", "displayText", "alternatives"})),
                "channel_id": channel.get("id"),
                "speaker": _at(channel, "endpoint", "__tpe"),
                "offset_seconds": _seconds(told.get("offset")),
                "seconds": _seconds(told.get("duration")),
                "text": told.get("displayText"),
            }


def _seconds(ticks: Any) -> Any:
    return ticks / 1e7 if is_number(ticks) else ticks


def _others(told: Row, known: frozenset[str]) -> Row:
    """What the vendor says beside what is known."""
    return {key: value for key, value in told.items() if key not in known}


def _map(value: Any, key: str) -> Row:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _at(value: Any, *path: str) -> Any:
    """What lies at a path of keys, or None where it ends before."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
