"""`--since` and `--until`: how they are read, shown, and put into the shape of a cursor."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import UsageError
from pipelines.window import Window, iso, like, parse

MOMENT = datetime(2024, 3, 1, 12, 30, 15, tzinfo=UTC)
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
    ("example", "shaped"),
    [
        ("1970-01-01", "2024-03-01"),
        ("1970-01-01T00:00:00Z", "2024-03-01T12:30:15Z"),
        ("", "2024-03-01T12:30:15Z"),
        (None, "2024-03-01T12:30:15Z"),
        (True, "2024-03-01T12:30:15Z"),
        (0, 1709296215),
        (1_700_000_000, 1709296215),
        (1_700_000_000.5, 1709296215),
        (1_700_000_000_000, 1709296215000),
        (datetime(1970, 1, 1, tzinfo=UTC), MOMENT),
        (date(1970, 1, 1), date(2024, 3, 1)),
    ],
)
def test_a_moment_takes_the_shape_of_the_cursor(example, shaped):
    assert like(MOMENT, example) == shaped


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
