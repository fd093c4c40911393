"""Every metric that is asked for by day or range: where, how much at once, how far back, and its tables."""

from __future__ import annotations

from dataclasses import dataclass

from dlt.common.schema.typing import TTableSchemaColumns

from sources.garmin import columns as c
from sources.garmin import shapes as s
from sources.garmin.flat import Row

DATE = s.DATE
YEAR, MONTH = 364, 28  # days that the API answers at once


@dataclass(frozen=True)
class Table:
    """A table of a metric; `key` tells rows apart within an account, `whole` is what an answer replaces as a whole."""

    name: str
    shape: s.Shape
    columns: TTableSchemaColumns
    key: tuple[str, ...] = (DATE,)
    whole: tuple[str, ...] = ()

    @property
    def is_of_days(self) -> bool:
        """Whether the rows of a day are what an answer about it replaces."""
        return DATE in (*self.key, *self.whole)

    def removal(self, day: str) -> Row:
        """What takes the rows of a day away; it is no row itself, so that the rest of its key may be anything."""
        anything = {"timestamp": f"{day}T00:00:00Z", "date": day, "text": "-", "bigint": 0}
        key = {name: anything[str(self.columns[name]["data_type"])] for name in self.key}
        return {**key, DATE: day, "removed": True}


@dataclass(frozen=True)
class Metric:
    """One endpoint; `{name}`, `{first}` and `{last}` stand for who is asked about and for the days of a request.

    `days` are asked for at once, from a Monday on where `weekly`. A run asks again for `look_back` days, as values are
    revised: late synchronisation, edited nights. What is not `dated` is asked for once, as it is now.
    `kind` is that of an answer.
    """

    path: str
    tables: tuple[Table, ...]
    days: int = 1
    look_back: int = 3
    weekly: bool = False
    dated: bool = True
    kind: type = dict

    @property
    def name(self) -> str:
        """That of its first table."""
        return self.tables[0].name


def _of(name: str, shape: s.Shape, columns: TTableSchemaColumns, *key: str) -> Table:
    """One row a day, or more of them, which then are replaced together."""
    return Table(name, shape, columns, (DATE, *key), (DATE,) if key else ())


METRICS = (
    Metric(
        "/wellness-service/wellness/dailySleepData/{name}?date={first}&nonSleepBufferMinutes=60",
        (
            _of("sleep", s.sleep, c.SLEEP),
            _of("sleep_stages", s.sleep_stages, c.SLEEP_STAGES, "start_gmt"),
            _of("sleep_samples", s.of_moments(*s.SLEEP_SERIES), c.SLEEP_SAMPLES, "measured_at"),
        ),
        look_back=7,
    ),
    Metric(
        "/wellness-service/wellness/dailySummaryChart/{name}?date={first}",
        (_of("steps", s.of_list(), c.STEPS, "start_gmt"),),
        kind=list,
    ),
    Metric(
        "/wellness-service/wellness/dailyHeartRate/{name}?date={first}",
        (
            _of("heart_rate", s.of_day(s.SUMMARY_UNITS, s.HEART_RATE), c.HEART_RATE),
            _of("heart_rate_samples", s.of_moments(s.HEART_RATE), c.HEART_RATE_SAMPLES, "measured_at"),
        ),
    ),
    Metric(
        "/wellness-service/wellness/bodyBattery/reports/daily?startDate={first}&endDate={last}",
        (
            _of("body_battery", s.body_battery, c.BODY_BATTERY),
            _of("body_battery_samples", s.body_battery_samples, c.BODY_BATTERY_SAMPLES, "measured_at"),
        ),
        days=MONTH,
        kind=list,
    ),
    Metric(
        "/wellness-service/wellness/dailyStress/{first}",
        (
            _of("stress", s.of_day(None, s.STRESS, s.BATTERY), c.STRESS),
            _of("stress_samples", s.of_moments(s.STRESS, s.BATTERY), c.STRESS_SAMPLES, "measured_at"),
        ),
    ),
    Metric(
        "/weight-service/weight/range/{first}/{last}?includeAll=true",
        (Table("weight", s.weights, c.WEIGHT, ("sample_pk",), (DATE,)),),
        days=YEAR,
    ),
    Metric(
        "/weight-service/weight/dateRange?startDate={first}&endDate={last}",
        (Table("body_composition", s.body_composition, c.WEIGHT, ("sample_pk",), (DATE,)),),
        days=YEAR,
    ),
    Metric(
        "/usersummary-service/usersummary/daily/{name}?calendarDate={first}",
        (_of("user_summary", s.user_summary, c.USER_SUMMARY),),
    ),
    Metric(
        "/metrics-service/metrics/trainingreadiness/{first}",
        (
            _of(
                "training_readiness", s.of_list(units=s.READINESS_UNITS), c.TRAINING_READINESS, "timestamp", "device_id"
            ),
        ),
        look_back=7,
        kind=list,
    ),
    Metric(
        "/userstats-service/wellness/daily/{name}?fromDate={first}&untilDate={last}&metricId=60",
        (_of("rhr_daily", s.of_list("allMetrics.metricsMap.WELLNESS_RESTING_HEART_RATE", s.RHR_UNITS), c.RHR_DAILY),),
        days=YEAR,
    ),
    Metric(
        "/wellness-service/wellness/daily/spo2/{first}",
        (
            _of("spo2", s.of_day(None, s.SPO2, s.SPO2_SINGLE, s.SPO2_CONTINUOUS), c.SPO2),
            _of("spo2_samples", s.of_moments(s.SPO2, s.SPO2_SINGLE, s.SPO2_CONTINUOUS), c.SPO2_SAMPLES, "measured_at"),
        ),
    ),
    Metric(
        "/wellness-service/wellness/daily/respiration/{first}",
        (
            _of("respiration", s.of_day(None, s.RESPIRATION, s.RESPIRATION_AVERAGES), c.RESPIRATION),
            _of(
                "respiration_samples",
                s.of_moments(s.RESPIRATION, s.RESPIRATION_AVERAGES),
                c.RESPIRATION_SAMPLES,
                "measured_at",
            ),
        ),
    ),
    Metric(
        "/wellness-service/wellness/daily/im/{first}",
        (
            _of("intensity_minutes", s.of_day(None, s.INTENSITY), c.INTENSITY_MINUTES),
            _of("intensity_minutes_samples", s.of_moments(s.INTENSITY), c.INTENSITY_SAMPLES, "measured_at"),
        ),
    ),
    Metric(
        "/metrics-service/metrics/maxmet/daily/{first}/{last}",
        (_of("max_metrics", s.max_metrics, c.MAX_METRICS, "sport"),),
        days=YEAR,
        kind=list,
    ),
    Metric(
        "/wellness-service/wellness/dailyEvents?calendarDate={first}",
        (
            _of(
                "all_day_events",
                s.of_list(units=s.EVENT_UNITS),
                c.ALL_DAY_EVENTS,
                "start_timestamp_gmt",
                "activity_type",
                "device_id",
            ),
        ),
        kind=list,
    ),
    Metric(
        "/metrics-service/metrics/trainingstatus/aggregated/{first}",
        (_of("training_status", s.training_status, c.TRAINING_STATUS, "device_id"),),
    ),
    Metric(
        "/hrv-service/hrv/{first}",
        (
            _of("hrv", s.hrv, c.HRV),
            _of("hrv_samples", s.of_moments(s.HRV_READINGS), c.HRV_SAMPLES, "measured_at"),
        ),
        look_back=7,
    ),
    Metric(
        "/metrics-service/metrics/racepredictions/daily/{name}?fromCalendarDate={first}&toCalendarDate={last}",
        (_of("race_predictions", s.of_list(units=s.RACE_UNITS, without=s.ASKED_FOR), c.RACE_PREDICTIONS),),
        days=YEAR,
        kind=list,
    ),
    Metric(
        "/wellness-service/wellness/floorsChartData/daily/{first}",
        (_of("floors", s.floors, c.FLOORS, "start_gmt"),),
    ),
    Metric(
        "/metrics-service/metrics/endurancescore/stats?startDate={first}&endDate={last}&aggregation=weekly",
        (_of("endurance_score", s.endurance_score, c.ENDURANCE_SCORE, "period"),),
        days=MONTH,
        weekly=True,
    ),
    Metric(
        "/metrics-service/metrics/hillscore/stats?startDate={first}&endDate={last}&aggregation=daily",
        (_of("hill_score", s.hill_score, c.HILL_SCORE, "period", "device_id"),),
        days=MONTH,
        weekly=True,
    ),
    Metric(
        "/lifestylelogging-service/dailyLog/{first}",
        (_of("lifestyle_logging", s.lifestyle_logging, c.LIFESTYLE_LOGGING, "behaviour_id"),),
    ),
    Metric(
        "/device-service/deviceregistration/devices",
        (Table("device_info", s.device_info, c.DEVICE_INFO, ("device_id",)),),
        dated=False,
        kind=list,
    ),
)
