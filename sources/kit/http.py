"""The one HTTP client of all sources: total deadlines, retries, a cap on Retry-After, a rate limit, counts.

A `Session` is a requests session, so dlt's RESTClient takes it as `session=`. Its `HttpSettings` are found in
`[sources.<name>.http]` or `SOURCES__<NAME>__HTTP__…`, those of all sources in `[sources.http]`. It raises
`TryLater`, `SignInNeeded` and `SourceError`; no message holds a query string.
"""

from __future__ import annotations

import logging
import math
import random
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from time import monotonic, sleep
from typing import Any, ClassVar
from urllib.parse import urljoin, urlsplit

import dlt
import requests
from dlt.common.configuration import configspec
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.exceptions import ResourceNameNotAvailable
from requests import PreparedRequest, Request
from requests import Response as Response
from requests.cookies import extract_cookies_to_jar
from requests.exceptions import (
    ChunkedEncodingError,
    ContentDecodingError,
    InvalidHeader,
    InvalidSchema,
    InvalidURL,
    MissingSchema,
    RequestException,
    Timeout,
)
from requests.hooks import dispatch_hook
from requests.models import REDIRECT_STATI
from requests.utils import guess_json_utf, resolve_proxies
from urllib3.exceptions import LocationValueError, NewConnectionError

from sources.kit.deadline import CUT, DeadlineAdapter, within
from sources.kit.errors import BadSetting, SignInNeeded, SourceError, TryLater

JSON = "application/json"
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS"})
BROKEN = (requests.ConnectionError, Timeout, ChunkedEncodingError, ContentDecodingError)
SECRET_HEADER = re.compile(r"authorization|cookie|token|secret|api-?key|password", re.I)
CONDITION_HEADERS = ("If-None-Match", "If-Modified-Since")
SAME_IN_A_ROW = 20
_BEGUN = "_etl_begun"  # where a request keeps what was begun of it
_AT_401 = "_etl_at_401"
UNREACHED_ATTEMPTS = 5  # where nobody listens or the name is unknown, patience seldom helps: about 8 s at most
LOG = logging.getLogger("etl.http")
UNASKABLE = (
    InvalidHeader,
    InvalidSchema,
    InvalidURL,
    MissingSchema,
    requests.TooManyRedirects,
    UnicodeError,  # also of a host whose name no network takes
    LocationValueError,
)


@configspec
class HttpSettings(BaseConfiguration):
    """How a source speaks HTTP; a deadline ends one attempt, a cap ends the run with `TryLater`.

    Of the requests at once one is for the page that has its turn, the others for pages ahead: 1 means none ahead.
    """

    __section__: ClassVar[str] = "http"

    max_attempts: int = 8
    deadline_seconds: float = 60.0
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 30.0
    retry_after_cap_seconds: float = 120.0
    backoff_seconds: float = 0.5
    backoff_cap_seconds: float = 30.0
    requests_per_second: float | None = None
    requests_at_once: int = 4
    max_body_bytes: int | None = None


@dataclass
class Counts:
    """What a source asked of its upstream: requests with their repetitions, bytes of unpacked bodies."""

    requests: int = 0
    retries: int = 0
    bytes: int = 0
    seconds_waited: float = 0.0


_counts: dict[str, Counts] = {}
_counting = threading.Lock()


def counts() -> dict[str, Counts]:
    """The counts of this process by name of source."""
    return dict(_counts)


def counts_as_dict() -> dict[str, dict[str, Any]]:
    """The same for a JSON file."""
    return {name: asdict(count) for name, count in _counts.items()}


def reset_counts() -> None:
    """Start all counts from zero."""
    with _counting:
        _counts.clear()


def open_session(name: str, user_agent: str | None = None, *, retry_post: bool = False, **defaults: Any) -> Session:
    """A session of a source; `defaults` are `HttpSettings` of its own, which configuration overrides.

    `retry_post` is for APIs whose POST only reads. The session accepts JSON; send another `Accept` for more.
    """
    settings = resolve_configuration(HttpSettings(**defaults), sections=("sources", name))
    _check(name, settings)
    return Session(name, settings, user_agent or default_user_agent(), retry_post=retry_post)


def default_user_agent() -> str:
    """`etl/<version>`."""
    return f"etl/{version('etl')}"


@dataclass(frozen=True)
class Begun:
    """A request whose first attempt is made in another thread."""

    request: PreparedRequest
    outcome: Future[Response | _Fault]
    is_sure: bool  # asked for in any case, so that whatever is answered is the answer

    def met(self) -> Response | _Fault | BaseException:
        """What has become of it, as soon as that is known."""
        return self.outcome.exception() or self.outcome.result()


class Session(requests.Session):
    """Requests that end, are repeated where that is safe, and fail with a message that says what to do.

    408, 425, 429, 500, 502, 503, 504 and broken transport are repeated, as is a 200 without JSON when JSON
    alone was accepted, each wait told in the log; other statuses are returned, save 401 (see `at_401`), a redirect
    to nowhere, and a 304 to a request without a condition. With `stream=True` the body is left to the caller, under the
    same deadline.
    """

    def __init__(self, name: str, settings: HttpSettings, user_agent: str, *, retry_post: bool = False) -> None:
        super().__init__()
        self.name, self.settings, self.retry_post = name, settings, retry_post
        self.headers.update({"User-Agent": user_agent, "Accept": JSON})
        self.mount("https://", DeadlineAdapter(pool_maxsize=settings.requests_at_once))
        self.mount("http://", DeadlineAdapter(pool_maxsize=settings.requests_at_once))
        self.origin: str | None = None  # host and port of a REST spec's base_url, in lower case
        self._asked: tuple[Any, ...] = ()
        self._times = 0
        self._next_start = 0.0
        self._pacing = threading.Lock()
        self._slots = threading.BoundedSemaphore(settings.requests_at_once)
        self._on_their_way: set[Future[Any]] = set()
        self.verdict: Callable[[Response], SourceError | None] | None = None  # on answers that would be asked for again
        self.throttled = False  # whether the upstream has asked for fewer requests, or may mind so many

    @property
    def counts(self) -> Counts:
        """The counts of all sessions of this name since `reset_counts`."""
        return _counts.setdefault(self.name, Counts())

    def json(self, url: str, **kwargs: Any) -> Any:
        """GET a JSON document, None for a 204; SourceError for a status that is not 2xx."""
        response = self.get(url, **{**kwargs, "headers": {**kwargs.get("headers", {}), "Accept": JSON}})
        raise_for_status(response)
        return document(response) if response.content else None

    def prepare_request(self, request: Request) -> PreparedRequest:
        """As requests does, with an error that names the setting behind a URL that is none; see `take_up`."""
        begun: Begun | None = vars(request).pop(_BEGUN, None)
        if begun and self._stands(begun):
            vars(begun.request)[_BEGUN] = begun
            return begun.request
        with self._asking(str(request.url)):
            return super().prepare_request(request)

    def begin(self, request: Request, threads: Executor, is_sure: bool = False) -> Begun | None:
        """Let another thread make the first attempt at a request; None for one that cannot be asked.

        `send` takes up a good answer; any other is forgotten where the request may be repeated, save an answer to one
        that `is_sure` to be asked.
        """
        try:
            prepared = self.prepare_request(request)
        except (SourceError, OSError, ValueError):
            return None  # in its turn it will say so again
        self._keep_secrets(prepared)
        options = self.merge_environment_settings(str(prepared.url), {}, None, None, None)
        outcome = threads.submit(self._attempt, prepared, options, self._where(prepared))
        self._on_their_way.add(outcome)
        outcome.add_done_callback(self._on_their_way.discard)
        return Begun(prepared, outcome, is_sure)

    def take_up(self, request: Request, begun: Begun) -> None:
        """The next time this request is prepared, it is the one that has begun."""
        vars(request)[_BEGUN] = begun

    def _stands(self, begun: Begun) -> bool:
        """Whether an attempt made ahead is the first; a bad one never was, and its request is made and sent anew."""
        met = begun.met()
        if (isinstance(met, Response) and (met.ok or begun.is_sure)) or not self._repeatable(begun.request):
            return True
        fault = met if isinstance(met, _Fault) else _Fault("no good answer")
        self.throttled = self.throttled or not fault.passing
        wait_for(tuple(self._on_their_way))
        self.close()  # idle connections; the upstream may serve no more than one
        self._wait_out(fault, self._where(begun.request))
        return False

    def _wait_out(self, fault: _Fault, where: str) -> None:
        """Let pass what is left of the time the upstream has asked for, unless a run would not wait so long."""
        asked = fault.asked if fault.asked <= self.settings.retry_after_cap_seconds else 0
        wait = max(0.0, fault.met + asked - monotonic())
        LOG.warning(f"{where}: {fault.reason}, ahead of its turn; trying again in {wait:.1f} s")
        self._count(retries=1)
        self._wait(wait)

    def _repeatable(self, request: PreparedRequest) -> bool:
        return request.method in REPEATABLE or (request.method == "POST" and self.retry_post)

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send, repeat and follow redirects; each hop has attempts and deadlines of its own."""
        self._keep_secrets(request)
        self._refuse_loop(request)
        follow = kwargs.pop("allow_redirects", True)
        kwargs = {"stream": self.stream, "verify": self.verify, "cert": self.cert, **kwargs}
        if "proxies" not in kwargs:
            kwargs["proxies"] = resolve_proxies(request, self.proxies, self.trust_env)
        with self._asking(str(request.url)):
            response: Response = dispatch_hook("response", request.hooks, self._answered(request, kwargs), **kwargs)
            hops = [response, *(self.resolve_redirects(response, request, **kwargs) if follow else [])]
        last = hops.pop()
        last.history = hops
        return last

    def rebuild_auth(self, prepared_request: PreparedRequest, response: Response) -> None:
        """As requests does on a redirect, and the same for keys in headers it does not know."""
        if self.should_strip_auth(str(response.request.url), str(prepared_request.url)):
            _drop_secrets(prepared_request)
        super().rebuild_auth(prepared_request, response)

    def _keep_secrets(self, request: PreparedRequest) -> None:
        """Take credentials off a request that leaves the source's own host, wherever its address came from."""
        if self.origin and urlsplit(str(request.url)).netloc != self.origin:
            _drop_secrets(request)

    def _refuse_loop(self, request: PreparedRequest) -> None:
        """Pages that lead to themselves would be asked for without end."""
        asked = (request.method, request.url, request.body)
        self._times = self._times + 1 if asked == self._asked else 1
        self._asked = asked
        if self.origin and self._times > SAME_IN_A_ROW:
            where = self._where(request)
            raise SourceError(f"{where}: leads to itself, asked {SAME_IN_A_ROW} times in a row; check the paginator")

    def _answered(self, request: PreparedRequest, options: dict[str, Any]) -> Response:
        """The first good answer; TryLater when there is none."""
        patience = self.settings.max_attempts if self._repeatable(request) else 1
        where = self._where(request)
        attempt = 1
        outcome = self._first(request, options, where)
        while isinstance(outcome, _Fault):
            self._check_patience(outcome, where)
            attempts = min(patience, UNREACHED_ATTEMPTS) if outcome.unreached else patience
            if attempt >= attempts:
                tried = f"in {attempt} attempts" if patience > 1 else "and is not repeated"
                raise TryLater(f"{where}: {outcome.reason} {tried}; {outcome.advice}")
            attempt += 1
            wait = max(outcome.asked, self._backoff(attempt - 1))
            LOG.warning(f"{where}: {outcome.reason}; trying again in {wait:.1f} s ({attempt} of {attempts})")
            self._count(retries=1)
            self._wait(wait)
            outcome = self._attempt(request, options, where)
        return outcome

    def _first(self, request: PreparedRequest, options: dict[str, Any], where: str) -> Response | _Fault:
        """The outcome of the first attempt, which may have begun elsewhere."""
        begun: Begun | None = vars(request).pop(_BEGUN, None)
        return begun.outcome.result() if begun else self._attempt(request, options, where)

    def _where(self, request: PreparedRequest) -> str:
        """The source, the resource that runs, and what is asked, without the query."""
        try:
            name = f"{self.name}.{dlt.current.resource_name()}"
        except ResourceNameNotAvailable:
            name = self.name
        return f"{name}: {request.method} {shown(str(request.url))}"

    def _attempt(self, request: PreparedRequest, options: dict[str, Any], where: str) -> Response | _Fault:
        try:
            response = self._exchange(request, options)
        except BROKEN as error:
            return _broken(error, where)
        if response.status_code in RETRIED:
            response.close()
            if verdict := self.verdict and self.verdict(response):
                raise verdict
            self.throttled = self.throttled or response.status_code == 429
            asked = _asked(response)
            return _Fault(f"answered {response.status_code}", asked, passing=not asked and response.status_code != 429)
        if response.status_code == 401:
            return self._refused(response, request, options, where)
        if response.status_code in REDIRECT_STATI and not response.is_redirect:
            raise SourceError(f"{where}: answered {response.status_code} without a Location; check base_url and path")
        if response.is_redirect and not _is_address(response.url, response.headers["Location"]):
            nowhere = f"answered {response.status_code} with a Location that is no address"
            raise SourceError(f"{where}: {nowhere}; check base_url, and whether the upstream has changed")
        if response.status_code == 304 and not any(name in request.headers for name in CONDITION_HEADERS):
            raise SourceError(f"{where}: answered 304 (not changed), though nothing was asked before; check any proxy")
        if response.status_code == 200 and not options["stream"] and _wants_json(request):
            _settle_encoding(response)
            what = not_json(response)
            return _Fault(f"answered with {what}", advice="check base_url, or run again later") if what else response
        return response

    def _refused(
        self, response: Response, request: PreparedRequest, options: dict[str, Any], where: str
    ) -> Response | _Fault:
        """What is left after a 401: what the auth of the request makes of it, see `at_401`."""
        again: Callable[[PreparedRequest], bool] | None = vars(request).pop(_AT_401, None)
        if again is None:
            raise SignInNeeded(
                f"{where}: answered 401, the credentials are wrong or have expired; "
                f"renew those of [sources.{self.name}] in .dlt/secrets.toml, or its variables"
            )
        return self._attempt(request, options, where) if again(request) else response

    def _exchange(self, request: PreparedRequest, options: dict[str, Any]) -> Response:
        """One request over the wire, with its body unless it is streamed."""
        limits = self.settings
        timeout = options.get("timeout") or (limits.connect_timeout_seconds, limits.read_timeout_seconds)
        with self._slots:
            self._pace()
            with within(limits.deadline_seconds):
                self._count(requests=1)
                adapter = self.get_adapter(str(request.url))
                response = adapter.send(request, **{**options, "stream": True, "timeout": timeout})
                extract_cookies_to_jar(self.cookies, request, response.raw)
                if not options["stream"]:
                    self._read(response)
        return response

    def _read(self, response: Response) -> None:
        chunks: list[bytes] = []
        size = 0
        for chunk in response.iter_content(65536):
            chunks.append(chunk)
            size += len(chunk)
            if self.settings.max_body_bytes is not None and size > self.settings.max_body_bytes:
                response.close()
                raise SourceError(
                    f"{self.name}: {shown(response.url)}: answered more than {self.settings.max_body_bytes} "
                    f"bytes; ask for less at once, or raise max_body_bytes of [sources.{self.name}.http]"
                )
        response._content = b"".join(chunks)  # where requests keeps a body it has read itself
        self._count(bytes=size)

    def _check_patience(self, fault: _Fault, where: str) -> None:
        cap = self.settings.retry_after_cap_seconds
        if fault.asked > cap:
            raise TryLater(
                f"{where}: {fault.reason} and asks to wait {fault.asked:.0f} s, a run waits {cap:.0f} s at "
                f"most; run again then, or raise retry_after_cap_seconds of [sources.{self.name}.http]"
            )

    def _backoff(self, attempt: int) -> float:
        """Exponential with full jitter."""
        limits = self.settings
        return random.uniform(0, min(limits.backoff_cap_seconds, limits.backoff_seconds * 2 ** (attempt - 1)))

    def _pace(self) -> None:
        if not self.settings.requests_per_second:
            return
        with self._pacing:
            start = max(monotonic(), self._next_start)
            self._next_start = start + 1 / self.settings.requests_per_second
        self._wait(start - monotonic())

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            cut = CUT.get()
            cut.pause(seconds) if cut else sleep(seconds)
            self._count(seconds_waited=seconds)

    def _count(self, **more: float) -> None:
        with _counting:
            for name, amount in more.items():
                setattr(self.counts, name, getattr(self.counts, name) + amount)

    @contextmanager
    def _asking(self, url: str) -> Iterator[None]:
        """Turn what requests says about a URL it cannot ask into one line without the query."""
        try:
            yield
        except UNASKABLE as error:
            raise BadSetting(
                f"{self.name}: {shown(url)}: cannot be asked ({type(error).__name__}); "
                f"check base_url of [sources.{self.name}] and the values that go into the request"
            ) from None  # its text holds the query


def at_401(request: PreparedRequest, again: Callable[[PreparedRequest], bool]) -> None:
    """Let an auth have the first 401 to a request: it signs anew and the request is sent again, or says False."""
    vars(request)[_AT_401] = again


def raise_for_status(response: Response) -> None:
    """SourceError unless the status is 2xx or 3xx."""
    if not response.ok:
        raise SourceError(
            f"{response.request.method} {shown(response.url)}: answered {response.status_code}; "
            "check the arguments of the source, and whether the upstream still offers this"
        )


class Final(Response):
    """An answer that nobody changes any more: all who ask get the document that was parsed already."""

    def json(self, **_: Any) -> Any:
        return document(self)


def document(response: Response) -> Any:
    """The JSON body, parsed once; ValueError when it is none."""
    kept = vars(response)
    if kept.get("_etl_parsed") is not response.content:  # what a function of the spec replaced is parsed anew
        kept["_etl_document"], kept["_etl_parsed"] = Response.json(response), response.content
    return kept["_etl_document"]


def not_json(response: Response) -> str | None:
    """What the body is instead of JSON, or None."""
    try:
        document(response)
    except (ValueError, RecursionError):
        first = response.content.lstrip()[:1]
        return "an empty body" if not first else f"{'a web page' if first == b'<' else 'something else'}, not JSON"
    return None


def sent_at(response: Response) -> datetime:
    """The upstream's clock, or this machine's when it tells none."""
    return _http_date(response.headers.get("Date", "")) or datetime.now(UTC)


def shown(url: str) -> str:
    """A URL for people: without query, fragment and credentials."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a URL that cannot be read"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@dataclass(frozen=True)
class _Fault:
    """Why an attempt did not count, how many seconds the upstream asked for, and what a person may do."""

    reason: str
    asked: float = 0.0
    advice: str = "run again later"
    unreached: bool = False
    passing: bool = False  # whether it says nothing about how much is asked at once
    met: float = field(default_factory=lambda: monotonic())


def _is_address(base: str, location: str) -> bool:
    """Whether a redirect can be read as an address."""
    try:
        _ = urlsplit(urljoin(base, location)).port
    except ValueError:
        return False
    return True


def _broken(error: RequestException, where: str) -> _Fault:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise SourceError(
                f"{where}: its certificate is not valid; check base_url, the clock and any proxy"
            ) from None  # its text holds the query
        if isinstance(cause, TimeoutError):
            return _Fault("no whole answer in time")
        if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, RequestException):
            unreached = any(isinstance(one, NewConnectionError) for one in causes)
            advice = "check the network and base_url, or run again later"
            return _Fault(cause.strerror.lower(), advice=advice, unreached=unreached)
    return _Fault("no whole answer in time" if isinstance(error, Timeout) else "the answer broke off")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _wants_json(request: PreparedRequest) -> bool:
    """Whether nothing but JSON was accepted, e.g. `application/vnd.github+json`."""
    accepted = str(request.headers.get("Accept", "")).lower().split(",")
    return request.method != "HEAD" and all(re.search(r"[/+]json\s*(;|$)", kind) for kind in accepted)


def _settle_encoding(response: Response) -> None:
    """A mark at the start decides, then the header; else `text` would guess from the whole body."""
    guessed = guess_json_utf(response.content)
    if response.encoding is None or guessed != "utf-8":
        response.encoding = guessed or response.encoding


def _drop_secrets(request: PreparedRequest) -> None:
    vars(request).pop(_AT_401, None)  # which would sign it anew
    for name in [name for name in request.headers if SECRET_HEADER.search(name)]:
        del request.headers[name]


def _asked(response: Response) -> float:
    """Seconds from a Retry-After header; 0 for none, one that makes no sense, or a moment that has passed."""
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    until = _http_date(text)
    return max(0.0, (until - sent_at(response)).total_seconds()) if until else 0.0


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _check(name: str, settings: HttpSettings) -> None:
    optional = ("requests_per_second", "max_body_bytes")
    never_zero = (*optional, "deadline_seconds", "connect_timeout_seconds", "read_timeout_seconds")
    for key, value in dict(settings).items():
        if value is None and key in optional:
            continue
        too_small = value < (1 if key in ("max_attempts", "requests_at_once") else 0)
        if too_small or not math.isfinite(value) or (value == 0 and key in never_zero):
            raise BadSetting(f"sources.{name}.http.{key}: {value} cannot work; give a positive number")
