"""Backblaze B2 where it differs from S3: versions, headers it refuses, its weather, its caps, its price classes.

The texts are those that its users report. `object_lock` makes a bucket's PUTs need Content-MD5.
"""

from __future__ import annotations

import re
from collections import Counter
from xml.sax.saxutils import escape

from tests.clouds.loopback import Answer, Asked
from tests.clouds.objects import Buckets, Object, VersionedBuckets
from tests.clouds.s3 import S3, Refused, as_xml

UNSUPPORTED = re.compile(r"x-amz-checksum-|x-amz-sdk-checksum-algorithm$|x-amz-acl$|x-amz-trailer$")
CONDITIONS = ("if-none-match", "if-match")
LONGEST_NAME = 1024
CAPS = {
    "storage": "Cannot upload files, storage cap exceeded. See the Caps & Alerts page to increase your cap.",
    "transaction": "Transaction cap exceeded, see the Caps & Alerts page to increase your cap.",
    "download": "Cannot download file, download bandwidth or transaction (Class B) cap exceeded. "
    "See the Caps & Alerts page to increase your cap.",
}


class B2(S3):
    """The service with the buckets it starts with."""

    buckets: VersionedBuckets

    def __init__(self, *buckets: str, object_lock: bool = False) -> None:
        self.object_lock = object_lock
        super().__init__(*buckets)

    def versions(self, bucket: str, key: str) -> list[Object]:
        """What was ever stored under a key and not taken away, oldest first."""
        return self.buckets.versions(bucket, key)

    @property
    def calls(self) -> Counter[str]:
        """How many calls so far are of which price class: A is free, B reads objects, C lists."""
        return Counter(_price_class(each) for each in self.asked)

    def slow_down(self, pattern: str = "", times: int = 1, retry_after: str | None = None) -> None:
        """Too many requests."""
        answer = Refused(503, "SlowDown", "Please reduce your request rate.").answer
        if retry_after is not None:
            answer = Answer(answer.status, answer.body, {**answer.headers, "Retry-After": retry_after})
        self.refuse(pattern, answer, times)

    def no_tomes(self, pattern: str = "^PUT", times: int = 1) -> None:
        """The pod that was to take an upload is full."""
        self.refuse(pattern, Refused(503, "ServiceUnavailable", "no tomes available").answer, times)

    def internal_error(self, pattern: str = "^PUT", times: int = 1) -> None:
        """The other way in which a pod is full."""
        self.refuse(pattern, Refused(500, "InternalError", "Please retry your upload").answer, times)

    def exceed(self, cap: str, pattern: str = "", times: int = 1_000_000) -> None:
        """Refuse what matches because of a cap (`storage`, `transaction`, `download`), until `heal`."""
        self.refuse(pattern, Refused(403, "AccessDenied", CAPS[cap]).answer, times)

    def _made(self, *buckets: str) -> Buckets:
        return VersionedBuckets(*buckets)

    def _check(self, asked: Asked) -> None:
        unsupported = next((name for name in asked.headers if UNSUPPORTED.match(name)), None)
        if unsupported and not (unsupported == "x-amz-acl" and asked.headers[unsupported] == "private"):
            raise Refused(400, "InvalidArgument", f"Unsupported header '{unsupported}' received for this API call.")
        if asked.method == "PUT":
            self._check_put(asked)
        super()._check(asked)

    def _check_put(self, asked: Asked) -> None:
        if any(name in asked.headers for name in CONDITIONS):
            message = "A header you provided implies functionality that is not implemented"
            raise Refused(501, "NotImplemented", message)
        if asked.headers["x-amz-content-sha256"].startswith("STREAMING-"):
            raise Refused(501, "NotImplemented", "Transfer payload trailer is not implemented")
        if self.object_lock and "content-md5" not in asked.headers:
            message = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock"
            raise Refused(400, "InvalidRequest", message)

    def _store(
        self, asked: Asked, bucket: str, key: str, content: bytes, etag: str | None, begun: Asked | None = None
    ) -> Answer:
        if len(key.encode()) > LONGEST_NAME or re.search(r"[\x00-\x1f\x7f]", key):
            raise Refused(400, "InvalidArgument", "File names must be UTF-8 of at most 1024 bytes without controls")
        return super()._store(asked, bucket, key, content, etag, begun)

    def _put_headers(self, made: Object) -> dict[str, str]:
        return {**super()._put_headers(made), "x-amz-version-id": _version(made)}

    def _about(self, found: Object) -> dict[str, str]:
        return {**super()._about(found), "x-amz-version-id": _version(found)}

    def _delete(self, asked: Asked, bucket: str, key: str) -> Answer:
        if "versionId" in asked.query:
            self.buckets.drop(bucket, key, _generation(asked))
            return Answer(204)
        self.buckets.delete(bucket, key)
        return Answer(204, headers={"x-amz-delete-marker": "true"})

    def _object(self, bucket: str, key: str, asked: Asked | None = None) -> Object:
        if asked is None or "versionId" not in asked.query:
            return super()._object(bucket, key)
        found = self.buckets.version(bucket, key, _generation(asked))
        if found is None:
            raise Refused(404, "NoSuchVersion")
        return found

    def _list(self, asked: Asked, bucket: str, key: str) -> Answer:
        if "versions" not in asked.query:
            return super()._list(asked, bucket, key)
        rows = [
            f"<Version><Key>{escape(each)}</Key><VersionId>{_version(made)}</VersionId>"
            f"<IsLatest>{str(made is self.buckets.get(bucket, each)).lower()}</IsLatest>"
            f'<ETag>"{made.etag}"</ETag><Size>{len(made.content)}</Size></Version>'
            for each in self.buckets.ever(bucket, asked.query.get("prefix", ""))
            for made in reversed(self.versions(bucket, each))
        ]
        return as_xml("ListVersionsResult", "<IsTruncated>false</IsTruncated>" + "".join(rows))


def _version(made: Object) -> str:
    return f"4_z{made.generation:012d}"


def _generation(asked: Asked) -> int:
    number = asked.query["versionId"].removeprefix("4_z")
    if not number.isdecimal():
        raise Refused(400, "InvalidArgument", "Invalid version id specified")
    return int(number)


def _price_class(asked: str) -> str:
    method, target = asked.split(" ", 1)
    if "/" not in target.partition("?")[0].strip("/"):
        return "A" if method == "POST" else "C"
    return {"GET": "B", "HEAD": "B"}.get(method, "A")
