"""What a row of each table is, for people; where it is asked for and from when on say the metrics themselves."""

from __future__ import annotations

from collections.abc import Iterator

from sources.garmin.activities import ACTIVITIES, LIST, LOOK_BACK, PARTS, STRENGTH, Part
from sources.garmin.metrics import METRICS, Metric
from sources.kit.resources import Resource

ABOUT = {
    "sleep": "One night: seconds in each stage, scores, need, means of the night; on the day of waking up.",
    "sleep_stages": "One stretch of a night in one stage: deep, light, rem or awake.",
    "sleep_samples": "One moment of a night: movement, heart rate, stress, body battery, HRV, respiration, SpO2.",
    "steps": "Fifteen minutes: steps, pushes and how active they were.",
    "heart_rate": "One day: resting, lowest and highest heart rate.",
    "heart_rate_samples": "One moment, every two minutes: heart rate.",
    "body_battery": "One day: charged and drained.",
    "body_battery_samples": "One moment at which the body battery turned; stress_samples has it every three minutes.",
    "stress": "One day: mean and highest stress.",
    "stress_samples": "One moment, every three minutes: stress and body battery.",
    "weight": "One weigh-in; a day may have several.",
    "body_composition": "One weigh-in with fat, water, bone and muscle.",
    "user_summary": "One day: steps, distance, energy, floors, intensity, heart rate, stress and the rest at a glance.",
    "training_readiness": "One reckoning of how ready somebody is to train; a day has several.",
    "rhr_daily": "One day: resting heart rate.",
    "spo2": "One day: mean and lowest oxygen saturation.",
    "spo2_samples": "One moment: oxygen saturation.",
    "respiration": "One day: breaths a minute, awake and asleep.",
    "respiration_samples": "One moment: breaths a minute, and the means of each hour.",
    "intensity_minutes": "One day: moderate and vigorous minutes, and the goal of its week.",
    "intensity_minutes_samples": "One moment: minutes of intensity so far.",
    "max_metrics": "One day with a new VO2max, by sport; most days have none.",
    "all_day_events": "One movement that the watch noticed by itself.",
    "training_status": "One day and device: training status and load.",
    "hrv": "One night: mean heart rate variability, the week's, and the baseline.",
    "hrv_samples": "One moment of a night, every five minutes: heart rate variability.",
    "race_predictions": "One day: expected times over 5 km, 10 km, half and whole marathon.",
    "floors": "Fifteen minutes: floors climbed and descended.",
    "endurance_score": "Endurance score of one week, or of the day of the newest one; `period` tells which.",
    "hill_score": "Hill score of one day and device, or an average; `period` tells which.",
    "lifestyle_logging": "One habit on one day.",
    "device_info": "One device of the account, its capabilities as JSON.",
    "activities": "One activity, as the list of activities has it.",
    "activity_details": "One activity: how many samples it has, and whether Garmin left some out.",
    "activity_details_samples": "One sample of an activity: place, distance, speed, heart rate, power, cadence …",
    "activity_splits": "One lap of an activity.",
    "activity_typed_splits": "One interval, run, walk or climb of an activity.",
    "activity_split_summaries": "All intervals, runs, walks or climbs of an activity together.",
    "activity_weather": "The weather where an activity began; °F and mph, as Garmin has it.",
    "activity_hr_zones": "One heart rate zone of an activity: seconds in it.",
    "activity_exercise_sets": "One set or rest of a strength training.",
}


def described() -> Iterator[tuple[str, Resource]]:
    """Every table by name, in the order of the source."""
    for metric in METRICS:
        for table in metric.tables:
            yield table.name, Resource(f"GET {metric.path}", _days(metric), ABOUT[table.name])
    listed = f"GET {LIST.partition('?')[0]}"
    yield ACTIVITIES.name, Resource(listed, f"day, the last {LOOK_BACK} again", ABOUT[ACTIVITIES.name])
    for part in PARTS:
        for table in part.tables:
            yield table.name, Resource(f"GET {part.path.format('{activity}')}", _of_activities(part), ABOUT[table.name])


def _days(metric: Metric) -> str:
    at_once = f", up to {metric.days} days at once" if metric.days > 1 else ""
    return f"day, the last {metric.look_back} again{at_once}" if metric.dated else "none: asked for once a run"


def _of_activities(part: Part) -> str:
    return f"new and changed activities{' of the kind of a strength training' if part.only is STRENGTH else ''}"
