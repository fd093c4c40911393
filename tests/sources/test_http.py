"""The HTTP client against a server that misbehaves on the wire."""

import contextlib
import gzip
import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import dlt
import pytest
from dlt.extract.exceptions import ResourceExtractionError
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator

from sources.kit import http
from sources.kit.errors import BadSetting, SignInNeeded, SourceError, TryLater
from tests.scripted_server import RESET, head, in_turn, reply, serving

GOOD = reply(body={"ok": True})
PAGE = reply(body=b"<!DOCTYPE html><html></html>", headers={"Content-Type": "text/html"})
BODY = b'{"ok": true}'


def session(name="probe", **settings):
    quick = {"backoff_seconds": 0.01, "deadline_seconds": 5.0, "read_timeout_seconds": 2.0, "max_attempts": 3}
    return http.open_session(name, **{**quick, **settings})


@pytest.fixture(autouse=True)
def _from_zero():
    http.reset_counts()


@pytest.fixture
def waits(monkeypatch):
    """What the client would have slept; it does not."""
    slept = []
    monkeypatch.setattr(http, "sleep", slept.append)
    return slept


FAULTS = {
    "503": reply(503),
    "500 with a page": reply(500, b"<html>"),
    "502": reply(502),
    "504": reply(504),
    "408": reply(408),
    "425": reply(425),
    "429 without Retry-After": reply(429),
    "429 with Retry-After 0": reply(429, headers={"Retry-After": "0"}),
    "429 with a past date": reply(429, headers={"Retry-After": "Fri, 01 Mar 2024 00:00:01 GMT"}),
    "429 with nonsense": reply(429, headers={"Retry-After": "soon"}),
    "reset": [RESET],
    "closed without a word": [b""],
    "reset amid the body": [head(length=100) + b'{"a"', RESET],
    "shorter than Content-Length": [head(length=100) + BODY],
    "chunks that break off": [head(headers={"Transfer-Encoding": "chunked"}) + b"5\r\n[1,2,\r\n"],
    "gzip that breaks off": [head(headers={"Content-Encoding": "gzip"}) + gzip.compress(BODY)[:-12]],
    "gzip that is none": [head(headers={"Content-Encoding": "gzip"}) + BODY],
    "half a line of headers": [b"HTTP/1.1 200 OK\r\nContent-Le"],
    "a web page": PAGE,
    "an empty 200": reply(body=b""),
    "JSON cut in the middle": reply(body=b'{"ok": tr'),
    "bottomless JSON": reply(body=b"[" * 200_000),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_passing_fault_is_not_seen(fault, waits):
    with serving(in_turn(fault, fault, GOOD)) as server, session() as client:
        assert client.json(server.url + "/x") == {"ok": True}
    assert server.paths == ["/x"] * 3
    assert client.counts.requests == 3
    assert client.counts.retries == 2


LASTING = {
    "503": (reply(503), "answered 503 in 3 attempts; run again later"),
    "429": (reply(429), "answered 429 in 3 attempts; run again later"),
    "reset": ([RESET], "in 3 attempts; "),
    "broken": ([head(length=100) + BODY], "the answer broke off in 3 attempts; run again later"),
    "page": (PAGE, "answered with a web page, not JSON in 3 attempts; check base_url, or run again later"),
    "text": (reply(body=b"pong"), "answered with something else, not JSON in 3 attempts"),
}


@pytest.mark.parametrize(("fault", "says"), LASTING.values(), ids=LASTING.keys())
def test_a_lasting_fault_asks_for_time(fault, says, waits):
    with serving(in_turn(fault)) as server, session() as client, pytest.raises(TryLater) as raised:
        client.get(server.url + "/x?token=hidden")
    assert len(server.asked) == 3
    assert str(raised.value).startswith(f"probe: GET {server.url}/x: ")
    assert says in str(raised.value)
    assert "hidden" not in str(raised.value)


def test_nobody_listens(waits):
    with serving(in_turn(GOOD)) as server:
        pass
    with (
        session() as client,
        pytest.raises(TryLater, match="connection refused in 3 attempts; check the network"),
    ):
        client.get(server.url)


NOWHERE = {
    "nobody listens": ("http://127.0.0.1:9/x?token=hidden", "connection refused"),
    "no such name": ("http://nobody.invalid/x?token=hidden", "name resolution|not known"),
}


@pytest.mark.parametrize(("url", "says"), NOWHERE.values(), ids=NOWHERE)
def test_what_cannot_be_reached_is_given_up_soon_and_each_wait_is_told(url, says, waits, monkeypatch, caplog):
    monkeypatch.setattr(http.random, "uniform", lambda low, high: high)
    patient = {"max_attempts": 8, "backoff_seconds": http.HttpSettings.backoff_seconds}
    with session(**patient) as client, pytest.raises(TryLater, match=f"({says}).* in 5 attempts; check the network"):
        client.get(url)
    assert sum(waits) <= 8
    told = [record.getMessage() for record in caplog.records if record.name == "etl.http"]
    assert [line.rpartition("; ")[2] for line in told] == [
        f"trying again in {wait:.1f} s ({attempt} of 5)" for attempt, wait in enumerate(waits, 2)
    ]
    assert all(line.startswith(f"probe: GET {url.partition('?')[0]}: ") for line in told)


def test_the_resource_that_runs_is_named(waits):
    @dlt.resource
    def things():
        with session() as client:
            yield client.get(server.url)

    with serving(in_turn(reply(503))) as server, pytest.raises(ResourceExtractionError) as raised:
        list(things())
    assert str(raised.value.__cause__).startswith(f"probe.things: GET {server.url}/: answered 503")


LATE = b'{"late": true}'
CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(LATE), LATE)


def drip(text, pause=0.05):
    return [step for byte in text for step in (bytes([byte]), pause)]


DRIPS = {  # each would be whole after a second or so
    "body": [head(length=len(LATE)), *drip(LATE, 0.1)],
    "chunked body": [head(headers={"Transfer-Encoding": "chunked"}), *drip(CHUNK)],
    "gzip body": [head(headers={"Content-Encoding": "gzip"}), *drip(gzip.compress(LATE))],
    "headers": [b"HTTP/1.1 200 OK\r\n", *[b"X-A: 1\r\n", 0.05] * 20, b"\r\n" + LATE],
    "one header": [b"HTTP/1.1 200 OK\r\nX-A: ", *drip(b"a" * 20), b"\r\n\r\n" + LATE],
    "redirect": [head(301, {"Location": "/late"}, 20), *drip(b" " * 20)],
    "silence": [1.0, *reply(body=LATE)],
}


@pytest.mark.parametrize("slow", DRIPS.values(), ids=DRIPS.keys())
def test_a_drip_is_cut_at_the_deadline(slow):
    """Each pause is far shorter than the read timeout, so only the deadline can cut it."""
    with serving(in_turn(slow, GOOD)) as server, session(deadline_seconds=0.3, max_attempts=2) as client:
        assert client.json(server.url) == {"ok": True}
    assert server.paths == ["/", "/"]


def test_a_drip_for_ever_is_one_line():
    with (
        serving(in_turn(DRIPS["body"])) as server,
        session(deadline_seconds=0.2, max_attempts=2) as client,
        pytest.raises(TryLater, match="no whole answer in time in 2 attempts"),
    ):
        client.get(server.url)


def test_a_slow_body_within_the_deadline_arrives():
    slow = [head(length=len(BODY)), *drip(BODY, 0.01)]
    with serving(in_turn(slow)) as server, session() as client:
        assert client.json(server.url) == {"ok": True}


def test_the_read_timeout_ends_a_silence_before_the_deadline():
    with (
        serving(in_turn([1.0, *reply(body=LATE)], GOOD)) as server,
        session(read_timeout_seconds=0.1, deadline_seconds=60.0) as client,
    ):
        assert client.json(server.url) == {"ok": True}


def test_a_streamed_body_is_left_to_the_caller_under_the_deadline():
    slow = [head(length=25), b"first", *drip(b" " * 20)]
    with serving(in_turn(slow)) as server, session(deadline_seconds=0.3) as client:
        response = client.get(server.url, stream=True)
        chunks = response.iter_content(5)
        assert next(chunks) == b"first"
        with pytest.raises(http.requests.ConnectionError):
            list(chunks)


@pytest.mark.parametrize(
    ("header", "waited"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": " 7.5 "}, 7.5),
        ({"Retry-After": "Fri, 01 Mar 2024 00:00:11 GMT", "Date": "Fri, 01 Mar 2024 00:00:01 GMT"}, 10),
        ({"Retry-After": "Fri, 01 Mar 2024 00:00:11 -0000", "Date": "Fri, 01 Mar 2024 00:00:01 GMT"}, 10),
    ],
)
def test_retry_after_is_honoured(header, waited, waits):
    with serving(in_turn(reply(429, headers=header), GOOD)) as server, session() as client:
        assert client.json(server.url) == {"ok": True}
    assert waits == [waited]
    assert client.counts.seconds_waited == waited


def test_retry_after_as_a_date_counts_on_this_clock_without_a_date_header(waits):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    with serving(in_turn(reply(503, headers={"Retry-After": later}), GOOD)) as server, session() as client:
        client.get(server.url)
    assert 30 < waits[0] <= 60


@pytest.mark.parametrize("after", ["121", "86400", "Fri, 01 Jan 2100 00:00:00 GMT", "9" * 400])
def test_more_patience_than_the_cap_ends_at_once(after, waits):
    says = r"asks to wait \w+ s, a run waits 120 s at most; .*retry_after_cap_seconds"
    refusal = reply(429, headers={"Retry-After": after})
    with serving(in_turn(refusal)) as server, session() as client, pytest.raises(TryLater, match=says):
        client.get(server.url)
    assert len(server.asked) == 1
    assert waits == []


def test_a_source_may_end_the_run_where_it_would_ask_again(waits):
    refusals = [reply(429, {"reason": "rate"}), reply(429, {"reason": "quota"}, {"Retry-After": "1"}), GOOD]
    with serving(in_turn(*refusals)) as server, session() as client:
        client.verdict = lambda response: TryLater("used up") if response.json()["reason"] == "quota" else None
        with pytest.raises(TryLater, match=r"^used up$"):
            client.get(server.url)
    assert (len(server.asked), len(waits)) == (2, 1)


@pytest.mark.parametrize(
    "after", ["0", "-5", "nan", "inf", "1e3", "Fri, 01 Mar 2024 00:00:01 GMT", "Mon, 01 Jan 0001 00:00:00 +2359"]
)
def test_retry_after_without_patience_still_backs_off(after, waits, monkeypatch):
    monkeypatch.setattr(http.random, "uniform", lambda low, high: high)
    refusal = reply(429, headers={"Retry-After": after})
    with (
        serving(in_turn(refusal)) as server,
        session(backoff_seconds=1.0, backoff_cap_seconds=5.0, max_attempts=6) as client,
        pytest.raises(TryLater),
    ):
        client.get(server.url)
    assert waits == [1, 2, 4, 5, 5]


@pytest.mark.parametrize(
    ("method", "retry_post", "requests"),
    [
        ("GET", False, 3),
        ("HEAD", False, 3),
        ("OPTIONS", False, 3),
        ("POST", False, 1),
        ("POST", True, 3),
        ("PUT", True, 1),
    ],
)
def test_only_what_may_be_repeated_is(method, retry_post, requests, waits):
    with (
        serving(in_turn(reply(503))) as server,
        session(retry_post=retry_post) as client,
        pytest.raises(TryLater),
    ):
        client.request(method, server.url, data=b"x" if method == "POST" else None)
    assert [one.method for one in server.asked] == [method] * requests


def test_a_repeated_post_sends_its_body_again(waits):
    with serving(in_turn([RESET], GOOD)) as server, session(retry_post=True) as client:
        client.post(server.url, json={"page": 1})
    assert [json.loads(one.body) for one in server.asked] == [{"page": 1}] * 2


def test_401_needs_a_person():
    says = r"renew those of \[sources\.probe\] in \.dlt/secrets\.toml, or its variables"
    with serving(in_turn(reply(401))) as server, session() as client, pytest.raises(SignInNeeded, match=says):
        client.get(server.url)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [204, 400, 403, 404, 410, 422, 501])
def test_other_statuses_are_returned(status):
    with serving(in_turn(reply(status))) as server, session() as client:
        assert client.get(server.url).status_code == status
    assert len(server.asked) == 1


@pytest.mark.parametrize("condition", ["If-None-Match", "If-Modified-Since"])
def test_not_changed_is_for_who_asked(condition):
    with serving(in_turn(reply(304))) as server, session() as client:
        assert client.get(server.url, headers={condition: "x"}).status_code == 304
        with pytest.raises(SourceError, match="though nothing was asked before; check any proxy"):
            client.get(server.url)


@pytest.mark.parametrize("location", ["http://[", "//[::1", "http://127.0.0.1:99999/", "http://host:port/"])
def test_a_redirect_to_what_is_no_address_is_one_line(location):
    away = reply(302, headers={"Location": f"{location}?token=hidden"})
    with serving(in_turn(away)) as server, session() as client, pytest.raises(SourceError) as raised:
        client.get(f"{server.url}/x")
    said = "answered 302 with a Location that is no address; check base_url, and whether the upstream has changed"
    assert str(raised.value) == f"probe: GET {server.url}/x: {said}"


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_to_nowhere_is_one_line(status):
    with serving(in_turn(reply(status))) as server, session() as client, pytest.raises(SourceError) as raised:
        client.get(f"{server.url}/x?token=hidden")
    assert str(raised.value) == (
        f"probe: GET {server.url}/x: answered {status} without a Location; check base_url and path"
    )


@pytest.mark.parametrize("accept", ["application/vnd.github+json", "application/json;q=1, text/json"])
def test_a_web_page_is_a_fault_for_who_accepts_only_kinds_of_json(accept, waits):
    with serving(in_turn(PAGE, GOOD)) as server, session() as client:
        assert client.get(server.url, headers={"Accept": accept}).json() == {"ok": True}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("kind", ["application/json", "application/vnd.github+json"])
def test_json_with_a_mark_at_its_start(encoding, kind, waits):
    body = json.dumps({"city": "Łódź"}, ensure_ascii=False).encode(encoding)
    with serving(in_turn(reply(body=body, headers={"Content-Type": kind}))) as server, session() as client:
        response = client.get(server.url, headers={"Accept": kind})
    assert http.document(response) == response.json() == json.loads(response.text) == {"city": "Łódź"}


def test_a_body_that_was_replaced_is_parsed_anew():
    with serving(in_turn(GOOD)) as server, session() as client:
        response = client.get(server.url)
    response._content = b'{"ok": false}'
    assert http.document(response) == {"ok": False}


def test_a_final_answer_is_parsed_once_and_any_other_as_often_as_asked():
    with serving(in_turn(GOOD)) as server, session() as client:
        response = client.get(server.url)
    assert response.json() is not response.json()
    response.__class__ = http.Final
    assert response.json() is response.json() is http.document(response)


def test_no_more_requests_at_once_than_set():
    three = threading.Barrier(3)

    def answer(asked):
        with contextlib.suppress(threading.BrokenBarrierError):
            three.wait(0.5)
            met.append(asked.path)
        return GOOD

    met = []
    with serving(answer) as server, session(requests_at_once=2) as client, ThreadPoolExecutor(3) as threads:
        assert [one.ok for one in threads.map(client.get, [server.url] * 3)] == [True] * 3
    assert met == []


def test_raise_for_status_hides_the_query():
    with serving(in_turn(reply(403, b"<html>"))) as server, session() as client:
        response = client.get(server.url + "/x", params={"token": "hidden"})
    with pytest.raises(SourceError) as raised:
        http.raise_for_status(response)
    assert str(raised.value).startswith(f"GET {server.url}/x: answered 403; ")


def test_json_of_nothing_is_none():
    with serving(in_turn(reply(204))) as server, session() as client:
        assert client.json(server.url) is None


def test_a_web_page_is_fine_for_who_accepts_one():
    with serving(in_turn(PAGE)) as server, session() as client:
        assert client.get(server.url, headers={"Accept": "*/*"}).text.startswith("<!DOCTYPE")


def test_gzip_and_chunks_are_unpacked():
    packed = gzip.compress(BODY)
    chunk = f"{len(packed):x}".encode() + b"\r\n" + packed + b"\r\n0\r\n\r\n"
    answer = [head(headers={"Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}) + chunk]
    with serving(in_turn(answer)) as server, session() as client:
        assert client.json(server.url) == {"ok": True}
    assert client.counts.bytes == len(BODY)


def test_a_body_over_its_limit_is_refused():
    bomb = gzip.compress(b" " * 2_000_000)
    with (
        serving(in_turn([head(headers={"Content-Encoding": "gzip"}) + bomb])) as server,
        session(max_body_bytes=1_000_000) as client,
        pytest.raises(SourceError, match="more than 1000000 bytes"),
    ):
        client.get(server.url)


def test_redirects_are_followed_and_each_hop_is_repeated(waits):
    def answer(asked):
        if asked.path == "/old":
            return reply(301, headers={"Location": "/new"})
        return in_new(asked)

    in_new = in_turn(reply(503), GOOD)
    with serving(answer) as server, session() as client:
        response = client.get(server.url + "/old")
    assert response.url == server.url + "/new"
    assert [hop.status_code for hop in response.history] == [301]
    assert server.paths == ["/old", "/new", "/new"]


def test_redirects_can_be_left_alone():
    with serving(in_turn(reply(301, headers={"Location": "/new"}))) as server, session() as client:
        assert client.get(server.url, allow_redirects=False).status_code == 301


def test_a_circle_of_redirects_is_one_line():
    circle = reply(302, headers={"Location": "/"})
    with (
        serving(in_turn(circle)) as server,
        session() as client,
        pytest.raises(BadSetting, match="cannot be asked"),
    ):
        client.get(server.url)


@pytest.mark.parametrize("url", ["no-scheme/x?token=hidden", "ftp://host/x?token=hidden", "http:///x", "http://[::1/x"])
def test_a_url_that_is_none_names_the_setting(url):
    with (
        session() as client,
        pytest.raises(BadSetting, match=r"check base_url of \[sources\.probe\]") as raised,
    ):
        client.get(url)
    assert "hidden" not in str(raised.value)


def test_a_header_that_cannot_be_sent_is_one_line():
    with session() as client, pytest.raises(BadSetting, match="the values that go into the request"):
        client.get("http://127.0.0.1:9", headers={"X-Name": "Łódź\n"})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:pass@host:1/a/b?key=1#x", "https://host:1/a/b"),
        ("http://host", "http://host"),
        ("http://[::1", "a URL that cannot be read"),
    ],
)
def test_shown(url, expected):
    assert http.shown(url) == expected


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_takes_credentials_to_its_own_host_only(status):
    keys = {"Authorization": "Bearer hidden", "X-Api-Key": "hidden", "Cookie": "session=hidden"}
    with serving(in_turn(GOOD)) as other:
        away = reply(status, headers={"Location": f"{other.url}/there"})
        with serving(in_turn(reply(status, headers={"Location": "/here"}), away)) as home, session() as client:
            client.get(home.url, headers=keys)
    assert [("hidden" in str(asked.headers)) for asked in home.asked] == [True, True]
    assert [("hidden" in str(asked.headers)) for asked in other.asked] == [False]


def test_cookies_are_kept():
    with serving(in_turn(reply(headers={"Set-Cookie": "a=1"}, body={}), GOOD)) as server, session() as client:
        client.get(server.url)
        client.get(server.url)
    assert server.asked[1].headers["cookie"] == "a=1"


def test_the_user_agent_is_told():
    with serving(in_turn(GOOD)) as server:
        for agent in (None, "etl/9 (+me@example.org)"):
            with http.open_session("probe", agent) as client:
                client.get(server.url)
    assert server.asked[0].headers["user-agent"].startswith("etl/")
    assert server.asked[1].headers["user-agent"] == "etl/9 (+me@example.org)"


def test_requests_per_second_spaces_the_requests(waits, monkeypatch):
    monkeypatch.setattr(http, "monotonic", lambda: 100.0)
    with serving(in_turn(GOOD)) as server, session(requests_per_second=4.0) as client:
        for _ in range(3):
            client.get(server.url)
    assert waits == [0.25, 0.5]


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("SOURCES__PROBE__HTTP__MAX_ATTEMPTS", 5),
        ("SOURCES__HTTP__MAX_ATTEMPTS", 5),
        ("SOURCES__OTHER__HTTP__MAX_ATTEMPTS", 3),
        ("MAX_ATTEMPTS", 3),
    ],
)
def test_settings_come_from_the_configuration(variable, expected, monkeypatch, waits):
    monkeypatch.setenv(variable, "5")
    with serving(in_turn(reply(503))) as server, session() as client, pytest.raises(TryLater):
        client.get(server.url)
    assert len(server.asked) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"deadline_seconds": 0.0},
        {"connect_timeout_seconds": 0.0},
        {"read_timeout_seconds": 0.0},
        {"requests_per_second": 0.0},
        {"backoff_seconds": -1.0},
        {"deadline_seconds": float("nan")},
        {"connect_timeout_seconds": float("inf")},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(BadSetting, match=f"sources.probe.http.{next(iter(wrong))}: .* cannot work"):
        session(**wrong)


def test_counts_by_source():
    with (
        serving(in_turn(GOOD)) as server,
        session("one") as one,
        session("one") as again,
        session("two") as two,
    ):
        for client in (one, again, two):
            client.get(server.url)
        assert http.counts() == {"one": http.Counts(2, 0, 2 * len(BODY)), "two": http.Counts(1, 0, len(BODY))}
        http.reset_counts()
        one.get(server.url)
    assert http.counts_as_dict() == {"one": {"requests": 1, "retries": 0, "bytes": 12, "seconds_waited": 0.0}}


def test_ctrl_c_goes_through_a_wait():
    refusal = reply(429, headers={"Retry-After": "60"})
    with serving(in_turn(refusal)) as server, session() as client:
        threading.Timer(0.3, signal.pthread_kill, [threading.get_ident(), signal.SIGINT]).start()
        with pytest.raises(KeyboardInterrupt):
            client.get(server.url)


def test_the_rest_client_of_dlt_takes_it(waits):
    first = reply(body={"items": [{"id": 1}], "next": "/page2"})
    with (
        serving(in_turn(reply(503), first, PAGE, reply(body={"items": [{"id": 2}]}))) as server,
        session() as client,
    ):
        rest = RESTClient(base_url=server.url, session=client)
        pages = list(rest.paginate("/page1", data_selector="items", paginator=JSONLinkPaginator(next_url_path="next")))
    assert [row for page in pages for row in page] == [{"id": 1}, {"id": 2}]


def test_a_session_works_after_it_was_closed():
    with serving(in_turn(GOOD)) as server:
        client = session()
        for _ in range(2):
            with client:
                assert client.json(server.url) == {"ok": True}
