"""How an answer becomes the rows of a table, all but their account; `day` is the first that was asked for.

A shape yields rows, and a notice for each entry that is none. No data is no row: 204, `null`, `[]`, or a bare frame.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from sources.garmin import series
from sources.garmin.flat import Row, flat, is_bare
from sources.garmin.moments import offset_minutes
from sources.kit import notices

Shape = Callable[[Any, str], Iterator[Row]]
DATE = "calendar_date"
STAGES = {0: "deep", 1: "light", 2: "rem", 3: "awake"}
NO_DEVICE = 0
NO_WELLNESS = ("includesWellnessData", "includesActivityData", "includesCalorieConsumedData")


def of_day(units: Mapping[str, str] | None = None, *read: series.Series | series.Points) -> Shape:
    """One row a day: what an answer says beside its series."""
    apart = [key for one in read for key in one.keys]

    def rows(answer: Any, day: str) -> Iterator[Row]:
        if not is_bare(answer):
            yield {DATE: day, **flat(answer, units, apart)}

    return rows


def of_moments(*read: series.Series | series.Points) -> Shape:
    """One row a moment."""

    def rows(answer: Any, day: str) -> Iterator[Row]:
        for row in series.samples(answer, day, read):
            yield row if getattr(row, "is_notice", False) else {DATE: day, **row}

    return rows


def of_list(at: str = "", units: Mapping[str, str] | None = None, without: Collection[str] = ()) -> Shape:
    """One row for each object of a list, which is the answer or stands in it under dotted keys."""

    def rows(answer: Any, day: str) -> Iterator[Row]:
        for entry in objects(_under(answer, at), at):
            if _is_notice(entry):
                yield entry
            elif not is_bare(entry):
                yield {DATE: day, **flat(entry, units, without)}

    return rows


def body_battery(answer: Any, day: str) -> Iterator[Row]:
    """One row a day of a report of several."""
    for entry in objects(answer, "reports"):
        yield entry if _is_notice(entry) else _battery_day(entry)


def body_battery_samples(answer: Any, day: str) -> Iterator[Row]:
    """The moments at which the level turned."""
    for entry in objects(answer, "reports"):
        if not _is_notice(entry):
            yield from of_moments(BATTERY_TURNS)(entry, str(entry.get("date")))


def user_summary(answer: Any, day: str) -> Iterator[Row]:
    """One row a day; a day without anything has goals all the same, and says that it includes nothing."""
    included = [answer[key] for key in NO_WELLNESS if key in answer]
    if any(included) or not (included or is_bare(answer)):
        yield {DATE: day, **flat(answer, SUMMARY_UNITS)}


def sleep(answer: Any, day: str) -> Iterator[Row]:
    """One row a night, by the day of waking; its series are in tables of their own."""
    night = answer.get("dailySleepDTO") or {}
    if night.get("id") is None:
        return
    yield {DATE: day, **flat(answer, SLEEP_UNITS, NOT_OF_NIGHT), **flat(night, SLEEP_UNITS)}


def sleep_stages(answer: Any, day: str) -> Iterator[Row]:
    """One row for each stretch of a stage."""
    for entry in objects(answer.get("sleepLevels"), "sleepLevels"):
        if _is_notice(entry):
            yield entry
        else:
            yield {DATE: day, **flat(entry), "stage": STAGES.get(entry.get("activityLevel", -1))}


def floors(answer: Any, day: str) -> Iterator[Row]:
    """One row for each stretch in which there were any."""
    for row in FLOORS.points(answer, day):
        yield row if _is_notice(row) else {DATE: day, **flat(row)}


def weights(answer: Any, day: str) -> Iterator[Row]:
    """One row for each weigh-in."""
    for summary in objects(answer.get("dailyWeightSummaries"), "dailyWeightSummaries"):
        if _is_notice(summary):
            yield summary
        else:
            yield from _weighed(summary.get("allWeightMetrics"))


def body_composition(answer: Any, day: str) -> Iterator[Row]:
    """One row for each weigh-in."""
    yield from _weighed(answer.get("dateWeightList"))


def max_metrics(answer: Any, day: str) -> Iterator[Row]:
    """One row for each day and sport, and one for how used to heat and height the body was."""
    for entry in objects(answer, "maxmet"):
        if _is_notice(entry):
            yield entry
            continue
        for sport, value in entry.items():
            if isinstance(value, dict):
                yield {DATE: day, **flat(value), "sport": sport_of(sport)}


def training_status(answer: Any, day: str) -> Iterator[Row]:
    """One row for each device; what belongs to none stands in the row of each, or else of device 0."""
    fitness = flat({"vo2max": _under(answer, "mostRecentVO2Max.generic") or {}})
    cycling = flat({"cycling_vo2max": _under(answer, "mostRecentVO2Max.cycling") or {}})
    devices: dict[str, Row] = {}
    for at, prefix in (
        ("mostRecentTrainingLoadBalance.metricsTrainingLoadBalanceDTOMap", "load_balance"),
        ("mostRecentTrainingStatus.latestTrainingStatusData", ""),
    ):
        for device, told in (_under(answer, at) or {}).items():
            if isinstance(told, dict):
                row = devices.setdefault(device, {DATE: day, "device_id": device})
                row.update(flat({prefix: told} if prefix else told))
            else:
                yield notices.rejected({DATE: day, device: told}, "is no status of a device", at)
    if not devices and (fitness or cycling):
        devices[""] = {DATE: day, "device_id": NO_DEVICE}
    yield from ({**fitness, **cycling, **row} for row in devices.values())


def hrv(answer: Any, day: str) -> Iterator[Row]:
    """One row a night: the summary."""
    summary = answer.get("hrvSummary")
    if summary and not is_bare(summary):
        yield {DATE: day, **flat(answer, without=("hrvSummary", "hrvReadings")), **flat(summary, HRV_UNITS)}


def endurance_score(answer: Any, day: str) -> Iterator[Row]:
    """One row for each week of the map, and one for the day of the newest score; `period` tells which."""
    for week, told in (answer.get("groupMap") or {}).items():
        if isinstance(told, dict):
            yield {DATE: week, "period": "week", **flat(told)}
        else:
            yield notices.rejected({DATE: week, "groupMap": told}, "is no week of scores", "groupMap")
    newest = answer.get("enduranceScoreDTO")
    if newest and not is_bare(newest):
        yield {DATE: day, "period": "day", **flat(newest)}


def hill_score(answer: Any, day: str) -> Iterator[Row]:
    """One row for each day and device, and one for each average of the map; `period` tells which."""
    for entry in objects(answer.get("hillScoreDTOList"), "hillScoreDTOList"):
        yield entry if _is_notice(entry) else {DATE: day, "period": "day", "device_id": NO_DEVICE, **flat(entry)}
    for start, average in (answer.get("periodAvgScore") or {}).items():
        yield {DATE: start, "period": "average", "device_id": NO_DEVICE, "overall_score": average}


def device_info(answer: Any, day: str) -> Iterator[Row]:
    """One row for each device; its hundreds of abilities are one document."""
    for entry in objects(answer, "devices"):
        if _is_notice(entry):
            yield entry
            continue
        able = {key: value for key, value in entry.items() if key.endswith("Capable")}
        yield {**flat(entry, without=able.keys()), "capabilities": able}


def lifestyle_logging(answer: Any, day: str) -> Iterator[Row]:
    """One row for each habit, with how many were told of that day."""
    stats: Row = next(iter(answer.get("completionStats") or []), {})
    beside = {key: stats.get(key) for key in ("totalTracking", "completedTracking")} if stats else {}
    for entry in objects(answer.get("dailyLogsReport"), "dailyLogsReport"):
        yield entry if _is_notice(entry) else {DATE: day, **flat(beside), **flat(entry)}


def objects(found: Any, where: str) -> Iterator[Row]:
    """The objects of a list, and a notice for each entry that is none."""
    if found is None:
        return
    entries: Iterable[Any] = found if isinstance(found, list) else [found]
    for entry in entries:
        yield entry if isinstance(entry, dict) else notices.rejected({where: entry}, "is no object", where)


def sport_of(key: str) -> str:
    """`heat_altitude_acclimation` of `heatAltitudeAcclimation`."""
    return next(iter(flat({key: None})))


def _battery_day(entry: Row) -> Row:
    row = flat(entry, without=BATTERY_TURNS.keys)
    row[DATE] = row.pop("date", None)
    return row


def _weighed(found: Any) -> Iterator[Row]:
    """Weigh-ins; their `date` is the wall clock."""
    for entry in objects(found, "weigh-ins"):
        if _is_notice(entry):
            yield entry
        else:
            row = flat(entry, WEIGHT_UNITS, without=("date",))
            yield {**row, "utc_offset_minutes": offset_minutes(entry.get("date"), entry.get("timestampGMT"))}


def _under(answer: Any, at: str) -> Any:
    for key in at.split(".") if at else ():
        answer = answer.get(key) if isinstance(answer, dict) else None
    return answer


def _is_notice(row: Any) -> bool:
    return bool(getattr(row, "is_notice", False))


SUMMARY_UNITS = {
    **{f"{kind}stress_duration": f"{kind}stress_duration_seconds"
       for kind in ("", "rest_", "activity_", "uncategorized_", "total_", "low_", "medium_", "high_")},
    **{name: f"{name}_bpm" for name in (
        "min_heart_rate", "max_heart_rate", "resting_heart_rate", "last_seven_days_avg_resting_heart_rate",
        "min_avg_heart_rate", "max_avg_heart_rate")},
    "measurable_awake_duration": "measurable_awake_seconds",
    "measurable_asleep_duration": "measurable_asleep_seconds",
    "average_monitoring_environment_altitude": "average_monitoring_environment_altitude_m",
}  # fmt: skip
SLEEP_UNITS = {
    "avg_overnight_hrv": "avg_overnight_hrv_ms",
    "resting_heart_rate": "resting_heart_rate_bpm",
    "sleep_need__baseline": "sleep_need__baseline_minutes",
    "sleep_need__actual": "sleep_need__actual_minutes",
}
HRV_UNITS = {
    "weekly_avg": "weekly_avg_ms",
    "last_night_avg": "last_night_avg_ms",
    "last_night5_min_high": "last_night_5_min_high_ms",
    "baseline__low_upper": "baseline__low_upper_ms",
    "baseline__balanced_low": "baseline__balanced_low_ms",
    "baseline__balanced_upper": "baseline__balanced_upper_ms",
}
WEIGHT_UNITS = {
    "weight": "weight_g",
    "weight_delta": "weight_delta_g",
    "bone_mass": "bone_mass_g",
    "muscle_mass": "muscle_mass_g",
    "body_fat": "body_fat_percent",
    "body_water": "body_water_percent",
    "metabolic_age": "metabolic_age_years",
}
RACE_UNITS = {
    "time5_k": "time_5k_seconds",
    "time10_k": "time_10k_seconds",
    "time_half_marathon": "time_half_marathon_seconds",
    "time_marathon": "time_marathon_seconds",
}
ASKED_FOR = ("fromCalendarDate", "toCalendarDate")  # an echo of the request
RHR_UNITS = {"value": "resting_heart_rate_bpm"}
EVENT_UNITS = {"duration": "duration_minutes"}
READINESS_UNITS = {"recovery_time": "recovery_time_minutes", "hrv_weekly_average": "hrv_weekly_average_ms"}
WHEN = {"timestamp": series.AT}
HEART_RATE = series.Series("heartRateValues", "heartRateValueDescriptors", {**WHEN, "heartrate": "heart_rate_bpm"})
STRESS = series.Series("stressValuesArray", "stressValueDescriptorsDTOList", {**WHEN, "stressLevel": "stress_level"})
BATTERY = series.Series(
    "bodyBatteryValuesArray",
    "bodyBatteryValueDescriptorsDTOList",
    {
        **WHEN,
        "bodyBatteryStatus": "body_battery_status",
        "bodyBatteryLevel": "body_battery_level",
        "bodyBatteryVersion": "body_battery_version",
    },
)
BATTERY_TURNS = series.Series(
    "bodyBatteryValuesArray", "bodyBatteryValueDescriptorDTOList", {**WHEN, "bodyBatteryLevel": "body_battery_level"}
)
SPO2 = series.Series(
    "spO2HourlyAverages", "spO2ValueDescriptorsDTOList", {**WHEN, "spo2Reading": "hourly_average_percent"}
)
SPO2_SINGLE = series.Series("spO2SingleValues", "spO2SingleValueDescriptorsDTOList",
                            {**WHEN, "spo2Reading": "single_percent"})  # fmt: skip
SPO2_CONTINUOUS = series.Points(
    "continuousReadingDTOList", ("epochTimestamp", "readingTimeGMT"), {"spo2Reading": "continuous_percent"}
)
RESPIRATION = series.Series(
    "respirationValuesArray",
    "respirationValueDescriptorsDTOList",
    {**WHEN, "respiration": "breaths_per_minute"},
)
RESPIRATION_AVERAGES = series.Series(
    "respirationAveragesValuesArray",
    "respirationAveragesValueDescriptorDTOList",
    {
        **WHEN,
        "respirationAverageValue": "average_breaths_per_minute",
        "respirationHighValue": "highest_breaths_per_minute",
        "respirationLowValue": "lowest_breaths_per_minute",
    },
)
INTENSITY = series.Series("imValuesArray", "imValueDescriptorsDTOList", {**WHEN, "value": "intensity_minutes"})
FLOORS = series.Series(
    "floorValuesArray",
    "floorsValueDescriptorDTOList",
    {
        "startTimeGMT": "startGMT",
        "endTimeGMT": "endGMT",
        "floorsAscended": "floors_ascended",
        "floorsDescended": "floors_descended",
    },
)
HRV_READINGS = series.Points("hrvReadings", ("readingTimeGMT",), {"hrvValue": "hrv_ms"})
SLEEP_SERIES = (
    series.Points("sleepMovement", ("startGMT",), {"activityLevel": "movement_level"}),
    series.Points("sleepHeartRate", ("startGMT",), {"value": "heart_rate_bpm"}),
    series.Points("sleepStress", ("startGMT",), {"value": "stress_level"}),
    series.Points("sleepBodyBattery", ("startGMT",), {"value": "body_battery_level"}),
    series.Points("hrvData", ("startGMT",), {"value": "hrv_ms"}),
    series.Points("sleepRestlessMoments", ("startGMT",), {"value": "restless_moments"}),
    series.Points("wellnessEpochRespirationDataDTOList", ("startTimeGMT",), {"respirationValue": "breaths_per_minute"}),
    series.Points("wellnessEpochSPO2DataDTOList", ("epochTimestamp",), {"spo2Reading": "spo2_percent"}),
)
NOT_OF_NIGHT = ("dailySleepDTO", "sleepLevels", *(one.values for one in SLEEP_SERIES))
