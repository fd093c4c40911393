"""Garmin's days, series and memory: pure parts by tables, the rest by runs against the stand-in."""

from __future__ import annotations

import os
from collections import Counter
from datetime import date

import pytest

from sources.garmin import RESOURCES
from sources.garmin.activities import PARTS, changed, listed, seen
from sources.garmin.days import Span, Window, asked
from sources.garmin.flat import flat, is_bare, snake
from sources.garmin.metrics import METRICS
from sources.garmin.moments import offset_minutes, utc
from sources.garmin.series import Series, samples
from sources.garmin.upstream import Unanswered
from tests.scripted_server import reply, serving

TODAY = date(2024, 3, 1)
SERIES = Series("values", "described", {"timestamp": "measured_at", "level": "stress_level"})
MS = 1_709_251_200_000


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (MS, "2024-03-01T00:00:00Z"),
        (float(MS), "2024-03-01T00:00:00Z"),
        ("2024-03-01T00:00:00.0", "2024-03-01T00:00:00Z"),
        ("2024-03-01 00:00:00", "2024-03-01T00:00:00Z"),
        ("2024-03-01T00:00:00.000Z", "2024-03-01T00:00:00Z"),
        ("2024-03-01T01:00:00.000+01:00", "2024-03-01T00:00:00Z"),
        ("yesterday", "yesterday"),
        (10**30, 10**30),
        ("9999-12-31T23:59:59-01:00", "9999-12-31T23:59:59-01:00"),
        (True, True),
        (None, None),
    ],
)
def test_moments(value, wanted):
    assert utc(value) == wanted


@pytest.mark.parametrize(
    ("local", "gmt", "wanted"),
    [
        ("2024-03-01T01:00:00.0", "2024-03-01T00:00:00.0", 60),
        (MS - 21_600_000, MS, -360),
        ("2024-03-01 05:45:00", "2024-03-01 00:00:00", 345),
        ("2024-03-01T16:00:00.0", "2024-03-01T00:00:00.0", None),
        (None, "2024-03-01T00:00:00.0", None),
    ],
)
def test_offsets(local, gmt, wanted):
    assert offset_minutes(local, gmt) == wanted


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("averageSpO2", "average_spo2"),
        ("averageSPO2", "average_spo2"),
        ("lowestSpo2", "lowest_spo2"),
        ("vO2MaxValue", "vo2_max_value"),
        ("mostRecentVO2Max", "most_recent_vo2_max"),
        ("acuteTrainingLoadDTO", "acute_training_load_dto"),
        ("startTimestampGMT", "start_timestamp_gmt"),
        ("maxHR", "max_hr"),
        ("hrTimeInZone_1", "hr_time_in_zone_1"),
    ],
)
def test_names(key, wanted):
    assert snake(key) == wanted


def test_a_row_has_one_offset_and_no_wall_clock():
    found = {
        "startTimeGMT": "2024-03-01 08:00:00",
        "startTimeLocal": "2024-03-01 09:00:00",
        "distance": 5,
        "a": {"bC": 1},
    }
    assert flat(found, {"distance": "distance_m"}) == {
        "start_time_gmt": "2024-03-01T08:00:00Z",
        "utc_offset_minutes": 60,
        "distance_m": 5,
        "a__b_c": 1,
    }


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ({"calendarDate": "2024-03-01", "userProfilePK": 1, "values": [], "max": None, "retro": False}, True),
        ({"calendarDate": "2024-03-01", "steps": 0}, False),
        ({"inner": {"deep": None, "startTimestampGMT": "x"}}, True),
        ({"inner": {"deep": 0.0}}, False),
    ],
)
def test_bare_frames(answer, wanted):
    assert is_bare(answer) is wanted


@pytest.mark.parametrize(
    ("described", "values", "wanted"),
    [
        ([{"key": "timestamp", "index": 0}, {"key": "level", "index": 1}], [[MS, 7]], [7]),
        ([{"key": "level", "index": 0}, {"key": "timestamp", "index": 1}], [[7, MS]], [7]),
        ([{"aIndex": 1, "aKey": "level"}, {"aIndex": 0, "aKey": "timestamp"}], [[MS, 7, "more"]], [7]),
        ([], [[MS, 7], [MS + 1, None]], [7, None]),
        (None, [[MS, 7]], [7]),
        (None, [[MS, 7, 8]], "does not fit its descriptors"),
        ([{"key": "timestamp", "index": 0}, {"key": "level", "index": 2}], [[MS, 7]], "does not fit its descriptors"),
        ([{"key": "timestamp", "index": "first"}], [[MS, 7]], "does not fit its descriptors"),
        ([{"key": "timestamp", "index": -3}, {"key": "level", "index": 1}], [[MS, 7]], "does not fit its descriptors"),
        ([{"key": "timestamp", "index": 1}, {"key": "level", "index": 0}], [[7, None]], "tells no moment"),
    ],
)
def test_series_are_read_by_their_descriptors(described, values, wanted):
    rows = list(samples({"values": values, "described": described}, "2024-03-01", [SERIES]))
    if isinstance(wanted, str):
        assert [row["reason"] for row in rows] == [wanted]
    else:
        assert [row["stress_level"] for row in rows] == wanted
        assert rows[0]["measured_at"] == "2024-03-01T00:00:00Z"


def test_series_of_one_answer_meet_in_one_row_a_moment():
    other = Series("others", None, {"timestamp": "measured_at", "level": "battery"})
    answer = {"values": [[MS, 7], [MS + 60_000, 8]], "others": [[MS, 50]]}
    assert [row.get("battery") for row in samples(answer, "2024-03-01", [SERIES, other])] == [50, None]


@pytest.mark.parametrize(
    ("memories", "look_back", "wanted"),
    [
        ([{}], 3, "2024-02-20"),
        ([{"until": "2024-02-28"}], 3, "2024-02-25"),
        ([{"until": "2024-02-28"}, {"until": "2024-02-27"}], 3, "2024-02-24"),
        ([{"until": "2024-02-28"}, {}], 3, "2024-02-20"),
        ([{"until": "2024-02-21"}], 7, "2024-02-20"),
    ],
)
def test_days_begin_where_memory_ends_less_what_may_change(memories, look_back, wanted):
    span = Window(date(2024, 2, 20)).of(memories, look_back, TODAY)
    assert (str(span.first), span.last) == (wanted, TODAY)


@pytest.mark.parametrize(
    ("days", "wanted"),
    [
        (1, ["2024-02-28", "2024-02-29", "2024-03-01"]),
        (2, ["2024-02-28/2024-03-01", "2024-03-01"]),
        (364, ["2024-02-28/2024-03-02"]),
    ],
)
def test_days_are_asked_for_in_requests(days, wanted):
    assert [span.unit for span in asked(Span(date(2024, 2, 28), TODAY), days, False)] == wanted


def test_weeks_begin_on_the_same_mondays_whenever_they_are_asked_for():
    early, late = (
        {span.first for span in asked(Span(date(2024, 1, 1 + day), date(2024, 6, 1)), 28, True)} for day in (0, 27)
    )
    assert late < early
    assert {first.weekday() for first in early} == {0}


def activity(number, name="Run", **more):
    found = {"activityId": number, "activityName": name, "startTimeLocal": "2024-02-29 10:00:00", "userRoles": ["x"]}
    return {**found, "activityType": {"typeKey": "running"}, **more}


def test_parts_are_asked_for_when_an_activity_is_new_or_changed():
    part = PARTS[0]
    first = [activity(1), activity(2)]
    memory = {"seen": seen(first, part, [], TODAY)}
    assert changed(first, part, {}) == ["1", "2"]
    assert changed(first, part, memory) == []
    now = [activity(1, "Named"), activity(2, userRoles=["y"]), activity(3)]
    assert changed(now, part, memory) == ["1", "3"]
    assert changed(now, part, {"seen": seen(now, part, ["3"], TODAY), "failed": ["3"]}) == ["3"]


def test_a_list_without_an_end_is_given_up():
    class Endless:
        def asked(self, paths):
            return iter([lambda: [activity(number) for number in range(100)]])

    with pytest.raises(Unanswered, match="again and again"):
        listed(Endless(), Span(TODAY, TODAY))


def test_only_what_has_a_number_has_parts():
    odd = [activity(number) for number in (None, "../x", ["y"], -1)]
    kind = activity(3, activityType={"typeKey": ["a", "list"]})
    assert [changed([*odd, kind], part, {}) for part in (PARTS[0], PARTS[-1])] == [["3"], []]


def test_sets_are_asked_for_where_there_may_be_some():
    sets = PARTS[-1]
    weights = activity(2, activityType={"typeKey": "strength_training"})
    assert changed([activity(1), weights], sets, {}) == ["2"]


@pytest.fixture
def site(workspace, sandbox):
    """A workspace with Garmin behind the sandbox."""
    made = workspace("garmin")
    made.point_at({**sandbox.settings("garmin"), "sources.garmin.accounts": ["anna"]})
    return made


def run(site, *options, **variables):
    result = site.etl("run", "garmin", "--env", "test", "--output", "json", *options, **variables)
    return result, result.json[0]["tables"]


ROWS = {  # of one person, five days and four activities
    "activities": 4, "activity_details": 4, "activity_details_samples": 16, "activity_exercise_sets": 2,
    "activity_hr_zones": 12, "activity_split_summaries": 4, "activity_splits": 8, "activity_typed_splits": 4,
    "activity_weather": 3, "all_day_events": 3, "body_battery": 5, "body_battery_samples": 19, "body_composition": 2,
    "device_info": 1, "endurance_score": 2, "floors": 28, "heart_rate": 5, "heart_rate_samples": 19, "hill_score": 6,
    "hrv": 5, "hrv_samples": 25, "intensity_minutes": 5, "intensity_minutes_samples": 10, "lifestyle_logging": 5,
    "max_metrics": 2, "race_predictions": 5, "respiration": 5, "respiration_samples": 19, "rhr_daily": 5, "sleep": 5,
    "sleep_samples": 40, "sleep_stages": 24, "spo2": 5, "spo2_samples": 37, "steps": 108, "stress": 5,
    "stress_samples": 10, "training_readiness": 5, "training_status": 5, "user_summary": 5, "weight": 2,
}  # fmt: skip


def test_a_second_day_brings_what_changed_and_asks_for_little(site, sandbox):
    """The first day comes through raw files, into every table there is."""
    some = ("--select", "sleep,sleep_stages,stress,user_summary,weight,body_composition,training_readiness,"
            "activities,activity_splits,activity_details_samples")  # fmt: skip
    assert site.etl("fetch", "garmin", "--env", "test").code == 0
    paths = Counter(seen.path for seen in sandbox.requests)
    first = site.etl("ingest", "garmin", "--env", "test", "--output", "json")
    assert (first.code, first.json[0]["tables"], set(ROWS)) == (0, ROWS, set(RESOURCES)), first.err
    assert max(paths.values()) == 1, "an endpoint is asked twice for the same"
    told = site.etl("coverage", "garmin", "--env", "test", "--since", "2024-02-24", "--until", "2024-03-01").out
    assert "garmin.weight of anna: 6 days: 2 loaded, 4 empty" in told, "a day without a weigh-in had been asked for"
    nights = "SELECT sleep_scores__overall__value FROM garmin.sleep WHERE calendar_date = '2024-03-01'"
    stages = "SELECT count(*) FROM garmin.sleep_stages WHERE calendar_date = '2024-03-01'"
    (draft,), drafts = site.query(nights)[0], site.query(stages)
    sandbox.move_to(2)
    sandbox.forget_requests()
    second, _ = run(site, *some)
    assert second.code == 0, second.err
    asked = [seen.path for seen in sandbox.requests]
    assert not [path for path in asked if "dailyStress" in path and path[-10:] < "2024-02-27"]
    assert len([path for path in asked if path.endswith("/splits")]) == 3  # late, edited and new
    assert (site.query(nights), drafts, site.query(stages)) == ([(draft + 20,)], [(4,)], [(5,)])
    facts = {
        "SELECT count(*) FROM garmin.weight WHERE calendar_date = '2024-03-02'": 2,
        "SELECT count(*) FROM garmin.training_readiness WHERE calendar_date = '2024-03-02'": 5,
        "SELECT count(*) FROM garmin.activities WHERE calendar_date = '2024-02-28'": 1,
        "SELECT count(*) FROM garmin.activities WHERE activity_name = 'Named'": 1,
        "SELECT count(*) FROM garmin.activity_splits WHERE activity_id = 20000000003": 1,
        "SELECT weigh_ins FROM garmin.stats_and_body WHERE calendar_date = '2024-03-02'": 2,
        "SELECT count(*) FROM garmin.laps WHERE activity_type = 'running' AND pace_seconds_per_km > 200": 5,
        "SELECT count(DISTINCT activity_id) FROM garmin.activity_samples WHERE heart_rate_bpm > 0": 6,
        "SELECT count(*) FROM garmin.hrv_against_baseline WHERE last_night_is IN ('below', 'balanced', 'above')": 5,
    }
    assert {sql: site.query(sql)[0][0] for sql in facts} == facts


@pytest.mark.skipif(os.environ.get("ETL_CONFORMANCE") != "whole", reason="takes half a minute")
def test_a_year_asks_once_for_each_day_and_then_for_the_last_ones(workspace, sandbox):
    sandbox.move_to(363)
    site = workspace("garmin")
    site.point_at({**sandbox.settings("garmin"), "sources.garmin.accounts": ["anna"]})
    sandbox.fault(".*", "slow", 10**6, seconds=0.005)
    asked = []
    for _ in range(2):
        sandbox.forget_requests()
        result, _ = run(site)
        assert result.code == 0, result.err
        asked.append(Counter(seen.path for seen in sandbox.requests))
    assert [max(paths.values()) for paths in asked] == [1, 1]
    first, second = (sorted(path[-10:] for path in paths if "dailyStress" in path) for paths in asked)
    assert (len(first), first[0], second) == (369, "2024-02-24", [f"2025-02-{day}" for day in (23, 24, 25, 26)])
    assert asked[1].total() < 100


ALONE = {"SOURCES__GARMIN__HTTP__REQUESTS_AT_ONCE": "1"}
SOME = ("--select", "heart_rate*", "--select", "stress*")


def test_a_day_that_fails_leaves_the_others_and_is_asked_for_again(site, sandbox):
    sandbox.fault("/dailyStress/2024-02-27", "500", 2)
    twice = {**ALONE, "SOURCES__GARMIN__HTTP__MAX_ATTEMPTS": "2", "SOURCES__GARMIN__HTTP__BACKOFF_SECONDS": "0.01"}
    result, tables = run(site, *SOME, **twice)
    assert (result.code, tables["stress"], tables["heart_rate"]) == (3, 4, 5), result.err
    assert result.json[0]["counts"]["items_failed"] == 2  # the day, and its samples
    failed = "SELECT DISTINCT part, state, reason FROM _etl.coverage WHERE reason <> ''"
    assert [(part, state) for part, state, _ in site.query(failed)] == [("anna", "failed")]
    sandbox.forget_requests()
    sandbox.move_to(8)
    result, _ = run(site, *SOME, **twice)
    assert result.code == 0, result.err
    assert next(seen.path for seen in sandbox.requests if "dailyStress" in seen.path).endswith("2024-02-27")
    assert site.query("SELECT count(*) FROM garmin.stress WHERE calendar_date = '2024-02-27'") == [(1,)]


def test_days_that_fail_for_good_stop_no_run(site, sandbox):
    once = {**ALONE, "SOURCES__GARMIN__HTTP__MAX_ATTEMPTS": "1"}
    sandbox.fault("/dailyStress/2024-02-(24|26|28)", "500", 1000)
    for day in (1, 12):
        sandbox.move_to(day)
        result, _ = run(site, "--select", "stress", **once)
        assert (result.code, result.json[0]["counts"]["items_failed"]) == (3, 3), result.err
    sandbox.fault("/dailyStress", "500", 1000)
    assert site.etl("run", "garmin", "--env", "test", "--select", "stress", **once).code == 5


DOWN = [  # where, how it is answered, how often, and of it then how often it is asked and how many rows there are
    ("hrv-service", "500", 3, 3, "hrv", 0),
    ("dailyStress", "404", 3, 3, "stress", 0),
    ("daily/spo2", "403", 1, 1, "spo2", 0),
    ("dailyHeartRate", "404", 1, 7, "heart_rate", 5),
    ("/splits", "500", 3, 3, "activity_splits", 0),
    ("floorsChartData", "500", 0, 7, "floors", 28),
]
LATER = {"hrv": 5, "stress": 5, "spo2": 5, "activity_splits": 8}


def test_what_is_down_stops_nothing_else_and_is_asked_for_again(site, sandbox):
    """Nor does what is not for an account, which a person may leave out; a single day stops no other."""
    once = {**ALONE, "SOURCES__GARMIN__HTTP__MAX_ATTEMPTS": "1"}
    some = ",".join(name for *_, name, _ in DOWN)
    for path, kind, times, *_ in DOWN:
        sandbox.fault(path, kind, times)
    result, tables = run(site, "--select", some, **once)
    asked = [sum(path in seen.path for seen in sandbox.requests) for path, *_ in DOWN]
    assert (result.code, asked) == (3, [times for *_, times, _, _ in DOWN]), result.err
    assert {name: tables.get(name, 0) for *_, name, _ in DOWN} == {name: rows for *_, name, rows in DOWN}
    for path, kind, times, *_ in DOWN:
        said = " ".join(error["message"] for error in result.json[0]["errors"] if path in error["message"])
        assert ("3 in a row failed" in said, "enabled: false" in said) == (times == 3, kind != "500"), said
    result, tables = run(site, "--select", some, **once)
    assert (result.code, {name: tables[name] for name in LATER}) == (0, LATER), result.err


def test_an_account_that_nobody_has_signed_in_to_keeps_no_other_from_being_read(site):
    site.point_at({"sources.garmin.accounts": ["carl", "anna"]})
    result, tables = run(site, "--select", "stress,activities,activity_splits")
    assert (result.code, tables["stress"], tables["activities"]) == (6, 5, 4), result.err
    (error,) = result.json[0]["errors"]
    assert error["message"].startswith("garmin (carl): nobody has signed in; ")
    assert site.etl("run", "garmin", "--env", "test", "--select", "stress").out.count("(carl)") == 1


def test_a_window_in_the_future_asks_for_nothing(site, sandbox):
    result, tables = run(site, "--select", "stress", "--select", "activities", "--since", "2030-01-01")
    assert (result.code, tables) == (0, {}), result.out + result.err
    assert [seen.path for seen in sandbox.requests] == ["/garmin/userprofile-service/socialProfile"]


@pytest.mark.parametrize(
    ("kind", "code", "said", "requests"),
    [
        ("401", 6, "etl auth", 3),
        ("403", 3, "answered 403", 3),
    ],
)
def test_what_no_repetition_mends_is_not_repeated(site, sandbox, kind, code, said, requests):
    sandbox.fault("dailyStress|token", kind, 1000)
    result = site.etl("run", "garmin", "--env", "test", "--select", "stress", **ALONE)
    assert result.code == code, result
    assert said in result.err + result.out
    assert len(sandbox.requests) <= requests


@pytest.mark.parametrize("part", [("--since", "2024-02-27"), ("--until", "2024-02-28"), ("--mode", "backfill")])
def test_a_limit_never_cuts_days_that_nobody_reads_again(site, sandbox, part):
    result = site.etl("run", "garmin", "--env", "test", "--limit", "2", *part)
    assert (result.code, sandbox.requests) == (2, [])
    assert "would cut them for good" in result.err


def test_an_answer_for_strangers_is_no_data(site):
    def answer(asked):
        return reply(200, {"displayName": "x"} if asked.path.endswith("Profile") else {"privacyProtected": True})

    with serving(answer) as server:
        result = site.etl(
            "run", "garmin", "--env", "test", "--select", "user_summary", SOURCES__GARMIN__BASE_URL=server.url
        )
    assert (result.code, len(result.err.splitlines())) == (6, 1), result.err


def test_a_day_that_is_emptied_has_no_rows_any_more(site):
    """What was measured is deleted in the app; another day stays, and so does all if no answer comes."""
    now, states = {"Date": "Fri, 01 Mar 2024 12:00:00 GMT"}, ["there", "unanswered", "gone"]

    def answer(asked):
        if "dailyStress" not in asked.path:
            return reply(200, {"displayName": "x"}, now)
        day = asked.path[-10:]
        if day == "2024-02-29" and states[0] != "there":
            return reply(404, {}, now) if states[0] == "unanswered" else reply(200, b"null", now)
        return reply(200, {"calendarDate": day, "avgStressLevel": 7, "stressValuesArray": [[MS, 7]]}, now)

    days = []
    with serving(answer) as server:
        site.point_at({"sources.garmin.base_url": server.url, "sources.garmin.begin": "2024-02-28"})
        for _ in range(3):
            run(site, "--select", "stress*", **ALONE)
            states.pop(0)
            days.append([site.query(f"SELECT DISTINCT calendar_date::text FROM garmin.{table} ORDER BY 1")
                         for table in ("stress", "stress_samples")])  # fmt: skip
    whole = [(f"2024-{day}",) for day in ("02-28", "02-29", "03-01")]
    assert days == [[whole, whole], [whole, whole], [[whole[0], whole[2]]] * 2]


def test_a_day_whose_rows_cannot_be_read_keeps_those_it_had(site):
    """An answer that is as none ever was has failed, and is asked for again."""
    now, told = {"Date": "Fri, 01 Mar 2024 12:00:00 GMT"}, {"stressValuesArray": [[MS, 7]]}

    def answer(asked):
        if "dailyStress" not in asked.path:
            return reply(200, {"displayName": "x"}, now)
        first = asked.path.endswith("2024-03-01")
        return reply(200, told if first else {"stressValuesArray": [[MS, 9]]}, now)

    def rows():
        result, _ = run(site, "--select", "stress_samples", **ALONE)
        there = "SELECT calendar_date::text, stress_level FROM garmin.stress_samples ORDER BY 1 LIMIT 2"
        return result.code, result.json[0]["rejected"], site.query(there)

    with serving(answer) as server:
        site.point_at({"sources.garmin.base_url": server.url, "sources.garmin.begin": "2024-03-01"})
        before = rows()[-1]
        told["stressValuesArray"] = [[MS, 7, "odd"]]
        assert rows() == (3, {"stress_samples": 1}, before)
        now["Date"] = "Wed, 06 Mar 2024 12:00:00 GMT"
        told["stressValueDescriptorsDTOList"] = 7
        assert rows() == (3, {}, [*before, ("2024-03-02", 9.0)])
        told.clear()
        told["stressValuesArray"] = [[MS, 8]]
        assert rows() == (0, {}, [("2024-03-01", 8.0), ("2024-03-02", 9.0)])


def test_a_list_that_is_none_fails_and_is_asked_for_again(site, sandbox):
    sandbox.fault("activitylist", "403", 1)
    result, tables = run(site, "--select", "activities,activity_splits")
    assert (result.code, tables, result.json[0]["counts"]["items_failed"]) == (3, {}, 1)
    result, tables = run(site, "--select", "activities,activity_splits")
    assert (result.code, tables["activities"], tables["activity_splits"]) == (0, 4, 8)


def test_a_token_that_has_ended_is_renewed_once(site, sandbox):
    sandbox.fault("dailyStress/2024-02-28", "401", 1)
    result, tables = run(site, "--select", "stress", **ALONE)
    assert (result.code, tables) == (0, {"stress": 5}), result.err
    assert [seen.status for seen in sandbox.requests if seen.path.endswith("/oauth/token")] == [200]


def test_what_takes_a_day_away_has_the_whole_key():
    for table in (table for metric in METRICS for table in metric.tables if table.is_of_days):
        row = table.removal("2024-02-29")
        assert ({*table.key, "removed"} <= row.keys(), None in row.values()) == (True, False), table.name


def test_every_metric_is_there_once():
    names = [metric.name for metric in METRICS] + ["activities"] + [part.name for part in PARTS]
    assert len(names) == len(set(names)) == 31
