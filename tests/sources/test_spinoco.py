"""Spinoco against a loopback API: pages as they are, tasks with holes, recordings that come late, ids that stay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.common.pipeline import StateInjectableContext

from sources.kit.errors import BadSetting, SignInNeeded, SourceError, TryLater
from sources.kit.files import Stored
from sources.kit.notices import KEY
from sources.spinoco import audio, spinoco
from sources.spinoco.tables import call, call_id_of, recordings_of
from tests.scripted_server import Asked, Server, reply, serving
from tests.workspace import Workspace

TOKEN = "a-token-of-a-user"
NOON = datetime(2024, 8, 22, 12, tzinfo=UTC)
FIRST = 1724305416000  # 2024-08-22T05:43:36Z
MINUTE, HOUR = 60_000, 3_600_000
TABLES = ("calls", "call_recordings", "transcripts", "labels")
CONNECTION = {"token": TOKEN, "overlap_minutes": 10.0, "delay_seconds": 0.01}


def told(
    guid: str = "71da9579-0000-11ef-8000-000000000001", changed: Any = FIRST, *recordings: dict, **more: Any
) -> dict:
    """A task as the API tells it, with these recordings."""
    held = {one["id"]: one for one in recordings}
    return {
        "id": guid,
        "lastUpdate": changed,
        "tpe": {
            "__tpe": "CallSessionTask",
            "direction": {
                "__tpe": "Terminating",
                "from": {"__tpe": "OutboundTrunkContext", "number": {"e164": "+420600000001"}},
                "to": {"tpe": {"__tpe": "VoiceApplication", "inboundDestination": {"number": "+420600000002"}}},
            },
        },
        "result": [changed, {"__tpe": "CallTaskCompleted", "answered": {"R": FIRST - 60_000}}],
        "detail": {"__tpe": "Recordings", "transcriptions": {}, "recordings": held},
        **more,
    }


def heard(name: str, begin: Any = FIRST - 60_000, **more: Any) -> dict:
    """A recording as a task tells it."""
    return {"id": name, "from": begin, "duration": 50_000, "vm": False, "available": True, "transcriptions": {}, **more}


def many(count: int) -> list[dict]:
    return [told(f"{n:08x}-0000-11ef-8000-000000000000", FIRST + n * HOUR, heard(f"r{n}")) for n in range(count)]


@dataclass
class Vendor:
    """The API as a test sets it up."""

    tasks: list[Any] = field(default_factory=list)
    transcripts: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    synced: list[list[str]] = field(default_factory=list)
    now: datetime = NOON

    def answer(self, asked: Asked) -> Any:
        path = asked.path.partition("?")[0]
        status, body = self._found(asked, path)
        status = self.statuses.get(path, status)
        return reply(status, body, {"Date": format_datetime(self.now, usegmt=True)})

    def _found(self, asked: Asked, path: str) -> tuple[int, Any]:
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {}
        if path == "/task/query":
            return 200, self._page(json.loads(asked.body))
        if path == "/task/sync/":
            return 200, self._tagged(json.loads(asked.body))
        if path.startswith("/task/transcription/"):
            found = self.transcripts.get(path.rpartition("/")[2])
            return (200, found) if found else (404, {})
        if path.startswith("/task/"):
            found = next((task for task in self.tasks if task["id"] == path.rpartition("/")[2]), None)
            return (200, found) if found else (404, {})
        kind = "retired" if "deactivated=true" in asked.path else "active"
        return 200, self.labels.get(f"{path} {kind}", {})

    def _page(self, body: dict) -> dict:
        start, _, skip = (body.get("page") or f"{body['query']['from']['L'] if 'query' in body else 0}+0").partition(
            "+"
        )
        listed = [task for task in self.tasks if not isinstance(task, dict) or _at(task) >= int(start)]
        upto = int(skip) + body["count"]
        more = {"next": f"{start}+{upto}"} if upto < len(listed) else {}
        return {"result": listed[int(skip) : upto], **more}

    def _tagged(self, body: dict) -> dict:
        place = int(body.get("page", 0))
        more = {"next": str(place + 1)} if place + 1 < len(self.synced) else {}
        return {"result": [{"taskId": guid, "get": [], "delete": []} for guid in self.synced[place]], **more}


def _at(task: dict) -> int:
    return task["lastUpdate"] if isinstance(task["lastUpdate"], int) else 0


@dataclass
class World:
    """A vendor, the server it stands behind, and what a source keeps from one read to the next."""

    vendor: Vendor
    server: Server
    state: dict = field(default_factory=dict)
    notices: list[dict] = field(default_factory=list)

    def read(self, *resources: str, **settings: Any) -> dict[str, list[dict]]:
        """Rows by resource of one read, outside of a pipeline; a failed one leaves no state."""
        rows: dict[str, list[dict]] = {name: [] for name in resources or TABLES}
        source = spinoco(**{**CONNECTION, "base_url": self.server.url, **settings}).with_resources(*rows)
        self.server.asked.clear()
        self.notices.clear()
        for name, resource in source.selected_resources.items():
            resource.add_filter(self._sieve(rows[name]))
        state = json.loads(json.dumps(self.state))
        with Container().injectable_context(StateInjectableContext(state=state)):
            list(source)
        self.state = state
        return rows

    def _sieve(self, rows: list[dict]) -> Any:
        def take(row: dict) -> bool:
            (self.notices if KEY in row else rows).append(row)
            return False

        return take

    @property
    def bodies(self) -> list[dict]:
        """What was sent to `/task/query`."""
        return [json.loads(asked.body) for asked in self.server.asked if asked.path == "/task/query"]

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(one[KEY], one.get("item") or one.get("where") or one["message"]) for one in self.notices]


@pytest.fixture
def world() -> Iterator[World]:
    vendor = Vendor()
    with serving(vendor.answer) as server:
        yield World(vendor, server)


def ids(rows: list[dict], key: str = "spinoco_call_guid") -> list[Any]:
    return [row[key] for row in rows]


# --- the recorded page ---------------------------------------------------------------------------------------


def test_the_recorded_page_gives_the_rows_of_the_facts(world, payloads):
    world.vendor.tasks = json.loads((payloads / "spinoco" / "task_query_page_1.json").read_text("utf-8"))["result"]
    rows = world.read("calls", "call_recordings", "transcripts")
    shown = ("call_id", "direction", "caller", "callee", "answered_at", "ended_at", "last_update")
    assert [tuple(row[name] for name in shown) for row in rows["calls"]] == [
        ("20250821_131918_aba7be33", "inbound", "+420600000001", "+420600000002",
         "2025-08-21T13:16:50.708Z", "2025-08-21T13:19:14.507Z", "2025-08-21T13:19:18.482Z"),
        ("20250822_063016_ec239b6f", "inbound", "+420600000003", "+420600000002",
         "2025-08-22T06:26:26.320Z", "2025-08-22T06:30:15.615Z", "2025-08-22T06:30:16.836Z"),
        ("20250822_064608_6609ff9b", "outbound", "+420600000002", "+420600000003",
         "2025-08-22T06:34:48.579Z", "2025-08-22T06:46:06.620Z", "2025-08-22T06:46:08.717Z"),
        ("20250903_081835_7f252a8b", "inbound", "+420600000005", "+420600000002",
         "2025-09-03T08:16:58.665Z", "2025-09-03T08:18:34.843Z", "2025-09-03T08:18:35.706Z"),
        ("20250903_105136_8cb6f88a", "inbound", "+420600000006", "+420600000002",
         "2025-09-03T10:44:41.407Z", "2025-09-03T10:51:34.583Z", "2025-09-03T10:51:36.216Z"),
    ]  # fmt: skip
    shown = ("spinoco_recording_id", "recording_id", "started_at", "ended_at", "duration_ms", "duration_seconds")
    assert [tuple(row[name] for name in shown) for row in rows["call_recordings"]] == [
        ("16cf508f-eec9-11f0-8bca-6dc28857b359", "20250821_131918_aba7be33_p01",
         "2025-08-21T13:16:50.724Z", "2025-08-21T13:19:14.476Z", 143752, 143.752),
        ("4dd249c9-a25b-11f0-b267-cd87ac12348c", "20250822_063016_ec239b6f_p01",
         "2025-08-22T06:26:26.332Z", "2025-08-22T06:30:15.588Z", 229256, 229.256),
        ("e76683ff-7968-11f0-a20b-eaf989dfde09", "20250822_064608_6609ff9b_p01",
         "2025-08-22T06:34:48.789Z", "2025-08-22T06:46:06.590Z", 677801, 677.801),
        ("914bdc46-9ec7-11f0-b211-8b60e9229255", "20250903_081835_7f252a8b_p01",
         "2025-09-03T08:16:58.675Z", "2025-09-03T08:18:34.818Z", 96143, 96.143),
        ("a65a7aec-bcdf-11f0-94bd-05587f203568", "20250903_105136_8cb6f88a_p01",
         "2025-09-03T10:44:41.418Z", "2025-09-03T10:51:34.552Z", 413134, 413.134),
    ]  # fmt: skip
    assert [row["available"] for row in rows["call_recordings"]] == [True] * 5
    assert rows["transcripts"] == []
    assert [item.key for item in audio(TOKEN, world.server.url).items(map(as_loaded, rows["call_recordings"]))] == [
        "spinoco/2025/08/21/16cf508f-eec9-11f0-8bca-6dc28857b359.ogg",
        "spinoco/2025/08/22/4dd249c9-a25b-11f0-b267-cd87ac12348c.ogg",
        "spinoco/2025/08/22/e76683ff-7968-11f0-a20b-eaf989dfde09.ogg",
        "spinoco/2025/09/03/914bdc46-9ec7-11f0-b211-8b60e9229255.ogg",
        "spinoco/2025/09/03/a65a7aec-bcdf-11f0-94bd-05587f203568.ogg",
    ]


def as_loaded(row: dict) -> dict:
    """A row as the warehouse gives it back."""
    moments = {name: value and datetime.fromisoformat(value) for name, value in row.items() if name.endswith("_at")}
    return {**row, **moments}


# --- a task with holes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        ({}, (None, None, None, None, None)),
        ({"__tpe": "Sideways"}, ("Sideways", None, None, None, None)),
        ({"__tpe": "Terminating", "from": {"number": {"__tpe": "Anonymous"}}}, ("inbound", None, None, None, None)),
        (
            {
                "__tpe": "Terminating",
                "from": {"number": {"e164": "1"}},
                "to": {"tpe": {"__tpe": "User", "userId": "u"}},
            },
            ("inbound", "1", None, None, "u"),
        ),
        (
            {"__tpe": "Originating", "from": {"tpe": {"userId": "u", "mobile": "3"}}, "to": {"number": {"e164": "1"}}},
            ("outbound", "3", "1", "u", None),
        ),
        (
            {
                "__tpe": "Originating",
                "from": {"tpe": {"userId": "u", "mobile": "3"}},
                "fromPhoneNumber": "2",
                "to": "?",
            },
            ("outbound", "2", None, "u", None),
        ),
    ],
)
def test_who_called_whom(direction, expected):
    row = call(told(tpe={"__tpe": "CallSessionTask", "direction": direction}), "x")
    assert tuple(row[f] for f in ("direction", "caller", "callee", "caller_user_id", "callee_user_id")) == expected


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ([FIRST, {"answered": {"R": FIRST}}], (True, "2024-08-22T05:43:36.000Z", "2024-08-22T05:43:36.000Z")),
        ([FIRST, {"answered": {"L": FIRST}}], (False, None, "2024-08-22T05:43:36.000Z")),
        ([FIRST, {"answered": {"L": {}}}], (False, None, "2024-08-22T05:43:36.000Z")),
        ([FIRST, {}], (None, None, "2024-08-22T05:43:36.000Z")),
        ([FIRST], (None, None, "2024-08-22T05:43:36.000Z")),
        ([{"answered": {"R": "noon"}}], (True, "noon", None)),
        (None, (None, None, None)),
    ],
)
def test_an_answer_is_an_either_in_a_pair(result, expected):
    row = call(told(result=result), "x")
    assert (row["answered"], row["answered_at"], row["completed_at"]) == expected


@pytest.mark.parametrize(
    ("guid", "changed", "expected"),
    [
        ("71da9579-5d1f-11ef-9c3e-000000000001", 1724305416000, "20240822_054336_71da9579"),
        ("71da957", 1724305416000, None),
        ("71da9579-5d1f", 0, None),
        ("71da9579-5d1f", "about noon", None),
        ("71da9579-5d1f", 10**18, None),
    ],
)
def test_the_id_of_a_call(guid, changed, expected):
    assert call_id_of({"id": guid, "lastUpdate": changed}) == expected


def test_recordings_are_numbered_by_time_then_id(world):
    late, early, twin = heard("a", FIRST + 2), heard("c", FIRST + 1), heard("b", FIRST + 1)
    world.vendor.tasks = [told("71da9579-x", FIRST, late, early, twin, heard("d", "noon"))]
    found = world.read("call_recordings")["call_recordings"]
    assert {row["spinoco_recording_id"]: row["recording_id"][-4:] for row in found} == {
        "b": "_p01", "c": "_p02", "a": "_p03", "d": "_p04",
    }  # fmt: skip


def test_what_is_no_task_and_no_recording_is_set_aside(world):
    broken = told("71da9579-x", FIRST, heard("a"))
    broken["detail"]["recordings"]["b"] = "gone"
    world.vendor.tasks = ["?", {"lastUpdate": 1}, broken]
    rows = world.read("calls", "call_recordings")
    assert (ids(rows["calls"]), ids(rows["call_recordings"], "spinoco_recording_id")) == (["71da9579-x"], ["a"])
    assert world.told == [
        ("rejected", "POST /task/query"),
        ("rejected", "POST /task/query"),
        ("rejected", "recordings of 71da9579-x"),
    ]


def test_what_nobody_knows_yet_is_kept(world):
    world.vendor.tasks = [told("71da9579-x", FIRST, heard("a", colour="red"), mood={"of": "caller"})]
    rows = world.read("calls", "call_recordings")
    assert rows["calls"][0]["mood"] == {"of": "caller"}
    assert rows["calls"][0]["raw"] == world.vendor.tasks[0]
    assert rows["call_recordings"][0]["colour"] == "red"


# --- pages and cursor ----------------------------------------------------------------------------------------


def test_the_query_goes_with_the_first_request_and_the_token_alone_with_the_others(world):
    world.vendor.tasks = many(5)
    rows = world.read(page_size=2)
    assert [len(rows[name]) for name in TABLES] == [5, 5, 0, 0]
    query = {"completed": "Only", "queryBy": "LastUpdate", "taskQueryTypes": ["CallSessionTask"], "from": {"L": "0"}}
    assert world.bodies == [
        {"query": query, "count": 2},
        {"page": "0+2", "count": 2},
        {"page": "0+4", "count": 2},
    ], "one request per page, whatever the number of resources"
    first = next(asked for asked in world.server.asked if asked.path == "/task/query")
    assert first.headers["x-spinoco-protocol-version"] == "2"
    assert first.headers["authorization"] == f"Bearer {TOKEN}"
    assert first.headers["content-type"] == "application/json"


def test_each_resource_has_a_cursor_with_an_overlap(world):
    world.vendor.tasks = many(3)
    assert ids(world.read("calls")["calls"], "last_update")[-1] == "2024-08-22T07:43:36.000Z"
    assert world.read("calls")["calls"] == [], "what stands as it was is not read again"
    assert [body["query"]["from"] for body in world.bodies] == [{"L": str(FIRST + 2 * HOUR - 10 * MINUTE)}]
    world.vendor.tasks[2] = {**world.vendor.tasks[2], "lastUpdate": FIRST + 2 * HOUR + 1, "hashTags": ["x"]}
    world.vendor.tasks.append(told("late", FIRST + 2 * HOUR - 9 * MINUTE))
    assert sorted(ids(world.read("calls")["calls"])) == ["00000002-0000-11ef-8000-000000000000", "late"]
    assert len(world.read("call_recordings")["call_recordings"]) == 3, "that of another resource is its own"


@pytest.mark.parametrize("changed", [FIRST * 1000, 10**18, "about noon", None, True])
def test_a_last_update_that_is_none_moves_no_cursor(world, changed):
    world.vendor.tasks = [*many(2), told("71da9579-x", changed)]
    assert len(world.read("calls")["calls"]) == 3
    assert world.state["sources"]["spinoco"]["resources"]["calls"]["last_update"] == FIRST + HOUR


def test_a_read_that_breaks_leaves_the_cursor(world):
    world.vendor.tasks = many(5)
    world.vendor.statuses["/task/transcription/x/r"] = 500
    world.vendor.tasks[4]["detail"]["recordings"]["r4"]["transcriptions"] = {"t": {}}
    world.vendor.statuses[f"/task/transcription/{world.vendor.tasks[4]['id']}/r4"] = 500
    with pytest.raises(Exception, match="500 in 2 attempts") as failed:
        world.read("transcripts", max_retry=1)
    assert isinstance(failed.value.__cause__, TryLater)
    assert world.state == {}


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ({"since": "2024-08-22T06:43:36Z"}, [1, 2, 3]),
        ({"until": "2024-08-22T07:43:36Z"}, [0, 1]),
        ({"since": "2024-08-22T08:43:36+02:00", "until": "2024-08-22T07:43:36.001Z"}, [1, 2]),
    ],
)
def test_a_window_is_half_open_and_by_last_update(world, window, expected):
    world.vendor.tasks = many(4)
    assert ids(world.read("calls", **window)["calls"]) == [f"{n:08x}-0000-11ef-8000-000000000000" for n in expected]


def test_nothing_is_asked_for_behind_a_window(world):
    world.vendor.tasks = many(40)
    world.read("calls", page_size=2, until="2024-08-22T06:43:36Z")
    assert len(world.bodies) <= 3


def test_since_in_the_settings_does_not_hold_the_cursor_back(world):
    world.vendor.tasks = many(3)
    world.read("calls", since="2024-08-22T05:43:36Z")
    world.read("calls", since="2024-08-22T05:43:36Z")
    assert world.bodies[0]["query"]["from"] == {"L": str(FIRST + 2 * HOUR - 10 * MINUTE)}


# --- recordings that come late -------------------------------------------------------------------------------


def test_a_recording_that_is_not_there_is_looked_at_again_less_and_less_often(world):
    world.vendor.tasks = [told("71da9579-x", FIRST, heard("r", available=False)), *many(3)[1:]]
    assert world.read("call_recordings")["call_recordings"][0]["available"] is False
    asked, came = [], []
    for hour in range(1, 14):
        world.vendor.now = NOON + timedelta(hours=hour)
        if hour == 13:
            world.vendor.tasks[0] = told("71da9579-x", FIRST, heard("r"))  # and nothing says that it changed
        came += world.read("call_recordings")["call_recordings"]
        asked += [hour] if len(world.bodies) > 1 else []
    assert asked == [4, 10], "it is 6 hours old when it is seen, then 10, then 16"
    assert came == []
    world.vendor.now = NOON + timedelta(hours=19)
    assert [row["available"] for row in world.read("call_recordings")["call_recordings"]] == [True]
    world.vendor.now = NOON + timedelta(days=3)
    assert (world.read("call_recordings")["call_recordings"], len(world.bodies)) == ([], 1)


def test_one_that_is_near_the_cursor_is_seen_in_the_overlap(world):
    world.vendor.tasks = [told("71da9579-x", FIRST, heard("r", available=False))]
    world.read("call_recordings")
    world.vendor.tasks = [told("71da9579-x", FIRST, heard("r"))]
    assert [row["available"] for row in world.read("call_recordings")["call_recordings"]] == [True]
    assert world.read("call_recordings")["call_recordings"] == []


@pytest.mark.parametrize(("days", "waits"), [(13.7, 1), (14, 0)])
def test_a_recording_is_given_up_after_a_time(world, days, waits):
    world.vendor.now = datetime.fromtimestamp(FIRST / 1000, UTC) + timedelta(days=days)
    world.vendor.tasks = [told("71da9579-x", FIRST - 1, heard("r", available=False)), told("71da9579-y", FIRST + HOUR)]
    world.read("call_recordings", patience_days=14)
    assert len(world.state["sources"]["spinoco"]["resources"]["call_recordings"]["waiting"]) == waits


# --- transcripts and labels ----------------------------------------------------------------------------------

SAID = {
    "recordingId": "r",
    "transcription": [
        {"id": "1", "endpoint": {"__tpe": "ContactEndPoint"}, "recognized": [
            {"offset": 8_200_000, "duration": 5_000_000, "displayText": "Dobrý den", "alternatives": []}]},
        {"id": "1", "endpoint": {"__tpe": "ContactEndPoint"}, "recognized": [
            {"offset": 8_200_000, "duration": 5_000_000, "displayText": "Dobrý den", "alternatives": []}]},
        {"id": "2", "endpoint": {"__tpe": "UserEndPoint"}, "recognized": [{"offset": 0, "displayText": "Hello"}]},
        {"id": "3"},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("announced", "settings", "asked"),
    [
        ({}, {}, 0),
        ({"transcriptions": {"t": {}}}, {}, 1),
        ({}, {"ask_every_transcript": True}, 1),
    ],
)
def test_a_transcript_is_asked_for_where_one_is_announced(world, announced, settings, asked):
    world.vendor.tasks = [told("71da9579-x", FIRST, heard("r", **announced))]
    world.vendor.transcripts = {"r": SAID}
    rows = world.read("transcripts", **settings)["transcripts"]
    assert (len(rows), sum("transcription" in path for path in world.server.paths)) == (asked, asked)
    for row in rows:
        assert (row["spinoco_recording_id"], row["call_id"]) == ("r", "20240822_054336_71da9579")
        assert row["recording_id"] == "20240822_054336_71da9579_p01"
        assert row["text"] == "Dobrý den\nHello"
        phrase = {"channel_id": "1", "speaker": "ContactEndPoint", "offset_seconds": 0.82, "seconds": 0.5}
        assert row["phrases"][0] == {**phrase, "text": "Dobrý den"}
        assert len(row["phrases"]) == 2, "a channel that comes twice is one"


def test_no_transcript_is_normal_and_a_refused_one_an_item_that_failed(world):
    world.vendor.tasks = [told("71da9579-x", FIRST, heard("r"), heard("s"), heard("t"))]
    world.vendor.transcripts = {"t": SAID}
    world.vendor.statuses["/task/transcription/71da9579-x/s"] = 403
    rows = world.read("transcripts", ask_every_transcript=True)["transcripts"]
    assert ids(rows, "spinoco_recording_id") == ["t"]
    assert world.told == [("failed", "s")]
    world.vendor.tasks.append(told("71da9579-y", FIRST + HOUR))
    assert world.read("transcripts", ask_every_transcript=True)["transcripts"] != [], "it is asked for again"
    assert world.told == [("failed", "s")]
    world.vendor.transcripts["s"] = SAID
    del world.vendor.statuses["/task/transcription/71da9579-x/s"]
    rows = world.read("transcripts", ask_every_transcript=True)["transcripts"]
    assert sorted(ids(rows, "spinoco_recording_id")) == ["s", "t"]
    assert world.read("transcripts", ask_every_transcript=True)["transcripts"] == []


def test_labels_of_three_kinds(world):
    world.vendor.labels = {
        "/skill/labels active": {"S1": "Sales"},
        "/skill/labels retired": {"S1": "Sales", "S9": "Fax"},
        "/user/names retired": {"u": "Dana"},
    }
    world.vendor.statuses["/hashtag/labels"] = 403
    rows = world.read("labels")["labels"]
    assert [(row["kind"], row["id"], row["label"], row["deactivated"]) for row in rows] == [
        ("skills", "S1", "Sales", False),
        ("skills", "S9", "Fax", True),
        ("users", "u", "Dana", True),
    ]
    assert world.told == [
        ("warning", "spinoco.labels: no hashtags to be had; check whether the token may read /hashtag/labels")
    ]
    assert world.read("labels")["labels"] == [], "labels that stand as they were are not loaded again"


# --- what the vendor keeps under a tag -----------------------------------------------------------------------


def test_a_tag_hands_out_its_calls_to_every_resource_once(world):
    world.vendor.tasks = many(3)
    world.vendor.synced = [[task["id"] for task in world.vendor.tasks[:2]], [world.vendor.tasks[2]["id"], "gone"]]
    settings = {"tag": "etl", "page_size": 2, "since": "2024-08-01T00:00:00Z", "skills_must": ["S1"]}
    assert len(world.read("calls", **settings)["calls"]) == 3
    assert world.told == [("failed", "gone")]
    asked = [json.loads(asked.body) for asked in world.server.asked if asked.path == "/task/sync/"]
    assert asked[0]["query"] == {
        "tag": "etl",
        "get": ["Recordings"],
        "delete": [],
        "fileNameTemplate": asked[0]["query"]["fileNameTemplate"],
        "startFrom": "1722470400000",
        "skillsMust": ["S1"], "skillsShould": [], "skillsMustNot": [],
        "hashTagsMust": [], "hashTagsShould": [], "hashTagsMustNot": [],
    }  # fmt: skip
    assert asked[1] == {"page": "1", "count": 2}
    assert "/task/query" not in world.server.paths
    world.vendor.synced = [[]]
    rows = world.read("calls", "call_recordings", **settings)
    assert (len(rows["calls"]), len(rows["call_recordings"])) == (0, 3), "what one has been given waits for the other"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tag": "x" * 65}, "tag: has 65 bytes"),
        ({"tag": "etl", "skills_must": ["Sales"]}, "skillsMust: 'Sales' is no skill"),
        ({"tag": "etl", "hash_tags_must_not": ["urgent"]}, "hashTagsMustNot: 'urgent' is no hashtag"),
        ({"hash_tags_must": ["x"]}, "give tag, e.g. etl"),
        ({"page_size": 0}, "page_size: 0"),
        ({"since": "yesterday"}, "since: 'yesterday' is no ISO 8601 time"),
    ],
)
def test_settings_that_cannot_be_meant(world, settings, message):
    with pytest.raises(BadSetting, match=message):
        world.read(**settings)


# --- over the wire -------------------------------------------------------------------------------------------


def test_a_bad_token_ends_it_at_once(world):
    with pytest.raises(Exception, match="answered 401") as failed:
        world.read("calls", token="another-token")
    assert isinstance(failed.value.__cause__, SignInNeeded)
    assert (len(world.server.asked), "another-token" in str(failed.value)) == (1, False)


def test_there_is_no_source_without_a_token():
    with pytest.raises(ConfigFieldMissingException):
        spinoco()


@pytest.mark.parametrize("max_retry", [0, 2])
def test_a_request_is_repeated_as_often_as_is_said(world, max_retry):
    world.vendor.statuses["/task/query"] = 503
    with pytest.raises(Exception, match="answered 503") as failed:
        world.read("calls", max_retry=max_retry)
    assert isinstance(failed.value.__cause__, TryLater)
    assert len(world.server.asked) == max_retry + 1


def test_the_first_wait_is_as_long_as_is_said(world, monkeypatch):
    drawn = []
    monkeypatch.setattr("sources.kit.http.random.uniform", lambda low, high: drawn.append(high) or 0.0)
    world.vendor.statuses["/task/query"] = 503
    with pytest.raises(Exception, match="answered 503"):
        world.read("calls", max_retry=2, delay_seconds=5)
    assert drawn == [5, 10]


def test_pages_that_lead_to_themselves_are_left(world):
    world.vendor._page = lambda _: {"result": [], "next": "again"}
    with pytest.raises(Exception, match="lead to themselves"):
        world.read("calls")
    assert len(world.bodies) == 2


@pytest.mark.parametrize("body", [[], {"result": {}}, {"result": [], "next": 3}])
def test_an_answer_of_another_shape_says_so(world, body):
    world.vendor._page = lambda _: body
    with pytest.raises(Exception, match="the API may have changed") as failed:
        world.read("calls")
    assert isinstance(failed.value.__cause__, SourceError)


# --- audio ---------------------------------------------------------------------------------------------------


def test_an_item_says_where_its_audio_is_and_what_it_must_be(world):
    rows = [as_loaded({**one, "available": one["spinoco_recording_id"] != "s"}) for one in _loaded(world)]
    (item,) = audio(TOKEN, "https://api.example/").items(rows)
    assert (item.id, item.url) == ("r", "https://api.example/recording-direct/71da9579-x/r")
    assert item.headers == {"Authorization": f"Bearer {TOKEN}", "x-spinoco-protocol-version": "2"}
    assert (item.key, item.media, item.seconds) == ("spinoco/2024/08/22/r.ogg", "ogg", 50.0)
    (unchecked,) = audio(TOKEN, validate_ogg_header=False).items(rows)
    assert (unchecked.media, unchecked.seconds) == ("any", None)


def test_a_receipt_has_the_columns_it_declares(world):
    files = audio(TOKEN)
    item = next(files.items(map(as_loaded, _loaded(world))))
    receipt = files.receipt(item, Stored("k", 1, "00", "audio/ogg", NOON, codec="vorbis", seconds=49.9))
    assert receipt.keys() == files.columns.keys()
    assert files.columns[files.named.sha256].get("nullable", True), "an object may be adopted that tells no hash"
    assert (receipt["spinoco_recording_id"], receipt["recording_id"]) == ("r", "20240822_054336_71da9579_p01")


def _loaded(world: World) -> list[dict]:
    world.vendor.tasks = [told("71da9579-x", FIRST, heard("r"), heard("s"))]
    return world.read("call_recordings")["call_recordings"]


# --- ids that stay -------------------------------------------------------------------------------------------


def test_an_id_stays_though_the_call_changes(world, tmp_path):
    made = Workspace(tmp_path / "a workspace", ("spinoco",))
    made.point_at({"sources.spinoco.base_url": world.server.url, "sources.spinoco.token": TOKEN})
    ids = "SELECT call_id, spinoco_recording_id, recording_id FROM spinoco.call_recordings ORDER BY 2"
    calls = "SELECT call_id, last_update FROM spinoco.calls"
    world.vendor.tasks = [told("71da9579-x", FIRST, heard("m", available=False))]
    assert made.etl("run", "spinoco", "--env", "test").code == 0
    first = "20240822_054336_71da9579"
    world.vendor.tasks = [
        told(
            "71da9579-x",
            FIRST + HOUR,
            heard("m", available=False),
            heard("a", FIRST - HOUR, available=False),
            heard("z", available=False),
        )
    ]
    for options in ([], ["--mode", "backfill"], ["--limit", "1"]):
        assert made.etl("run", "spinoco", "--env", "test", *options).code == 0
        assert made.query(calls) == [(first, datetime(2024, 8, 22, 6, 43, 36, tzinfo=UTC))]
        assert made.query(ids) == [
            (first, "a", f"{first}_p02"), (first, "m", f"{first}_p01"), (first, "z", f"{first}_p03"),
        ]  # fmt: skip


def test_recordings_of_a_task_are_no_columns():
    task = told("71da9579-x", FIRST, heard("b"), heard("a"))
    assert list(recordings_of(task)) == ["a", "b"]
    assert not {"a", "b", "detail"} & set(call(task, "x"))
