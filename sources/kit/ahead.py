"""Pages of a `rest:` resource that are asked for while those before them are used (docs/adr/0011-pages-ahead.md).

Only pages the API has announced: the one after this, and where a total is told, those after it. dlt's loop, its
paginators, hooks and stop conditions run as ever, in the order of the pages; all they meet is an answer that is there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy, deepcopy
from functools import partial
from itertools import islice
from typing import Any

import dlt
from dlt.common import jsonpath
from dlt.common.configuration.specs import RuntimeConfiguration
from dlt.extract.incremental import Incremental, IncrementalResourceWrapper
from dlt.sources.helpers.rest_client.client import RESTClient
from dlt.sources.helpers.rest_client.paginators import BasePaginator, RangePaginator
from requests import Request

from sources.kit import http
from sources.kit.deadline import CUT, Cut

WAITING_BYTES = 32 * 2**20  # of answers of one resource; large pages are asked for one at a time


class _Reading:
    """The threads of one run; how many there are, the first session to begin a request says."""

    def __init__(self) -> None:
        self._cut = Cut()
        self._threads: ThreadPoolExecutor | None = None

    def threads(self, count: int) -> Executor:
        self._threads = self._threads or ThreadPoolExecutor(count, "ahead", CUT.set, (self._cut,))
        return self._threads

    def end(self) -> None:
        self._cut.make()
        if self._threads:
            self._threads.shutdown(wait=False, cancel_futures=True)


_READING: ContextVar[_Reading | None] = ContextVar("reading", default=None)


@contextmanager
def reading_ahead() -> Iterator[None]:
    """Ask for pages ahead while the block lasts; what is on its way at its end is cut off."""
    reading = _Reading()
    token = _READING.set(reading)
    try:
        yield
    finally:
        _READING.reset(token)
        reading.end()


class Ahead(BasePaginator):
    """A paginator of dlt's, or None to find out which, whose next pages are asked for before their turn."""

    def __init__(self, pages: BasePaginator | None, session: http.Session) -> None:
        super().__init__()
        self._pages, self._session = pages, session
        self._begun: deque[http.Begun] = deque()
        self._room = 0
        self._end: int | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Ahead:
        return Ahead(deepcopy(self._pages, memo), self._session)

    @property
    def has_next_page(self) -> bool:
        """What dlt's paginator says."""
        return self._pages is None or self._pages.has_next_page

    def init_request(self, request: Request) -> None:
        """Lead to the first page."""
        self._begun.clear()
        if self._pages is not None:
            self._pages.init_request(request)

    def update_state(self, response: http.Response, data: list[Any] | None = None) -> None:
        """Take in the answer with a page."""
        if self._pages is None:
            client = RESTClient("", session=self._session, config=RuntimeConfiguration())
            self._pages = client.detect_paginator(response, data)
        self._pages.update_state(response, data)
        self._room = _room(response, self._session) if self._pages.has_next_page else 0
        self._end = _end(response, self._pages) if self._room > 1 else None

    def update_request(self, request: Request) -> None:
        """Lead to the next page, which is on its way from now on, as are those after it for which there is room."""
        assert self._pages is not None
        self._pages.update_request(request)
        if reading := _READING.get():
            self._begin(islice(self._announced(request), len(self._begun), self._room), reading)
        if self._begun:
            self._session.take_up(request, self._begun.popleft())

    def _announced(self, request: Request) -> Iterator[Request]:
        """The pages there are, from the next one on, as far as the API has told."""
        yield _copy(request)
        page = copy(self._pages)
        while isinstance(page, RangePaginator) and self._end is not None:
            page.current_value += page.value_step
            if page.current_value >= self._end:
                return
            later = _copy(request)
            page.update_request(later)
            yield later

    def _begin(self, pages: Iterator[Request], reading: _Reading) -> None:
        for page in pages:
            begun = self._session.begin(page, reading.threads(self._session.settings.requests_at_once - 1))
            if begun is None:
                return
            self._begun.append(begun)


def _room(response: http.Response, session: http.Session) -> int:
    """How many pages may be on their way or wait, so that one request is left for what has its turn.

    One where pages are large, or where a row that moves on to a later page meanwhile would be behind the cursor for
    good; none where the upstream asks for less, or dlt stops amid the pages as the cursor knows the order of the rows.
    """
    cursor = _cursor()
    if _READING.get() is None or session.throttled or (cursor and cursor.row_order):
        return 0
    at_most = 1 if cursor else max(1, WAITING_BYTES // max(1, len(response.content)))
    return min(session.settings.requests_at_once - 1, at_most)


def _cursor() -> Incremental[Any] | None:
    """What the resource remembers from run to run."""
    cursor = dlt.current.resource().incremental
    return cursor.incremental if isinstance(cursor, IncrementalResourceWrapper) else cursor


def _end(response: http.Response, pages: BasePaginator) -> int | None:
    """The number before which the last page begins, where it is a total that tells the end."""
    if not isinstance(pages, RangePaginator) or pages.total_path is None or pages.has_more_path is not None:
        return None
    total = int(jsonpath.find_values(pages.total_path, response.json())[0]) + pages.base_index
    return total if pages.maximum_value is None else min(total, pages.maximum_value)


def _copy(request: Request) -> Request:
    """The same request, which a paginator may change without changing this one."""
    copied = copy(request)
    copied.params, copied.json, copied.data = deepcopy((request.params, request.json, request.data))
    return copied


def each(session: http.Session, addresses: Iterable[str]) -> Iterator[Callable[[], http.Response]]:
    """For each address what gives its answer, to be called before the next is taken; those after it are on their way.

    Whoever stops amid them has asked for as many too many as are asked for at once.
    """
    rest = iter(addresses)
    waiting: deque[tuple[Request, http.Begun | None]] = deque()
    while True:
        for address in islice(rest, max(0, _places(session) - len(waiting))):
            request = Request("GET", address)
            waiting.append((request, _begun(session, request)))
        if not waiting:
            return
        request, begun = waiting.popleft()
        if begun:
            session.take_up(request, begun)
        yield partial(_answer, session, request)


def _places(session: http.Session) -> int:
    """How many requests may be begun or wait, the one that has its turn included."""
    return 1 if _READING.get() is None or session.throttled else session.settings.requests_at_once


def _begun(session: http.Session, request: Request) -> http.Begun | None:
    reading = _READING.get()
    if reading is None or _places(session) == 1:
        return None
    return session.begin(_copy(request), reading.threads(session.settings.requests_at_once - 1), is_sure=True)


def _answer(session: http.Session, request: Request) -> http.Response:
    prepared = session.prepare_request(request)
    options = session.merge_environment_settings(str(prepared.url), {}, None, None, None)
    return session.send(prepared, **options)
