"""A stand-in of GCS's JSON API as gcsfs speaks it; it checks tokens, and generations where a request names one.

It has no versions, no access rules, no gRPC and no hierarchical namespace.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from google_crc32c import value as crc32c

from tests.clouds.google import NOTHING_OUTSIDE, Refused, Service, service_account
from tests.clouds.loopback import Answer, Asked
from tests.clouds.objects import Buckets, Object, ranged

OBJECT = "/(?:download/)?storage/v1/b/([^/]+)/o/([^/]+)"
PAGE = 1000
Json = dict[str, Any]


class GCS(Service):
    """The service on a port of its own, with the buckets it starts with."""

    def __init__(self, *buckets: str) -> None:
        self.buckets = Buckets(*buckets)
        self._uploads: dict[str, tuple[str, str, str, bytearray]] = {}
        super().__init__(self._route)

    def variables(self, destination: str) -> dict[str, str]:
        """What leads a named filesystem destination here."""
        section = f"DESTINATION__{destination.upper()}"
        return {
            f"{section}__CREDENTIALS": service_account(self.url),
            f"{section}__KWARGS": json.dumps({"endpoint_url": self.url}),
            **NOTHING_OUTSIDE,
        }

    def _named(self, groups: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(map(unquote, groups))
        if names[0] not in self.buckets:
            raise Refused(404, "notFound", "The specified bucket does not exist.")
        return names

    def _routes(self) -> list[tuple[str, str, Callable[..., Answer]]]:
        return [
            ("GET", "/storage/v1/b/([^/]+)", self._bucket),
            ("GET", "/storage/v1/b/([^/]+)/o/?", self._list),
            ("GET", OBJECT, self._get),
            ("DELETE", OBJECT, self._delete),
            ("POST", f"{OBJECT}/(?:copyTo|rewriteTo)/b/([^/]+)/o/([^/]+)", self._copy),
            ("POST", f"{OBJECT}/moveTo/o/([^/]+)", self._move),
            ("POST", "/upload/storage/v1/b/([^/]+)/o", self._upload),
            ("PUT", "/upload/storage/v1/b/([^/]+)/o", self._continue),
            ("POST", "/upload/storage/v1/b/([^/]+)/o/resume", self._continue),
        ]

    def _bucket(self, asked: Asked, bucket: str) -> Answer:
        return Answer(200, {"name": bucket, "location": "EU"})

    def _list(self, asked: Asked, bucket: str) -> Answer:
        keys, folders = self.buckets.listing(bucket, asked.query.get("prefix", ""), asked.query.get("delimiter", ""))
        start = int(asked.query.get("pageToken", 0))
        end = start + min(PAGE, int(asked.query.get("maxResults", PAGE)))
        told: Json = {"items": [_shown(bucket, key, self._object(bucket, key)) for key in keys[start:end]]}
        told |= {"prefixes": folders} if folders and not start else {}
        return Answer(200, {**told, "nextPageToken": str(end)} if end < len(keys) else told)

    def _get(self, asked: Asked, bucket: str, key: str) -> Answer:
        found = self._object(bucket, key)
        if asked.query.get("alt") != "media":
            return Answer(200, _shown(bucket, key, found))
        headers = {"X-Goog-Hash": f"crc32c={_crc32c(found)},md5={_base64(found.etag)}", "Content-Type": found.kind}
        if "range" not in asked.headers:
            return Answer(200, found.content, headers)
        part = ranged(found.content, asked.headers["range"])
        if part is None:
            raise Refused(416, "requestedRangeNotSatisfiable", "Request range not satisfiable")
        return Answer(206, part[0], {**headers, "Content-Range": part[1]})

    def _delete(self, asked: Asked, bucket: str, key: str) -> Answer:
        self._object(bucket, key)
        self.buckets.delete(bucket, key)
        return Answer(204)

    def _copy(self, asked: Asked, bucket: str, key: str, target: str, name: str) -> Answer:
        found = self._object(bucket, key)
        made = self._store(asked, target, name, found.content, found.kind)
        return Answer(200, {"done": True, "resource": made, **made})

    def _move(self, asked: Asked, bucket: str, key: str, name: str) -> Answer:
        made = self._store(asked, bucket, name, self._object(bucket, key).content, self._object(bucket, key).kind)
        self.buckets.delete(bucket, key)
        return Answer(200, made)

    def _upload(self, asked: Asked, bucket: str) -> Answer:
        if asked.query["uploadType"] == "multipart":
            described, kind, content = _parts(asked)
            return Answer(200, self._store(asked, bucket, described["name"], content, kind, described.get("metadata")))
        kind, upload = asked.headers.get("x-upload-content-type", "application/octet-stream"), uuid.uuid4().hex
        self._uploads[upload] = bucket, asked.query.get("name") or asked.json()["name"], kind, bytearray()
        return Answer(200, headers={"Location": f"{self.url}{asked.path}/resume?upload_id={upload}"})

    def _continue(self, asked: Asked, _: str) -> Answer:
        bucket, key, kind, so_far = self._uploads[asked.query["upload_id"]]
        so_far += asked.body
        if asked.headers.get("content-range", "").endswith("/*"):
            return Answer(308, headers={"Range": f"bytes=0-{len(so_far) - 1}"})
        return Answer(200, self._store(asked, bucket, key, bytes(so_far), kind))

    def _store(
        self, asked: Asked, bucket: str, key: str, content: bytes, kind: str, metadata: dict[str, str] | None = None
    ) -> Json:
        only_new = asked.query.get("ifGenerationMatch") == "0"
        made = self.buckets.put(bucket, key, content, kind, only_new=only_new, metadata=metadata)
        if made is None:
            raise Refused(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
        return _shown(bucket, key, made)

    def _object(self, bucket: str, key: str) -> Object:
        found = self.buckets.get(bucket, key)
        if found is None:
            raise Refused(404, "notFound", f"No such object: {bucket}/{key}")
        return found


def _shown(bucket: str, key: str, found: Object) -> Json:
    at = found.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "bucket": bucket,
        "name": key,
        "size": str(len(found.content)),
        "contentType": found.kind,
        "generation": str(found.generation),
        "timeCreated": at,
        "updated": at,
        "etag": str(found.generation),
        "md5Hash": _base64(found.etag),
        "crc32c": _crc32c(found),
        **({"metadata": dict(found.metadata)} if found.metadata else {}),
    }


def _base64(digest: str) -> str:
    return base64.b64encode(bytes.fromhex(digest)).decode()


def _crc32c(found: Object) -> str:
    return base64.b64encode(crc32c(found.content).to_bytes(4, "big")).decode()


def _parts(asked: Asked) -> tuple[Json, str, bytes]:
    """What a multipart upload says of an object, its type and its content."""
    found = re.search(r'boundary="?([^";]+)', asked.headers["content-type"])
    assert found, f"an upload without a boundary: {asked}"
    _, described, content, *_ = asked.body.split(b"--" + found[1].encode())
    head, content = re.split(rb"\r?\n\r?\n", content, maxsplit=1)
    kind = re.search(rb"Content-Type: ([^\r\n]+)", head, re.I)
    description = json.loads(re.split(rb"\r?\n\r?\n", described, maxsplit=1)[1])
    return description, kind[1].decode() if kind else "", re.sub(rb"\r?\n$", b"", content)
