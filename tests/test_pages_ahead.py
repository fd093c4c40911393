"""Pages under `rest:` that are asked for ahead: the rows, errors and hooks of one page after the other, only sooner."""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from dlt.extract.exceptions import ResourceExtractionError

from pipelines import build, environment, order
from pipelines.specs import spec as specs
from sources.kit import ahead, http
from tests import killed
from tests.scripted_server import RESET, Asked, Server, Steps, reply, serving

SPEC = """\
name: shop
about: Pages of two rows.
rest:
  client: {base_url: "http://127.0.0.1:9/", paginator: %(paginator)s%(client)s}
  resource_defaults: {write_disposition: merge, primary_key: id, endpoint: {response_actions: [noted]}}
  resources:
    - {name: things, endpoint: {path: things, data_selector: items%(endpoint)s}}
%(more)s"""
CHILDREN = """\
    - name: parts
      endpoint: {path: "things/{resources.things.id}/parts", data_selector: items}
      include_from_parent: [id]
"""
SOURCE = """\
import threading

import dlt

NOTED = []


def noted(response):
    main = threading.current_thread() is threading.main_thread()
    NOTED.append((response.request.path_url, response.status_code, main, dlt.current.resource_name()))


def unwrap(response):
    inner = response.json()["d"]
    response.json = lambda **_: inner
"""
PAGES = 6
POST = ", method: POST, json: {query: all}"
KINDS = {  # paginator, more of the endpoint
    "page number": ("{type: page_number, base_page: 1, total_path: pages}", ""),
    "from page 2 of pages from 0": ("{type: page_number, page: 2, total_path: pages}", ""),
    "up to a page": ("{type: page_number, base_page: 1, total_path: pages, maximum_page: 5}", ""),
    "has more": ("{type: page_number, base_page: 1, total_path: rows, has_more_path: more}", ""),
    "page number in a body": ("{type: page_number, base_page: 1, total_path: pages, page_body_path: at.page}", POST),
    "offset": ("{type: offset, limit: 2, total_path: rows}", ""),
    "offset without limit": ("{type: offset, limit: 2, total_path: rows, stop_after_empty_page: false}", ""),
    "link": ("{type: json_link, next_url_path: next}", ""),
    "link in a header": ("header_link", ""),
    "found by dlt": ("auto", ""),
    "cursor": ("{type: cursor, cursor_path: cursor, cursor_param: page}", ""),
    "cursor in a body": ("{type: cursor, cursor_path: cursor, cursor_body_path: at.page}", POST),
    "cursor in a header": ("{type: header_cursor, cursor_key: X-Next, cursor_param: page}", ""),
    "one page": ("single_page", ""),
}
NUMBERED = ("page number", "page number in a body", "offset")
FOLLOWED = ("link", "link in a header", "found by dlt", "cursor", "cursor in a body", "cursor in a header")


@dataclass
class Shop:
    """An API of two rows a page; `faults` come first, page by page, and `told` is the total it tells on a page."""

    faults: dict[int, list[Steps | int]] = field(default_factory=dict)
    told: dict[int, int] = field(default_factory=dict)
    hold: Callable[[int], None] = lambda page: None
    zero: int = 1  # the number of the first page
    pages: int = PAGES
    wrapped: bool = False

    def __call__(self, asked: Asked) -> Steps:
        page = self.page(asked)
        self.hold(page)
        left = self.faults.get(page, [])
        fault = (left.pop(0) if len(left) > 1 else left[0]) if left else 200
        if fault != 200:
            return reply(fault) if isinstance(fault, int) else fault
        last = self.zero + self.pages - 1
        path = urlsplit(asked.path).path
        more = {"next": f"{path}?page={page + 1}", "cursor": str(page + 1)} if page < last else {}
        rows = [{"id": page * 2 + at} for at in (0, 1)] if self.zero <= page <= last else []
        total = self.told.get(page, self.pages)
        headers = {"Link": f'<{path}?page={page + 1}>; rel="next"', "X-Next": str(page + 1)} if more else {}
        body = {"items": rows, "pages": total, "rows": total * 2, "more": page < last, **more}
        return reply(body={"items": [], "d": body} if self.wrapped else body, headers=headers)

    def page(self, asked: Asked) -> int:
        """Which page a request is for."""
        query = {name: int(values[0]) for name, values in parse_qs(urlsplit(asked.path).query).items()}
        query |= {name: int(value) for name, value in json.loads(asked.body or b"{}").get("at", {}).items()}
        return query["offset"] // 2 + self.zero if "offset" in query else query.get("page", self.zero)


@pytest.fixture
def shop(workspace):
    """Opens the resources of a spec, over a server, without a pipeline."""
    made = workspace()
    made.write("sources/shop.py", SOURCE)

    def spec(kind: str, *, endpoint: str = "", client: str = "", more: str = "") -> None:
        paginator, own = KINDS[kind]
        parts = {"paginator": paginator, "endpoint": own + endpoint, "client": client, "more": more}
        made.write("specs/shop.yaml", SPEC % parts)

    def source(server: Server, at_once: int, **settings: Any) -> Any:
        found, chosen = environment.load(made.root, "test"), specs.load(made.root, "shop")
        quick = {"backoff_seconds": 0.01, "max_attempts": 3, "requests_at_once": at_once, **settings}
        overrides = {"base_url": f"{server.url}/", "credentials.client_secret": "s"}
        overrides |= {f"http.{name}": value for name, value in quick.items()}
        overrides = {f"sources.shop.{name}": value for name, value in overrides.items()}
        order.settle(found, chosen, order.Order(overrides=overrides))
        return build.build(made.root, chosen)

    made.spec, made.source = spec, source
    return made


@dataclass
class Read:
    """What came of reading: rows and hooks in order, the error, the requests."""

    rows: list[Any]
    error: str
    noted: list[Any]
    asked: list[tuple[str, bytes]]


def read(shop: Any, api: Shop, at_once: int, **settings: Any) -> Read:
    """Read all there is; with one request at once, one page after the other."""
    with serving(api) as server, ahead.reading_ahead():
        source = shop.source(server, at_once, **settings)
        sys.modules["sources.shop"].NOTED.clear()
        rows, error = [], ""
        try:
            for row in source:
                rows.append(row)
        except ResourceExtractionError as raised:
            error = str(raised.__cause__).replace(server.url, "")
        noted = list(sys.modules["sources.shop"].NOTED)
    return Read(rows, error, noted, [(one.path, one.body) for one in server.asked])


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_pages_in_the_same_order_and_no_request_more(shop, kind):
    shop.spec(kind, client=", headers: {X-One: two}")
    zero = 0 if "from 0" in kind else 1
    one, many = read(shop, Shop(zero=zero), 1), read(shop, Shop(zero=zero), 4)
    assert (one.error, len(one.rows) > 0) == ("", True)
    assert (many.rows, many.error, many.noted) == (one.rows, one.error, one.noted)
    assert sorted(many.asked) == sorted(one.asked)
    assert all(main for _, _, main, _ in many.noted)


FAULTS: dict[str, dict[str, Any]] = {
    "500, then well": {"faults": {3: [500, 200]}},
    "each page 503 once": {"faults": {page: [503, 200] for page in range(1, PAGES + 1)}},
    "429, then well": {"faults": {3: [reply(429, headers={"Retry-After": "0"}), 200]}},
    "a page that is away": {"faults": {4: [404]}},
    "a page that fails for good": {"faults": {3: [500]}},
    "two that fail": {"faults": {4: [401], 3: [400]}},
    "no credentials any more": {"faults": {4: [401]}},
    "an hour's patience": {"faults": {4: [reply(429, headers={"Retry-After": "3600"})]}},
    "an error with 200": {"faults": {4: [reply(body={"message": "no"})]}},
    "nothing": {"faults": {4: [204]}},
    "a page without rows": {"faults": {4: [reply(body={"items": [], "pages": 9, "rows": 18, "more": True})]}},
    "a link that is none": {"faults": {3: [reply(body={"items": [{"id": 1}], "next": "http:///x", "pages": 9})]}},
    "no total any more": {"faults": {3: [reply(body={"items": [{"id": 1}]})]}},
    "redirects": {"faults": {3: [reply(302, headers={"Location": "/things?page=3"}), 200]}},
    "out of order": {"faults": {2: [[0.1, *reply(503)], 200], 3: [[0.05, *reply(503)], 200]}},
    "the total grows": {"told": {1: 3, 2: 4, 3: 5}},
    "the total shrinks": {"told": dict.fromkeys(range(3, PAGES + 1), PAGES - 2)},
    "more is told than there is": {"told": dict.fromkeys(range(1, 60), 40)},
}


@pytest.mark.parametrize("kind", ["page number", "link", "cursor in a body"])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_met_where_they_are_met_one_after_the_other(shop, kind, fault):
    shop.spec(kind)
    one, many = (read(shop, Shop(**_fresh(FAULTS[fault])), at_once) for at_once in (1, 4))
    assert (many.rows, many.error, many.noted) == (one.rows, one.error, one.noted)
    assert len(many.asked) <= len(one.asked) + 3


def _fresh(given: dict[str, Any]) -> dict[str, Any]:
    return {name: {page: list(v) if isinstance(v, list) else v for page, v in of.items()} for name, of in given.items()}


def test_reading_anew_begins_anew(shop):
    shop.spec("one page", endpoint=f", paginator: {KINDS['page number'][0]}")
    with serving(Shop()) as server, ahead.reading_ahead():
        source = shop.source(server, 4)
        first = next(iter(source))
        ids = [row["id"] for row in source]
    assert (first["id"], ids) == (2, list(range(2, 14)))


def test_children_are_read_as_one_after_the_other(shop):
    shop.spec("page number", more=CHILDREN)
    one, many = read(shop, Shop(pages=3), 1), read(shop, Shop(pages=3), 4)
    assert (one.error, len(one.rows)) == ("", 6 + 6 * 6)
    assert (many.rows, many.error, many.noted, sorted(many.asked)) == (one.rows, "", one.noted, sorted(one.asked))


def test_a_token_is_asked_for_once(shop):
    auth = ", auth: {type: oauth2_client_credentials, access_token_url: '%s/token', client_id: me}"
    api, tokens = Shop(), []

    def answer(asked: Asked) -> Steps:
        tokens.append(asked.headers.get("authorization"))
        return reply(body={"access_token": "t", "expires_in": 60}) if asked.path == "/token" else api(asked)

    with serving(answer) as server, ahead.reading_ahead():
        shop.spec("page number", client=auth % server.url)
        rows = list(shop.source(server, 4))
    assert (len(rows), tokens) == (12, [None, *["Bearer t"] * PAGES])


@pytest.mark.parametrize("kind", NUMBERED)
def test_numbered_pages_are_on_their_way_at_the_same_time(shop, kind):
    shop.spec(kind)
    together = threading.Barrier(3)
    api = Shop(hold=lambda page: together.wait(20) and None if page in (2, 3, 4) else None)
    assert len(read(shop, api, 4).rows) == PAGES * 2


@contextmanager
def standing_still(shop: Any, api: Shop, at_once: int = 4, rows: int = 1, **settings: Any) -> Iterator[Server]:
    """Take some rows and no more; what had begun by then has been answered."""
    with serving(api) as server, ahead.reading_ahead():
        left = iter(shop.source(server, at_once, **settings))
        for _ in range(rows):
            next(left)
        threads = ahead._READING.get()._threads
        if threads:
            threads.shutdown(wait=True)
        yield server


def pages_of(server: Server) -> list[int]:
    return sorted(Shop().page(asked) for asked in server.asked)


@pytest.mark.parametrize("kind", [*NUMBERED, *FOLLOWED, "has more"])
@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_no_more_pages_wait_than_there_is_room_for(shop, kind, at_once):
    shop.spec(kind)
    with standing_still(shop, Shop(), at_once) as server:
        assert pages_of(server) == [1, 2, 3, 4][: at_once if kind in NUMBERED else min(at_once, 2)]


def test_large_pages_wait_alone(shop, monkeypatch):
    monkeypatch.setattr(ahead, "WAITING_BYTES", 100)
    shop.spec("page number")
    with standing_still(shop, Shop()) as server:
        assert pages_of(server) == [1, 2]


LESS = {  # what page 3 meets ahead, the waits, and the pages asked for until its rows are there
    "429": (reply(429, headers={"Retry-After": "7"}), [5], [1, 2, 3, 3]),
    "403": (reply(403), [], [1, 2, 3, 3]),
    "401": (reply(401), [], [1, 2, 3, 3]),
    "broken": ([RESET], [], [1, 2, 3, 3]),
    "503 for a while": (reply(503, headers={"Retry-After": "7"}), [5], [1, 2, 3, 3]),
    "503": (reply(503), [], [1, 2, 3, 3, 4]),
}


@pytest.mark.parametrize("fault", LESS)
def test_an_upstream_that_may_mind_is_asked_for_one_page_after_the_other(shop, monkeypatch, fault):
    answer, expected, pages = LESS[fault]
    waits: list[float] = []
    now = iter([100.0])
    monkeypatch.setattr(http, "sleep", waits.append)
    monkeypatch.setattr(http, "monotonic", lambda: next(now, 102.0))
    shop.spec("page number")
    with standing_still(shop, Shop(faults={3: [answer, 200]}), at_once=2, rows=5) as server:
        assert pages_of(server) == pages
    assert waits == expected


ONLY_AHEAD = {
    "an hour's patience": reply(429, headers={"Retry-After": "3600"}),
    "no more than one": reply(403),
    "no credentials": reply(401),
    "broken": [RESET],
    "too much": reply(body={"items": [], "much": "x" * 2000}),
}


@pytest.mark.parametrize("fault", ONLY_AHEAD)
def test_what_goes_wrong_ahead_is_asked_for_again_when_nothing_else_is(shop, fault):
    shop.spec("page number")
    together, again, alone = threading.Barrier(3), threading.Event(), []

    def hold(page: int) -> None:
        asked.append(page)
        if asked.count(page) == 1 and page in (2, 3, 4):
            together.wait(20)
        if page == 4 and asked.count(4) == 1:
            alone.append(not again.wait(0.5))
        if page == 3 and asked.count(3) == 2:
            again.set()

    asked: list[int] = []
    bad = ONLY_AHEAD[fault]
    done = read(shop, Shop(faults={3: [bad, 200], 4: [bad, 200]}, hold=hold), 4, max_attempts=1, max_body_bytes=1000)
    assert (done.error, len(done.rows), alone) == ("", PAGES * 2, [True])


def test_what_went_wrong_ahead_is_signed_anew(shop):
    auth = ", auth: {type: oauth2_client_credentials, access_token_url: '%s/token', client_id: me}"
    api, tokens = Shop(faults={3: [503, 200]}), []

    def answer(asked: Asked) -> Steps:
        if asked.path == "/token":
            return reply(body={"access_token": f"t{len(server.asked)}", "expires_in": 0})
        if api.page(asked) == 3:
            tokens.append(asked.headers["authorization"])
        return api(asked)

    with serving(answer) as server, ahead.reading_ahead():
        shop.spec("page number", client=auth % server.url)
        assert len(list(shop.source(server, 4))) == PAGES * 2
    assert len(set(tokens)) == 2


class OneConnection(BaseHTTPRequestHandler):
    """Serves one connection for as long as the other side keeps it; nobody else is heard meanwhile."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        answer = Shop()(Asked("GET", self.path, {}, b""))
        self.wfile.write(answer[0].replace(b"Connection: close\r\n", b""))
        self.server.held = self.connection

    def log_message(self, *_: Any) -> None:
        """Nothing to stderr."""


@contextmanager
def serving_one_connection() -> Iterator[Server]:
    with HTTPServer(("127.0.0.1", 0), OneConnection) as listener:
        listener.handle_error = lambda *_: None  # of one who has gone
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        try:
            yield Server(f"http://127.0.0.1:{listener.server_port}")
        finally:
            with suppress(OSError):
                listener.held.shutdown(socket.SHUT_RDWR)
            listener.shutdown()


def test_an_upstream_of_one_connection_is_read_to_its_end(shop):
    shop.spec("page number")
    with serving_one_connection() as server, ahead.reading_ahead():
        rows = list(shop.source(server, 4, read_timeout_seconds=1))
    assert len(rows) == PAGES * 2


CURSORS = {
    "may stop at any page": (", incremental: {cursor_path: id, initial_value: 0, row_order: desc}", [1]),
    "would not see again a row that moved on": (", incremental: {cursor_path: id, initial_value: 0}", [1, 2]),
    "in a parameter": (", params: {since: {type: incremental, cursor_path: id, initial_value: 0}}", [1, 2]),
}


@pytest.mark.parametrize("cursor", CURSORS)
def test_with_a_cursor_pages_are_read_in_their_order(shop, cursor):
    endpoint, pages = CURSORS[cursor]
    shop.spec("page number", endpoint=endpoint)
    with standing_still(shop, Shop()) as server:
        assert pages_of(server) == pages


def test_a_total_is_read_where_the_spec_puts_it(shop):
    shop.spec("page number", endpoint=", response_actions: [unwrap]")
    assert len(read(shop, Shop(wrapped=True), 4).rows) == PAGES * 2


def test_a_run_reads_ahead_and_a_limited_one_does_not(shop):
    shop.spec("page number")
    together = threading.Barrier(3)
    held = Shop(hold=lambda page: together.wait(20) and None if page in (2, 3, 4) else None)
    with serving(held) as server:
        result = shop.etl("run", "shop", "--env", "test", SOURCES__SHOP__BASE_URL=f"{server.url}/")
    assert result.code == 0, result.err
    assert shop.query("SELECT id FROM shop.things ORDER BY id") == [(id_,) for id_ in range(2, 14)]
    with serving(Shop()) as server:
        variables = {"SOURCES__SHOP__BASE_URL": f"{server.url}/"}
        assert shop.etl("run", "shop", "--env", "test", "--limit", "3", **variables).code == 0
    assert pages_of(server) == [1, 2]


def of_ahead() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


PATIENT = {"read_timeout_seconds": 200, "deadline_seconds": 200}


@pytest.mark.parametrize(("settings", "asked"), [({}, 4), ({"requests_per_second": 0.001}, 1)])
def test_threads_end_with_what_reads(shop, settings, asked):
    """They wait for answers that never come, or for their time to ask."""
    shop.spec("page number")
    never = threading.Event()
    api = Shop(hold=lambda page: never.wait(600) and None if page > 1 else None)
    with serving(api) as server:
        with ahead.reading_ahead():
            left = iter(shop.source(server, 4, **PATIENT, **settings))
            next(left)
            killed.until(lambda: len(server.asked) == asked and len(of_ahead()) == 3)
        killed.until(lambda: not of_ahead())
        assert len(server.asked) == asked
        never.set()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_does_not_wait_for_pages_ahead(shop, number, code):
    shop.spec("page number")
    go_on, never = threading.Event(), threading.Event()
    api = Shop(
        hold=lambda page: {2: go_on, 3: never, 4: never}.get(page, go_on).wait(600) and None if page > 1 else None
    )
    with serving(api) as server:
        settings = {f"SOURCES__SHOP__HTTP__{name.upper()}": str(value) for name, value in PATIENT.items()}
        with shop.spawn(
            "run", "shop", "--env", "test", SOURCES__SHOP__BASE_URL=f"{server.url}/", **settings
        ) as process:
            killed.until(lambda: process.poll() is not None or len(server.asked) == 4)
            process.send_signal(number)
            go_on.set()
            _, err = process.communicate(timeout=50)
        never.set()
    assert (process.returncode, "stopped by a signal" in err) == (code, True), err
