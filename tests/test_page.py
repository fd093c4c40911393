"""The page at `/`: who gets in, what it says, and how it looks in a browser."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID

import pytest
import requests
from pydantic import SecretStr
from sqlalchemy import insert, update

from ingest_api.flags import NOT_WHOLE, TWICE_SHOWN
from ingest_api.page import sessions
from ingest_api.page.html import Html, element, joined
from ingest_api.page.overview import overview
from ingest_api.page.views import STYLE_HASH
from ingest_api.tables import Chunk, Device, now
from ingest_api.tokens import Tokens
from tests.postgres_server import database
from tests.serving import ADMIN, DEVICE, POINT, REGISTER, serving

CAME = now() - timedelta(days=3)
QUIET = "00000000-0000-0000-0000-0000000000ff"
SOUND = {3: {"audio_seconds": None}, 4: {"audio_seconds": None, "flags": NOT_WHOLE},
         5: {"audio_seconds": 30.0, "flags": f"{TWICE_SHOWN} {NOT_WHOLE}"}}  # fmt: skip
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SWITCHES = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def filled(request, tmp_path_factory):
    """A service with two devices; of one two hours: minutes are missing, double, and without sound."""
    with ExitStack() as stack:
        told = {}
        if request.param == "postgres":
            told["DATABASE_URL"] = stack.enter_context(database(request.getfixturevalue("postgres_server")))
        service = stack.enter_context(serving(tmp_path_factory.mktemp("a service"), **told))
        service.register()
        service.register("a-token-of-another-recorder", QUIET)
        begins = now().replace(minute=0, second=0, microsecond=0) - 3 * HOUR
        service.run(fill(service.server.config.app.state.service.database, begins))
        yield service, begins


async def fill(store, begins):
    row = {
        "device_id": UUID(DEVICE), "point_id": UUID(POINT), "register_id": UUID(REGISTER), "end_ts": begins,
        "duration_sec": 60, "codec": "opus", "sample_rate": 48000, "channels": 1, "file_path": "-",
        "file_size_bytes": 1, "created_at": CAME, "flags": "",
    }  # fmt: skip
    rows = [
        {**row, "chunk_id": UUID(int=nth), "start_ts": begins + start * MINUTE,
         **SOUND.get(nth, {"audio_seconds": 60.0}), "status": {1: "ERROR", 2: "DONE"}.get(nth, "QUEUED")}
        for nth, start in enumerate([*range(30), *range(35, 120), 90.5])
    ]  # fmt: skip
    late = {"audio_seconds": None, "status": "DONE", "start_ts": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)}
    rows += [{**row, **late, "chunk_id": UUID(int=nth)} for nth in (1000, 1001)]  # a clock that nobody has set
    async with store.asking() as connection:
        await connection.execute(insert(Chunk), rows)
        seen = update(Device).where(Device.device_id == UUID(DEVICE))
        await connection.execute(seen.values(last_seen_at=now()))


def test_hours_gaps_and_queue_are_counted(filled):
    service, begins = filled
    told = service.run(overview(service.server.config.app.state.service))
    device = UUID(DEVICE)
    assert {key: (hour.chunks, round(hour.seconds), hour.flagged) for key, hour in told.hours.items()} == {
        (device, begins): (55, 55 * 60 - 90, 2),
        (device, begins + HOUR): (61, 61 * 60, 0),
    }
    assert told.flags == {NOT_WHOLE: 2, TWICE_SHOWN: 1}
    assert [(g.device_id, g.kind, (g.since - begins) / MINUTE, (g.until - begins) / MINUTE) for g in told.gaps] == [
        (device, "silent", 120, (told.at - begins) / MINUTE),
        (device, "double", 91, 91.5),
        (device, "double", 90.5, 91),
        (device, "missing", 30, 35),
        (device, "unheard", 5.5, 6),
        (device, "unheard", 4, 5),
    ]
    assert told.gaps_of == {device: 6}
    assert {status: (queue.chunks, queue.oldest) for status, queue in told.queue.items()} == {
        "ERROR": (1, CAME),
        "QUEUED": (len(range(30)) + len(range(35, 120)) + 1 - 2, CAME),
    }


def visitor(service, token=ADMIN):
    """Somebody who has shown a token, and the answer."""
    session = requests.Session()
    return session, session.post(f"{service.url}/enter", data={"token": token}, timeout=30)


def test_the_page_says_how_the_recorders_are(filled):
    service, begins = filled
    page = visitor(service)[1]
    told = page.text
    assert page.url == f"{service.url}/"
    assert f'title="{begins:%H}:00 to {begins + HOUR:%H}:00: 55 chunks, 54 minutes, 2 flagged"' in told
    assert told.count('class="hour h4"') == told.count('class="hour h5"') == 1
    assert told.count('role="cell" class="hour h0"') == 24 + 22
    assert '<dd class="value">1 of 2</dd><dd class="about">heard in the last 15 minutes; 1 silent</dd>' in told
    assert '<dd class="value">114</dd><dd class="about">the oldest came 3 d ago; 1 in error</dd>' in told
    assert (
        '<dd class="value">2</dd><dd class="about">in the last 24 hours: not_whole_ogg 2, ambiguous_local_time 1<'
        in told
    )
    assert '<strong class="bad">never</strong>' in told
    assert f'<time datetime="{begins + 30 * MINUTE:%Y-%m-%dT%H:%M:%S}Z">' in told
    assert "5 min</td>" in told
    assert ADMIN not in told


def test_nothing_is_shown_without_the_token(filled, caplog):
    service, _ = filled
    anybody = requests.get(service.url, timeout=30)
    assert anybody.status_code == 200
    for answer, status in (
        (anybody, 200),
        (visitor(service, "a-token-of-somebody-else")[1], 401),
        (visitor(service, "")[1], 401),
        (visitor(service, "x" * 5000)[1], 401),
        (requests.post(f"{service.url}/enter", data=b"\xff\xfe%", timeout=30), 401),
    ):
        assert answer.status_code == status
        assert 'name="token"' in answer.text
        assert DEVICE[-8:] not in answer.text
        assert "Set-Cookie" not in answer.headers
    assert "somebody-else" not in caplog.text


def test_a_visit_is_a_cookie_no_script_and_no_other_site_can_use(filled):
    service, _ = filled
    entered = requests.post(f"{service.url}/enter", data={"token": ADMIN}, timeout=30, allow_redirects=False)
    name, *flags = entered.headers["Set-Cookie"].split("; ")
    assert (entered.status_code, entered.headers["Location"]) == (303, "/")
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= set(flags)
    assert ADMIN not in name
    for method, path in (("GET", "/"), ("POST", "/enter")):
        headers = requests.request(method, f"{service.url}{path}", timeout=30, allow_redirects=False).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert f"default-src 'none'; style-src '{STYLE_HASH}'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/enter", "/leave"])
@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil.example"},
     {"Origin": "null"}],
    ids=str,
)  # fmt: skip
def test_a_form_of_another_site_is_refused(filled, path, headers):
    service, _ = filled
    answer = requests.post(f"{service.url}{path}", data={"token": ADMIN}, headers=headers, timeout=30)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)


def test_a_method_that_a_page_has_not_is_told_which_it_has(filled):
    answer = requests.delete(f"{filled[0].url}/enter", timeout=30)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_who_leaves_is_asked_again(filled):
    service, _ = filled
    session, page = visitor(service)
    assert "<table" in page.text
    assert 'name="token"' in session.post(f"{service.url}/leave", timeout=30).text
    assert 'name="token"' in session.get(service.url, timeout=30).text


def service_with(token, key=b"key"):
    return SimpleNamespace(settings=SimpleNamespace(admin_token=SecretStr(token)), tokens=Tokens(key))


def test_a_visit_holds_for_the_token_it_was_begun_with_and_a_time(monkeypatch):
    here = service_with(ADMIN)
    good = sessions.begun(here)
    until, _, signature = good.partition(".")
    assert sessions.holds(here, good)
    for value in (
        None,
        "",
        ".",
        until,
        f"{int(until) + 1}.{signature}",
        f"{until}.{signature[:-1]}",
        f"²{good}",
        "9" * 5000,  # more digits than Python makes a number of
        "é.x",
    ):
        assert not sessions.holds(here, value), value
    assert not sessions.holds(service_with("another-token-of-theirs"), good)
    assert not sessions.holds(service_with(ADMIN, b"another key"), good)
    monkeypatch.setattr(sessions, "LASTS", timedelta(seconds=-1))
    assert not sessions.holds(here, sessions.begun(here))


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (element("p", 'a < b & "c"'), "<p>a &lt; b &amp; &quot;c&quot;</p>"),
        (element("p", element("b", "x"), "<"), "<p><b>x</b>&lt;</p>"),
        (element("a", "x", href='"><script>'), '<a href="&quot;&gt;&lt;script&gt;">x</a>'),
        (element("td", class_=None, hidden=False, aria_label="y"), '<td aria-label="y"></td>'),
        (element("input", required=True, name="n"), '<input required name="n">'),
        (joined("&", Html("&amp;")), "&amp;&amp;"),
    ],
)
def test_what_is_no_html_is_escaped(made, expected):
    assert made == expected


def test_a_database_that_is_away_is_told_of(tmp_path, postgres_server):
    with ExitStack() as stack:
        gone = ExitStack()
        url = gone.enter_context(database(postgres_server))
        service = stack.enter_context(serving(tmp_path, DATABASE_URL=url))
        gone.close()
        page = visitor(service)[1]
    assert (page.status_code, "The database does not answer" in page.text) == (503, True)


@contextmanager
def browser():
    """Chromium, where there is one."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the dev extra")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)


@pytest.mark.parametrize("filled", ["sqlite"], indirect=True)
def test_the_page_in_a_browser(filled):
    service, _ = filled
    grounds = set()
    with browser() as chromium:
        for width, scheme in ((1280, "light"), (390, "dark")):
            visit = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page, said = visit.new_page(), []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.goto(service.url)
            page.get_by_label("Administrator's token").fill(ADMIN)
            page.keyboard.press("Enter")
            table = page.get_by_role("table", name="Chunks per hour (UTC) in the last 24 hours")
            table.wait_for()
            assert page.url == f"{service.url}/"
            assert [cookie["httpOnly"] for cookie in visit.cookies()] == [True]
            assert table.get_by_role("row").count() == 3
            assert table.get_by_role("columnheader").count() == 3 + 24
            row = table.get_by_role("row").filter(has=page.get_by_title(DEVICE))
            assert row.get_by_role("cell", name="61", exact=True).count() == 1
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "wider than the screen"
            grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            assert not said, "the browser complains"
            page.get_by_role("button", name="Leave").click()
            page.get_by_label("Administrator's token").wait_for()
            visit.close()
    assert len(grounds) == 2, "light and dark are one"
