"""Stands in for the ingest service, as its readers see it: devices, chunks in the order they came, their files.

Every request needs `Authorization: Bearer sandbox-chunks-token`, else 401. Five recorders send a minute at a time, the
first one short. One is as it should be; of one five minutes are missing; one's clock is ahead and then set back, so
that minutes are there twice; one is cut off from the network, and its chunks come late, the last of a day on the
next; one's clock is set forward. Each day after the first brings a few more minutes of all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from sandbox import sound
from sandbox.exchange import Reply, Request, World, noon

TOKEN = "sandbox-chunks-token"
DEVICES, CHUNKS = "/api/v1/admin/devices", "/api/v1/chunks"
AS_IT_SHOULD_BE, INTERRUPTED, SET_BACK, CUT_OFF, SET_FORWARD = range(5)
MINUTE = timedelta(minutes=1)
UNTIL_SENT = timedelta(seconds=12)
FIRST_SECONDS = 23.0
"""The files of a recorder end with the minute; its first begins somewhere in it."""
OTHER_DURATION, IN_FUTURE = "other_duration", "in_future"


@dataclass(frozen=True)
class Chunk:
    """A minute, or the rest of one, as a recorder's clock has it, and when it came."""

    device: int
    chunk_id: str
    start: datetime
    seconds: float
    came: datetime

    @property
    def end(self) -> datetime:
        """As the recorder says: a minute later, also where it began in the middle of one."""
        return self.start + MINUTE


def settings(base_url: str, folder: Path, world: World) -> dict[str, Any]:
    """The address and the one token that is good."""
    return {"sources.chunks.base_url": f"{base_url}/", "sources.chunks.credentials.token": TOKEN}


def answer(request: Request, world: World) -> Reply:
    """Answer as the service does."""
    if request.headers.get("authorization") != f"Bearer {TOKEN}":
        return Reply(401, {"detail": "Invalid admin token"}, {"WWW-Authenticate": "Bearer"})
    if request.method == "GET" and request.path == DEVICES:
        return Reply(200, [_device(number, world) for number in range(5)])
    if request.method == "GET" and request.path == CHUNKS:
        return _page(request, world)
    chunk = _named(request.path, world)
    if request.method != "GET" or chunk is None:
        return Reply(404, {"detail": "Chunk not found"})
    return Reply(200, _sound(chunk), {"Content-Type": "audio/ogg"})


def _page(request: Request, world: World) -> Reply:
    """Chunks behind a cursor, or from a moment on."""
    try:
        limit = int(_word(request, "limit", "100"))
        since = datetime.fromisoformat(_word(request, "created_from", "2000-01-01T00:00:00Z"))
        came, _, chunk_id = _word(request, "cursor", "2000-01-01T00:00:00Z,").partition(",")
        place = (datetime.fromisoformat(came), chunk_id)
        chunks = [c for c in chunks_of(world) if c.came >= since and (c.came, c.chunk_id) > place]
    except (TypeError, ValueError) as error:
        return Reply(422, {"detail": [{"type": "value_error", "loc": ["query"], "msg": str(error), "input": None}]})
    page = chunks[:limit]
    following = f"{_iso(page[-1].came)},{page[-1].chunk_id}" if page and len(page) == limit else None
    return Reply(200, {"chunks": [_told(chunk) for chunk in page], "next": following})


def _word(request: Request, name: str, otherwise: str) -> str:
    return request.query.get(name, [otherwise])[-1]


def _named(path: str, world: World) -> Chunk | None:
    """The chunk whose file a path names."""
    return next((c for c in chunks_of(world) if path == f"{CHUNKS}/{c.chunk_id}/file"), None)


@lru_cache(maxsize=8)
def chunks_of(world: World) -> tuple[Chunk, ...]:
    """What has come by now, in that order."""
    recorded = [chunk for device in range(5) for chunk in _recorded(device, world)]
    return tuple(sorted((c for c in recorded if c.came <= world.now), key=lambda c: (c.came, c.chunk_id)))


def _recorded(device: int, world: World) -> Iterator[Chunk]:
    """What one recorder has recorded until tomorrow: the last chunk of one that is cut off comes a day later."""
    for day in range(1, world.day + 1):
        count = max(4, world.records // 5 if day == 1 else world.records // 100)
        rng = world.random("chunks", device, day)
        for place in range(count):
            seconds = FIRST_SECONDS if place == 0 else 60.0
            at = noon(day) - (count + 15 - place) * MINUTE + (60 - seconds) * timedelta(seconds=1)
            shown, came = _shown(device, at, 2 * place >= count), _came(device, at, place, count, day)
            yield Chunk(device, str(UUID(int=rng.getrandbits(128), version=4)), shown, seconds, came)


def _shown(device: int, at: datetime, later: bool) -> datetime:
    """What a recorder's clock shows, in the earlier or the later half of a day; one pauses between them."""
    off = {
        (INTERRUPTED, True): 5 * MINUTE,
        (SET_BACK, False): 3 * MINUTE,
        (SET_FORWARD, False): -10 * MINUTE,
    }
    return at + off.get((device, later), timedelta())


def _came(device: int, at: datetime, place: int, count: int, day: int) -> datetime:
    """Within seconds of its end, unless the network was cut: then before noon, the last one on the next day."""
    ends = at.replace(second=0) + MINUTE
    if device == INTERRUPTED and 2 * place >= count:
        ends += 5 * MINUTE
    if device != CUT_OFF or 2 * place < count:
        return ends + UNTIL_SENT
    return noon(day) - MINUTE + timedelta(seconds=place / 10, days=1 if place == count - 1 else 0)


def _told(chunk: Chunk) -> dict[str, Any]:
    """A row of the list, its keys in the order of the service."""
    point, register, device = _ids(chunk.device)
    data = _sound(chunk)
    flags = {OTHER_DURATION: chunk.seconds != 60.0, IN_FUTURE: chunk.start > chunk.came}
    return {
        "chunk_id": chunk.chunk_id,
        "device_id": device,
        "point_id": point,
        "register_id": register,
        "start_ts": _iso(chunk.start),
        "end_ts": _iso(chunk.end),
        "duration_sec": 60,
        "codec": "opus",
        "sample_rate": 48000,
        "channels": 1,
        "file_path": f"audio/{point}/{register}/{chunk.start:%Y-%m-%d/%H}/"
        f"chunk_{chunk.start:%Y%m%d_%H%M%S}_{chunk.chunk_id}.ogg",
        "file_size_bytes": len(data),
        "status": "QUEUED",
        "created_at": _iso(chunk.came),
        "sha256": sha256(data).hexdigest(),
        "audio_seconds": chunk.seconds,
        "flags": [flag for flag, holds in flags.items() if holds],
        "note": None,
        "error_message": None,
        "processing_started_at": None,
    }


def _device(number: int, world: World) -> dict[str, Any]:
    point, register, device = _ids(number)
    came = [chunk.came for chunk in chunks_of(world) if chunk.device == number]
    return {
        "device_id": device,
        "point_id": point,
        "register_id": register,
        "is_enabled": True,
        "created_at": _iso(noon(1) - timedelta(days=30)),
        "last_seen_at": _iso(came[-1]) if came else None,
        "timezone": "Europe/Paris",
    }


def _ids(device: int) -> tuple[str, str, str]:
    """Point, register and device; two registers stand at one point."""
    return str(UUID(int=0xA000 + device // 2)), str(UUID(int=0xB000 + device)), str(UUID(int=0xC000 + device))


@lru_cache(maxsize=4096)
def _sound(chunk: Chunk) -> bytes:
    return sound.silence(chunk.chunk_id, chunk.seconds)


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
