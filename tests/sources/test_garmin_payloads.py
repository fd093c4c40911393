"""Recorded answers of Garmin Connect through the whole program: `etl run`, and the rows they must become."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from sources.garmin import METRICS, files
from sources.garmin.activities import PARTS
from sources.kit.foreign import Line
from tests.scripted_server import Asked, reply, serving

FILES = {
    "sleep": "sleep",
    "steps": "steps",
    "heart_rate": "heart_rate",
    "body_battery": "body_battery",
    "stress": "stress",
    "weight": "weight",
    "body_composition": "body_composition",
    "user_summary": "user_summary",
    "training_readiness": "training_readiness",
    "rhr_daily": "rhr_daily",
    "spo2": "spo2",
    "respiration": "respiration",
    "intensity_minutes": "intensity_minutes",
    "max_metrics": "max_metrics",
    "all_day_events": "all_day_events",
    "training_status": "training_status",
    "hrv": "hrv",
    "race_predictions": "race_predictions_daily",
    "floors": "floors",
    "endurance_score": "endurance_score_range",
    "hill_score": "hill_score_range",
    "lifestyle_logging": "lifestyle_logging",
    "device_info": "device_info",
    "activity_details": "activity_details",
    "activity_splits": "activity_splits",
    "activity_typed_splits": "activity_typed_splits",
    "activity_split_summaries": "activity_split_summaries",
    "activity_weather": "activity_weather",
    "activity_hr_zones": "activity_hr_zones",
    "activity_exercise_sets": "activity_exercise_sets",
}
EMPTY = {
    "sleep": "sleep_no_data",
    "stress": "stress_no_data",
    "weight": "weight_no_data",
    "body_composition": "body_composition_no_data",
    "floors": "floors_no_data",
}
ROWS = {
    "activities": 3,
    "activity_details": 1,
    "activity_details_samples": 30,
    "activity_exercise_sets": 3,
    "activity_hr_zones": 5,
    "activity_split_summaries": 1,
    "activity_splits": 2,
    "activity_typed_splits": 1,
    "activity_weather": 1,
    "all_day_events": 1,
    "body_battery": 1,
    "body_battery_samples": 4,
    "body_composition": 1,
    "device_info": 1,
    "endurance_score": 2,
    "floors": 4,
    "heart_rate": 1,
    "heart_rate_samples": 710,
    "hill_score": 2,
    "hrv": 1,
    "hrv_samples": 81,
    "intensity_minutes": 1,
    "intensity_minutes_samples": 2,
    "lifestyle_logging": 2,
    "max_metrics": 2,
    "race_predictions": 2,
    "respiration": 1,
    "respiration_samples": 6,
    "rhr_daily": 2,
    "sleep": 1,
    "spo2": 1,
    "spo2_samples": 3,
    "steps": 96,
    "stress": 1,
    "stress_samples": 11,
    "training_readiness": 5,
    "training_status": 1,
    "user_summary": 1,
    "weight": 4,
}
VALUES = {
    # two descriptors before the value that is the last by its place
    "heart_rate_bpm, distance_m, speed_mps FROM garmin.activity_details_samples WHERE sample_index = 0": [
        ("120.0", "0.0", "3.2")
    ],
    "count(*), count(DISTINCT calendar_date) FROM garmin.weight": [("4", "3")],
    "weight_g FROM garmin.weight WHERE calendar_date = '2025-06-14' ORDER BY 1": [("59130.0",), ("59500.0",)],
    "DISTINCT utc_offset_minutes FROM garmin.weight": [("-360",)],
    "utc_offset_minutes, resting_heart_rate_bpm FROM garmin.heart_rate": [("-360", "52.0")],
    "device_id, load_balance__device_id, vo2max__vo2_max_value FROM garmin.training_status": [
        ("3300000001", "3300000001", "52.0")
    ],
    "zone_number FROM garmin.activity_hr_zones ORDER BY 1": [("1",), ("2",), ("3",), ("4",), ("5",)],
    "temperature_fahrenheit, wind_speed_mph FROM garmin.activity_weather": [("50.0", "7.0")],
}
ACTIVITY = "20000000001"
SETTINGS = {
    "SOURCES__GARMIN__ACCOUNTS": '["me"]',
    "SOURCES__GARMIN__BEGIN": "2026-09-02",
    "SOURCES__GARMIN__HTTP__REQUESTS_PER_SECOND": "10000",
    "SOURCES__GARMIN__ME__TOKEN": json.dumps({"access_token": "recorded-token"}),
}
TODAY = {"Date": format_datetime(datetime(2026, 9, 2, 12, tzinfo=UTC), usegmt=True)}


class Upstream:
    """Answers every endpoint with a recorded answer, whatever the day; where it is empty with `EMPTY` or 204."""

    def __init__(self, folder: Path, empty: bool = False) -> None:
        self.folder, self.empty = folder / "garmin", empty
        self.paths = {metric.path.split("{")[0]: metric.name for metric in METRICS}
        self.parts = {part.path.format(ACTIVITY).split("?")[0]: part.name for part in PARTS}

    def answer(self, asked: Asked):
        path = asked.path.partition("?")[0]
        if path == "/userprofile-service/socialProfile":
            return reply(200, {"displayName": "athlete_1"}, TODAY)
        if path.startswith("/activitylist-service"):
            return reply(200, [] if self.empty else self.activities(), TODAY)
        if path.startswith("/activity-service"):
            return self.recorded(FILES[self.parts[path]]) if path in self.parts else reply(404, {}, TODAY)
        found = next(name for prefix, name in self.paths.items() if asked.path.startswith(prefix))
        if not self.empty:
            return self.recorded(FILES[found])
        return self.recorded(EMPTY[found]) if found in EMPTY else reply(204, headers=TODAY)

    def recorded(self, name: str):
        return reply(200, (self.folder / f"{name}.json").read_bytes(), TODAY)

    def activities(self):
        """The list, whose first activity has sets as weights have."""
        found = json.loads((self.folder / "activities.json").read_text())
        found[0]["activityType"]["typeKey"] = "strength_training"
        return found


def run(workspace, url, *words):
    return workspace.etl(
        "run", "garmin", "--env", "test", "--output", "json", *words, SOURCES__GARMIN__BASE_URL=url, **SETTINGS
    )


@pytest.mark.parametrize(
    ("name", "code", "says", "state"),
    [
        ("garmin_204_no_data", 0, "", "empty"),
        ("garmin_200_null_body", 0, "", "empty"),
        ("garmin_401_token_not_active", 6, "etl auth login garmin --env test --account me", None),
    ],
)
def test_a_day_is_refused_or_empty_as_recorded(workspace, payloads, name, code, says, state):
    made, upstream = workspace("garmin"), Upstream(payloads)
    told = json.loads((payloads / f"errors/{name}.json").read_text())
    body = told.get("raw", json.dumps(told["body"]) if told["body"] else "").encode()

    def answer(asked: Asked):
        is_stress = "dailyStress" in asked.path
        return reply(told["status"], body, TODAY) if is_stress else upstream.answer(asked)

    with serving(answer) as server:
        result = run(made, server.url, "--select", "stress")
    assert (result.code, says in result.err + result.out) == (code, True), result
    if state:
        assert made.query("SELECT state FROM _etl.coverage WHERE resource = 'stress'") == [(state,)]
    with serving(upstream.answer) as server:
        assert run(made, server.url, "--select", "stress").json[0]["tables"] == {"stress": 1}


def test_every_recorded_answer_becomes_its_rows_with_each_value_in_its_column(workspace, payloads):
    made = workspace("garmin")
    with serving(Upstream(payloads).answer) as server:
        first = run(made, server.url)
    assert (first.code, first.json[0]["tables"], first.json[0]["rejected"]) == (0, ROWS, {}), first.err
    for sql, wanted in VALUES.items():
        assert [tuple(map(str, row)) for row in made.query(f"SELECT {sql}")] == wanted, sql


def test_a_day_without_data_is_no_row_and_known_to_be_empty(workspace, payloads):
    made = workspace("garmin")
    with serving(Upstream(payloads, empty=True).answer) as server:
        result = run(made, server.url)
    assert (result.code, result.json[0]["tables"]) == (0, {}), result.err
    states = made.query("SELECT DISTINCT resource, state FROM _etl.coverage")
    assert {state for _, state in states} == {"empty"}
    assert {resource for resource, _ in states} == {metric.name for metric in METRICS if metric.dated} | {"activities"}


def as_older_programs_keep_it(answer):
    """An answer without nulls, its pairs of an array as objects."""
    names = files.PLACES
    if isinstance(answer, list):
        return [as_older_programs_keep_it(each) for each in answer]
    if not isinstance(answer, dict):
        return answer
    kept = {}
    for key, value in answer.items():
        arrays = isinstance(value, list) and bool(value) and all(isinstance(entry, list) for entry in value)
        wide = names.get(key, ()) if arrays and (len(value[0]) > 2 or key == "stressValuesArray") else files.PAIR
        entries = [dict(zip(wide, entry, strict=False)) for entry in value] if arrays else value
        if value is not None and value != {}:
            kept[key] = as_older_programs_keep_it(entries)
    return kept


def without_nulls(value):
    """The same without what is null, at any depth."""
    if isinstance(value, list):
        return [without_nulls(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: without_nulls(each) for key, each in value.items() if each is not None and each != {}}


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric.dated], ids=lambda metric: metric.name)
def test_a_file_of_older_programs_becomes_the_rows_of_the_answer(payloads, metric):
    answer = json.loads((payloads / "garmin" / f"{FILES[metric.name]}.json").read_text())
    lists = {
        "weight": lambda whole: [one for day in whole["dailyWeightSummaries"] for one in day["allWeightMetrics"]],
        "body_composition": lambda whole: whole["dateWeightList"],
    }
    taken_apart = lists.get(metric.name, lambda whole: whole if isinstance(whole, list) else [whole])
    beside = {"data_type": metric.name, **({} if metric.name in files.OWN_DATE else {"date": "2026-09-02"})}
    lines = [{**as_older_programs_keep_it(each), **beside} for each in taken_apart(answer)]
    for table in metric.tables:
        wanted = without_nulls(list(table.shape(answer, "2026-09-02")))
        read = files.read(["me"])
        found = [
            {key: value for key, value in row.items() if key != "account"}
            for place, line in enumerate(lines, 1)
            for row in read.rows(table.name, Line(line, place, metric.name, "x", ""))
        ]
        assert without_nulls(found) == wanted, table.name


def test_every_type_has_a_recorded_answer():
    assert {metric.name for metric in METRICS} | {part.name for part in PARTS} == FILES.keys()
