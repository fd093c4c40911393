"""Where files are stored: a filesystem destination of the environment, behind a few calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pipelines.errors import TryLater
from pipelines.files.bodies import Body
from pipelines.files.sound import Sound
from pipelines.files.steps import Patience, Steps

QUARANTINE = "quarantine"
"""The folder of the store for bytes that are not what they should be."""
DOTS = frozenset({".", ".."})


class CapExceeded(TryLater):
    """The account's daily cap is used up; nothing goes on until it is reset, at 00:00 GMT."""


class Weather(Exception):
    """A store did not take an object this time, nor the times after; another run may have better luck."""


class Refusal(Exception):
    """A store will not have this object, however often it is offered."""


class Misleading(Refusal):
    """A key that leads to another object; `why` says by which part."""

    def __init__(self, key: str, part: str) -> None:
        self.why = f"leads to another object, by its {part} part; correct the key in its row"
        super().__init__(f"{key}: {self.why}")


class About(NamedTuple):
    """What an object says of itself."""

    content_type: str
    sha256: str
    source_id: str
    """`FileItem.id`."""
    reason: str | None = None
    """Why it is in quarantine."""
    sound: Sound | None = None
    """What was found in it; a bucket keeps it, so that a receipt can be written without reading it again."""


class Put(NamedTuple):
    """What a store answers to an object it took."""

    etag: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """An object in a store; one that was `listed` says key and bytes, and its etag where it has one."""

    key: str
    bytes: int
    sha256: str | None = None
    source_id: str | None = None
    content_type: str | None = None
    etag: str | None = None
    version: str | None = None
    sound: Sound | None = None


@dataclass(frozen=True, slots=True)
class Remnant:
    """A version of an object, which its store may hide, or what was begun of one and is not finished."""

    key: str
    version: str | None = None
    upload: str | None = None
    """What the store calls it, if it is not finished."""


def metadata_of(about: About) -> dict[str, str]:
    """What an object says of itself as names and texts, but its kind."""
    told = {"sha256": about.sha256, "source-id": str(about.source_id)}
    if about.reason is not None:
        told["reason"] = about.reason
    if about.sound:
        codec, _, seconds, sample_rate, channels = about.sound
        if codec is not None:
            told["codec"] = codec
        if seconds is not None:
            told["seconds"] = str(seconds)
        if sample_rate is not None:
            told["sample-rate"] = str(sample_rate)
        if channels is not None:
            told["channels"] = str(channels)
    return told


def sound_in(metadata: Mapping[str, str], content_type: str | None) -> Sound | None:
    """What was found in an object when it was stored; None where nobody wrote it down."""
    try:
        codec, seconds = metadata["codec"], float(metadata["seconds"])
        return Sound(codec, content_type or "", seconds, int(metadata["sample-rate"]), int(metadata["channels"]))
    except (KeyError, ValueError):
        return None


class Store(Protocol):
    """Objects by key, below the destination's `bucket_url`; every call may be made from any thread."""

    hides: bool
    """Whether what is deleted may stay as a hidden version."""

    @property
    def place(self) -> str:
        """What its keys are below: two stores of one place have the same."""

    def check(self, key: str) -> None:
        """Misleading where a key leads to another object; whatever asks for it says so, too."""

    def putting(self, key: str, body: Body, about: About, patience: Patience) -> Steps[Put]:
        """`put`, step by step."""

    def put(self, key: str, body: Body, about: About) -> Put:
        """Store an object whole, or nothing: Weather when not this time, Refusal when never."""

    def head(self, key: str) -> Head | None:
        """What is there, or None. A folder reads the whole file for its hash and knows no source id."""

    def delete(self, key: str) -> None:
        """Remove an object, or hide it; one that is not there is no error."""

    def versions(self, prefix: str) -> Iterator[Remnant]:
        """The objects whose keys begin so, with every version; in a bucket, a class C call for every thousand."""

    def unfinished(self, prefix: str) -> Iterator[Remnant]:
        """What was begun below a prefix and is not finished; in a bucket, a class C call for every thousand."""

    def erase(self, remnant: Remnant) -> None:
        """Take it away for good."""

    def listed(self, prefix: str) -> Iterator[Head]:
        """The objects whose keys begin so; in a bucket, a class C call for every thousand."""

    def read(self, key: str) -> bytes:
        """All bytes of an object."""


def addressed(key: str, resolved: Set[str]) -> str:
    """The key; Misleading where it has a part that is resolved on the way, and so leads to another object."""
    if not resolved.isdisjoint(key.split("/")):
        part = min(resolved & {*key.split("/")}) or "empty"
        raise Misleading(key, part)
    return key


def versions(store: Store, key: str) -> list[Remnant]:
    """All there is of one object."""
    return [each for each in store.versions(key) if each.key == key]


def erase(store: Store, key: str) -> None:
    """Take every version of an object away for good."""
    for each in versions(store, key):
        store.erase(each)


def opened(destination: str) -> Store:
    """The store of a filesystem destination of the active environment, e.g. `audio`."""
    from dlt.common.configuration.resolve import resolve_configuration
    from dlt.common.storages.configuration import FilesystemConfiguration

    config = resolve_configuration(FilesystemConfiguration(), sections=("destination", destination))
    if config.protocol == "s3":
        from pipelines.files.bucket import Bucket

        return Bucket.of(destination, config)
    from pipelines import buckets
    from pipelines.files.folder import Folder

    return Folder(*buckets.opened(destination))
