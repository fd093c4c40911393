"""A stand-in of S3 as s3fs and boto speak it, path style; it checks signatures, checksums and conditions.

It has no versions, no access rules and no storage classes; `tests.clouds.b2` is Backblaze's way.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from collections.abc import Callable
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote, unquote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.clouds.loopback import Answer, Asked, Loopback
from tests.clouds.objects import Buckets, Object, md5, ranged

KEY, SECRET = "key-of-the-stand-in", "secret-of-the-stand-in"
SMALLEST_PART = 5 * 2**20
PAGE = 1000
META = "x-amz-meta-"


class Refused(Exception):
    """An error as S3 says it."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(code)
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{escape(message or code)}</Message></Error>"
        self.answer = Answer(status, body.encode(), {"Content-Type": "application/xml"})


class S3(Loopback):
    """The service on a port of its own, with the buckets it starts with."""

    def __init__(self, *buckets: str) -> None:
        self.buckets = self._made(*buckets)
        self._uploads: dict[str, tuple[Asked, dict[int, bytes]]] = {}
        super().__init__(self._route)

    def _made(self, *buckets: str) -> Buckets:
        return Buckets(*buckets)

    def variables(self, destination: str) -> dict[str, str]:
        """What leads a named filesystem destination here."""
        section = f"DESTINATION__{destination.upper()}__CREDENTIALS"
        return {
            f"{section}__AWS_ACCESS_KEY_ID": KEY,
            f"{section}__AWS_SECRET_ACCESS_KEY": SECRET,
            f"{section}__ENDPOINT_URL": self.url,
            f"{section}__REGION_NAME": "eu-central-003",
        }

    def _route(self, asked: Asked) -> Answer:
        try:
            _check_signature(asked)
            self._check(asked)
            bucket, _, key = unquote(asked.path).removeprefix("/").partition("/")
            if bucket not in self.buckets and (key or asked.method != "PUT"):
                raise Refused(404, "NoSuchBucket")
            handle = self._of_object(asked) if key else self._of_bucket(asked)
            return handle(asked, bucket, key)
        except Refused as refused:
            return refused.answer

    def _check(self, asked: Asked) -> None:
        """Refuse what the service does not take."""
        _check_content(asked)

    def _of_bucket(self, asked: Asked) -> Callable[[Asked, str, str], Answer]:
        if asked.method == "POST" and "delete" in asked.query:
            return self._delete_many
        return {"GET": self._list, "HEAD": _nothing, "PUT": self._create}[asked.method]

    def _of_object(self, asked: Asked) -> Callable[[Asked, str, str], Answer]:
        if "uploadId" in asked.query:
            return {"PUT": self._part, "POST": self._complete, "DELETE": self._abort}[asked.method]
        if asked.method == "PUT":
            return self._copy if "x-amz-copy-source" in asked.headers else self._put
        return {"GET": self._get, "HEAD": self._get, "DELETE": self._delete, "POST": self._begin}[asked.method]

    def _create(self, asked: Asked, bucket: str, key: str) -> Answer:
        self.buckets.create(bucket)
        return Answer()

    def _list(self, asked: Asked, bucket: str, key: str) -> Answer:
        if "uploads" in asked.query:
            return self._list_uploads(asked)
        keys, folders = self.buckets.listing(bucket, asked.query.get("prefix", ""), asked.query.get("delimiter", ""))
        start = int(asked.query.get("continuation-token", 0))
        end = start + min(PAGE, int(asked.query.get("max-keys", PAGE)))
        found = [("Contents", _content(k, self._object(bucket, k))) for k in keys[start:end]]
        found += [("CommonPrefixes", f"<Prefix>{escape(folder)}</Prefix>") for folder in folders if not start]
        more = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < len(keys) else ""
        rows = "".join(f"<{name}>{text}</{name}>" for name, text in found)
        return as_xml("ListBucketResult", f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>{more}{rows}")

    def _list_uploads(self, asked: Asked) -> Answer:
        """One a page."""
        begun = sorted((unquote(first.path).split("/", 2)[2], name) for name, (first, _) in self._uploads.items())
        after = (asked.query.get("key-marker", ""), asked.query.get("upload-id-marker", ""))
        rest = [each for each in begun if each[0].startswith(asked.query.get("prefix", "")) and each > after]
        if not rest:
            return as_xml("ListMultipartUploadsResult", "<IsTruncated>false</IsTruncated>")
        key, name = escape(rest[0][0]), rest[0][1]
        return as_xml(
            "ListMultipartUploadsResult",
            f"<IsTruncated>{str(len(rest) > 1).lower()}</IsTruncated><NextKeyMarker>{key}</NextKeyMarker>"
            f"<NextUploadIdMarker>{name}</NextUploadIdMarker><Upload><Key>{key}</Key><UploadId>{name}</UploadId></Upload>",
        )

    def _delete_many(self, asked: Asked, bucket: str, key: str) -> Answer:
        keys = [node.text or "" for node in ElementTree.fromstring(asked.body).iter() if node.tag.endswith("Key")]
        for each in keys:
            self.buckets.delete(bucket, each)
        return as_xml("DeleteResult", "".join(f"<Deleted><Key>{escape(each)}</Key></Deleted>" for each in keys))

    def _put(self, asked: Asked, bucket: str, key: str) -> Answer:
        return self._store(asked, bucket, key, asked.body, None)

    def _copy(self, asked: Asked, bucket: str, key: str) -> Answer:
        source, _, name = unquote(asked.headers["x-amz-copy-source"]).removeprefix("/").partition("/")
        found = self._object(source, name)
        self.buckets.put(bucket, key, found.content, found.kind, found.etag, metadata=found.metadata)
        return as_xml("CopyObjectResult", f'<ETag>"{found.etag}"</ETag>')

    def _get(self, asked: Asked, bucket: str, key: str) -> Answer:
        found = self._object(bucket, key, asked)
        headers = self._about(found)
        if "range" not in asked.headers:
            return Answer(200, found.content, headers)
        part = ranged(found.content, asked.headers["range"])
        if part is None:
            raise Refused(416, "InvalidRange")
        return Answer(206, part[0], {**headers, "Content-Range": part[1]})

    def _about(self, found: Object) -> dict[str, str]:
        """The headers of an object."""
        return {
            "ETag": f'"{found.etag}"',
            "Last-Modified": format_datetime(found.at, usegmt=True),
            "Content-Type": found.kind,
            **{META + name: value for name, value in found.metadata.items()},
        }

    def _delete(self, asked: Asked, bucket: str, key: str) -> Answer:
        self.buckets.delete(bucket, key)
        return Answer(204)

    def _begin(self, asked: Asked, bucket: str, key: str) -> Answer:
        upload = uuid.uuid4().hex
        self._uploads[upload] = asked, {}
        return as_xml("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")

    def _part(self, asked: Asked, bucket: str, key: str) -> Answer:
        self._upload(asked)[1][int(asked.query["partNumber"])] = asked.body
        return Answer(headers={"ETag": f'"{md5(asked.body)}"'})

    def _complete(self, asked: Asked, bucket: str, key: str) -> Answer:
        begun, numbered = self._upload(asked)
        parts = [content for _, content in sorted(numbered.items())]
        if any(len(part) < SMALLEST_PART for part in parts[:-1]):
            raise Refused(400, "EntityTooSmall")
        etag = f"{md5(b''.join(bytes.fromhex(md5(part)) for part in parts))}-{len(parts)}"
        self._store(asked, bucket, key, b"".join(parts), etag, begun)
        del self._uploads[asked.query["uploadId"]]
        return as_xml("CompleteMultipartUploadResult", f'<ETag>"{etag}"</ETag>')

    def _abort(self, asked: Asked, bucket: str, key: str) -> Answer:
        self._upload(asked)
        del self._uploads[asked.query["uploadId"]]
        return Answer(204)

    @property
    def unfinished(self) -> int:
        """Uploads in parts that were begun, and neither completed nor aborted."""
        return len(self._uploads)

    def _upload(self, asked: Asked) -> tuple[Asked, dict[int, bytes]]:
        if asked.query["uploadId"] not in self._uploads:
            raise Refused(404, "NoSuchUpload")
        return self._uploads[asked.query["uploadId"]]

    def _store(
        self, asked: Asked, bucket: str, key: str, content: bytes, etag: str | None, begun: Asked | None = None
    ) -> Answer:
        """Store what one request sent, or several; the one that began it says what it is."""
        said = (begun or asked).headers
        kind = said.get("content-type", "binary/octet-stream")
        only_new = asked.headers.get("if-none-match") == "*"
        about = {name.removeprefix(META): value for name, value in said.items() if name.startswith(META)}
        made = self.buckets.put(bucket, key, content, kind, etag, only_new, about)
        if made is None:
            raise Refused(412, "PreconditionFailed")
        return Answer(headers=self._put_headers(made))

    def _put_headers(self, made: Object) -> dict[str, str]:
        return {"ETag": f'"{made.etag}"'}

    def _object(self, bucket: str, key: str, asked: Asked | None = None) -> Object:
        found = self.buckets.get(bucket, key)
        if found is None:
            raise Refused(404, "NoSuchKey")
        return found


def _nothing(asked: Asked, bucket: str, key: str) -> Answer:
    return Answer()


def as_xml(root: str, content: str) -> Answer:
    """An answer of S3."""
    body = f"<?xml version='1.0'?><{root} xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>{content}</{root}>"
    return Answer(200, body.encode(), {"Content-Type": "application/xml"})


def _content(key: str, found: Object) -> str:
    at = found.at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    size = len(found.content)
    return f'<Key>{escape(key)}</Key><LastModified>{at}</LastModified><ETag>"{found.etag}"</ETag><Size>{size}</Size>'


def _check_content(asked: Asked) -> None:
    """Refuse a body that is not what its headers say."""
    given = asked.headers.get("content-md5")
    if given and base64.b64decode(given).hex() != md5(asked.body):
        raise Refused(400, "BadDigest")
    given = asked.headers["x-amz-content-sha256"]
    if given != "UNSIGNED-PAYLOAD" and given != hashlib.sha256(asked.body).hexdigest():
        raise Refused(400, "XAmzContentSHA256Mismatch")


def _check_signature(asked: Asked) -> None:
    """Refuse a request whose version 4 signature is not made with our key."""
    scheme, _, rest = asked.headers.get("authorization", "").partition(" ")
    if scheme != "AWS4-HMAC-SHA256":
        raise Refused(403, "AccessDenied")
    given = dict(part.strip().split("=", 1) for part in rest.split(","))
    key, *scope = given["Credential"].split("/")
    if key != KEY:
        raise Refused(403, "InvalidAccessKeyId", "The key does not exist in our records.")
    if not hmac.compare_digest(_signature(asked, given["SignedHeaders"], scope), given["Signature"]):
        raise Refused(403, "SignatureDoesNotMatch", "The signature does not match the one you provided.")


def _signature(asked: Asked, signed: str, scope: list[str]) -> str:
    query = "&".join(sorted(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in asked.query.items()))
    headers = "".join(f"{name}:{' '.join(asked.headers[name].split())}\n" for name in signed.split(";"))
    payload = asked.headers["x-amz-content-sha256"]
    canonical = "\n".join([asked.method, asked.path, query, headers, signed, payload])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", asked.headers["x-amz-date"], "/".join(scope), digest])
    secret: Any = f"AWS4{SECRET}".encode()
    for part in scope:
        secret = hmac.digest(secret, part.encode(), "sha256")
    return hmac.digest(secret, text.encode(), "sha256").hex()
