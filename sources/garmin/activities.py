"""Activities, and what belongs to each: asked for when an activity is new or has changed since it was last seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any

from dlt.common.schema.typing import TTableSchemaColumns

from sources.garmin import columns as c
from sources.garmin import series
from sources.garmin.days import Memory, Span
from sources.garmin.flat import Row, flat, snake
from sources.garmin.metrics import Table
from sources.garmin.moments import DAY, utc
from sources.garmin.shapes import DATE, objects
from sources.garmin.upstream import NOTHING, Account, Unanswered, checked

ID = "activity_id"
LIST = "/activitylist-service/activities/search/activities?startDate={0.first}&endDate={0.last}&start={1}&limit={2}"
AT = "/activity-service/activity/{}"
PAGE = 100
LOOK_BACK = 7
NONE_SUCH = (*NOTHING, 404)  # e.g. the weather of an activity indoors
VOLATILE = ("owner", "userRoles", "userPro", "conversation", "numberOf", "activityLike", "likedBy", "commentedBy")
STRENGTH = frozenset({"strength_training", "hiit", "indoor_cardio", "fitness_equipment", "mobility", "pilates"})


@dataclass(frozen=True)
class Part:
    """What belongs to an activity; `only` are the types of activity that have it, where not all do."""

    path: str
    tables: tuple[Table, ...]
    only: frozenset[str] = frozenset()
    kind: type = dict

    @property
    def name(self) -> str:
        """That of its first table."""
        return self.tables[0].name

    def is_of(self, activity: Row) -> bool:
        """Whether such an activity has it."""
        kind = activity.get("activityType")
        return not self.only or (isinstance(kind, dict) and str(kind.get("typeKey")) in self.only)


def listed(account: Account, span: Span) -> list[Row]:
    """The activities of some days, newest first, each once."""
    found: dict[str, Row] = {}
    for page in _pages(account, span):
        more = {json.dumps(entry.get("activityId", entry)): entry for entry in objects(page, "activities")}
        if len(page) >= PAGE and more.keys() <= found.keys():
            raise Unanswered("lists the same activities again and again; the API may have changed")
        found |= more
    return list(found.values())


def _pages(account: Account, span: Span) -> Iterator[list[Any]]:
    start = 0
    while True:
        ask = next(account.asked([LIST.format(span, start, PAGE)]))
        page = checked(ask(), list) or []
        yield page
        start += PAGE
        if len(page) < PAGE:
            return


def changed(activities: list[Row], part: Part, memory: Memory) -> list[str]:
    """The ids of activities whose part is to be asked for: new ones, changed ones, and those that failed."""
    seen = memory.get("seen", {})
    known = [each for each in activities if _id(each).isdecimal() and part.is_of(each)]
    new = [_id(each) for each in known if seen.get(_id(each)) != digest(each)]
    return list(dict.fromkeys([*memory.get("failed", []), *new]))


def seen(activities: list[Row], part: Part, failed: list[str], until: date) -> dict[str, str]:
    """The activities that the next run will meet again, as they are now."""
    oldest = str(until - (LOOK_BACK + 1) * DAY)
    recent = [each for each in activities if part.is_of(each) and str(each.get("startTimeLocal"))[:10] >= oldest]
    return {_id(each): digest(each) for each in recent if _id(each) not in failed}


def digest(found: Row) -> str:
    """What changes with an activity, and not with who looks at it."""
    kept = {key: value for key, value in found.items() if not key.startswith(VOLATILE)}
    return sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def _id(found: Row) -> str:
    return str(found.get("activityId"))


def _activities(answer: Any, _: str) -> Iterator[Row]:
    """The rows of the list; the day of one is that on the wall clock where it began."""
    for found in answer:
        if getattr(found, "is_notice", False):
            yield found
        else:
            day = str(found.get("startTimeLocal") or found.get("startTimeGMT"))[:10]
            yield {DATE: day, **flat(found, UNITS)}


def _details(answer: Any) -> Iterator[Row]:
    row = flat(answer, without=(DESCRIPTORS, METRICS))
    sent, measured = row.get("metrics_count"), row.get("total_metrics_count")
    fewer = sent < measured if isinstance(sent, int) and isinstance(measured, int) else None
    yield {**row, "is_down_sampled": fewer}


def _samples(answer: Any) -> Iterator[Row]:
    """One row a sample; what has another unit than it is known by has a column of its own."""
    entries = answer.get(METRICS) or []
    values = [entry.get("metrics") if isinstance(entry, dict) else entry for entry in entries]
    distinct = list({repr(value): value for value in values}.values())
    described = {METRICS: distinct, DESCRIPTORS: [_with_unit(each) for each in answer.get(DESCRIPTORS) or []]}
    index = 0
    for point in SAMPLES.points(described, ""):
        if getattr(point, "is_notice", False):
            yield point
        else:
            yield {"sample_index": index, **point, series.AT: utc(point.get(series.AT))}
            index += 1


def _with_unit(descriptor: Any) -> Any:
    """A descriptor whose key tells the unit where that is none of those known for it."""
    if not isinstance(descriptor, dict) or not isinstance(descriptor.get("unit"), dict):
        return descriptor
    key, unit = str(descriptor.get("key")), str(descriptor["unit"].get("key"))
    known = MEASURED.get(key, ("", ""))[1].split()
    return descriptor if unit in (*known, "dimensionless") else {**descriptor, "key": f"{snake(key)}_{snake(unit)}"}


def _laps(answer: Any) -> Iterator[Row]:
    yield from _each(answer.get("lapDTOs"))


def _typed(answer: Any) -> Iterator[Row]:
    yield from _each(answer.get("splits"))


def _summaries(answer: Any) -> Iterator[Row]:
    yield from _each(answer.get("splitSummaries"))


def _weather(answer: Any) -> Iterator[Row]:
    yield flat(answer, WEATHER_UNITS)


def _zones(answer: Any) -> Iterator[Row]:
    yield from _each(answer)


def _sets(answer: Any) -> Iterator[Row]:
    yield from _each(answer.get("exerciseSets"))


def _each(found: Any) -> Iterator[Row]:
    for entry in objects(found, "activity"):
        yield entry if getattr(entry, "is_notice", False) else flat(entry, UNITS)


def _named(unit: str, names: str) -> dict[str, str]:
    return {name: f"{name}_{unit}" for name in names.split()}


ZONES = " ".join(f"{kind}_time_in_zone_{zone}" for kind in ("hr", "power") for zone in range(1, 6))
UNITS = {
    **_named("m", "distance elevation_gain elevation_loss min_elevation max_elevation total_ascent max_distance "
             "max_distance_with_precision"),
    **_named("seconds", "duration elapsed_duration moving_duration min_activity_lap_duration fastest_split_1000 "
             "fastest_split_1609 " + ZONES),
    **_named("mps", "average_speed max_speed average_moving_speed avg_grade_adjusted_speed max_vertical_speed"),
    **_named("kcal", "calories bmr_calories"),
    **_named("bpm", "average_hr max_hr zone_low_boundary"),
    **_named("w", "avg_power max_power norm_power average_power normalized_power max20_min_power"),
    **_named("c", "min_temperature max_temperature average_temperature"),
    **_named("cm", "avg_vertical_oscillation avg_stride_length vertical_oscillation stride_length"),
    **_named("ms", "avg_ground_contact_time ground_contact_time"),
    **_named("percent", "avg_vertical_ratio vertical_ratio"),
    "water_estimated": "water_estimated_ml",
    "secs_in_zone": "seconds_in_zone",
    "weight": "weight_g",
}  # fmt: skip
WEATHER_UNITS = {
    "temp": "temperature_fahrenheit",
    "apparent_temp": "apparent_temperature_fahrenheit",
    "dew_point": "dew_point_fahrenheit",
    "relative_humidity": "relative_humidity_percent",
    "wind_direction": "wind_direction_degrees",
    "wind_speed": "wind_speed_mph",
    "wind_gust": "wind_gust_mph",
}
DESCRIPTORS, METRICS = "metricDescriptors", "activityDetailMetrics"
MEASURED = {  # what Garmin measures: our column, and the units it is in
    "directTimestamp": (series.AT, "gmt"),
    "sumDuration": ("duration_seconds", "second"),
    "sumElapsedDuration": ("elapsed_duration_seconds", "second"),
    "sumMovingDuration": ("moving_duration_seconds", "second"),
    "sumDistance": ("distance_m", "meter"),
    "directSpeed": ("speed_mps", "mps"),
    "directGradeAdjustedSpeed": ("grade_adjusted_speed_mps", "mps"),
    "directVerticalSpeed": ("vertical_speed_mps", "mps"),
    "directElevation": ("elevation_m", "meter"),
    "directLatitude": ("latitude_degrees", "dd"),
    "directLongitude": ("longitude_degrees", "dd"),
    "directHeartRate": ("heart_rate_bpm", "bpm"),
    "directPower": ("power_w", "watt"),
    "directRunCadence": ("run_cadence_spm", "stepsPerMinute rpm"),
    "directDoubleCadence": ("double_cadence_spm", "stepsPerMinute"),
    "directFractionalCadence": ("fractional_cadence_spm", "stepsPerMinute rpm"),
    "directBikeCadence": ("bike_cadence_rpm", "rpm"),
    "directStrideLength": ("stride_length_cm", "centimeter"),
    "directVerticalOscillation": ("vertical_oscillation_cm", "centimeter"),
    "directVerticalRatio": ("vertical_ratio_percent", "percent"),
    "directGroundContactTime": ("ground_contact_time_ms", "ms"),
    "directAirTemperature": ("air_temperature_c", "celcius celsius"),
    "directBodyBattery": ("body_battery_level", ""),
    "directAvailableStamina": ("available_stamina_percent", "percent"),
    "directPotentialStamina": ("potential_stamina_percent", "percent"),
    "directPerformanceCondition": ("performance_condition", ""),
    "sumAccumulatedPower": ("accumulated_power", ""),
}
SAMPLES = series.Series(METRICS, DESCRIPTORS, {key: column for key, (column, _) in MEASURED.items()})


def _of(name: str, shape: Callable[[Any], Iterator[Row]], columns: TTableSchemaColumns, *key: str) -> Table:
    """One row an activity, or more of them, which then are replaced together."""

    def rows(answer: Any, activity: str) -> Iterator[Row]:
        for row in shape(answer):
            yield row if getattr(row, "is_notice", False) else {**row, ID: int(activity)}

    return Table(name, rows, columns, (ID, *key), (ID,) if key else ())


ACTIVITIES = Table("activities", _activities, c.ACTIVITIES, (ID,))
PARTS = (
    Part(
        AT + "/details?maxChartSize=2000&maxPolylineSize=4000",
        (
            _of("activity_details", _details, c.ACTIVITY_DETAILS),
            _of("activity_details_samples", _samples, c.ACTIVITY_SAMPLES, "sample_index"),
        ),
    ),
    Part(AT + "/splits", (_of("activity_splits", _laps, c.ACTIVITY_SPLITS, "lap_index"),)),
    Part(
        AT + "/typedsplits", (_of("activity_typed_splits", _typed, c.ACTIVITY_TYPED_SPLITS, "type", "message_index"),)
    ),
    Part(
        AT + "/split_summaries",
        (_of("activity_split_summaries", _summaries, c.ACTIVITY_SPLIT_SUMMARIES, "split_type"),),
    ),
    Part(AT + "/weather", (_of("activity_weather", _weather, c.ACTIVITY_WEATHER),)),
    Part(AT + "/hrTimeInZones", (_of("activity_hr_zones", _zones, c.ACTIVITY_HR_ZONES, "zone_number"),), kind=list),
    Part(
        AT + "/exerciseSets",
        (_of("activity_exercise_sets", _sets, c.ACTIVITY_EXERCISE_SETS, "message_index"),),
        STRENGTH,
    ),
)
