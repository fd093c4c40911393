"""Files in which other programs have kept answers of the API: one a line, arrays of arrays made arrays of objects.

The names of the objects' values stand for places: in `stressValuesArray` the level is called `type`. Values that were
null were left out, and so were the names of what was asked for, but for the day (`date`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from sources.garmin import activities as acts
from sources.garmin import series, shapes
from sources.garmin.flat import Row, is_bare
from sources.garmin.metrics import METRICS, Metric, Table
from sources.kit import notices
from sources.kit.foreign import Foreign, Line, owner, ownerless

ACCOUNT = "account"
BOTH = "stats_and_body"  # the summary of a day, and beside it what was weighed in a time
WEIGHED = frozenset(
    {
        "from", "until", "weight", "bmi", "bodyFat", "bodyWater", "boneMass", "muscleMass", "physiqueRating",
        "visceralFat", "metabolicAge",
    }
)  # fmt: skip
OWN_DATE = ("body_battery", "weight", "body_composition")  # whose `date` is Garmin's
OF_ONE_DAY = "overallScore"  # what the API answers when it is asked for one day rather than for several
WRAPPED: dict[str, Callable[[Row], Row]] = {  # what stood in lists of an answer, which were taken apart
    "weight": lambda row: {"dailyWeightSummaries": [{"allWeightMetrics": [row]}]},
    "body_composition": lambda row: {"dateWeightList": [row]},
    "endurance_score": lambda row: {"enduranceScoreDTO": row} if OF_ONE_DAY in row else row,
    "hill_score": lambda row: {"hillScoreDTOList": [row]} if OF_ONE_DAY in row else row,
}
PAIR = ("timestamp", "value")
PLACES = {  # the names of values by their places, where an entry has more than two or other ones
    "stressValuesArray": ("timestamp", "type"),
    "bodyBatteryValuesArray": ("timestamp", "type", "value", "score"),
    "respirationAveragesValuesArray": ("timestamp", "average", "high", "low"),
    "floorValuesArray": ("start_time", "end_time", "ascended", "descended"),
}
SERIES = tuple(each for each in vars(shapes).values() if isinstance(each, series.Series))
DETAILS = "detailed_data"
SPLITS = {
    "activity_splits": "splits",
    "activity_typed_splits": "typed_splits",
    "activity_split_summaries": "split_summaries",
}
LISTS = {  # what a part of an activity is read from
    "activity_details_samples": acts.METRICS,
    "activity_splits": "lapDTOs",
    "activity_typed_splits": "splits",
    "activity_split_summaries": "splitSummaries",
    "activity_exercise_sets": "exerciseSets",
}
READ = {  # where a type has its rows; a line that has such a key and no row tells of no data
    "sleep": ("dailySleepDTO",),
    "user_summary": shapes.NO_WELLNESS,
    BOTH: shapes.NO_WELLNESS,
    "rhr_daily": ("allMetrics",),
    "training_status": ("mostRecentVO2Max", "mostRecentTrainingLoadBalance", "mostRecentTrainingStatus"),
    "hrv": ("hrvSummary",),
    "floors": ("floorValuesArray",),
    "endurance_score": ("groupMap", "enduranceScoreDTO"),
    "hill_score": ("periodAvgScore", "hillScoreDTOList"),
    "lifestyle_logging": ("dailyLogsReport",),
}
LISTED = "activityType"  # tells an entry of the list of activities, which may have nothing that belongs to it
METRIC_OF = {table.name: (metric, table) for metric in METRICS for table in metric.tables}
PART_OF = {table.name: (part, table) for part in acts.PARTS for table in part.tables}


def read(accounts: list[str]) -> Foreign:
    """How such files become rows of these accounts."""
    tables = {metric.name: tuple(table.name for table in metric.tables) for metric in METRICS}
    parts = {part.name: tuple(table.name for table in part.tables) for part in acts.PARTS}
    whole = {**tables, **parts, BOTH: ("user_summary",), "activity_splits": tuple(SPLITS)}
    return Foreign(partial(_rows, accounts, whole), whole, partial(ownerless, accounts), _is_empty)


def _rows(accounts: list[str], tables: Mapping[str, tuple[str, ...]], table: str, line: Line) -> Iterable[Row]:
    """The rows of a line; one that has an account is a row already, of the first table of its type."""
    account = owner(accounts, line)
    if ACCOUNT in line.content:
        return [line.content] if table == tables.get(line.type, (table,))[0] else []
    return (_owned(row, account) for row in _told(table, line))


def _owned(row: Row, account: str) -> Row:
    (row["row"] if getattr(row, "is_notice", False) else row)[ACCOUNT] = account
    return row


def _is_empty(line: Line) -> bool:
    """Whether a line tells of a day, or of an activity, of which there is nothing."""
    content = {key: value for key, value in _own(line).items() if key != "date"}
    part = [LISTED, *_names(line.type), LISTS.get(line.type)] if line.type in PART_OF else []
    return is_bare(content) or any(key in content for key in (*part, *READ.get(line.type, ())))


def _own(line: Line) -> Row:
    return {key: value for key, value in line.content.items() if key != "data_type"}


def _told(table: str, line: Line) -> Iterator[Row]:
    content = _own(line)
    if table == acts.ACTIVITIES.name:
        return acts.ACTIVITIES.shape([content], "")
    if table in PART_OF:
        return _of_activity(*PART_OF[table], content)
    return _of_day(*METRIC_OF[table], line, content)


def _of_day(metric: Metric, table: Table, line: Line, content: Row) -> Iterator[Row]:
    day = str(content.get("date") or content.get("calendarDate") or line.at[:10])
    if line.type == BOTH:
        content = {key: value for key, value in content.items() if key not in WEIGHED}
    if metric.name not in OWN_DATE:
        content.pop("date", None)
    wrap = WRAPPED.get(metric.name)
    answer = wrap(content) if wrap else with_arrays(content)
    return table.shape([answer] if metric.kind is list else answer, day)


def _of_activity(part: acts.Part, table: Table, content: Row) -> Iterator[Row]:
    """What belongs to an activity stands beside what the list says of it, under one name or two, or is the line."""
    whole = content if isinstance(content.get(LISTS.get(part.tables[-1].name, "")), list) else None
    found = whole or next((content[name] for name in _names(table.name) if content.get(name)), None)
    activity = str(content.get("activityId"))
    if found is None:
        return iter(())
    if not isinstance(found, part.kind) or not activity.isdigit():
        return iter([notices.rejected(content, "is no activity with what belongs to it", table.name)])
    return table.shape(_with_metrics(found) if isinstance(found, dict) else found, activity)


def _names(table: str) -> tuple[str, ...]:
    return (SPLITS.get(table, ""), f"{table}_data", f"{table.removeprefix('activity_')}_data", DETAILS)


def with_arrays(content: Row) -> Row:
    """An answer whose entries are arrays again."""
    there = {each.values for each in SERIES if isinstance(content.get(each.values), list)}
    return {**content, **{values: _arrays(values, content) for values in there}}


def _arrays(values: str, content: Row) -> list[Any]:
    entries = content[values]
    lists = [content.get(each.descriptors or "") for each in SERIES if each.values == values]
    told = max((len(described) for described in lists if isinstance(described, list)), default=0)
    used = {name for entry in entries if isinstance(entry, Mapping) for name in entry}
    names = PAIR if told <= len(PAIR) and used <= {*PAIR} else PLACES.get(values, PAIR)
    return [_array(entry, names, told or len(names)) for entry in entries]


def _array(entry: Any, names: tuple[str, ...], width: int) -> Any:
    """An entry as an array; where nobody had a name for its values they are numbered."""
    if not isinstance(entry, Mapping):
        return entry
    numbered = tuple(f"val_{place}" for place in range(width))
    known = numbered if numbered[0] in entry else names
    return [entry.get(name) for name in known[:width]]


def _with_metrics(details: Row) -> Row:
    """The details of an activity whose measurements are arrays, as their descriptors say."""
    entries, described = details.get(acts.METRICS), details.get(acts.DESCRIPTORS)
    if not isinstance(entries, list) or not isinstance(described, list):
        return details
    keys = {each.get("metricsIndex"): each.get("key") for each in described if isinstance(each, dict)}
    order = [keys.get(place) for place in range(len(keys))]
    again = [{"metrics": [each.get(key) for key in order]} if _is_named(each) else each for each in entries]
    return {**details, acts.METRICS: again}


def _is_named(entry: Any) -> bool:
    return isinstance(entry, dict) and "metrics" not in entry
