"""A store that speaks S3: Backblaze B2 as it is, and what is stricter or more lenient than it.

No checksum headers (400 there), no conditional PUT (501), no HEAD unless an answer is in doubt, no list unless one is
asked for; 500 and 503 are its weather. The hash of the body is signed, so what was bent on its way is refused.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from html import unescape
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit
from xml.etree import ElementTree

from pipelines.errors import EtlError, SettingError
from pipelines.files.bodies import Body, Stream
from pipelines.files.curl import performed
from pipelines.files.steps import Answer, Broken, Patience, Pause, Request, Signature, Steps, Untrusted, is_weather
from pipelines.files.stores import (
    DOTS,
    About,
    CapExceeded,
    Head,
    Put,
    Refusal,
    Remnant,
    Weather,
    addressed,
    metadata_of,
    sound_in,
)

NOTHING = hashlib.sha256(b"").hexdigest()
PARTS_ABOVE = 200 * 10**6
PART_BYTES = 100 * 10**6
BITE = 2**20
META = "x-amz-meta-"
PLAIN_ONES = {"sha256", "codec", "seconds", "sample-rate", "channels"}  # numbers, digits and words of ours
PATIENCE = Patience()
NOT_IN_PATHS, PLAIN_PATH = re.compile(r"[^\w/.~-]+", re.ASCII), re.compile(r"[\w/.~-]*", re.ASCII)
PLAIN = " /:;,.-_~=+@()[]"
PLAIN_TEXT = re.compile(rf"[\w{re.escape(PLAIN)}]*", re.ASCII)
ABORT_SECONDS = 5
LISTING = {"continuation-token": "NextContinuationToken"}
VERSIONS = {"key-marker": "NextKeyMarker", "version-id-marker": "NextVersionIdMarker"}
UPLOADS = {"key-marker": "NextKeyMarker", "upload-id-marker": "NextUploadIdMarker"}


@dataclass(frozen=True)
class Bucket:
    """The objects below a prefix of a bucket, addressed by path."""

    name: str
    """Of the destination."""
    endpoint: str
    bucket: str
    prefix: str
    signature: Signature
    token: str | None = field(default=None, repr=False)
    """Of a temporary key."""
    locked: bool = False
    """Whether it has Object Lock, which wants the MD5 of every body."""
    parts_above: int = PARTS_ABOVE
    part_bytes: int = PART_BYTES
    hides = True

    @classmethod
    def of(cls, name: str, config: Any) -> Bucket:
        """The bucket of a filesystem destination as dlt resolved it."""
        from pipelines import configuration

        given = config.credentials
        endpoint = given.endpoint_url or f"https://s3.{given.region_name or 'us-east-1'}.amazonaws.com"
        signature = Signature(
            region_of(endpoint) or given.region_name or "us-east-1",
            given.aws_access_key_id,
            str(given.aws_secret_access_key),
        )
        url = urlsplit(config.bucket_url)
        if not DOTS.isdisjoint(url.path.split("/")):
            raise SettingError(f"destination.{name}: bucket_url has a part that is . or ..; name the folder without")
        locked = (configuration.setting("object_lock", ("destination", name)) or (False,))[0]
        return cls(
            name,
            endpoint.rstrip("/"),
            url.netloc,
            unquote(url.path).strip("/"),
            signature,
            given.aws_session_token or None,
            str(locked).lower() == "true",
        )

    @property
    def place(self) -> str:
        """The bucket and the prefix in it."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def check(self, key: str) -> None:
        """Misleading where a part is resolved on the way, as libcurl does with what it signs."""
        addressed(key, DOTS)

    def putting(self, key: str, body: Body, about: About, patience: Patience) -> Steps[Put]:
        """One PUT; in parts above 200 MB."""
        if body.size > self.parts_above:
            return (yield from self._putting_parts(key, body, about, patience))
        request = self._sent("PUT", key, body.stream(), body.size, about.sha256, headers=_told(about))
        answer = yield from self._asked(request, patience, in_doubt=(key, about))
        return _put(answer)

    def put(self, key: str, body: Body, about: About) -> Put:
        """Store an object."""
        return performed(self.putting(key, body, about, PATIENCE))

    def head(self, key: str) -> Head | None:
        """What is there; a class B call."""
        return performed(self._heading(key, PATIENCE))

    def delete(self, key: str) -> None:
        """Hide an object behind a deletion."""
        performed(self._asked(self._request("DELETE", key), PATIENCE, fine=(204, 200, 404)))

    def listed(self, prefix: str) -> Iterator[Head]:
        """The objects whose keys begin so, a class C call for every thousand."""
        for told in self._entries({"list-type": "2", "prefix": self._named(prefix)}, ("Contents",), LISTING):
            yield Head(told["Key"], int(told["Size"]), etag=told.get("ETag", "").strip('"') or None)

    def versions(self, prefix: str) -> Iterator[Remnant]:
        """Every version below a prefix, deletions too: what is hidden is stored, and billed."""
        query = {"versions": "", "prefix": self._named(prefix)}
        for told in self._entries(query, ("Version", "DeleteMarker"), VERSIONS):
            yield Remnant(told["Key"], version=told["VersionId"])

    def unfinished(self, prefix: str) -> Iterator[Remnant]:
        """Uploads in parts; those that are there are billed, and nobody goes on with them once their run has died."""
        for told in self._entries({"uploads": "", "prefix": self._named(prefix)}, ("Upload",), UPLOADS):
            yield Remnant(told["Key"], upload=told["UploadId"])

    def erase(self, remnant: Remnant) -> None:
        """Take a version, or an upload, away for good."""
        named = {"versionId": remnant.version, "uploadId": remnant.upload}
        query = {name: value for name, value in named.items() if value is not None}
        performed(self._asked(self._request("DELETE", remnant.key, query), PATIENCE, fine=(204, 200, 404)))

    def read(self, key: str) -> bytes:
        """All bytes of an object; a class B call."""
        return performed(self._asked(self._request("GET", key), PATIENCE)).body

    def _entries(
        self, query: Mapping[str, str], kinds: tuple[str, ...], markers: Mapping[str, str]
    ) -> Iterator[dict[str, str]]:
        """What a listing says of each, page by page; `markers` are those of a next page by what asks for it."""
        next_page: dict[str, str] = {}
        while True:
            request = self._request("GET", None, {**query, **next_page})
            page = ElementTree.fromstring(performed(self._asked(request, PATIENCE)).body.decode())
            for found in page:
                if found.tag.rpartition("}")[2] in kinds:
                    told = {child.tag.rpartition("}")[2]: child.text or "" for child in found}
                    yield {**told, "Key": told["Key"].removeprefix(f"{self.prefix}/" if self.prefix else "")}
            if page.findtext("{*}IsTruncated") != "true":
                return
            next_page = {name: page.findtext(f"{{*}}{marker}") or "" for name, marker in markers.items()}

    def _heading(self, key: str, patience: Patience) -> Steps[Head | None]:
        answer = yield from self._asked(self._request("HEAD", key), patience, fine=(200, 404))
        if answer.status == 404:
            return None
        told = answer.headers
        return Head(
            key=key,
            bytes=int(told.get("content-length", 0)),
            sha256=told.get(f"{META}sha256"),
            source_id=_read(told.get(f"{META}source-id")),
            content_type=told.get("content-type"),
            etag=_etag(told),
            version=told.get("x-amz-version-id"),
            sound=sound_in({name.removeprefix(META): value for name, value in told.items()}, told.get("content-type")),
        )

    def _putting_parts(self, key: str, body: Body, about: About, patience: Patience) -> Steps[Put]:
        """All parts or, as far as the bucket can be reached, none: parts without their object cost, too."""
        begun = yield from self._asked(self._request("POST", key, {"uploads": ""}, _told(about)), patience)
        upload = {"uploadId": _text(begun, "UploadId")}
        try:
            etags = []
            for number, start in enumerate(range(0, body.size, self.part_bytes), 1):
                end = min(start + self.part_bytes, body.size)
                query = {"partNumber": str(number), **upload}
                part = body.stream(start, end)
                request = self._sent("PUT", key, part, end - start, _hashed(part, "sha256").hex(), query)
                answer = yield from self._asked(request, patience)
                etags.append(answer.headers["etag"])
            made = _completion(etags)
            request = self._sent("POST", key, made.stream(), made.size, made.sha256, upload)
            answer = yield from self._asked(request, patience, in_doubt=(key, about))
        except BaseException:
            with suppress(Weather, Refusal, EtlError):
                once = Patience(tries=1, until=time.monotonic() + ABORT_SECONDS)
                performed(self._asked(self._request("DELETE", key, upload), once, fine=(204, 404)))
            raise
        return Put(_text(answer, "ETag").strip('"') or _etag(answer.headers), answer.headers.get("x-amz-version-id"))

    def _asked(
        self,
        request: Request,
        patience: Patience,
        fine: tuple[int, ...] = (200,),
        in_doubt: tuple[str, About] | None = None,
    ) -> Steps[Answer]:
        """The answer, once the weather allows; what is `in_doubt` may be there although its answer says otherwise."""
        tried, after = 0, None
        while True:
            tried += 1
            try:
                request.until, request.fresh = patience.until, tried > 1
                answer: Answer = yield request
            except Untrusted as stranger:
                where = f"destination.{self.name}: {self.endpoint}"
                raise SettingError(f"{where}: {stranger}; mend endpoint_url, or have its certificate trusted") from None
            except Broken as broken:
                trouble, after, unknown = str(broken), None, True
            else:
                if answer.status in fine and not (answer.status == 200 and b"<Error>" in answer.body[:500]):
                    return answer
                if not (is_weather(answer.status) or answer.status in fine):
                    raise self._refused(request, (yield from self._explained(request, answer)))
                trouble, after = f"the bucket answered {_said(answer)}", answer.retry_after
                unknown = answer.status not in (429, 503)
            if unknown and in_doubt and (stored := (yield from self._stored(*in_doubt, patience))):
                return stored
            wait = patience.wait(tried, after)
            if wait is None:
                raise Weather(trouble)
            yield Pause(wait, trouble)
            if request.body:
                request.body.seek(0)

    def _stored(self, key: str, about: About, patience: Patience) -> Steps[Answer | None]:
        """The answer to a PUT that was lost, if the object is there."""
        head = yield from self._heading(key, patience)
        if head is None or head.sha256 != about.sha256:
            return None
        return Answer(200, [f"etag: {head.etag or ''}".encode(), f"x-amz-version-id: {head.version or ''}".encode()])

    def _explained(self, request: Request, answer: Answer) -> Steps[Answer]:
        """The same refusal with its reason, which an answer to HEAD has no room for; a cap is one, too."""
        if request.method != "HEAD" or answer.status != 403:
            return answer
        try:
            told: Answer = yield replace(request, method="GET", headers={**request.headers, "range": "bytes=0-0"})
        except Broken:
            return answer
        return told if told.status == 403 else answer

    def _refused(self, request: Request, answer: Answer) -> Exception:
        """What an answer means that no second try will change."""
        said, where = _said(answer), f"destination.{self.name}"
        if answer.status == 403 and "cap exceeded" in said.lower():
            return CapExceeded(f"{where}: {said}; it is reset at 00:00 GMT, or raise the cap in the account")
        if answer.status == 403 and "Skewed" in said:
            return EtlError(f"{where}: the bucket answered {said}; set this machine's clock")
        if answer.status in (401, 403):
            return SettingError(f"{where}: the bucket refuses the key ({said}); check the key, its rights and its caps")
        if answer.status == 404 and "NoSuchBucket" in said:
            return SettingError(f"{where}: there is no bucket {self.bucket}; create it, or mend bucket_url")
        if 300 <= answer.status < 400:
            return SettingError(f"{where}: the bucket is elsewhere ({said}); mend endpoint_url and region_name")
        if answer.status == 404:
            return FileNotFoundError(f"{where}: {urlsplit(request.url).path}: no such object")
        return Refusal(f"the bucket answered {said}")

    def _sent(
        self,
        method: str,
        key: str,
        body: Stream,
        size: int,
        sha256: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Request:
        """A request with a body."""
        more = {"content-md5": base64.b64encode(_hashed(body, "md5")).decode()} if self.locked else {}
        request = self._request(method, key, query, {**(headers or {}), **more}, sha256)
        request.body, request.size = body, size
        return request

    def _request(
        self,
        method: str,
        key: str | None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        sha256: str = NOTHING,
    ) -> Request:
        path = f"/{self.bucket}" if key is None else f"/{self.bucket}/{self._named(addressed(key, DOTS))}"
        if not PLAIN_PATH.fullmatch(path):
            path = NOT_IN_PATHS.sub(lambda found: _quoted(found[0]), path)
        url = f"{self.endpoint}{path}" + (f"?{urlencode(query, quote_via=quote, safe='-_.~')}" if query else "")
        told = {"x-amz-content-sha256": sha256, **(headers or {})}
        if self.token:
            told["x-amz-security-token"] = self.token
        return Request(method, url, told, signature=self.signature)

    def _named(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key


def region_of(endpoint: str) -> str | None:
    """The region an endpoint names: `https://s3.eu-central-003.backblazeb2.com` is `eu-central-003`."""
    found = re.match(r"s3[.-]([a-z]+-[a-z0-9-]+)\.", urlsplit(endpoint).hostname or "")
    return found[1] if found else None


@lru_cache(maxsize=1000)
def _quoted(text: str) -> str:
    return quote(text, safe="")


def _told(about: About) -> dict[str, str]:
    """The headers of an object; what is not plain ASCII is written like in a URL."""
    told = {"content-type": about.content_type}
    for name, text in metadata_of(about).items():
        told[META + name] = text if name in PLAIN_ONES else _written(text)
    return told


def _written(text: str) -> str:
    text = text[:500]
    return text if PLAIN_TEXT.fullmatch(text) else quote(text, safe=PLAIN)


def _read(value: str | None) -> str | None:
    return None if value is None else unquote(value)


def _put(answer: Answer) -> Put:
    headers = answer.headers
    return Put(_etag(headers), headers.get("x-amz-version-id") or None)


def _etag(headers: Mapping[str, str]) -> str | None:
    return headers.get("etag", "").strip('"') or None


def _hashed(body: Stream, algorithm: str) -> bytes:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    while bite := body.read(BITE):
        digest.update(bite)
    body.seek(0)
    return digest.digest()


def _completion(etags: list[str]) -> Body:
    """The list of parts that makes them one object."""
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in enumerate(etags, 1)
    )
    content = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    return Body(memoryview(content), len(content), hashlib.sha256(content).hexdigest())


def _said(answer: Answer) -> str:
    """Status, code and message of an error."""
    return " ".join(filter(None, (str(answer.status), _text(answer, "Code"), _text(answer, "Message"))))[:300]


def _text(answer: Answer, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>".encode(), answer.body, re.S)
    return unescape(found[1].decode("utf-8", "replace")).strip() if found else ""
