"""Stands in for Garmin Connect (https://connectapi.garmin.com): two people in Paris with a watch and a scale.

A request without the token of one of them gets 401, a path with another's name 403. Both began on `OPENED`; a day
without data is told in four ways: 204, `null`, `[]`, and an answer that is a bare frame. Today ends at noon.
Day 2 brings a revised night, an activity that was synchronised late, one that was edited, two weigh-ins on one day
and five values of readiness. A year of `records` 3600 has as many readings as a watch takes.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from sandbox.exchange import Reply, Request, World
from sandbox.oauth import CLIENT, AuthorizationServer

ACCOUNTS = ("anna", "boris")
OPENED = date(2024, 2, 26)
BEGIN = "2024-02-24"
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
OFFSET = HOUR  # of Paris in winter
MOST_SAMPLES = 720
DEVICE = 3_300_000_001
TOKEN_PATH = "/di-oauth2-service/oauth/token"
SERVER = AuthorizationServer("garmin")
STAGES = (1.0, 0.0, 2.0, 3.0, 1.0)


def settings(base_url: str, folder: Path, world: World) -> dict[str, Any]:
    """Two people who are signed in."""
    return {
        "sources.garmin.base_url": base_url,
        "sources.garmin.token_url": f"{base_url}{TOKEN_PATH}",
        "sources.garmin.accounts": list(ACCOUNTS),
        "sources.garmin.begin": BEGIN,
        "sources.garmin.timezone": "Europe/Paris",
        "sources.garmin.http.requests_per_second": 100_000,
        **{f"sources.garmin.{_section(account)}.token": _token(world, account) for account in ACCOUNTS},
    }


def answer(request: Request, world: World) -> Reply:
    """Answer as the API does to the app of a watch."""
    if request.path == TOKEN_PATH:
        return _renewed(request, world)
    grant = SERVER.grant_of(request, world)
    if grant is None:
        return Reply(401, {"message": "HTTP 401 Unauthorized", "error": "NotAuthorizedException"})
    account = next((one for one in ACCOUNTS if SERVER.standing(world, one) is grant), ACCOUNTS[0])
    for pattern, page in PAGES.items():
        if match := re.fullmatch(pattern, request.path):
            asked = {**{key: values[-1] for key, values in request.query.items()}, **match.groupdict()}
            if asked.get("name", account) != account:
                return Reply(403, {"message": "Forbidden"})
            return _reply(page(Person(world, account), asked))
    return Reply(404, {"message": f"HTTP 404 Not Found: {request.path}"})


class Person:
    """What one of them has, as far as the world's clock lets it be known."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name

    @property
    def today(self) -> date:
        return (self.world.now + OFFSET).date()

    def has(self, day: date) -> bool:
        """Whether the watch was worn."""
        return OPENED <= day <= self.today

    def number(self, low: int, high: int, *names: object) -> int:
        """A number that depends on these names alone."""
        return self.world.random(self.name, *names).randrange(low, high)

    def times(self, day: date, per_day: int) -> Iterator[datetime]:
        """Moments of a day in UTC, evenly, up to now."""
        start, end = _midnight(day), min(_midnight(day + DAY), self.world.now)
        step = DAY / per_day
        yield from (start + step * count for count in range(per_day) if start + step * count < end)

    @property
    def samples(self) -> int:
        return max(4, min(MOST_SAMPLES, self.world.records // 5))


def _reply(body: Any) -> Reply:
    if body is None:
        return Reply(204)
    return Reply(200, "null" if body == NULL else body, {"Content-Type": "application/json"})


NULL = "null"


def _renewed(request: Request, world: World) -> Reply:
    """A token for a refresh token, for an app that is named by its id and has no secret."""
    basic = b64encode(f"{CLIENT}:".encode()).decode()
    if request.headers.get("authorization") != f"Basic {basic}":
        return Reply(401, {"error": "invalid_client"})
    named = {key: value for key, value in request.headers.items() if key != "authorization"}
    return SERVER.answer(replace(request, path="/token", headers=named), world) or Reply(404)


def _token(world: World, account: str) -> str:
    grant = SERVER.standing(world, account)
    content = {"access_token": grant.access, "refresh_token": grant.refresh, "extra": {"client_id": CLIENT}}
    return b64encode(json.dumps(content).encode()).decode()


def _section(account: str) -> str:
    """The account as settings name it: all but small letters and digits by its code."""
    return re.sub(r"[^a-z0-9]", lambda other: f"_{ord(other[0]):02x}", account)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC) - OFFSET


def _text(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds")[:-2]


def _spaced(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _both(name: str, moment: datetime, end: tuple[str, str] = ("GMT", "Local")) -> dict[str, str]:
    """A moment in UTC, and on the wall clock."""
    return {name + end[0]: _text(moment), name + end[1]: _text(moment + OFFSET)}


def _frame(person: Person, day: date) -> dict[str, Any]:
    start, end = _midnight(day), _midnight(day + DAY)
    return {
        "userProfilePK": person.number(10**6, 10**7),
        "calendarDate": str(day),
        **_both("startTimestamp", start),
        **_both("endTimestamp", end),
    }


def _described(*names: str) -> list[dict[str, Any]]:
    return [{"key": name, "index": place} for place, name in enumerate(names)]


def _day(asked: dict[str, str]) -> date:
    return date.fromisoformat(asked["day"])


def _days(person: Person, asked: dict[str, str]) -> list[date]:
    """The days of a range on which there is anything."""
    first, last = max(date.fromisoformat(asked["first"]), OPENED), min(date.fromisoformat(asked["last"]), person.today)
    return [first + DAY * count for count in range((last - first).days + 1)]


def _profile(person: Person, asked: dict[str, str]) -> Any:
    return {"id": person.number(10**6, 10**7), "displayName": person.name, "fullName": "Demo Person"}


def _sleep(person: Person, asked: dict[str, str]) -> Any:
    """A night that began at 22:00; the first one is revised on the second day."""
    day = _day(asked)
    start = _midnight(day) - 2 * HOUR
    if not person.has(day):
        empty = {"id": None, "calendarDate": str(day), "sleepTimeSeconds": None, "retro": False}
        return {"dailySleepDTO": empty, "sleepMovement": [], "remSleepData": None, "sleepLevels": []}
    draft = day == person.today
    stages = STAGES[:-1] if draft else STAGES
    ends = start + 7 * HOUR * len(stages) / len(STAGES)
    moments = [start + 30 * timedelta(minutes=count) for count in range(8)]
    level = person.number(40, 60, "sleep", day)
    return {
        "dailySleepDTO": {
            "id": _ms(start),
            "userProfilePK": person.number(10**6, 10**7),
            "calendarDate": str(day),
            "sleepStartTimestampGMT": _ms(start),
            "sleepEndTimestampGMT": _ms(ends),
            "sleepStartTimestampLocal": _ms(start + OFFSET),
            "sleepEndTimestampLocal": _ms(ends + OFFSET),
            "sleepWindowConfirmed": not draft,
            "sleepScores": {"overall": {"value": level + (0 if draft else 20), "qualifierKey": "FAIR"}},
            "sleepTimeSeconds": len(stages) * 5040,
            "awakeCount": 1,
        },
        "sleepMovement": [{"startGMT": _text(at), "endGMT": _text(at + HOUR), "activityLevel": 0.5} for at in moments],
        "remSleepData": True,
        "sleepLevels": [
            {
                "startGMT": _text(start + 7 * HOUR * place / 5),
                "endGMT": _text(start + 7 * HOUR * (place + 1) / 5),
                "activityLevel": stage,
            }
            for place, stage in enumerate(stages)
        ],
        "sleepHeartRate": [{"value": level + place, "startGMT": _ms(at)} for place, at in enumerate(moments)],
        "hrvData": [{"value": 50.0 + place, "startGMT": _ms(at)} for place, at in enumerate(moments)],
        "wellnessEpochRespirationDataDTOList": [{"startTimeGMT": _ms(at), "respirationValue": 14.0} for at in moments],
        "avgOvernightHrv": 52.0,
        "restingHeartRate": level,
    }


def _steps(person: Person, asked: dict[str, str]) -> Any:
    day = _day(asked)
    quarter = timedelta(minutes=15)
    times = [at for at in person.times(day, 96) if at.hour % 4 == 0] if person.has(day) else []
    return [
        {
            "startGMT": _text(at),
            "endGMT": _text(at + quarter),
            "steps": person.number(0, 900, "steps", at),
            "pushes": 0,
            "primaryActivityLevel": "active",
            "activityLevelConstant": True,
        }
        for at in times
    ]


def _heart_rate(person: Person, asked: dict[str, str]) -> Any:
    day = _day(asked)
    rng = person.world.random(person.name, "heart rate", day)
    times = list(person.times(day, person.samples)) if person.has(day) else []
    values = [[_ms(at), None if at == times[-1] else rng.randrange(45, 120)] for at in times]
    known = {"maxHeartRate": 119, "minHeartRate": 45, "restingHeartRate": 50} if values else {}
    return {
        **_frame(person, day),
        **known,
        "heartRateValueDescriptors": _described("timestamp", "heartrate"),
        "heartRateValues": values or None,
    }


def _body_battery(person: Person, asked: dict[str, str]) -> Any:
    return [
        {
            "date": str(day),
            **{key: value for key, value in _frame(person, day).items() if key.endswith(("GMT", "Local"))},
            "bodyBatteryValuesArray": [[_ms(at), 20 + at.hour] for at in person.times(day, 4)],
            "bodyBatteryValueDescriptorDTOList": [
                {"bodyBatteryValueDescriptorIndex": 0, "bodyBatteryValueDescriptorKey": "timestamp"},
                {"bodyBatteryValueDescriptorIndex": 1, "bodyBatteryValueDescriptorKey": "bodyBatteryLevel"},
            ],
            "bodyBatteryActivityEvent": [],
            "charged": person.number(30, 70, "charged", day),
            "drained": 50,
        }
        for day in _days(person, asked)
    ]


def _stress(person: Person, asked: dict[str, str]) -> Any:
    day = _day(asked)
    if not person.has(day):
        return NULL
    rng = person.world.random(person.name, "stress", day)
    times = list(person.times(day, person.samples * 2 // 3))
    return {
        **_frame(person, day),
        "maxStressLevel": 90,
        "avgStressLevel": person.number(10, 60, "stress", day),
        "stressValueDescriptorsDTOList": _described("timestamp", "stressLevel"),
        "stressValuesArray": [[_ms(at), rng.randrange(-2, 100)] for at in times],
        "bodyBatteryValueDescriptorsDTOList": [
            {"bodyBatteryValueDescriptorIndex": place, "bodyBatteryValueDescriptorKey": name}
            for name, place in (
                ("bodyBatteryLevel", 2),
                ("timestamp", 0),
                ("bodyBatteryStatus", 1),
                ("bodyBatteryVersion", 3),
            )
        ],
        "bodyBatteryValuesArray": [[_ms(at), "MEASURED", rng.randrange(5, 100), 2.0] for at in times[::2]],
    }


def _weighed(person: Person, day: date) -> list[dict[str, Any]]:
    """A weigh-in on even days, and a second one by hand on the second day of the world."""
    times = [6, 20] if day == date(2024, 3, 2) else [6] if day.day % 2 == 0 else []
    return [
        {
            "samplePk": _ms(_midnight(day) + hour * HOUR),
            "date": _ms(_midnight(day) + hour * HOUR + OFFSET),
            "calendarDate": str(day),
            "timestampGMT": _ms(_midnight(day) + hour * HOUR),
            "weight": 60_000.0 + person.number(0, 3000, "weight", day, hour),
            "bmi": 22.5,
            "boneMass": 3430,
            "bodyFat": 20.3,
            "sourceType": "INDEX_SCALE" if hour == 6 else "MANUAL",
            "weightDelta": 100.0,
        }
        for hour in times
    ]


def _weight(person: Person, asked: dict[str, str]) -> Any:
    found = [(day, _weighed(person, day)) for day in _days(person, asked)]
    return {
        "dailyWeightSummaries": [
            {"summaryDate": str(day), "numOfWeightEntries": len(weighed), "allWeightMetrics": weighed}
            for day, weighed in found
            if weighed
        ],
        "totalAverage": {"weight": None},
    }


def _body_composition(person: Person, asked: dict[str, str]) -> Any:
    found = [entry for day in _days(person, asked) for entry in _weighed(person, day)]
    return {"startDate": asked["first"], "dateWeightList": found, "totalAverage": {"weight": None}}


def _user_summary(person: Person, asked: dict[str, str]) -> Any:
    day = _day(asked)
    worn = person.has(day)
    whole = day < person.today
    return {
        "userProfileId": person.number(10**6, 10**7),
        "calendarDate": str(day),
        **_both("wellnessStartTime", _midnight(day), ("Gmt", "Local")),
        "rule": {"typeId": 2, "typeKey": "private"},
        "dailyStepGoal": 10_000,
        "includesWellnessData": worn,
        "includesActivityData": False,
        "includesCalorieConsumedData": False,
        "privacyProtected": False,
        "averageSpo2": None,
        "totalSteps": person.number(2000, 15_000, "summary", day, whole) if worn else None,
        "totalKilocalories": 2252.0 if worn else None,
        "restingHeartRate": 50 if worn else None,
        "stressDuration": 21_840 if worn else None,
    }


def _readiness(person: Person, asked: dict[str, str]) -> Any:
    """One value after waking, five on the second day of the world."""
    day = _day(asked)
    count = (5 if day == date(2024, 3, 2) else 1) if person.has(day) else 0
    return [
        {
            "userProfilePK": person.number(10**6, 10**7),
            "calendarDate": str(day),
            "timestamp": _text(_midnight(day) + (6 + place) * HOUR),
            "timestampLocal": _text(_midnight(day) + (6 + place) * HOUR + OFFSET),
            "deviceId": DEVICE,
            "level": "MODERATE",
            "inputContext": "AFTER_WAKEUP_RESET" if place == 0 else "UPDATE_REALTIME_VARIABLES",
            "score": person.number(20, 90, "readiness", day, place),
            "recoveryTime": 563,
        }
        for place in range(count)
    ]


def _resting(person: Person, asked: dict[str, str]) -> Any:
    values = [{"calendarDate": str(day), "value": 40.0 + day.day} for day in _days(person, asked)]
    return {"userProfileId": 1, "allMetrics": {"metricsMap": {"WELLNESS_RESTING_HEART_RATE": values}}}


def _spo2(person: Person, asked: dict[str, str]) -> Any:
    day = _day(asked)
    values = [[_ms(at), 90 + at.hour % 10] for at in person.times(day, 8)] if person.has(day) else []
    return {
        **_frame(person, day),
        "averageSpO2": 95.0 if values else None,
        "lowestSpO2": 88 if values else None,
        "spO2ValueDescriptorsDTOList": [
            {"spo2ValueDescriptorIndex": 0, "spo2ValueDescriptorKey": "timestamp"},
            {"spo2ValueDescriptorIndex": 1, "spo2ValueDescriptorKey": "spo2Reading"},
        ],
        "spO2HourlyAverages": values,
        "spO2SingleValues": None,
        "continuousReadingDTOList": None,
    }


def _respiration(person: Person, asked: dict[str, str]) -> Any:
    day = _day(asked)
    times = list(person.times(day, person.samples)) if person.has(day) else []
    names = ("timestamp", "respirationAverageValue", "respirationHighValue", "respirationLowValue")
    return {
        **_frame(person, day),
        "lowestRespirationValue": 9.0 if times else None,
        "highestRespirationValue": 21.0 if times else None,
        "respirationValueDescriptorsDTOList": _described("timestamp", "respiration"),
        "respirationValuesArray": [[_ms(at), 10.0 + at.hour % 8] for at in times],
        "respirationAveragesValueDescriptorDTOList": [
            {"respirationAveragesValueDescriptorIndex": place, "respirationAveragesValueDescriptionKey": name}
            for place, name in enumerate(names)
        ],
        "respirationAveragesValuesArray": [[_ms(at), 12.4, 14.0, 9.0] for at in times[::4]],
    }


def _intensity(person: Person, asked: dict[str, str]) -> Any:
    day = _day(asked)
    if not person.has(day):
        return None
    return {
        **_frame(person, day),
        "weekGoal": 150,
        "weeklyTotal": person.number(10, 200, "intensity", day),
        "moderateMinutes": 6,
        "imValueDescriptorsDTOList": _described("timestamp", "value"),
        "imValuesArray": [[_ms(at), 7] for at in person.times(day, 2)],
    }


def _max_metrics(person: Person, asked: dict[str, str]) -> Any:
    """Told on Mondays only."""
    return [
        {
            "userId": 1,
            "generic": {"calendarDate": str(day), "vo2MaxPreciseValue": 51.9, "vo2MaxValue": 52.0},
            "cycling": None,
            "heatAltitudeAcclimation": {
                "calendarDate": str(day),
                "heatTrend": "DEACCLIMATIZING",
                "currentAltitude": 45,
            },
        }
        for day in _days(person, asked)
        if day.weekday() == 0
    ]


def _events(person: Person, asked: dict[str, str]) -> Any:
    """A walk on odd days."""
    day = _day(asked)
    start = _midnight(day) + 8 * HOUR
    walk = {
        "calendarDate": str(day),
        "deviceId": DEVICE,
        **_both("startTimestamp", start),
        "duration": 22,
        "activityType": "walking",
    }
    return [walk] if person.has(day) and day.day % 2 else []


def _training_status(person: Person, asked: dict[str, str]) -> Any:
    day = _day(asked)
    if not person.has(day):
        status: dict[str, Any] = {"latestTrainingStatusData": {}, "recordedDevices": []}
        return {"userId": 1, "mostRecentVO2Max": None, "mostRecentTrainingStatus": status}
    told = {"calendarDate": str(day), "deviceId": DEVICE, "trainingStatus": 4, "sport": "RUNNING"}
    acute = {"acwrStatus": "OPTIMAL", "acwrPercent": person.number(20, 60, "acwr", day)}
    balance = {"calendarDate": str(day), "deviceId": DEVICE, "monthlyLoadAerobicLow": 812.4}
    return {
        "userId": 1,
        "mostRecentVO2Max": {"generic": {"calendarDate": str(day), "vo2MaxValue": 52.0}, "cycling": None},
        "mostRecentTrainingLoadBalance": {"metricsTrainingLoadBalanceDTOMap": {str(DEVICE): balance}},
        "mostRecentTrainingStatus": {
            "latestTrainingStatusData": {str(DEVICE): {**told, "acuteTrainingLoadDTO": acute, "fitnessTrend": 2}}
        },
    }


def _hrv(person: Person, asked: dict[str, str]) -> Any:
    day = _day(asked)
    if not person.has(day):
        return None
    night = [_midnight(day) + HOUR * count for count in range(5)]
    return {
        "userProfilePk": 1,
        "hrvSummary": {
            "calendarDate": str(day),
            "weeklyAvg": 39,
            "lastNightAvg": person.number(30, 60, "hrv", day),
            "baseline": {"lowUpper": 36, "balancedLow": 39, "balancedUpper": 52, "markerValue": 0.25},
            "status": "BALANCED",
            "createTimeStamp": _text(_midnight(day) + 7 * HOUR),
        },
        "hrvReadings": [{**_both("readingTime", at), "hrvValue": 40 + at.hour} for at in night],
    }


def _races(person: Person, asked: dict[str, str]) -> Any:
    span = {"fromCalendarDate": asked["first"], "toCalendarDate": asked["last"]}
    return [
        {"userId": 1, **span, "calendarDate": str(day), "time5K": 1400 + day.day, "timeMarathon": 14_510}
        for day in _days(person, asked)
    ]


def _floors(person: Person, asked: dict[str, str]) -> Any:
    day = _day(asked)
    times = list(person.times(day, 6)) if person.has(day) else []
    quarter = timedelta(minutes=15)
    names = ("startTimeGMT", "endTimeGMT", "floorsAscended", "floorsDescended")
    return {
        **{key: value for key, value in _frame(person, day).items() if key.endswith(("GMT", "Local"))},
        "floorsValueDescriptorDTOList": _described(*names) if times else [],
        "floorValuesArray": [[_text(at), _text(at + quarter), 2.5, None] for at in times],
    }


def _endurance(person: Person, asked: dict[str, str]) -> Any:
    """Weeks that begin on Mondays; the newest score is of the last of them."""
    mondays = [day for day in _days(person, asked) if day.weekday() == 0]
    if not mondays:
        return None
    week = {"groupMax": 6072, "enduranceContributorDTOList": [], "groupAverage": 6010}
    newest = {"deviceId": DEVICE, "calendarDate": str(mondays[-1]), "overallScore": 6072, "contributors": []}
    return {"userProfilePK": 1, "groupMap": {str(day): week for day in mondays}, "enduranceScoreDTO": newest}


def _hill(person: Person, asked: dict[str, str]) -> Any:
    found = _days(person, asked)
    scores = [
        {"deviceId": DEVICE, "calendarDate": str(day), "vo2Max": 52.0, "overallScore": 40 + day.day} for day in found
    ]
    average = {asked["first"]: 48} if found else {}
    return {"periodAvgScore": average, "maxScore": 50, "hillScoreDTOList": scores} if found else None


def _lifestyle(person: Person, asked: dict[str, str]) -> Any:
    day = _day(asked)
    habit = {"calendarDate": str(day), "name": "Morning caffeine", "category": "LIFESTYLE", "details": []}
    return {
        "dailyLogsReport": [{**habit, "behaviourId": 2}] if person.has(day) else [],
        "completionStats": [{"calendarDate": str(day), "totalTracking": 4, "completedTracking": 2}],
    }


def _devices(person: Person, asked: dict[str, str]) -> Any:
    return [
        {
            "deviceId": DEVICE,
            "displayName": "Demo watch",
            "registeredDate": 1_700_000_000_000,
            "primary": True,
            "sleepCapable": True,
            "golfDisplayCapable": False,
            "activeInd": 1,
        }
    ]


def _activities(person: Person, asked: dict[str, str]) -> Any:
    """Newest first, in pages."""
    found = [_activity(person, day) for day in _days(person, asked) if _took_place(person, day)]
    start, limit = int(asked.get("start", 0)), int(asked.get("limit", 20))
    return found[::-1][start : start + limit]


def _took_place(person: Person, day: date) -> bool:
    """One a day, in the morning; that of 28 February was synchronised on the second day of the world."""
    late = date(2024, 2, 28)
    return day != late or person.world.day > 1


def _is_strength(day: date) -> bool:
    return day.day % 2 == 0


def _activity(person: Person, day: date) -> dict[str, Any]:
    """A run, or weights on even days; that of 29 February gets a name on the second day of the world."""
    start = _midnight(day) + 9 * HOUR
    kind = (13, "strength_training", 29) if _is_strength(day) else (1, "running", 17)
    named = day == date(2024, 2, 29) and person.world.day > 1
    return {
        "activityId": _number_of(person, day),
        "activityName": "Named" if named else "Paris",
        "startTimeLocal": _spaced(start + OFFSET),
        "startTimeGMT": _spaced(start),
        "activityType": {"typeKey": kind[1], "typeId": kind[0], "parentTypeId": kind[2]},
        "eventType": {"typeKey": "uncategorized", "typeId": 9, "sortOrder": 10},
        "ownerDisplayName": person.name,
        "userRoles": ["ROLE_FITNESS_USER"],
        "distance": 4261.19,
        "endTimeGMT": _spaced(start + timedelta(minutes=40)),
        "duration": 1800.5,
        "elapsedDuration": 2400.0,
        "averageHR": 142.0,
        "deviceId": DEVICE,
        "beginTimestamp": _ms(start),
        "hrTimeInZone_1": 60.0,
        "steps": 5310,
    }


def _number_of(person: Person, day: date) -> int:
    return 20_000_000_000 + 10_000 * ACCOUNTS.index(person.name) + (day - OPENED).days


def _day_of(asked: dict[str, str]) -> date:
    return OPENED + DAY * (int(asked["id"]) % 10_000)


def _details(person: Person, asked: dict[str, str]) -> Any:
    """Samples whose descriptors are in another order than their values, as they are upstream."""
    start = _midnight(_day_of(asked)) + 9 * HOUR
    units = {"directHeartRate": "bpm", "directTimestamp": "gmt", "sumDistance": "meter", "directSpeed": "mps"}
    places = {"directHeartRate": 2, "directTimestamp": 0, "sumDistance": 1, "directSpeed": 3}
    values = [
        [_ms(start) + 10_000 * place, 33.0 * place, 120.0 + place, 3.3] for place in range(max(4, person.samples // 4))
    ]
    return {
        "activityId": int(asked["id"]),
        "metricDescriptors": [
            {"metricsIndex": places[key], "key": key, "unit": {"key": unit, "factor": 1.0}}
            for key, unit in units.items()
        ],
        "activityDetailMetrics": [{"metrics": each} for each in values],
        "geoPolylineDTO": {"polyline": []},
        "heartRateDTOs": None,
        "detailsAvailable": True,
        "metricsCount": len(values),
        "totalMetricsCount": 870,
        "measurementCount": 4,
    }


def _splits(person: Person, asked: dict[str, str]) -> Any:
    """Two laps, one after the activity was edited."""
    day = _day_of(asked)
    start = _midnight(day) + 9 * HOUR
    edited = day == date(2024, 2, 29) and person.world.day > 1
    laps = [
        {
            "startTimeGMT": _text(start + place * HOUR / 4),
            "lapIndex": place + 1,
            "messageIndex": place,
            "intensityType": "ACTIVE",
            "lengthDTOs": [],
            "distance": 1000.0,
            "averageHR": 145.0,
            "duration": 302.11,
        }
        for place in range(1 if edited else 2)
    ]
    return {"activityId": int(asked["id"]), "lapDTOs": laps, "eventDTOs": []}


def _typed_splits(person: Person, asked: dict[str, str]) -> Any:
    start = _midnight(_day_of(asked)) + 9 * HOUR
    split = {"messageIndex": 0, "type": "INTERVAL_ACTIVE", "lapIndexes": [1], "distance": 1000.0, "duration": 302.11}
    return {"activityId": int(asked["id"]), "splits": [{**_both("startTime", start), **split}]}


def _split_summaries(person: Person, asked: dict[str, str]) -> Any:
    split = {"splitType": "INTERVAL_ACTIVE", "noOfSplits": 2, "distance": 1420.0, "totalAscent": 12.0}
    return {"activityId": int(asked["id"]), "splitSummaries": [split]}


def _weather(person: Person, asked: dict[str, str]) -> Any:
    """None where somebody lifts weights."""
    day = _day_of(asked)
    if _is_strength(day):
        return None
    return {
        "issueDate": f"{_midnight(day) + 9 * HOUR:%Y-%m-%dT%H:%M:%S}.000+00:00",
        "windDirectionCompassPoint": "n",
        "weatherStationDTO": {"id": "XXXX", "name": "Demo Airport", "timezone": None},
        "temp": 50,
        "windSpeed": 7,
        "windGust": None,
    }


def _zones(person: Person, asked: dict[str, str]) -> Any:
    return [{"zoneNumber": zone, "secsInZone": 60.5 * zone, "zoneLowBoundary": 80 + 20 * zone} for zone in (3, 1, 2)]


def _sets(person: Person, asked: dict[str, str]) -> Any:
    start = _midnight(_day_of(asked)) + 9 * HOUR
    guesses = [{"category": "BENCH_PRESS", "name": None, "probability": 74.6}]
    found = [
        {"messageIndex": 0, "setType": "ACTIVE", "startTime": _text(start), "exercises": guesses, "repetitionCount": 10,
         "weight": 20_000.0, "duration": 36.6},
        {"messageIndex": 1, "setType": "REST", "startTime": _text(start + HOUR / 60), "exercises": [],
         "repetitionCount": None, "weight": None, "duration": 239.8},
    ]  # fmt: skip
    return {"activityId": int(asked["id"]), "exerciseSets": found}


_DATE = r"\d{4}-\d\d-\d\d"
_IN_PATH, _RANGE = rf"(?P<day>{_DATE})", rf"(?P<first>{_DATE})/(?P<last>{_DATE})"
_NAME, _ID = "(?P<name>[^/]+)", r"/activity-service/activity/(?P<id>\d+)"
Page = Callable[[Person, dict[str, str]], Any]


def _with(page: Page, **keys: str) -> Page:
    """A page whose query names the days by other words."""
    return lambda person, asked: page(person, {**asked, **{ours: asked[theirs] for ours, theirs in keys.items()}})


PAGES: dict[str, Page] = {
    "/userprofile-service/socialProfile": _profile,
    f"/wellness-service/wellness/dailySleepData/{_NAME}": _with(_sleep, day="date"),
    f"/wellness-service/wellness/dailySummaryChart/{_NAME}": _with(_steps, day="date"),
    f"/wellness-service/wellness/dailyHeartRate/{_NAME}": _with(_heart_rate, day="date"),
    "/wellness-service/wellness/bodyBattery/reports/daily": _with(_body_battery, first="startDate", last="endDate"),
    f"/wellness-service/wellness/dailyStress/{_IN_PATH}": _stress,
    f"/weight-service/weight/range/{_RANGE}": _weight,
    "/weight-service/weight/dateRange": _with(_body_composition, first="startDate", last="endDate"),
    f"/usersummary-service/usersummary/daily/{_NAME}": _with(_user_summary, day="calendarDate"),
    f"/metrics-service/metrics/trainingreadiness/{_IN_PATH}": _readiness,
    f"/userstats-service/wellness/daily/{_NAME}": _with(_resting, first="fromDate", last="untilDate"),
    f"/wellness-service/wellness/daily/spo2/{_IN_PATH}": _spo2,
    f"/wellness-service/wellness/daily/respiration/{_IN_PATH}": _respiration,
    f"/wellness-service/wellness/daily/im/{_IN_PATH}": _intensity,
    f"/metrics-service/metrics/maxmet/daily/{_RANGE}": _max_metrics,
    "/wellness-service/wellness/dailyEvents": _with(_events, day="calendarDate"),
    f"/metrics-service/metrics/trainingstatus/aggregated/{_IN_PATH}": _training_status,
    f"/hrv-service/hrv/{_IN_PATH}": _hrv,
    f"/metrics-service/metrics/racepredictions/daily/{_NAME}": _with(
        _races, first="fromCalendarDate", last="toCalendarDate"
    ),
    f"/wellness-service/wellness/floorsChartData/daily/{_IN_PATH}": _floors,
    "/metrics-service/metrics/endurancescore/stats": _with(_endurance, first="startDate", last="endDate"),
    "/metrics-service/metrics/hillscore/stats": _with(_hill, first="startDate", last="endDate"),
    f"/lifestylelogging-service/dailyLog/{_IN_PATH}": _lifestyle,
    "/device-service/deviceregistration/devices": _devices,
    "/activitylist-service/activities/search/activities": _with(_activities, first="startDate", last="endDate"),
    f"{_ID}/details": _details,
    f"{_ID}/splits": _splits,
    f"{_ID}/typedsplits": _typed_splits,
    f"{_ID}/split_summaries": _split_summaries,
    f"{_ID}/weather": _weather,
    f"{_ID}/hrTimeInZones": _zones,
    f"{_ID}/exerciseSets": _sets,
}
