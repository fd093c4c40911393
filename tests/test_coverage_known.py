"""Days and months of a zone, and what remains of many claims: pure functions."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.coverage import calendar
from pipelines.coverage.known import EMPTY, FAILED, LOADED, STATES, settled
from pipelines.coverage.survey import IN_PART, NEVER, Cell, _said
from pipelines.coverage.units import Span, Unit, span_of, unit_of, units
from pipelines.ledger import Covered
from pipelines.window import iso

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def span(since: str, until: str) -> Span:
    return Span(datetime.fromisoformat(since), datetime.fromisoformat(until))


@pytest.mark.parametrize(
    ("by", "day", "zone", "since", "until"),
    [
        ("day", "2024-02-29", "UTC", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
        ("day", "2024-03-31", "Europe/Berlin", "2024-03-30T23:00:00Z", "2024-03-31T22:00:00Z"),  # 23 hours
        ("day", "2024-10-27", "Europe/Berlin", "2024-10-26T22:00:00Z", "2024-10-27T23:00:00Z"),  # 25 hours
        ("day", "2024-04-26", "Africa/Cairo", "2024-04-25T22:00:00Z", "2024-04-26T21:00:00Z"),  # begins at 1 h
        ("month", "2024-02-10", "UTC", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        ("month", "2023-12-31", "America/New_York", "2023-12-01T05:00:00Z", "2024-01-01T05:00:00Z"),
    ],
)
def test_a_unit_begins_and_ends_at_midnight_of_its_zone(by, day, zone, since, until):
    unit = unit_of(by, date.fromisoformat(day), zone)
    assert (iso(unit.span.since), iso(unit.span.until)) == (since, until)


@pytest.mark.parametrize(
    ("by", "zone", "names"),
    [
        ("day", "UTC", ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("day", "Asia/Tokyo", ["2024-02-29", "2024-03-01"]),
        ("day", "America/New_York", ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("month", "UTC", ["2024-02", "2024-03"]),
    ],
)
def test_the_units_that_a_window_touches(by, zone, names):
    window = span("2024-02-28T15:00:00+00:00", "2024-03-01T15:00:00+00:00")
    assert [unit.name for unit in units(by, window, zone)] == names


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("2024-02-29", "2024-02-28T23:00:00Z", "2024-02-29T23:00:00Z"),
        ("2024-03", "2024-02-29T23:00:00Z", "2024-03-31T22:00:00Z"),
        ("2024-03-01/2024-03-03", "2024-02-29T23:00:00Z", "2024-03-02T23:00:00Z"),
        ("2024-03-01T00:00:00Z/2024-03-01T12:30:00Z", "2024-03-01T00:00:00Z", "2024-03-01T12:30:00Z"),
    ],
)
def test_what_a_notice_names(text, since, until):
    found = span_of(text, "Europe/Berlin")
    assert found
    assert (iso(found.since), iso(found.until)) == (since, until)


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31",
        "9999-12",
        "0001-01-01/2024-01-01",
        "2024-01-01/9999-12-31T23:59:59-05:00",
        "",
        "2024",
        "2024-13",
        "2024-02-30",
        "yesterday",
        "2024-03-03/2024-03-01",
        "2024-03-03/",
        "/2024-03-03",
        "m1",
    ],
)
def test_what_names_no_time(text):
    assert span_of(text, "Asia/Tokyo") is None


def claim(begin: int, end: int, state: str, checked: int, part: str = "") -> Covered:
    """A claim of some hours."""
    since, until = START + begin * HOUR, START + end * HOUR
    return Covered("toy", "days", part, "", since, until, state, "", f"run-{checked}", START + checked * HOUR)


def told(rows: list[Covered]) -> list[tuple[str, int, int, str]]:
    return [(row.part, (row.since - START) // HOUR, (row.until - START) // HOUR, row.state) for row in rows]


@pytest.mark.parametrize(
    ("rows", "left"),
    [
        ([], []),
        ([(0, 5, EMPTY, 1), (5, 9, EMPTY, 2)], [(0, 9, EMPTY)]),
        ([(0, 5, EMPTY, 1), (6, 9, EMPTY, 2)], [(0, 5, EMPTY), (6, 9, EMPTY)]),
        ([(0, 9, EMPTY, 1), (3, 4, FAILED, 1)], [(0, 3, EMPTY), (3, 4, FAILED), (4, 9, EMPTY)]),
        ([(3, 4, FAILED, 1), (0, 9, EMPTY, 2)], [(0, 9, EMPTY)]),
        ([(0, 9, EMPTY, 1), (2, 5, LOADED, 1), (4, 6, EMPTY, 2)], [(0, 2, EMPTY), (2, 4, LOADED), (4, 9, EMPTY)]),
        ([(0, 3, LOADED, 1)] * 3, [(0, 3, LOADED)]),
    ],
)
def test_the_latest_word_counts(rows, left):
    assert told(settled([claim(*row) for row in rows])) == [("", *each) for each in left]


def claims(first: int, last: int) -> st.SearchStrategy[list[Covered]]:
    """Claims checked between two hours."""
    begins, lengths, parts = st.integers(0, 20), st.integers(1, 10), st.sampled_from("ab")
    given_ = st.tuples(begins, lengths, st.sampled_from(STATES), st.integers(first, last), parts)
    return st.lists(given_.map(lambda g: claim(g[0], g[0] + g[1], *g[2:])), max_size=8)


@settings(max_examples=60)
@given(claims(0, 4), claims(5, 9))
def test_settling_keeps_the_last_word_on_every_hour(early, late):
    def word(rows: list[Covered], part: str, hour: int) -> str | None:
        moment = START + hour * HOUR
        about = [row for row in rows if row.part == part and row.since <= moment < row.until]
        last = max(about, key=lambda row: (row.checked_at, STATES.index(row.state)), default=None)
        return last.state if last else None

    rows = settled([*settled(early), *late])
    for part in "ab":
        assert [word(rows, part, hour) for hour in range(31)] == [word(early + late, part, h) for h in range(31)]
    assert settled(rows) == rows
    for one, two in pairwise(rows):
        assert one.part < two.part or one.until <= two.since
        assert (one.part, one.until, one.state) != (two.part, two.since, two.state)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ([], NEVER),
        ([(0, 24, EMPTY)], EMPTY),
        ([(-5, 30, EMPTY)], EMPTY),
        ([(0, 10, EMPTY), (10, 24, EMPTY)], EMPTY),
        ([(0, 23, EMPTY)], IN_PART),
        ([(0, 10, EMPTY), (11, 24, EMPTY)], IN_PART),
        ([(0, 1, LOADED)], IN_PART),
        ([(0, 1, LOADED), (1, 24, EMPTY)], LOADED),
        ([(24, 30, LOADED)], NEVER),
        ([(0, 1, FAILED)], FAILED),
        ([(0, 24, EMPTY), (24, 25, LOADED)], EMPTY),
        ([(0, 10, LOADED), (10, 11, FAILED), (11, 24, EMPTY)], FAILED),
    ],
)
def test_a_day_is_empty_or_loaded_only_if_all_of_it_was_asked_for(known, said):
    day = Unit("2024-01-01", START.date(), START.date(), Span(START, START + 24 * HOUR))
    assert list(_said([day], [claim(*each, 1) for each in known], day.span)) == [(day, (said, ""))]


@pytest.mark.parametrize(
    ("since", "until", "said"), [(0, 24, IN_PART), (5, 24, IN_PART), (5, 20, EMPTY), (6, 19, EMPTY)]
)
def test_of_a_day_counts_what_is_declared(since, until, said):
    day = Unit("2024-01-01", START.date(), START.date(), Span(START, START + 24 * HOUR))
    declared = Span(START + since * HOUR, START + until * HOUR)
    assert list(_said([day], [claim(5, 20, EMPTY, 1)], declared)) == [(day, (said, ""))]


@pytest.mark.parametrize(
    ("terminal", "variable", "painted"),
    [(True, "", True), (True, "1", False), (False, "", False)],
)
def test_colour_is_for_terminals_that_want_it(monkeypatch, terminal, variable, painted):
    monkeypatch.setenv("NO_COLOR", variable)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    cells = [Cell("2024-01-01", LOADED, 1, 0), Cell("2024-01-02", LOADED, 1, 0), Cell("2024-01-03", FAILED, 0, 0)]
    shown = calendar._marks(cells)
    assert shown == ("\x1b[32m##\x1b[0m\x1b[31mx\x1b[0m" if painted else "##x")
