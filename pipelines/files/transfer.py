"""One file from its source to its store: read, verify, store; a generator of the steps in between."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, Protocol
from urllib.parse import quote, urlsplit

from pipelines.errors import SignInNeeded
from pipelines.files.audio import Sound, Suspicious, agrees
from pipelines.files.bodies import Body, Incoming, Room
from pipelines.files.steps import Answer, Broken, Patience, Request, Steps, Untrusted, is_weather
from pipelines.files.stores import QUARANTINE, About, Put, Refusal, Store, Weather
from pipelines.files.throttle import Throttle
from sources.kit.files import FileItem, NoFile, Stored

Kind = Literal["transient", "permanent", "quarantined"]
Inspect = Callable[[memoryview, str], Sound]
REDIRECTS = 10
UNAUTHORIZED = 401
IN_URLS = "!#$%&'()*+,/:;=?@[]~"
LONGEST_KEY, LONGEST_PART = 1000, 240  # bytes; below Backblaze's 1,024 and 250 and folders' 255, with room to spare
PLAIN_KEY = re.compile(r"(?:[\w+=~-][\w.+=~-]*/)*[\w+=~-][\w.+=~-]*", re.ASCII)
NAMELESS = {b"", b".", b".."}
ANYTHING = "application/octet-stream"


class Moved(NamedTuple):
    """A file is verified and stored."""

    item: FileItem
    stored: Stored


class NotMoved(NamedTuple):
    """A file is not stored.

    transient    a later run may have it (`retry_after`: seconds its host asks for, if it said so)
    permanent    refused for good as far as this run can tell: 403, 404, 410 … (it may appear late: count the runs)
    quarantined  its bytes are not what they should be; they are at `quarantine_key`
    """

    item: FileItem
    kind: Kind
    reason: str
    """One line without secrets."""
    http_status: int | None = None
    quarantine_key: str | None = None
    retry_after: float | None = None


Outcome = Moved | NotMoved


class Journal(Protocol):
    """What is told before and after an object is stored, from any thread."""

    def flush(self) -> None:
        """What was told must last from now on, for requests are about to be sent."""

    def intends(self, item: FileItem, bytes: int, sha256: str) -> Future[None] | None:
        """A PUT of these bytes at `item.key` comes next, once this is flushed, and done where that is told."""

    def stored(self, item: FileItem, stored: Stored) -> None:
        """The object is there."""

    def puts_aside(self, key: str) -> Future[None] | None:
        """A PUT into quarantine comes next, once this is flushed, and done where that is told."""

    def refused(self, item: FileItem) -> None:
        """The store would not have it; where this is not told after a PUT, nobody knows."""


def sign_in_needed(item: FileItem) -> SignInNeeded:
    """The error that stops a run whose files nobody may have without a person."""
    return SignInNeeded(f"{urlsplit(item.url).hostname}: answered 401 to {item.id}; sign in, or mend its token")


@dataclass(frozen=True, slots=True)
class Again:
    """A source gave no file this time; `seconds` later it may."""

    not_moved: NotMoved
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Carrier:
    """What all transfers share."""

    store: Store
    journal: Journal
    inspect: Inspect
    spool: Path
    in_memory: int
    kept: int
    stall_seconds: int
    throttle: Throttle | None = None
    rooms: list[Room] = field(default_factory=list)
    """Those that nobody is in."""

    def transfer(self, item: FileItem, patience: Patience) -> Steps[Outcome | Again]:
        """What becomes of an item that is asked for once."""
        if unfit := why_unfit(item.key):
            return NotMoved(item, "permanent", f"its key {unfit}")
        room = self._room()
        try:
            incoming = Incoming(room, self.throttle)
            made = self._made(item.content, item, incoming) if item.content else None
            answer = made or (yield from self._fetched(item, incoming, patience))
            if isinstance(answer, Answer):
                return (yield from self._kept(item, answer, incoming.whole(), patience))
            return answer
        finally:
            room.leave()
            self.rooms.append(room)

    def close(self) -> None:
        """Let go of what is on disk, once all transfers have ended."""
        for room in self.rooms:
            room.close()

    def _room(self) -> Room:
        """One that a transfer has left, in whatever thread."""
        try:
            return self.rooms.pop()
        except IndexError:
            return Room(self.in_memory, self.kept, self.spool)

    def _made(self, content: Callable[[], bytes], item: FileItem, incoming: Incoming) -> Answer | NotMoved:
        """As if the source had answered with what it makes of other answers."""
        try:
            incoming.write(content())
        except NoFile as why:
            if why.http_status == UNAUTHORIZED:
                raise sign_in_needed(item) from why
            is_final = why.http_status is not None and not is_weather(why.http_status)
            return NotMoved(item, "permanent" if is_final else "transient", str(why), why.http_status)
        if incoming.trouble:
            raise incoming.trouble
        return Answer(200, ())

    def _fetched(self, item: FileItem, incoming: Incoming, patience: Patience) -> Steps[Answer | NotMoved | Again]:
        """The answer whose body has come; 401 stops everything, to a token of ours at once."""
        try:
            answer = yield from self._followed(item, incoming, patience)
        except Broken as trouble:
            if incoming.trouble:
                raise incoming.trouble from None
            failed = NotMoved(item, "transient", str(trouble))
            return failed if isinstance(trouble, Untrusted) else Again(failed)
        if answer.status == 200:
            return answer
        said, after = f"answered {answer.status}", answer.retry_after
        if answer.status == UNAUTHORIZED and item.headers:
            raise sign_in_needed(item)
        if answer.status == UNAUTHORIZED:
            return NotMoved(item, "transient", said, answer.status)
        if is_weather(answer.status):
            return Again(NotMoved(item, "transient", said, answer.status, retry_after=after), after)
        return NotMoved(item, "permanent", said, answer.status)

    def _followed(self, item: FileItem, incoming: Incoming, patience: Patience) -> Steps[Answer]:
        """The answer at the end of all redirects; another host gets no headers of the item's."""
        url, headers = quote(item.url, safe=IN_URLS, errors="replace"), item.headers
        for _ in range(REDIRECTS):
            answer: Answer = yield Request(
                "GET",
                url,
                headers,
                into=incoming,
                until=patience.until,
                stall_seconds=self.stall_seconds,
            )
            if answer.redirect is None:
                return answer
            headers = headers if urlsplit(answer.redirect)[:2] == urlsplit(url)[:2] else {}
            url = answer.redirect
            incoming.clear()
        raise Broken(f"redirected more than {REDIRECTS} times")

    def _kept(self, item: FileItem, answer: Answer, body: Body, patience: Patience) -> Steps[Outcome]:
        """Verified and stored, or in quarantine."""
        try:
            sound = self._verified(item, body)
        except Suspicious as why:
            return (yield from self._quarantined(item, body, str(why), patience))
        content_type = sound.content_type
        if item.media == "any":
            content_type = _content_type(answer.content_type or "")
        if noted := self.journal.intends(item, body.size, body.sha256):
            yield noted
        about = About(content_type, body.sha256, item.id, sound=sound)
        put = yield from self._put(item, item.key, body, about, patience)
        if isinstance(put, NotMoved):
            if put.kind == "permanent":
                self.journal.refused(item)
            return put
        stored = Stored(
            key=item.key,
            bytes=body.size,
            sha256=body.sha256,
            content_type=content_type,
            stored_at=datetime.now(UTC),
            etag=put.etag,
            version=put.version,
            codec=sound.codec,
            seconds=sound.seconds,
            sample_rate=sound.sample_rate,
            channels=sound.channels,
        )
        self.journal.stored(item, stored)
        return Moved(item, stored)

    def _verified(self, item: FileItem, body: Body) -> Sound:
        """What it is; Suspicious when it is not what the source says."""
        sound = self.inspect(body.view(), item.media)
        if item.bytes not in (None, body.size):
            raise Suspicious(f"{body.size:,} bytes instead of {item.bytes:,}")
        if item.sha256 not in (None, body.sha256):
            raise Suspicious(f"its sha256 is {body.sha256} instead of {item.sha256}")
        if not agrees(sound, item.seconds):
            raise Suspicious(f"it lasts {sound.seconds:.1f} s instead of {item.seconds:.1f} s")
        return sound

    def _quarantined(self, item: FileItem, body: Body, reason: str, patience: Patience) -> Steps[NotMoved]:
        """Its bytes are kept aside, where nobody takes them for sound."""
        key = f"{QUARANTINE}/{item.key}"
        if noted := self.journal.puts_aside(key):
            yield noted
        put = yield from self._put(item, key, body, About(ANYTHING, body.sha256, item.id, reason), patience)
        return put if isinstance(put, NotMoved) else NotMoved(item, "quarantined", reason, 200, key)

    def _put(self, item: FileItem, key: str, body: Body, about: About, patience: Patience) -> Steps[Put | NotMoved]:
        try:
            return (yield from self.store.putting(key, body, about, patience))
        except Weather as trouble:
            return NotMoved(item, "transient", str(trouble))
        except Refusal as refusal:
            return NotMoved(item, "permanent", str(refusal))


def why_unfit(key: str) -> str | None:
    """Why a key is no name of an object on every store, if it is not: Backblaze's rules and those of folders."""
    if key.startswith(f"{QUARANTINE}/"):
        return "lies where objects in quarantine do"
    if len(key) <= LONGEST_PART and PLAIN_KEY.fullmatch(key):
        return None
    if len(key.encode()) > LONGEST_KEY:
        return f"is longer than {LONGEST_KEY} bytes"
    if re.search(r"[\x00-\x1f\x7f\\]", key):
        return "has control characters or a backslash"
    parts = key.encode().split(b"/")
    if max(map(len, parts)) > LONGEST_PART or not NAMELESS.isdisjoint(parts):
        return f"has an empty, a dotted or a part longer than {LONGEST_PART} bytes"
    return None


@lru_cache
def _content_type(said: str) -> str:
    """What the source says it is, if it says it plainly."""
    told = said.partition(";")[0].strip().lower()
    return told if re.fullmatch(r"[\w.+-]+/[\w.+-]+", told, re.ASCII) else ANYTHING
