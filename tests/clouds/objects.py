"""The objects of a stand-in's buckets, which S3 and GCS show each in their own words."""

from __future__ import annotations

import hashlib
import itertools
import threading
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Object:
    """What is stored under a key; `etag` is what S3 calls its content."""

    content: bytes
    kind: str
    etag: str
    generation: int
    at: datetime


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
        self, bucket: str, key: str, content: bytes, kind: str, etag: str | None = None, only_new: bool = False
    ) -> Object | None:
        """Store an object; None, and nothing is stored, where one is and only a new one was wanted."""
        with self._lock:
            if only_new and key in self._buckets[bucket]:
                return None
            made = Object(content, kind, etag or md5(content), next(self._generations), datetime.now(UTC))
            self._buckets[bucket][key] = made
            return made

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
