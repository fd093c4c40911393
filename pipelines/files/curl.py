"""HTTP by libcurl: connections kept, proxies and certificates from the environment, S3 requests signed by it."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Any, TypeVar

import pycurl

from pipelines.files.steps import Answer, Broken, Call, Pause, Request, Steps, Untrusted

T = TypeVar("T")
AGENT = f"etl/{version('etl')} (libcurl {pycurl.version_info()[1]})"
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")  # what the rest of the program trusts, too


def _certificates() -> str:
    if named := next((os.environ[name] for name in BUNDLES if os.environ.get(name)), None):
        return named
    from requests.utils import DEFAULT_CA_BUNDLE_PATH  # a tenth of a second, which a worker can do without

    return DEFAULT_CA_BUNDLE_PATH


CERTIFICATES = _certificates()
BUFFER = 128 * 1024  # bytes; larger ones leave the processor's cache before they are used
SLOW = 1000
DAY = 86_400
CERTIFICATE_CODES = (pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_CACERT_BADFILE, pycurl.E_SSL_ISSUER_ERROR)
_OF_THIS_THREAD = threading.local()


@dataclass(slots=True)
class Exchange:
    """A request on its way, and what has come of it."""

    request: Request
    home: list[Any]
    """Where its handle goes back to."""
    lines: list[bytes] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)

    def onto(self, handle: Any) -> None:
        """Give a handle of its kind all that is the request's own."""
        request = self.request
        handle.setopt(pycurl.URL, request.url)
        if request.headers:
            handle.setopt(pycurl.HTTPHEADER, _lines(request.headers))
        handle.setopt(pycurl.HEADERFUNCTION, self.lines.append)
        handle.setopt(pycurl.TIMEOUT_MS, _milliseconds(request.until))
        if request.into:
            request.into.expect(partial(_length, self.lines))
            handle.setopt(pycurl.WRITEFUNCTION, request.into.write, use_memoryview=True)
        else:
            handle.setopt(pycurl.WRITEFUNCTION, self.body.append)
        if request.body is not None:
            handle.setopt(pycurl.INFILESIZE_LARGE, request.size)
            handle.setopt(pycurl.READFUNCTION, request.body.read)
            handle.setopt(pycurl.SEEKFUNCTION, request.body.seek)

    def answer(self, handle: Any) -> Answer:
        """What came, once it is whole."""
        answer = Answer(handle.getinfo(pycurl.RESPONSE_CODE), self.lines, b"".join(self.body))
        if self.request.into:
            answer.content_type = (handle.getinfo_raw(pycurl.CONTENT_TYPE) or b"").decode("latin-1") or None
        if answer.status != 200 or self.body:
            answer.redirect = handle.getinfo(pycurl.REDIRECT_URL)
            answer.retry_after = handle.getinfo(pycurl.RETRY_AFTER) or None
        return answer


_SAME = {
    pycurl.NOSIGNAL: 1,
    pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
    pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,  # a connection for each transfer: one carries no 32 of them well
    pycurl.CONNECTTIMEOUT: 30,
    pycurl.LOW_SPEED_LIMIT: SLOW,
    pycurl.BUFFERSIZE: BUFFER,
    pycurl.UPLOAD_BUFFERSIZE: BUFFER,
    pycurl.CAINFO: CERTIFICATES,
    pycurl.USERAGENT: AGENT,
}
_SENT, _RECEIVED = (pycurl.READFUNCTION, pycurl.SEEKFUNCTION), (pycurl.WRITEFUNCTION,)


class Handles:
    """Handles of libcurl, each set up once for requests of a kind."""

    def __init__(self) -> None:
        self._idle: dict[Hashable, list[Any]] = defaultdict(list)

    def take(self, request: Request) -> tuple[Any, Exchange]:
        """One that is ready for an exchange, which is begun."""
        idle = self._idle[_kind(request)]
        handle, exchange = idle.pop() if idle else _made(request), Exchange(request, idle)
        exchange.onto(handle)
        return handle, exchange

    def give_back(self, handle: Any, exchange: Exchange) -> None:
        """It is through with an exchange, whose body it does not keep; what is short is replaced by the next one's."""
        for option in _RECEIVED if exchange.request.body is None else _SENT:
            handle.unsetopt(option)
        exchange.home.append(handle)


def _kind(request: Request) -> Hashable:
    """What requests share that may have the same handle one after the other."""
    has_headers, has_body = bool(request.headers), request.body is not None
    return request.method, has_headers, has_body, request.stall_seconds, request.fresh, request.signature


def _made(request: Request) -> Any:
    """A handle with all that requests of a kind have in common."""
    handle = pycurl.Curl()
    for option, value in _SAME.items():
        handle.setopt(option, value)
    handle.setopt(pycurl.LOW_SPEED_TIME, request.stall_seconds)
    handle.setopt(pycurl.FRESH_CONNECT, request.fresh)
    handle.setopt(pycurl.HTTPHEADER, _lines({}))
    if request.method == "HEAD":
        handle.setopt(pycurl.NOBODY, 1)
    elif request.body is not None:
        handle.setopt(pycurl.UPLOAD, 1)
    if request.method not in ("GET", "HEAD"):
        handle.setopt(pycurl.CUSTOMREQUEST, request.method)
    if request.signature:
        handle.setopt(pycurl.AWS_SIGV4, f"aws:amz:{request.signature.region}:s3")
        handle.setopt(pycurl.USERNAME, request.signature.key)
        handle.setopt(pycurl.PASSWORD, request.signature.secret)
    return handle


def performed(steps: Steps[T]) -> T:
    """What a transfer comes to, all its steps done here and now."""
    if not hasattr(_OF_THIS_THREAD, "handles"):
        _OF_THIS_THREAD.handles = Handles()
    given: Any = None
    trouble: Broken | None = None
    while True:
        try:
            step = steps.throw(trouble) if trouble else steps.send(given)
        except StopIteration as end:
            value: T = end.value
            return value
        given = trouble = None
        match step:
            case Pause():
                time.sleep(step.seconds)
            case Call():
                given = step.function()
            case Future():
                given = step.result()
            case Request():
                try:
                    given = _exchanged(step, _OF_THIS_THREAD.handles)
                except Broken as broken:
                    trouble = broken


def _exchanged(request: Request, handles: Handles) -> Answer:
    handle, exchange = handles.take(request)
    try:
        handle.perform()
        return exchange.answer(handle)
    except pycurl.error as error:
        raise broken(*error.args) from error
    finally:
        handles.give_back(handle, exchange)


def _length(lines: Sequence[bytes]) -> int | None:
    """How long an answer is, as its newest head says."""
    lengths = (line[15:].strip() for line in reversed(lines) if line[:15].lower() == b"content-length:")
    length = next(lengths, b"")
    return int(length) if length.isdigit() else None


def broken(code: int, text: str) -> Broken:
    """What libcurl says went wrong, as a word and a line."""
    return (Untrusted if code in CERTIFICATE_CODES else Broken)(text.strip() or f"curl error {code}")


def _lines(headers: Mapping[str, str]) -> list[str]:
    """As libcurl takes them: an empty one has a semicolon, one without a value is not sent."""
    return [*(f"{name}: {value}" if value else f"{name};" for name, value in headers.items()), "Expect:"]


def _milliseconds(until: float) -> int:
    """From now on: at least one, at most a day."""
    left = until - time.monotonic()
    return max(1, int(left * 1000)) if left < DAY else DAY * 1000
