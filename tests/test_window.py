"""`--since` and `--until`: how they are read, shown, and put into the shape of a cursor."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import dlt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cursors import narrow
from pipelines.errors import UsageError
from pipelines.window import Window, iso, like, moment_of, parse
from tests.scripted_server import reply, serving

MOMENT = datetime(2024, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)
READ = [
    ("2024-03-01", "UTC", "2024-03-01T00:00:00Z"),
    (" 2024-03-01 ", "UTC", "2024-03-01T00:00:00Z"),
    ("20240301", "UTC", "2024-03-01T00:00:00Z"),
    ("2024-03-01T06", "UTC", "2024-03-01T06:00:00Z"),
    ("2024-03-01T06:30", "Europe/Berlin", "2024-03-01T05:30:00Z"),
    ("2024-07-01", "Europe/Berlin", "2024-06-30T22:00:00Z"),
    ("2024-07-01T00:00:00.25", "Europe/Berlin", "2024-06-30T22:00:00.250000Z"),
    ("2024-07-01T00:00:00Z", "Europe/Berlin", "2024-07-01T00:00:00Z"),
    ("2024-07-01T00:00:00+05:30", "Europe/Berlin", "2024-06-30T18:30:00Z"),
    ("2024-10-27T02:30", "Europe/Berlin", "2024-10-27T00:30:00Z"),  # this hour comes twice; the first one counts
    ("2024-03-31T02:30", "Europe/Berlin", "2024-03-31T01:30:00Z"),  # and this one not at all
]
WRONG = ["tomorrow", "", "2024-13-01", "2024-02-30", "01.03.2024", "2024-03-01T25:00", "1709251200"]


@pytest.mark.parametrize(("text", "zone", "moment"), READ)
def test_a_moment_is_read_in_the_zone_of_the_spec(text, zone, moment):
    assert iso(parse(text, None, zone).since) == moment
    assert iso(parse(None, text, zone).until) == moment


@pytest.mark.parametrize("text", WRONG)
@pytest.mark.parametrize("option", ["--since", "--until"])
def test_what_is_no_moment_is_refused(option, text):
    with pytest.raises(UsageError, match=rf"^{option} '{text}': not a date or an ISO 8601 time; write e\.g\. 2024-"):
        parse(*((text, None) if option == "--since" else (None, text)), "UTC")


@pytest.mark.parametrize("text", ["0001-01-01", "0001-12-31T23:00:00-05:00", "9999-12-31", "9999-01-01T00:00:00Z"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_a_moment_that_not_every_zone_has_is_refused(text, zone):
    with pytest.raises(UsageError, match=rf"^--since {re.escape(text)}: is out of reach; write a day from 0002-01-01 "):
        parse(text, None, zone)
    for edge in ("0002-01-01", "9998-12-31"):
        assert parse(edge, None, zone).since


@pytest.mark.parametrize(
    ("since", "until", "zone"),
    [
        ("2024-03-01", "2024-03-01", "UTC"),
        ("2024-03-02", "2024-03-01", "UTC"),
        ("2024-03-01T00:00:00+02:00", "2024-03-01T00:00:00+03:00", "UTC"),
        ("2024-03-01", "2024-02-29T23:00:00Z", "Europe/Berlin"),
    ],
)
def test_an_empty_window_is_refused(since, until, zone):
    with pytest.raises(UsageError, match=r"is not before --until .*; the window is half-open"):
        parse(since, until, zone)


@pytest.mark.parametrize(
    ("window", "shown", "is_one"),
    [
        (parse("2024-03-01", "2024-03-02", "UTC"), "[2024-03-01T00:00:00Z, 2024-03-02T00:00:00Z)", True),
        (parse("2024-03-01", None, "UTC"), "[2024-03-01T00:00:00Z, …)", True),
        (parse(None, "2024-03-02", "UTC"), "[…, 2024-03-02T00:00:00Z)", True),
        (parse(None, None, "UTC"), "[…, …)", False),
    ],
)
def test_a_window_is_shown(window: Window, shown, is_one):
    assert (str(window), bool(window)) == (shown, is_one)


@pytest.mark.parametrize(
    ("example", "since", "until"),
    [
        ("1970-01-01", "2024-03-01", "2024-03-02"),
        ("1970-01-01T00:00Z", "2024-03-01T12:30Z", "2024-03-01T12:31Z"),
        ("1970-01-01T00:00:00Z", "2024-03-01T12:30:15Z", "2024-03-01T12:30:16Z"),
        ("1970-01-01 00:00:00", "2024-03-01 12:30:15", "2024-03-01 12:30:16"),
        ("1970-01-01T00:00:00+00:00", "2024-03-01T12:30:15+00:00", "2024-03-01T12:30:16+00:00"),
        ("1970-01-01T00:00:00-0130", "2024-03-01T11:00:15-0130", "2024-03-01T11:00:16-0130"),
        ("1970-01-01T00:00:00.0Z", "2024-03-01T12:30:15.2Z", "2024-03-01T12:30:15.3Z"),
        ("1970-01-01T00:00:00.000Z", "2024-03-01T12:30:15.250Z", "2024-03-01T12:30:15.250Z"),
        ("1970-01-01T00:00:00.000000000Z", "2024-03-01T12:30:15.250000000Z", "2024-03-01T12:30:15.250000000Z"),
        ("1970-13-01", None, None),
        ("v1", None, None),
        ("", None, None),
        (None, None, None),
        (True, None, None),
        (0, None, None),
        (5000, None, None),
        (1_700_000_000, 1709296215, 1709296216),
        (1_700_000_000.5, 1709296215, 1709296216),
        (1_700_000_000_000, 1709296215250, 1709296215250),
        (1_700_000_000_000_000, 1709296215250000, 1709296215250000),
        (1_700_000_000_000_000_000, 1709296215250000000, 1709296215250000000),
        (datetime(1970, 1, 1, tzinfo=UTC), MOMENT, MOMENT),
        (datetime(1970, 1, 1), MOMENT.replace(tzinfo=None), MOMENT.replace(tzinfo=None)),
        (date(1970, 1, 1), date(2024, 3, 1), date(2024, 3, 2)),
    ],
)
def test_a_bound_takes_the_form_of_the_cursor_and_is_never_narrower(example, since, until):
    assert like(MOMENT, example, "UTC") == since
    assert like(MOMENT, example, "UTC", late=True) == until


@pytest.mark.parametrize(
    ("value", "zone", "moment"),
    [
        ("2024-01-05", "Europe/Berlin", "2024-01-04T23:00:00Z"),
        ("2024-01-05 10:00:00", "Europe/Berlin", "2024-01-05T09:00:00Z"),
        ("2024-01-05T10:00:00+02:00", "Europe/Berlin", "2024-01-05T08:00:00Z"),
        (date(2024, 1, 5), "Europe/Berlin", "2024-01-04T23:00:00Z"),
        (datetime(2024, 1, 5), "UTC", "2024-01-05T00:00:00Z"),
        (0, "UTC", "1970-01-01T00:00:00Z"),
        (1704412800, "UTC", "2024-01-05T00:00:00Z"),
        (1704412800.5, "UTC", "2024-01-05T00:00:00.500000Z"),
        (Decimal("1704412800.5"), "UTC", "2024-01-05T00:00:00.500000Z"),
        (1704412800000, "UTC", "2024-01-05T00:00:00Z"),
        (1704412800000000, "UTC", "2024-01-05T00:00:00Z"),
        (1704412800000000000, "UTC", "2024-01-05T00:00:00Z"),
        *(
            (value, "UTC", None)
            for value in ("banana", "", None, True, 17, -17, float("nan"), float("inf"), 10**400, {})
        ),
    ],
)
def test_a_value_of_a_cursor_tells_its_moment(value, zone, moment):
    told = moment_of(value, zone)
    assert (told and iso(told)) == moment


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2100, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_a_moment_survives_being_written_and_read(moment, minutes):
    moment = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse(moment.isoformat(), None, "Asia/Tokyo").since == moment
    assert parse(iso(moment), None, "Asia/Tokyo").since == moment


def test_a_bad_zone_of_a_spec_never_comes_here(workspace):
    made = workspace()
    made.write("specs/toy.yaml", "name: toy\nabout: x\ntimezone: Europe/Berln\npython: {}\n")
    result = made.etl("plan", "toy", "--env", "test")
    assert result.code == 2
    assert "specs/toy.yaml:3:11: timezone: " in result.err
    assert "Europe/Berlin" in result.err


DAYS = (1, 5, 9, 10)


def day(number: int, ending: str = "T00:00:00Z") -> str:
    return f"2024-01-{number:02}{ending}"


TOLD = {  # name: the cursor, and the values of its rows on the days 1, 5, 9 and 10
    "plain": ('"t", initial_value="2020-01-01T00:00:00Z"', [day(n) for n in DAYS]),
    "unknown": ('"t"', [day(n) for n in DAYS]),
    "fraction": ('"t", initial_value="2020-01-01T00:00:00.000Z"', [day(n, "T00:00:00.000Z") for n in DAYS]),
    "mixed": ('"t", initial_value="2020-01-01T00:00:00Z"',
              [day(1), day(5, "T00:00:00.123Z"), day(9), day(10, "T00:00Z")]),
    "offset": ('"t", initial_value="2020-01-01T00:00:00+00:00"', [day(n, "T00:00:00+00:00") for n in DAYS]),
    "offsets": ('"t", initial_value="2020-01-01T00:00:00+00:00"',
                [day(5, "T01:00:00+05:00"), day(4, "T23:00:00-03:00"), day(9), day(9, "T23:00:00-03:00")]),
    "blank": ('"t", initial_value="2020-01-01 00:00:00"', [day(n, " 00:00:00") for n in DAYS]),
    "days": ('"t"', [day(n, "") for n in DAYS]),
    "seconds": ('"t"', [1704067200, 1704412800, 1704758400, 1704844800]),
    "milliseconds": ('"t", initial_value=0', [1704067200000, 1704412800000, 1704758400000, 1704844800000]),
    "backwards": ('"t", last_value_func=min, initial_value=1804844800',
                  [1704067200, 1704412800, 1704758400, 1704844800]),
    "dates": ('"t"', [date(2024, 1, n) for n in DAYS]),
    "times": ('"t"', [datetime(2024, 1, n, tzinfo=UTC) for n in DAYS]),
    "naive": ('"t", initial_value=datetime(2020, 1, 1)', [datetime(2024, 1, n) for n in DAYS]),
    "deep": ('"at.t", initial_value="2020-01-01T00:00:00Z"', [day(n) for n in DAYS]),
    "include": ('"t", on_cursor_value_missing="include"', [day(1), day(5), None, day(10)]),
    "exclude": ('"t", on_cursor_value_missing="exclude"', [day(5), day(9), None, day(10)]),
    "open": ('"t", range_start="open", range_end="closed", primary_key=(), lag=9.0', [day(n) for n in DAYS]),
    "descending": ('"t", row_order="desc"', [day(10), day(9), day(5), day(1)]),
    "table": ('"t", initial_value="2020-01-01T00:00:00Z"', [day(1), day(5, "T00:00:00.5Z"), day(9), day(10)]),
    "stamps": ('"t"', [datetime(2024, 1, n, tzinfo=UTC) for n in DAYS]),
}  # fmt: skip
MANY = """\
import datetime as calendar
from datetime import date, datetime, timezone

import dlt
import orjson
import pyarrow as pa

from sources.kit.notices import warning

UTC = timezone.utc
TOLD = {told}


def made(name, text, values):
    cursor = eval(f"dlt.sources.incremental({{text}})")
    rows = [{{"id": n, "t": value, "at": {{"t": value}}}} for n, value in enumerate(values)]
    if name in ("table", "stamps"):
        rows = pa.Table.from_pylist(rows).drop_columns("at")
    if name == "fraction":
        rows = [orjson.Fragment(orjson.dumps(row)) for row in rows]

    @dlt.resource(name=name, primary_key="id", write_disposition="merge")
    def things(cursor=cursor):
        yield rows
        if name == "exclude":
            yield [warning("told in a page")]
        if name == "descending":
            yield [{{"id": 9, "t": "2024-01-05T00:00:00Z"}}]

    return things


@dlt.source(name="toy", section="toy")
def toy():
    return [made(name, *told) for name, told in TOLD.items()]
"""


def many(workspace, told):
    """A workspace whose source has a resource per cursor."""
    made = workspace()
    made.write("specs/toy.yaml", "name: toy\nabout: Cursors of every kind.\npython: {}\n")
    text = repr(told).replace("datetime.date(", "calendar.date(").replace("datetime.datetime(", "calendar.datetime(")
    made.write("sources/toy.py", MANY.format(told=text.replace("datetime.timezone.utc", "UTC")))
    return made


def test_a_window_is_half_open_for_cursors_of_every_form(workspace):
    made = many(workspace, TOLD)
    result = made.etl("run", "toy", "--env", "test", "--since", "2024-01-05", "--until", "2024-01-10")
    loaded = {name: [n for (n,) in made.query(f"SELECT id FROM toy.{name} ORDER BY id")] for name in TOLD}
    assert (result.code, result.err) == (0, "WARNING: told in a page\n")
    other = {"exclude": [0, 1], "descending": [1, 2]}
    assert loaded == {name: other.get(name, [1, 2]) for name in TOLD}


ONE_SIDE = {
    "began": ('"t", initial_value="2024-01-05T00:00:00Z"', [day(n) for n in DAYS]),
    "unknown": ('"t"', [day(5), day(9), day(10), "banana"]),
}


def test_a_window_with_one_end_keeps_the_other_of_the_cursor_and_sets_aside_what_is_no_moment(workspace):
    made = many(workspace, ONE_SIDE)
    result = made.etl("run", "toy", "--env", "test", "--until", "2024-01-10")
    loaded = [made.query(f"SELECT id FROM toy.{name} ORDER BY id") for name in ONE_SIDE]
    assert (result.code, result.err, loaded) == (3, "", [[(1,), (2,)], [(0,), (1,)]])
    [row] = made.etl("quarantine", "list", "--env", "test", "--output", "json").json
    assert row["reason"] == "t: 'banana' tells no moment, and a window needs one"


@pytest.mark.parametrize(
    ("cursor", "option", "message"),
    [
        ('"id", initial_value=5000', "--since",
         "toy: things: its cursor id begins at 5000, which tells no moment, so --since and --until cannot act on it; "
         "leave it out with --exclude things"),
        ('"t", initial_value="2025-01-01"', "--until",
         "toy: things: its cursor t begins at '2025-01-01' and never is in […, 2024-01-05T00:00:00Z); "
         "give both --since and --until"),
        ('"t", initial_value="2020-01-01", last_value_func=min', "--since",
         "toy: things: its cursor t begins at '2020-01-01' and never is in [2024-01-05T00:00:00Z, …); "
         "give both --since and --until"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_window_that_cannot_act_is_refused(workspace, command, cursor, option, message):
    result = many(workspace, {"things": (cursor, [])}).etl(command, "toy", "--env", "test", option, "2024-01-05")
    assert (result.code, result.err.removeprefix("ERROR: ")) == (2, f"{message}\n")


SETTINGS = {
    "last_value_func": max, "primary_key": "id", "row_order": "asc", "lag": 60.0, "range_start": "open",
    "range_end": "closed", "on_cursor_value_missing": "include", "allow_external_schedulers": False,
}  # fmt: skip


@pytest.mark.parametrize("place", ["default", "argument", "hint"])
def test_a_narrowed_cursor_keeps_its_settings(place):
    cursor = dlt.sources.incremental("t", initial_value="2020-01-01T00:00:00.000Z", **SETTINGS)

    def things(changed=cursor if place == "default" else dlt.sources.incremental("of_default")):
        yield []

    def plain():
        yield []

    made = dlt.resource(plain, name="things", incremental=cursor) if place == "hint" else dlt.resource(things)
    resource = made(cursor) if place == "argument" else made
    assert narrow(resource, parse("2024-01-05", "2024-01-10", "UTC"))
    step = resource.incremental
    narrowed = step if place == "hint" else step.incremental
    assert {name: getattr(narrowed, name) for name in SETTINGS} == SETTINGS
    assert (narrowed.initial_value, narrowed.end_value) == ("2024-01-05T00:00:00.000Z", "2024-01-10T00:00:00.000Z")


REST = """\
name: shop
about: Two ways to tell an upstream where to begin.
timezone: Europe/Berlin
rest:
  client: {base_url: "http://127.0.0.1:9/", paginator: single_page}
  resource_defaults: {write_disposition: merge, primary_key: id}
  resources:
    - name: ranges
      endpoint:
        path: ranges
        incremental: {cursor_path: at, initial_value: "2020-01-01T00:00:00.000Z", start_param: from, end_param: to}
    - name: starts
      endpoint:
        path: starts
        params: {since: {type: incremental, cursor_path: at, initial_value: "2020-01-01T00:00:00+00:00"}}
    - name: wholes
      endpoint:
        path: wholes
        incremental: {cursor_path: at}
    - name: items
      endpoint:
        path: "wholes/{resources.wholes.id}"
        incremental: {cursor_path: at, initial_value: "2020-01-01"}
"""


def test_a_window_on_rest_cursors_reaches_the_upstream_in_their_form(workspace):
    made = workspace()
    made.write("specs/shop.yaml", REST)
    body = [
        {"id": n, "at": at} for n, at in enumerate([day(4, ""), day(5, ""), day(9, "T22:59:59Z"), day(9, "T23:00Z")])
    ]
    with serving(lambda _: reply(body=body)) as server:
        window = ["--since", "2024-01-05", "--until", "2024-01-10"]
        result = made.etl("run", "shop", "--env", "test", *window, SOURCES__SHOP__BASE_URL=f"{server.url}/")
    assert (result.code, result.err) == (0, "")
    for table in ("ranges", "starts", "wholes", "items"):
        assert made.query(f"SELECT id FROM shop.{table} ORDER BY id") == [(1,), (2,)]
    assert sorted(server.paths) == [
        "/ranges?from=2024-01-04T23%3A00%3A00.000Z&to=2024-01-09T23%3A00%3A00.000Z",
        "/starts?since=2024-01-04T23%3A00%3A00%2B00%3A00",
        "/wholes",
        "/wholes/1",
        "/wholes/2",
    ]
