"""Stands in for the API of Spinoco (https://api.spinoco.com): calls, recordings, transcripts and labels.

Every request needs `Authorization: Bearer sandbox-spinoco-token`, else 401. Tasks come in the order of their last
update, `count` a page; the query goes with the first request, an opaque token with the others. Each day after the
first brings new calls, and hashtags for some old ones, which moves their last update. Of each day's last calls two
have a recording that can be had a day later only: one says so by its last update, the other does not.
`POST /task/sync/` remembers under its tag what it has handed out; `DELETE /recording/…` is for good.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from sandbox import sound
from sandbox.exchange import FIRST_NOON, Reply, Request, World, as_json, noon

TOKEN = "sandbox-spinoco-token"


def _numbered(first: int, *names: str) -> dict[str, str]:
    """Names by UUIDs of type 1."""
    return {str(UUID(int=(first + n << 96) | 0x11F0_8000_0000_0000_0000)): name for n, name in enumerate(names)}


BOOK, TRUNK, NODE, APPLICATION, PLAY = _numbered(1, "book", "trunk", "node", "application", "play")
COMPANY = "+420600100100"
USERS, RETIRED = _numbered(16, "Anna", "Boris", "Cyril"), _numbered(32, "Dana")
HASHTAGS = _numbered(48, "complaint", "order")
SKILLS = {"S1": "Sales", "S2": "Support"}
LABELS = {
    "/skill/labels": (SKILLS, {"S9": "Fax"}),
    "/hashtag/labels": (HASHTAGS, {}),
    "/user/names": (USERS, RETIRED),
}
PATH = re.compile(r"/(recording-direct|task/transcription|recording)/([^/]+)/([^/]+)")
PHRASES = ("Dobrý den", "How can I help", "One moment please", "Thank you", "Goodbye")
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Recording:
    """A recording: when it began, how long it is, and from which day on it can be had."""

    guid: str
    begin: datetime
    milliseconds: int
    from_day: int
    voice_mail: bool
    transcribed: bool


@dataclass(frozen=True)
class Call:
    """A completed call as the clock has it."""

    number: int
    guid: str
    phone: str | None
    ringing: datetime
    answered: datetime | None
    terminated: datetime
    completed: datetime
    updated: datetime
    recordings: tuple[Recording, ...]
    hashtags: tuple[str, ...] = ()

    @property
    def kind(self) -> int:
        """What is odd about it, if anything."""
        return self.number % 16


def settings(base_url: str, folder: Path, world: World) -> dict[str, Any]:
    """The address and the one token that is good."""
    return {"sources.spinoco.base_url": base_url, "sources.spinoco.token": TOKEN}


def answer(request: Request, world: World) -> Reply:
    """Answer as the API does."""
    if request.headers.get("authorization") != f"Bearer {TOKEN}":
        return Reply(401, {"message": "Unauthorized"})
    try:
        return _answer(request, world)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        return Reply(400, {"message": f"sandbox: {type(error).__name__}: {error}"})


def _answer(request: Request, world: World) -> Reply:
    match request.method, request.path:
        case "POST", "/task/query":
            return _queried(request.json(), world)
        case "POST", "/task/sync/":
            return _synced(request.json(), world)
        case "GET", path if path in LABELS:
            active, retired = LABELS[path]
            return Reply(200, dict(retired if request.query.get("deactivated") == ["true"] else active))
        case "GET", path if found := re.fullmatch("/task/([^/]+)", path):
            return _or_404({call.guid: call for call in calls_of(world)}.get(found[1]), lambda call: _told(call, world))
    found = PATH.fullmatch(request.path)
    held = {(call.guid, one.guid): one for call in calls_of(world) for one in call.recordings}
    recording = held.get((found[2], found[3])) if found else None
    match request.method, found and found[1]:
        case "GET", "recording-direct":
            return _audio(recording if recording and _is_there(recording, world) else None)
        case "GET", "task/transcription":
            return _or_404(recording if recording and recording.transcribed else None, _transcript)
        case "DELETE", "recording":
            return _deleted(recording, world)
    return Reply(404, {"message": f"sandbox: no {request.method} {request.path}"})


def _or_404(thing: Any, told: Callable[[Any], dict[str, Any]]) -> Reply:
    return Reply(404, {"message": "Not Found"}) if thing is None else Reply(200, told(thing))


def _queried(asked: dict[str, Any], world: World) -> Reply:
    if "page" in asked:
        position = _position(asked["page"])
    else:
        query = asked["query"]
        known = {"completed": "Only", "queryBy": "LastUpdate", "taskQueryTypes": ["CallSessionTask"]}
        if {key: query.get(key) for key in known} != known:
            raise ValueError(f"the query must have {as_json(known)}")
        position = (int(query["from"]["L"]), "")
    page, following = _page(calls_of(world), position, int(asked["count"]))
    told: dict[str, Any] = {"result": [_told(call, world) for call in page]}
    return Reply(200, {"next": following, **told} if following else told)


def _synced(asked: dict[str, Any], world: World) -> Reply:
    """A page of what has not been handed out under a tag, or again the one that a token stands for."""
    tags = _memory(world).setdefault("tags", {})
    if "page" in asked:
        tag, position = json.loads(base64.urlsafe_b64decode(asked["page"]))
        position = tuple(position)
    else:
        tag = asked["query"]["tag"]
        fresh = {"query": asked["query"], "position": (int(asked["query"].get("startFrom", 0)), "")}
        position = tags.setdefault(tag, fresh)["position"]
    wanted = [call for call in calls_of(world) if _passes(call, tags[tag]["query"])]
    page, _ = _page(wanted, position, int(asked["count"]))
    last = (_ms(page[-1].updated), page[-1].guid) if page else position
    tags[tag]["position"] = max(tags[tag]["position"], last)
    told: dict[str, Any] = {"result": [_handed_out(call, tags[tag]["query"], world) for call in page]}
    if _page(wanted, last, 1)[0]:
        told["next"] = base64.urlsafe_b64encode(json.dumps([tag, last]).encode()).decode()
    return Reply(200, told)


def _passes(call: Call, query: dict[str, Any]) -> bool:
    has = set(call.hashtags)
    must, should, must_not = (set(query.get(f"hashTags{how}", [])) for how in ("Must", "Should", "MustNot"))
    skills, no_skills = set(query.get("skillsMust", [])), set(query.get("skillsMustNot", []))
    skill = {_skill(call)}
    return (
        must <= has
        and (not should or bool(should & has))
        and not must_not & has
        and skills <= skill
        and not no_skills & skill
    )


def _skill(call: Call) -> str:
    return ("S1", "S2")[call.number % 2]


def _handed_out(call: Call, query: dict[str, Any], world: World) -> dict[str, Any]:
    there = [one for one in call.recordings if _is_there(one, world)] if "Recordings" in query["get"] else []
    name = f"{call.updated:%Y/%m/%d/%Y%m%d%H%M%S}-{call.guid}.ogg"
    return {
        "taskId": call.guid,
        "get": [{"fileName": name, "path": f"/recording-direct/{call.guid}/{one.guid}"} for one in there],
        "delete": [{"path": f"/recording/{call.guid}/{one.guid}"} for one in there] if query["delete"] else [],
    }


def _page(calls: tuple[Call, ...] | list[Call], position: tuple[int, str], count: int) -> tuple[list[Call], str | None]:
    """Some calls behind a position, and the token of those after them."""
    behind = [call for call in calls if (_ms(call.updated), call.guid) > position]
    page = behind[:count]
    token = json.dumps([_ms(page[-1].updated), page[-1].guid]) if len(behind) > count else ""
    return page, base64.urlsafe_b64encode(token.encode()).decode() or None


def _position(token: str) -> tuple[int, str]:
    at, guid = json.loads(base64.urlsafe_b64decode(token))
    return int(at), str(guid)


def _audio(recording: Recording | None) -> Reply:
    if recording is None:
        return Reply(404, {"message": "Not Found"})
    return Reply(200, _sound(recording.guid, recording.milliseconds), {"Content-Type": "audio/ogg"})


@lru_cache(maxsize=256)
def _sound(guid: str, milliseconds: int) -> bytes:
    return sound.vorbis(guid, milliseconds / 1000)


def _transcript(recording: Recording) -> dict[str, Any]:
    rng = Random(recording.guid)
    channels = []
    for number, endpoint in enumerate(("ContactEndPoint", "UserEndPoint")):
        offsets = sorted(rng.randrange(recording.milliseconds) for _ in range(2))
        phrases = [
            {"offset": at * 10_000, "duration": 8_200_000, "displayText": rng.choice(PHRASES), "alternatives": []}
            for at in offsets
        ]
        guid = str(UUID(int=rng.getrandbits(128), version=1))
        channels.append({"id": f"{number}{guid[1:]}", "endpoint": {"__tpe": endpoint}, "recognized": phrases})
    return {"recordingId": recording.guid, "transcription": channels}


def _deleted(recording: Recording | None, world: World) -> Reply:
    if recording is None or not _is_there(recording, world):
        return Reply(404, {"message": "Not Found"})
    _memory(world).setdefault("deleted", set()).add(recording.guid)
    return Reply(204)


def _is_there(recording: Recording, world: World) -> bool:
    return recording.from_day <= world.day and recording.guid not in _memory(world).get("deleted", ())


def _memory(world: World) -> dict[str, Any]:
    memory: dict[str, Any] = world.memory.setdefault("spinoco", {})
    return memory


@lru_cache(maxsize=32)
def calls_of(world: World) -> tuple[Call, ...]:
    """Every call as the clock has it, by last update."""
    calls = [*_calls(world, "first", world.records, FIRST_NOON - 30 * DAY, 30 * DAY, 1, 0)]
    for day in range(2, world.day + 1):
        count = max(3, world.records // 100)
        calls = [*_edited(calls, world.random("spinoco", "edits", day), day, count)]
        calls += _calls(world, f"day {day}", count, noon(day - 1) + DAY / 2, DAY / 3, day, len(calls))
    return tuple(sorted(calls, key=lambda call: (_ms(call.updated), call.guid)))


def _edited(calls: list[Call], rng: Random, day: int, count: int) -> Iterator[Call]:
    """The calls a day later: some get a hashtag, and where a recording has come its call may say so."""
    chosen = set(rng.sample(range(len(calls)), min(count, len(calls))))
    for place, call in enumerate(calls):
        at = noon(day - 1) + timedelta(minutes=rng.randrange(1, 300), milliseconds=place)
        comes = any(one.from_day == day for one in call.recordings) and call.number % 2 == 0
        tags = tuple(dict.fromkeys((*call.hashtags, rng.choice(list(HASHTAGS))))) if place in chosen else call.hashtags
        yield replace(call, updated=at, hashtags=tags) if comes or place in chosen else call


def _calls(
    world: World, name: str, count: int, first: datetime, span: timedelta, day: int, before: int
) -> Iterator[Call]:
    rng = world.random("spinoco", name)
    starts = sorted(rng.randrange(span // timedelta(milliseconds=1)) for _ in range(count))
    for place, start in enumerate(starts):
        late = day + 1 if place >= count - 2 else day
        yield _call(rng, before + place, first + timedelta(milliseconds=start), late if place else day)


def _call(rng: Random, number: int, ringing: datetime, from_day: int) -> Call:
    kind = number % 16
    answered = None if kind in (9, 12) else ringing + timedelta(milliseconds=rng.randrange(3_000, 20_000))
    begin = (answered or ringing + timedelta(seconds=20)) + timedelta(milliseconds=rng.randrange(9, 210))
    lengths = [rng.randrange(2_000, 12_000) for _ in range({5: 2, 9: 0}.get(kind, 1))]
    recordings, at = [], begin
    for milliseconds in lengths:
        guid = _guid(rng)
        recordings.append(Recording(guid, at, milliseconds, from_day, kind == 12, kind % 4 == 3))
        at += timedelta(milliseconds=milliseconds)
    terminated = at + timedelta(milliseconds=rng.randrange(-14, 35))
    completed = terminated + timedelta(milliseconds=25)
    updated = completed + timedelta(milliseconds=rng.randrange(700, 4_000))
    phone = None if kind == 7 else f"+4206{rng.randrange(10**8):08}"
    return Call(number, _guid(rng), phone, ringing, answered, terminated, completed, updated, tuple(recordings))


def _guid(rng: Random) -> str:
    return str(UUID(int=rng.getrandbits(128), version=1))


def _told(call: Call, world: World) -> dict[str, Any]:
    """A task, its keys in the order of the API."""
    rng = Random(call.guid)
    contact, user = str(UUID(int=rng.getrandbits(128), version=1)), rng.choice(list(USERS))
    outbound = call.kind == 2
    return {
        "id": call.guid,
        "lastUpdate": _ms(call.updated),
        "tpe": {
            "__tpe": "CallSessionTask",
            "nodeId": NODE,
            "direction": _originating(call, contact, user) if outbound else _terminating(call, contact, user),
        },
        "result": [_ms(call.completed), _outcome(call, rng)],
        "detail": {
            "__tpe": "Recordings",
            "transcriptions": {},
            "recordings": {one.guid: _recording(one, world) for one in call.recordings},
        },
        "hashTags": list(call.hashtags),
        "owner": _user_owner(call, contact, user) if outbound else _contact_owner(call, contact),
        "assignee": {"__tpe": "Assigned", "userId": user, "byPlay": False},
    }


def _terminating(call: Call, contact: str, user: str) -> dict[str, Any]:
    transferred = call.kind == 5
    application = {
        "__tpe": "VoiceApplication",
        "appId": APPLICATION,
        "inboundDestination": {"__tpe": "ApplicationNumber", "number": COMPANY},
    }
    return {
        "__tpe": "Terminating",
        "from": _trunk(call, contact),
        "to": {"tpe": {"__tpe": "User", "userId": user} if transferred else application, "partition": 0, "ccId": BOOK},
        **({} if transferred else {"toPhoneNumber": COMPANY}),
    }


def _originating(call: Call, contact: str, user: str) -> dict[str, Any]:
    return {
        "__tpe": "Originating",
        "from": {"tpe": {"__tpe": "User", "mobile": "+420600200200", "userId": user}, "partition": 0, "ccId": BOOK},
        "to": _trunk(call, contact),
        "fromPhoneNumber": COMPANY,
    }


def _trunk(call: Call, contact: str) -> dict[str, Any]:
    known = {"__tpe": "PublicNumber", "abId": BOOK, "contactId": contact, "e164": call.phone}
    number = known if call.phone else {"__tpe": "Anonymous"}
    return {"__tpe": "OutboundTrunkContext", "number": number, "partition": 0, "ccId": BOOK, "trunkId": TRUNK}


def _outcome(call: Call, rng: Random) -> dict[str, Any]:
    continuation = {"__tpe": "TransferredTo", "withConsultation": False, "sessionId": _guid(rng)}
    return {
        "__tpe": "CallTaskCompleted",
        "ringing": _ms(call.ringing),
        "byCaller": call.kind != 2,
        "terminated": _ms(call.terminated),
        "wasConnectingToUser": call.kind not in (2, 12),
        "answered": {"R": _ms(call.answered)} if call.answered else {"L": _ms(call.terminated)},
        **({"continuation": continuation} if call.kind == 5 else {}),
    }


def _recording(one: Recording, world: World) -> dict[str, Any]:
    return {
        "duration": one.milliseconds,
        "vm": one.voice_mail,
        "id": one.guid,
        "from": _ms(one.begin),
        "transcriptions": {PLAY: {"language": "cs-CZ"}} if one.transcribed else {},
        "available": _is_there(one, world),
    }


def _contact_owner(call: Call, contact: str) -> dict[str, Any]:
    label = call.phone or "Anonymous"
    return {"__tpe": "ContactRequestOwner", "abId": BOOK, "contactId": contact, "label": label}


def _user_owner(call: Call, contact: str, user: str) -> dict[str, Any]:
    held = {"abId": BOOK, "contactId": contact, "label": call.phone}
    return {"__tpe": "UserRequestOwner", "contact": [BOOK, contact], "contactRequestOwner": held, "userId": user}


def _ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
