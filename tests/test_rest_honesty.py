"""What an upstream answers under `rest:` that is no page of rows: never taken for "nothing new"."""

from __future__ import annotations

import pytest
from dlt.common import jsonpath

from sources.kit.answers import leads_somewhere
from tests.scripted_server import reply, serving

SPEC = """\
name: shop
about: An API that does not always answer with rows.
rest:
  client: {base_url: "http://127.0.0.1:9/", paginator: {type: json_link, next_url_path: next}%(client)s}
  resource_defaults: {write_disposition: %(manner)s, primary_key: id}
  resources:
    - {name: things, endpoint: {path: things%(endpoint)s}}
"""
FAST = {"SOURCES__SHOP__HTTP__BACKOFF_SECONDS": "0.01", "SOURCES__SHOP__HTTP__MAX_ATTEMPTS": "2"}
GOOD = reply(body={"items": [{"id": 1}, {"id": 2}]})
PAGE = reply(body=b"<!DOCTYPE html><title>Down</title>", headers={"Content-Type": "text/html"})
ERROR = {"message": "Not today", "documentation_url": "https://x.example"}
BY_ITEMS = ", data_selector: items"


@pytest.fixture
def shop(workspace):
    """Runs the spec against one answer after the other; the last one stays."""
    made = workspace()

    def run(*answers, endpoint=BY_ITEMS, manner="replace", client=""):
        made.write("specs/shop.yaml", SPEC % {"endpoint": endpoint, "manner": manner, "client": client})
        left = list(answers)
        with serving(lambda asked: left.pop(0) if len(left) > 1 else left[0]) as server:
            pages = {"SOURCES__SHOP__BASE_URL": f"{server.url}/", **FAST}
            return made.etl("run", "shop", "--env", "test", **pages)

    made.shop = run
    return made


def ids(made) -> list[int]:
    return [row[0] for row in made.query("SELECT id FROM shop.things ORDER BY id")]


def said(result) -> str:
    """The error, which is one line and tells no query."""
    lines = [line for line in result.err.splitlines() if "trying again" not in line]
    assert len(lines) == 1, result.err
    return lines[0]


LEADS = [
    ("items", ERROR, False),
    ("items", {"error": {"items": []}}, False),
    ("items", [{"id": 3}], False),
    ("items[*]", ERROR, False),
    ("items[*]", {"items": []}, True),
    ("items[0]", {"items": []}, True),
    ("items[?(@.id>5)]", {"items": [{"id": 1}]}, True),
    ("items.*", {"items": {}}, True),
    ("items", {"items": []}, True),
    ("items", {"items": None}, True),
    ("data.items", {"data": None, "errors": []}, False),
    ("data.items", {"data": {"item": []}}, False),
    ("data.items", {"data": {"items": []}}, True),
    ("pages[*].items", {"pages": [{"rows": []}]}, False),
    ("pages[*].items", {"pages": []}, True),
    ("$..items", ERROR, False),
    ("$..items", {"data": {"items": []}}, True),
    ("$", [], True),
]


@pytest.mark.parametrize(("selector", "document", "expected"), LEADS)
def test_leads_somewhere(selector, document, expected):
    assert leads_somewhere(jsonpath.compile_path(selector), document) is expected


@pytest.mark.parametrize(
    ("body", "told"), [(ERROR, "it has: message, documentation_url"), ([{"id": 3}], "it is a list")]
)
def test_a_selector_that_matches_nothing_fails_and_leaves_the_table(shop, body, told):
    assert shop.shop(GOOD).code == 0
    result = shop.shop(reply(body=body))
    assert result.code == 1, result.out
    line = said(result)
    assert line.startswith("ERROR: shop.things: the answer of GET http://127.0.0.1:")
    assert line.endswith(
        f"/things has no 'items' ({told}); correct data_selector, or ignore such answers by response_actions"
    )
    assert ids(shop) == [1, 2]


@pytest.mark.parametrize("body", [{"items": []}, {"items": None}, {}, []])
def test_nothing_there_is_fine(shop, body):
    result = shop.shop(reply(body=body))
    assert (result.code, result.err) == (0, "")


def test_an_error_on_a_later_page_fails_though_dlt_found_the_rows_itself(shop):
    first = reply(body={"items": [{"id": 1}], "next": "/more?token=hidden"})
    result = shop.shop(first, reply(body=ERROR), endpoint="", manner="merge")
    assert result.code == 1, result.out
    assert "/more has no 'items' (it has: message, documentation_url)" in said(result)


def test_an_error_where_dlt_looks_for_the_rows_goes_to_quarantine(shop):
    result = shop.shop(reply(body={"error": "no"}), endpoint="", manner="merge")
    assert (result.code, "1 row in quarantine" in result.out) == (3, True), result.out


def test_one_object_is_one_row(shop):
    assert shop.shop(reply(body={"id": 7, "name": "me"}), endpoint="").code == 0
    assert ids(shop) == [7]


@pytest.mark.parametrize("status", [204, 205])
def test_no_content_is_nothing(shop, status):
    result = shop.shop(reply(status), manner="merge")
    assert (result.code, result.err) == (0, "")


ODD = {
    "an empty 200": (reply(body=b""), "", 5, "answered with an empty body in 2 attempts; check base_url"),
    "a kind of JSON": (PAGE, "application/vnd.shop+json", 5, "answered with a web page, not JSON in 2 attempts; check"),
    "any kind": (PAGE, "'*/*'", 5, "answered with a web page, not JSON; check base_url"),
    "302 to nowhere": (reply(302), "", 1, "answered 302 without a Location; check base_url"),
    "300": (reply(300), "", 1, "answered 300; check base_url"),
    "304 unasked": (reply(304), "", 1, "answered 304 (not changed), though nothing was asked"),
}


@pytest.mark.parametrize(("answer", "accept", "code", "says"), ODD.values(), ids=list(ODD))
def test_an_answer_without_rows_is_no_success(shop, answer, accept, code, says):
    result = shop.shop(answer, client=f", headers: {{Accept: {accept}}}" if accept else "")
    assert result.code == code, result.err
    assert said(result).startswith("ERROR: shop.things: GET http://127.0.0.1:")
    assert f"/things: {says}" in said(result)


@pytest.mark.parametrize(("manner", "code"), [("merge", 0), ("replace", 1)])
def test_not_changed_is_nothing_new_but_no_empty_table(shop, manner, code):
    result = shop.shop(reply(304), manner=manner, client=", headers: {If-None-Match: x}")
    assert (result.code, "but its table is replaced" in result.err) == (code, code == 1), result.err


def test_response_actions_come_first(shop):
    ignored = ", response_actions: [{status_code: 200, content: Not today, action: ignore}]"
    assert shop.shop(reply(body=ERROR), endpoint=BY_ITEMS + ignored).code == 0


def test_each_wait_is_told_and_an_upstream_that_is_away_is_given_up_soon(shop):
    with serving(lambda asked: GOOD) as server:
        away = server.url
    shop.write("specs/shop.yaml", SPEC % {"endpoint": "", "manner": "merge", "client": ""})
    settings = {**FAST, "SOURCES__SHOP__BASE_URL": f"{away}/", "SOURCES__SHOP__HTTP__MAX_ATTEMPTS": "8"}
    result = shop.etl("run", "shop", "--env", "test", **settings)
    assert result.code == 5, result.err
    about = f"shop.things: GET {away}/things: connection refused"
    *waits, last = result.err.splitlines()
    assert [f"{line.partition('; ')[0]} {line[-8:]}" for line in waits] == [
        f"WARNING: {about} ({attempt} of 5)" for attempt in range(2, 6)
    ]
    assert last == f"ERROR: {about} in 5 attempts; check the network and base_url, or run again later"


def test_a_table_is_not_replaced_by_nothing_when_every_row_was_set_aside(shop):
    assert shop.shop(GOOD).code == 0
    result = shop.shop(reply(body=ERROR), endpoint="")
    assert result.code == 1
    assert "every row of things was set aside" in said(result)
    assert ids(shop) == [1, 2]
    assert "id: is missing" in shop.etl("quarantine", "list", "shop", "--env", "test").out
    assert shop.shop(reply(body=[{"id": 3}]), endpoint="").code == 0
    assert ids(shop) == [3]
