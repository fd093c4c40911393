"""The objects of a stand-in's buckets, which S3 and GCS show each in their own words."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True)
class Object:
    """What is stored under a key; `etag` is what S3 calls its content."""

    content: bytes
    kind: str
    etag: str
    generation: int
    at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


class Buckets:
    """Buckets by name, objects by key; keys come sorted."""

    def __init__(self, *names: str) -> None:
        self._buckets: dict[str, dict[str, Object]] = {name: {} for name in names}
        self._lock, self._generations = threading.Lock(), itertools.count(1)

    def __contains__(self, bucket: str) -> bool:
        return bucket in self._buckets

    def keys(self, bucket: str) -> list[str]:
        return sorted(self._buckets[bucket])

    def create(self, bucket: str) -> None:
        self._buckets.setdefault(bucket, {})

    def get(self, bucket: str, key: str) -> Object | None:
        return self._buckets[bucket].get(key)

    def put(
        self,
        bucket: str,
        key: str,
        content: bytes,
        kind: str,
        etag: str | None = None,
        only_new: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> Object | None:
        """Store an object; None, and nothing is stored, where one is and only a new one was wanted."""
        with self._lock:
            if only_new and key in self._buckets[bucket]:
                return None
            now = datetime.now(UTC)
            made = Object(content, kind, etag or md5(content), next(self._generations), now, metadata or {})
            self._buckets[bucket][key] = made
            self._remember(bucket, key, made)
            return made

    def _remember(self, bucket: str, key: str, made: Object) -> None:
        """What was there before is gone."""

    def delete(self, bucket: str, key: str) -> bool:
        """Whether there was one."""
        return self._buckets[bucket].pop(key, None) is not None

    def listing(self, bucket: str, prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
        """The keys that start with a prefix, and the folders below it when there is a delimiter."""
        found, folders = [], dict[str, None]()
        for key in self.keys(bucket):
            if not key.startswith(prefix):
                continue
            head, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if cut:
                folders[f"{prefix}{head}{delimiter}"] = None
            else:
                found.append(key)
        return found, list(folders)


class VersionedBuckets(Buckets):
    """Each PUT of a key makes a version, a DELETE hides the newest, and only one by its name takes a version away."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self._versions: dict[tuple[str, str], list[Object]] = {}

    def versions(self, bucket: str, key: str) -> list[Object]:
        """Oldest first."""
        return list(self._versions.get((bucket, key), []))

    def ever(self, bucket: str, prefix: str) -> list[str]:
        """The keys that start with a prefix and have a version, hidden ones too."""
        return sorted(
            key for (at, key), made in self._versions.items() if at == bucket and made and key.startswith(prefix)
        )

    def version(self, bucket: str, key: str, generation: int) -> Object | None:
        return next((made for made in self.versions(bucket, key) if made.generation == generation), None)

    def drop(self, bucket: str, key: str, generation: int) -> None:
        """Take a version away; the one before it is the newest then, unless the key is hidden."""
        with self._lock:
            kept = [made for made in self.versions(bucket, key) if made.generation != generation]
            self._versions[bucket, key] = kept
            shown = self._buckets[bucket].pop(key, None)
            if shown and kept:
                self._buckets[bucket][key] = kept[-1]

    def _remember(self, bucket: str, key: str, made: Object) -> None:
        self._versions.setdefault((bucket, key), []).append(made)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def ranged(content: bytes, header: str) -> tuple[bytes, str] | None:
    """The part of a content that `Range` asks for, and its `Content-Range`; None where it has none."""
    first, _, last = header.removeprefix("bytes=").partition("-")
    start = int(first) if first else max(0, len(content) - int(last))
    end = min(int(last), len(content) - 1) if first and last else len(content) - 1
    if start >= len(content):
        return None
    return content[start : end + 1], f"bytes {start}-{end}/{len(content)}"
