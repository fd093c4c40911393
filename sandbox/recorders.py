"""Recorders as they are in the field, on a clock in fast motion.

A recorder cuts its sound on the marks of the clock, so its first file is short; names files by its local time, without
a zone; and takes a file for whole when nobody has written to it for as long as a file lasts, and ten seconds. It sends
the oldest name first, one at a time, waits 60 seconds for the answer, and takes 200 alone for success: whatever else
happens, it sends the same file again after 2, 4, 8 … 300 seconds and up to 30 % more, for a week: older files go. In
the hour that comes twice in autumn files get the names of those an hour before: one that has not been sent by then is
lost here, not on the way.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from zoneinfo import ZoneInfo

import urllib3

from sandbox.fast_motion import Clock
from sandbox.sound import silence

PATIENCE_SECONDS = 60.0
SETTLED_SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE, JITTER = 2.0, 300.0, 0.3
KEPT = timedelta(days=7)
LONGEST_SOUND = 60.0
"""Of a file, in seconds: also where chunks are longer, since sound costs more than it tells."""


@dataclass(frozen=True)
class Identity:
    """Who a recorder is, to the service."""

    device_id: str
    point_id: str
    register_id: str
    token: str
    zone: ZoneInfo


@dataclass(frozen=True)
class Chunk:
    """A file of a recorder: when it began and ended (UTC), and the time that its clock showed then."""

    began: datetime
    ended: datetime
    shown: datetime
    seed: str

    @property
    def name(self) -> str:
        """What the file is called."""
        return f"chunk_{self.shown:%Y%m%d_%H%M%S}.ogg"

    @property
    def data(self) -> bytes:
        """Its sound."""
        return silence(self.seed, min((self.ended - self.began).total_seconds(), LONGEST_SOUND))

    @cached_property
    def sha256(self) -> str:
        """Of its sound, hexadecimal."""
        return sha256(self.data).hexdigest()


class Recorder:
    """One recorder, from `clock.now` until a moment; `patience` is how long it really waits for an answer.

    `sent` are chunks that the service said it has, in that order, with the id it gave them. Of those that were
    `recorded`, the `overwritten` are lost, and what is in neither has been deleted unsent.
    """

    def __init__(
        self, who: Identity, url: str, clock: Clock, until: datetime, chunk_seconds: float, patience: float = 5.0
    ) -> None:
        self.who, self.sent = who, list[tuple[Chunk, str]]()
        self.recorded, self.overwritten = list[Chunk](), list[Chunk]()
        self.spool: dict[str, Chunk] = {}
        self.attempts = 0
        self._url, self._clock = f"{url}/api/v1/chunks", clock
        self._lasts = timedelta(seconds=chunk_seconds)
        self._settled = timedelta(seconds=chunk_seconds + SETTLED_SECONDS)
        self._recording = self._chunks(clock.now, until)
        self._next: Chunk | None = next(self._recording, None)
        self._random = random.Random(who.device_id)
        self._http = urllib3.PoolManager(timeout=patience, retries=False)

    def run(self) -> None:
        """Record and send until nothing is left to be sent."""
        pause = FIRST_PAUSE
        while chunk := self._oldest():
            if chunk_id := self._send(chunk):
                self.sent.append((chunk, chunk_id))
                del self.spool[chunk.name]
                pause = FIRST_PAUSE
            else:
                self._clock.sleep(pause * (1 + self._random.uniform(0, JITTER)))
                pause = min(2 * pause, LONGEST_PAUSE)

    def _oldest(self) -> Chunk | None:
        """The whole file with the first name, once there is one; None when none will come."""
        while True:
            self._take_in()
            self.spool = {name: chunk for name, chunk in self.spool.items() if self._clock.now - chunk.ended < KEPT}
            if self.spool:
                return self.spool[min(self.spool)]
            if self._next is None:
                return None
            self._clock.sleep_until(self._next.ended + self._settled)

    def _take_in(self) -> None:
        """Put into the spool what has become whole by now."""
        while self._next and self._next.ended + self._settled <= self._clock.now:
            if before := self.spool.get(self._next.name):
                self.overwritten.append(before)
            self.recorded.append(self._next)
            self.spool[self._next.name] = self._next
            self._next = next(self._recording, None)

    def _chunks(self, began: datetime, until: datetime) -> Iterator[Chunk]:
        while began < until:
            mark = datetime.fromtimestamp(began.timestamp() // self._lasts.seconds * self._lasts.seconds, UTC)
            ended = min(mark + self._lasts, until)
            shown = began.astimezone(self.who.zone).replace(tzinfo=None)
            yield Chunk(began, ended, shown, f"{self.who.device_id} {began}")
            began = ended

    def _send(self, chunk: Chunk) -> str | None:
        """The id that the service gave a chunk; None for all that is not 200."""
        self.attempts += 1
        fields: dict[str, str | tuple[str, bytes, str]] = {
            "point_id": self.who.point_id,
            "register_id": self.who.register_id,
            "device_id": self.who.device_id,
            "start_ts": chunk.shown.isoformat(),
            "end_ts": (chunk.shown + self._lasts).isoformat(),
            "codec": "opus",
            "sample_rate": "48000",
            "channels": "1",
            "chunk_file": (chunk.name, chunk.data, "audio/ogg"),
        }
        headers = {"Authorization": f"Bearer {self.who.token}", "Connection": "close"}
        try:
            answer = self._http.request("POST", self._url, fields=fields, headers=headers)
        except urllib3.exceptions.TimeoutError:
            self._clock.sleep(PATIENCE_SECONDS)
            return None
        except urllib3.exceptions.HTTPError:
            return None
        return str(json.loads(answer.data)["chunk_id"]) if answer.status == 200 else None
