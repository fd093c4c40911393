"""The ingest service: every endpoint and what it answers, on SQLite and on Postgres alike."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from uuid import uuid4

import pytest
import requests

from ingest_api import chunks, devices, sweep
from ingest_api.devices import Known
from ingest_api.storage import Storage
from sandbox.sound import pieces, vorbis
from tests.postgres_server import database
from tests.serving import ADMIN, DEVICE, POINT, REGISTER, TOKEN, chunk, serving

READER = "a-token-of-a-reader"
LIMIT = 1_000_000
OTHER = "00000000-0000-0000-0000-00000000000f"
MINUTES = itertools.count()
DEVICES, CHUNKS, CLAIMS = "/api/v1/admin/devices", "/api/v1/chunks", "/api/v1/claims"
ADMINS = [("GET", DEVICES), ("POST", DEVICES), ("PATCH", f"{DEVICES}/{DEVICE}"), ("POST", f"{DEVICES}/{DEVICE}/token")]
READERS = [
    ("GET", CHUNKS), ("POST", CLAIMS), ("GET", f"{CHUNKS}/{OTHER}"), ("PATCH", f"{CHUNKS}/{OTHER}"),
    ("GET", f"{CHUNKS}/{OTHER}/file"),
]  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def service(request, tmp_path_factory):
    """A service with one device; each test sends chunks of a minute of its own."""
    told = {"UPLOADS_PER_MINUTE": "1000000", "INTERNAL_TOKEN": READER, "MAX_UPLOAD_SIZE_BYTES": str(LIMIT)}
    folder = tmp_path_factory.mktemp("a service")
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
        with database(server) as url, serving(folder, DATABASE_URL=url, **told) as running:
            running.register()
            yield running
    else:
        with serving(folder, **told) as running:
            running.register()
            yield running


@pytest.fixture
def minute():
    """The start and the end of a minute that no other test has."""
    start = datetime(2026, 1, 28, tzinfo=UTC) + timedelta(minutes=next(MINUTES))
    return {"start_ts": start.isoformat(), "end_ts": (start + timedelta(minutes=1)).isoformat()}


def shown(service, answer):
    """The row of a chunk that was sent."""
    assert answer.status_code == 200, answer.text
    return service.ask("GET", f"{CHUNKS}/{answer.json()['chunk_id']}").json()


# What a recorder sends


def test_a_chunk_is_stored_and_answered_as_documented(service):
    answer = service.send(start_ts="2025-12-31T23:59:30-01:00", end_ts="2026-01-01T00:00:30-01:00")
    told = answer.json()
    name = f"audio/{POINT}/{REGISTER}/2026-01-01/00/chunk_20260101_005930_{told['chunk_id']}.ogg"
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert list(told.items()) == [
        ("status", "ok"), ("chunk_id", told["chunk_id"]), ("stored_path", name), ("queued", True)
    ]  # fmt: skip
    assert (service.settings.storage / name).read_bytes() == chunk()
    row = shown(service, answer)
    assert row | {"created_at": 0} == {
        "chunk_id": told["chunk_id"], "device_id": DEVICE, "point_id": POINT, "register_id": REGISTER,
        "start_ts": "2026-01-01T00:59:30Z", "end_ts": "2026-01-01T01:00:30Z", "duration_sec": 60, "codec": "opus",
        "sample_rate": 48000, "channels": 1, "file_path": name, "file_size_bytes": len(chunk()), "status": "QUEUED",
        "created_at": 0, "sha256": hashlib.sha256(chunk()).hexdigest(), "audio_seconds": 60.0, "flags": [],
        "note": None, "error_message": None, "processing_started_at": None,
    }  # fmt: skip


NOBODY = [
    (None, "Missing Authorization header"),
    ("Basic dXNlcg==", "Invalid authorization scheme"),
    ("", "Invalid authorization scheme"),
    ("Bearer", "Empty token"),
    ("Bearer   ", "Empty token"),
    ("Bearer a-token-of-nobody", "Invalid or disabled device token"),
    (f"Bearer {ADMIN}", "Invalid or disabled device token"),
    ("Bearer é", "Invalid or disabled device token"),
]


@pytest.mark.parametrize(("header", "detail"), NOBODY)
def test_who_is_nobody_may_not_send(service, header, detail):
    headers = {} if header is None else {"Authorization": header.encode()}
    answer = service.send(token=None, headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"detail": detail})
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), [*ADMINS, *READERS])
def test_who_is_nobody_may_not_ask(service, method, path):
    wrong = {
        None: "Missing Authorization header",
        "Basic x": "Invalid authorization scheme",
        "Bearer": "Invalid admin token",
        f"Bearer {TOKEN}": "Invalid admin token",
    }
    for header, detail in wrong.items():
        answer = service.ask(method, path, None, data=b"{", headers={"Authorization": header} if header else {})
        assert (answer.status_code, answer.json()) == (401, {"detail": detail})
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), ADMINS)
def test_who_reads_chunks_is_no_administrator(service, method, path):
    assert service.ask(method, path, READER, json={}).status_code == 401


TOO_MUCH = b"x" * (LIMIT + 1)
NOT_ITS_OWN = "device_id does not match authenticated device"
NOT_THERE = "point_id or register_id does not match device registration"
BACKWARDS = "end_ts must be after start_ts"
BEFORE_TIME = "a time is before the year 1 or after the year 9999"
REFUSED = [
    ({"device_id": OTHER}, b"", 422, NOT_ITS_OWN),
    ({"device_id": OTHER, "point_id": OTHER, "end_ts": "2020-01-01T00:00:00Z"}, TOO_MUCH, 422, NOT_ITS_OWN),
    ({"point_id": OTHER, "end_ts": "2020-01-01T00:00:00Z"}, b"", 422, NOT_THERE),
    ({"register_id": OTHER}, TOO_MUCH, 422, NOT_THERE),
    ({"end_ts": "2020-01-01T00:00:00Z"}, TOO_MUCH, 422, BACKWARDS),
    ({"start_ts": "2026-01-28T10:00:00", "end_ts": "2026-01-28T10:00:00"}, b"", 422, BACKWARDS),
    ({"start_ts": "2026-01-28T10:00:00", "end_ts": "2026-01-28T09:00:00Z"}, b"", 422, BACKWARDS),
    ({"start_ts": "0001-01-01T00:00:00+14:00"}, b"", 422, BEFORE_TIME),
    ({"end_ts": "9999-12-31T23:59:59-14:00"}, b"", 422, BEFORE_TIME),
    ({"start_ts": "1900-01-01T00:00:00Z"}, chunk(), 422, "end_ts must be less than 68 years after start_ts"),
    ({}, TOO_MUCH, 413, f"File exceeds maximum size of {LIMIT} bytes"),
    ({}, b"x" * (2 * LIMIT), 413, f"File exceeds maximum size of {LIMIT} bytes"),
    ({"device_id": OTHER}, b"x" * (2 * LIMIT), 413, f"File exceeds maximum size of {LIMIT} bytes"),
    ({}, b"", 422, "Empty file"),
]


@pytest.mark.parametrize(("fields", "audio", "status", "detail"), REFUSED)
def test_what_is_wrong_is_refused_in_the_documented_order(service, fields, audio, status, detail):
    before = service.files()
    answer = service.send(audio, **fields)
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})
    assert (service.files(), service.incoming()) == (before, [])


def missing(name):
    return {"type": "missing", "loc": ["body", name], "msg": "Field required", "input": None}


LISTS = [
    ({"point_id": None}, [missing("point_id")]),
    ({"codec": None, "start_ts": None}, [missing("start_ts"), missing("codec")]),
    ({"channels": "two"}, [{"type": "int_parsing", "loc": ["body", "channels"], "input": "two",
      "msg": "Input should be a valid integer, unable to parse string as an integer"}]),
    ({"device_id": "three"}, [{"type": "uuid_parsing", "loc": ["body", "device_id"], "input": "three",
      "msg": "Input should be a valid UUID, invalid character: found `t` at 0",
      "ctx": {"error": "invalid character: found `t` at 0"}}]),
    ({"start_ts": "late"}, [{"type": "datetime_from_date_parsing", "loc": ["body", "start_ts"],
      "input": "late", "msg": "Input should be a valid datetime or date, input is too short",
      "ctx": {"error": "input is too short"}}]),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), LISTS)
def test_fields_that_are_missing_or_wrong_are_listed(service, fields, expected):
    answer = service.send(**fields)
    assert (answer.status_code, answer.json()) == (422, {"detail": expected})


WRONG = [
    {"codec": ""}, {"codec": "o" * 33}, {"codec": "op\x00us"}, {"sample_rate": "0"}, {"sample_rate": "2147483648"},
    {"channels": "0"}, {"channels": "256"}, {"end_ts": ""}, {"point_id": ""},
]  # fmt: skip


@pytest.mark.parametrize("fields", WRONG)
def test_what_the_tables_cannot_hold_is_refused(service, fields):
    answer = service.send(**fields)
    assert [each["loc"] for each in answer.json()["detail"]] == [["body", name] for name in fields]
    assert answer.status_code == 422


@pytest.mark.parametrize("more", [{"json": {}}, {"data": {"point_id": POINT}}, {"data": b"audio"}, {}])
def test_a_body_that_is_no_form_lacks_everything(service, more):
    names = ["point_id", "register_id", "device_id", "start_ts", "end_ts", "codec", "sample_rate", "channels"]
    answer = service.ask("POST", CHUNKS, TOKEN, **more)
    assert (answer.status_code, answer.json()) == (422, {"detail": [missing(n) for n in [*names, "chunk_file"]]})


def test_a_file_of_the_largest_size_is_taken(service, minute):
    assert shown(service, service.send(b"x" * LIMIT, **minute))["file_size_bytes"] == LIMIT


def test_fields_may_follow_the_file(service, minute):
    fields = {"point_id": POINT, "register_id": REGISTER, "device_id": DEVICE, "codec": "opus", "sample_rate": "48000",
              "channels": "1", **minute}  # fmt: skip
    parts = [("chunk_file", ("c.ogg", chunk()))] + [(name, (None, value)) for name, value in fields.items()]
    assert service.ask("POST", CHUNKS, TOKEN, files=parts).status_code == 200
    wrong = [*parts[:1], *((name, (None, OTHER if name == "device_id" else v)) for name, (_, v) in parts[1:])]
    assert service.ask("POST", CHUNKS, TOKEN, files=wrong).json() == {"detail": NOT_ITS_OWN}


# Once, however often it is sent


def test_a_chunk_that_comes_again_is_the_same_one(service, minute):
    first, second = service.send(**minute), service.send(**minute)
    assert (second.status_code, second.json()) == (200, first.json())
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len([name for name in service.files() if first.json()["chunk_id"] in name]) == 1
    assert service.incoming() == []


def test_the_same_start_with_other_content_is_kept_and_flagged(service, minute):
    first, second = service.send(**minute), service.send(chunk(2), **minute)
    assert first.json()["chunk_id"] != second.json()["chunk_id"]
    assert (shown(service, first)["flags"], shown(service, second)["flags"]) == ([], ["same_start"])
    assert service.send(chunk(2), **minute).json() == second.json()


def test_a_client_with_a_key_is_told_of_what_cannot_be(service, minute):
    mine, other = {"Idempotency-Key": str(uuid4())}, {"Idempotency-Key": str(uuid4())}
    first = service.send(headers=mine, **minute)
    again = service.send(headers=mine, **minute)
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")
    later = service.send(headers=mine, **{**minute, "start_ts": "2020-01-01T00:00:00Z"})
    assert (later.status_code, later.json()) == (409, {"detail": "Idempotency-Key was used for another chunk"})
    changed = service.send(chunk(2), headers=other, **minute)
    assert (changed.status_code, changed.json()) == (
        409, {"detail": "Another chunk of this device has the same start_ts"},
    )  # fmt: skip
    assert service.send(headers=other, **minute).json() == first.json()


@pytest.mark.parametrize("key", [b"", b"x" * 256, "clé".encode()])
def test_a_key_that_cannot_be_kept_is_refused(service, key):
    answer = service.send(headers={"Idempotency-Key": key})
    detail = "Idempotency-Key must be 1 to 255 printable ASCII characters"
    assert (answer.status_code, answer.json()) == (400, {"detail": detail})


def test_of_many_at_once_one_is_stored(service, minute):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: service.send(**minute), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["chunk_id"] for answer in answers}) == 1
    start = datetime.fromisoformat(minute["start_ts"])
    page = service.ask("GET", CHUNKS, params={"start_from": start, "start_until": start + timedelta(seconds=1)}).json()
    assert len(page["chunks"]) == 1
    assert service.incoming() == []


def test_a_file_that_was_lost_is_taken_again(service, minute):
    first = service.send(**minute)
    file = service.settings.storage / first.json()["stored_path"]
    file.unlink()
    assert service.send(**minute).json() == first.json()
    assert file.read_bytes() == chunk()


# What is suspicious

SECONDS = 60.0
SUSPICIOUS = [
    (chunk(1, 5.0), {}, ["other_duration"], None, 5),
    (b"no audio at all", {}, ["not_whole_ogg"], "no page at byte 0, where one must start", 0),
    (b"".join(pieces(chunk())[:-1]), {}, ["not_whole_ogg"], "the last page is missing", 59),
    (chunk()[: len(chunk()) // 2], {}, ["not_whole_ogg"], "cut in the page", 29),
    (vorbis(1, SECONDS), {}, ["other_codec", "other_channels"], None, 60),
    (vorbis(1, SECONDS), {"codec": "Vorbis", "channels": "2"}, [], None, 60),
]


@pytest.mark.parametrize(("audio", "fields", "expected", "note", "seconds"), SUSPICIOUS)
def test_what_is_suspicious_is_flagged_and_kept(service, minute, audio, fields, expected, note, seconds):
    row = shown(service, service.send(audio, **fields, **minute))
    assert (row["flags"], row["status"]) == (expected, "QUEUED")
    assert row["note"] is None if note is None else note in row["note"]
    assert row["audio_seconds"] == pytest.approx(seconds, abs=1)


def test_a_chunk_from_the_future_is_flagged(service):
    start = datetime.now(UTC) + timedelta(hours=1)
    row = shown(service, service.send(start_ts=start.isoformat(), end_ts=(start + timedelta(minutes=1)).isoformat()))
    assert row["flags"] == ["in_future"]


TIMES = [  # in Paris
    ("2024-01-15T14:30:22", "2024-01-15T14:31:22", "2024-01-15T13:30:22Z", "2024-01-15T13:31:22Z", []),
    ("2024-07-15T14:30:22", "2024-07-15T14:31:22", "2024-07-15T12:30:22Z", "2024-07-15T12:31:22Z", []),
    ("2024-01-15T14:30:22+00:00", "2024-01-15T15:31:22", "2024-01-15T14:30:22Z", "2024-01-15T14:31:22Z", []),
    ("2024-03-31T01:59:30", "2024-03-31T02:00:30", "2024-03-31T00:59:30Z", "2024-03-31T01:00:30Z", []),
    ("2024-03-31T02:30:00", "2024-03-31T02:31:00", "2024-03-31T01:30:00Z", "2024-03-31T01:31:00Z",
     ["skipped_local_time"]),
    ("2024-10-27T02:59:30", "2024-10-27T03:00:30", "2024-10-27T00:59:30Z", "2024-10-27T01:00:30Z",
     ["ambiguous_local_time"]),
    ("1705329022", "1705329082", "2024-01-15T14:30:22Z", "2024-01-15T14:31:22Z", []),
    ("1970-01-01T01:00:30", "1970-01-01T01:01:30", "1970-01-01T00:00:30Z", "1970-01-01T00:01:30Z", ["long_ago"]),
]  # fmt: skip


@pytest.mark.parametrize(("start", "end", "start_utc", "end_utc", "expected"), TIMES)
def test_times_without_a_zone_are_the_devices(service, start, end, start_utc, end_utc, expected):
    device, token = str(uuid4()), str(uuid4())
    service.register(token, device, timezone="Europe/Paris")
    row = shown(service, service.send(token=token, device_id=device, start_ts=start, end_ts=end))
    assert (row["start_ts"], row["end_ts"], row["flags"]) == (start_utc, end_utc, expected)


def test_an_hour_that_comes_twice_has_both_its_chunks(service):
    device, token = str(uuid4()), str(uuid4())
    service.register(token, device, timezone="Europe/Paris")
    twice = {"start_ts": "2024-10-27T02:30:00", "end_ts": "2024-10-27T02:31:00", "token": token, "device_id": device}
    sent = [service.send(chunk(seed), **twice) for seed in (1, 2, 3, 1, 2, 3)]
    rows = [shown(service, answer) for answer in sent]
    assert [row["start_ts"][11:16] for row in rows[:3]] == ["00:30", "01:30", "00:30"]
    assert [row["chunk_id"] for row in rows[:3]] == [row["chunk_id"] for row in rows[3:]]
    assert rows[2]["flags"] == ["ambiguous_local_time", "same_start"]


# Devices


def test_devices_are_made_listed_and_changed(service):
    ids = {name: str(uuid4()) for name in ("device_id", "point_id", "register_id")}
    made = service.ask("POST", DEVICES, json={**ids, "token_plain": "t" * 16})
    device = {**ids, "is_enabled": True, "created_at": made.json()["created_at"], "last_seen_at": None,
              "timezone": "UTC"}  # fmt: skip
    assert (made.status_code, made.json(), "Warning" in made.headers) == (201, device, False)
    again = service.ask("POST", DEVICES, json={**ids, "token_plain": "u" * 16})
    assert (again.status_code, again.json()) == (409, {"detail": "Device already exists"})
    listed = service.ask("GET", DEVICES)
    assert (listed.status_code, listed.json()[0]) == (200, device)
    assert [each["device_id"] for each in listed.json()][-1] == DEVICE
    path = f"{DEVICES}/{ids['device_id']}"
    for change, enabled in (({}, True), ({"is_enabled": False}, False), ({}, False), ({"is_enabled": True}, True)):
        changed = service.ask("PATCH", path, json=change)
        assert (changed.status_code, changed.json()) == (200, {**device, "is_enabled": enabled})
    changed = service.ask("PATCH", path, json={"timezone": "Asia/Tokyo"})
    assert (changed.status_code, changed.json()) == (200, {**device, "timezone": "Asia/Tokyo"})


@pytest.mark.parametrize(("method", "suffix"), [("PATCH", ""), ("POST", "/token")])
def test_a_device_that_is_not_there_is_not_found(service, method, suffix):
    answer = service.ask(method, f"{DEVICES}/{OTHER}{suffix}", json={})
    assert (answer.status_code, answer.json()) == (404, {"detail": "Device not found"})


BAD_DEVICES = [
    ("POST", "", {"token_plain": "t" * 15}, ["body", "token_plain"]),
    ("POST", "", {"device_id": "three"}, ["body", "device_id"]),
    ("POST", "", {"timezone": "Mars/Olympus"}, ["body", "timezone"]),
    ("POST", "", {"timezone": "../../etc/passwd"}, ["body", "timezone"]),
    ("PATCH", "/three", {}, ["path", "device_id"]),
    ("PATCH", f"/{DEVICE}", {"is_enabled": "perhaps"}, ["body", "is_enabled"]),
    ("PATCH", f"/{DEVICE}", {"enabled": False}, ["body", "enabled"]),
    ("PATCH", f"/{DEVICE}", {"timezone": "Mars"}, ["body", "timezone"]),
    ("POST", f"/{DEVICE}/token", {"grace_hours": -1}, ["body", "grace_hours"]),
]


@pytest.mark.parametrize(("method", "suffix", "told", "place"), BAD_DEVICES)
def test_what_is_no_device_is_refused(service, method, suffix, told, place):
    whole = {"device_id": OTHER, "point_id": POINT, "register_id": REGISTER, "token_plain": "t" * 16}
    answer = service.ask(method, DEVICES + suffix, json=told if suffix else {**whole, **told})
    assert (answer.status_code, [each["loc"] for each in answer.json()["detail"]]) == (422, [place])


def test_a_disabled_device_may_not_send(service, minute):
    device, token = str(uuid4()), str(uuid4())
    service.register(token, device)
    service.ask("PATCH", f"{DEVICES}/{device}", json={"is_enabled": False})
    answer = service.send(token=token, device_id=device, **minute)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Invalid or disabled device token"})


def test_a_device_disabled_while_it_is_looked_up_is_not_known(service, minute, monkeypatch):
    device, token = str(uuid4()), str(uuid4())
    service.register(token, device)
    found, goes_on, see = Event(), Event(), devices.see

    async def slow(*told):
        found.set()
        await asyncio.to_thread(goes_on.wait, 30)
        await see(*told)

    monkeypatch.setattr(devices, "see", slow)
    with ThreadPoolExecutor(1) as pool:
        began = pool.submit(replace(service, session=requests.Session()).send, token=token, device_id=device, **minute)
        found.wait(30)
        service.ask("PATCH", f"{DEVICES}/{device}", json={"is_enabled": False})
        goes_on.set()
        assert began.result().status_code == 200
    assert service.send(token=token, device_id=device, **minute).status_code == 401


def test_a_device_is_known_for_a_second_after_it_was_asked_for():
    times = iter([10.0, 10.9, 11.0])
    known = Known(lambda: next(times))
    known.remember("hash", ["a device"], known.clock())
    assert [known.holders("hash"), known.holders("hash")] == [["a device"], ()]


def test_a_device_is_seen_when_it_sends(service, minute):
    device, token = str(uuid4()), str(uuid4())
    service.register(token, device)
    service.send(b"", token=token, device_id=device, **minute)
    seen = next(each for each in service.ask("GET", DEVICES).json() if each["device_id"] == device)["last_seen_at"]
    assert datetime.now(UTC) - datetime.fromisoformat(seen) < timedelta(minutes=1)


def test_a_token_is_replaced_and_the_old_one_is_good_for_a_while(service, minute):
    device, token = str(uuid4()), str(uuid4())
    service.register(token, device)
    made = service.ask("POST", f"{DEVICES}/{device}/token", json={})
    assert (made.status_code, made.json()["device_id"]) == (200, device)
    new = made.json()["token_plain"]
    assert [service.send(token=each, device_id=device, **minute).status_code for each in (token, new)] == [200, 200]
    newest = service.ask("POST", f"{DEVICES}/{device}/token", json={"grace_hours": 0}).json()["token_plain"]
    sent = [service.send(token=each, device_id=device, **minute).status_code for each in (token, new, newest)]
    assert sent == [401, 401, 200]


def test_two_devices_with_one_token_are_told_apart_by_their_ids(service, minute):
    token, devices = str(uuid4()), [str(uuid4()), str(uuid4())]
    for device in devices:
        service.register(token, device)
    told = service.register(token, str(uuid4()))
    assert (told.status_code, told.headers["Warning"]) == (201, '299 - "2 other devices have this token"')
    first = shown(service, service.send(token=token, device_id=devices[0], **minute))
    seen = {each["device_id"]: each["last_seen_at"] for each in service.ask("GET", DEVICES).json()}
    assert [seen[device] is not None for device in devices] == [True, False]
    second = shown(service, service.send(token=token, device_id=devices[1], **minute))
    assert [row["device_id"] for row in (first, second)] == devices


# Those that read


def test_chunks_are_listed_page_by_page_in_the_order_they_came(service):
    device, token = str(uuid4()), str(uuid4())
    service.register(token, device)
    sent = []
    for n in (3, 1, 2, 5, 4):
        times = {"start_ts": f"2026-03-01T0{n}:00:00Z", "end_ts": f"2026-03-01T0{n}:01:00Z"}
        sent.append(service.send(token=token, device_id=device, **times).json()["chunk_id"])
    pages, cursor = [], None
    while len(pages) < 4:
        told = {"device_id": device, "limit": 2, **({"cursor": cursor} if cursor else {})}
        page = service.ask("GET", CHUNKS, READER, params=told).json()
        pages.append([each["chunk_id"] for each in page["chunks"]])
        cursor = page["next"]
        if cursor is None:
            break
    assert pages == [sent[:2], sent[2:4], sent[4:]]
    first = service.ask("GET", f"{CHUNKS}/{sent[3]}").json()
    since = service.ask("GET", CHUNKS, params={"device_id": device, "created_from": first["created_at"]}).json()
    assert [each["chunk_id"] for each in since["chunks"]] == sent[3:]


def test_chunks_are_listed_in_the_order_they_came_although_the_clock_is_set_back(service, minute, monkeypatch):
    first = shown(service, service.send(**minute))
    monkeypatch.setattr("ingest_api.chunks.now", lambda: datetime.now(UTC) - timedelta(hours=1))
    second = shown(service, service.send(chunk(2), **minute))
    service.server.config.app.state.service.last_came = None  # as after a start
    third = shown(service, service.send(chunk(3), **minute))
    came = [datetime.fromisoformat(row["created_at"]) for row in (first, second, third)]
    assert came == sorted(set(came))
    assert came[2] - came[0] < timedelta(minutes=1)


def test_chunks_are_listed_by_what_they_are(service, minute):
    chunk_id = service.send(b"no audio", **minute).json()["chunk_id"]
    start = datetime.fromisoformat(minute["start_ts"])
    here = {"start_from": start, "start_until": start + timedelta(seconds=1)}
    fits = [{}, {"status": "QUEUED"}, {"flag": "not_whole_ogg"}, {"point_id": POINT}, {"register_id": REGISTER}]
    others = [{"status": "DONE"}, {"flag": "in_future"}, {"point_id": OTHER}, {"device_id": OTHER},
              {"register_id": OTHER}, {"start_until": start}, {"start_from": start + timedelta(seconds=1)},
              {"created_from": datetime.now(UTC) + timedelta(hours=1)}]  # fmt: skip
    for more, expected in [*((each, [chunk_id]) for each in fits), *((each, []) for each in others)]:
        page = service.ask("GET", CHUNKS, params={**here, **more}).json()
        assert [each["chunk_id"] for each in page["chunks"]] == expected, more


UNLISTED = [
    {"limit": 0}, {"limit": 1001}, {"cursor": "x"}, {"cursor": "1,2"}, {"status": "LOST"}, {"flag": "a\x00"},
    {"flag": "not"}, {"device": DEVICE}, {"device_id": "three"}, {"start_from": "2026-01-28T10:00:00"},
    {"start_from": "1769594400"},
    {"created_from": "0001-01-01T00:00:00+14:00"},
]  # fmt: skip


@pytest.mark.parametrize("told", UNLISTED)
def test_what_cannot_be_listed_is_refused(service, told):
    answer = service.ask("GET", CHUNKS, params=told)
    places = [["query", name] for name in told]
    assert (answer.status_code, [each["loc"] for each in answer.json()["detail"]]) == (422, places)


def test_a_file_is_fetched_whole_or_in_part(service, minute):
    sent = service.send(**minute).json()
    path = f"{CHUNKS}/{sent['chunk_id']}/file"
    whole = service.ask("GET", path, READER)
    assert (whole.status_code, whole.content, whole.headers["Content-Type"]) == (200, chunk(), "audio/ogg")
    assert whole.headers["Content-Length"] == str(len(chunk()))
    assert whole.headers["Content-Disposition"] == f'attachment; filename="{sent["stored_path"].rpartition("/")[2]}"'
    part = service.ask("GET", path, headers={"Range": "bytes=4-9"})
    assert (part.status_code, part.content) == (206, chunk()[4:10])
    assert part.headers["Content-Range"] == f"bytes 4-9/{len(chunk())}"
    assert service.ask("GET", path, headers={"Range": "bytes=-3"}).content == chunk()[-3:]
    assert service.ask("GET", path, headers={"Range": "bytes=99999999-"}).status_code == 416


def test_a_file_that_is_not_there_is_not_found(service, minute):
    for path in (f"{CHUNKS}/{OTHER}/file", f"{CHUNKS}/{OTHER}"):
        answer = service.ask("GET", path)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Chunk not found"})
    sent = service.send(**minute).json()
    (service.settings.storage / sent["stored_path"]).unlink()
    answer = service.ask("GET", f"{CHUNKS}/{sent['chunk_id']}/file")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Chunk file not found on disk"})
    service.send(**minute)


def test_chunks_are_claimed_in_order_once_and_finished(service):
    while service.ask("POST", CLAIMS, READER, params={"limit": 1000}).json():
        pass
    sent = []
    for n in (2, 1, 3):
        times = {"start_ts": f"2026-04-01T0{n}:00:00Z", "end_ts": f"2026-04-01T0{n}:01:00Z"}
        sent.append(service.send(**times).json()["chunk_id"])
    claimed = [service.ask("POST", CLAIMS, READER, params={"limit": 2}).json() for _ in range(3)]
    assert [[each["chunk_id"] for each in some] for some in claimed] == [[sent[1], sent[0]], [sent[2]], []]
    assert {each["status"] for some in claimed for each in some} == {"PROCESSING"}
    assert all(each["processing_started_at"] for some in claimed for each in some)
    done = service.ask("PATCH", f"{CHUNKS}/{sent[0]}", READER, json={"status": "DONE"})
    assert (done.status_code, done.json()["status"]) == (200, "DONE")
    failed = service.ask("PATCH", f"{CHUNKS}/{sent[1]}", READER, json={"status": "ERROR", "error_message": "mute"})
    assert (failed.json()["status"], failed.json()["error_message"]) == ("ERROR", "mute")
    again = service.ask("PATCH", f"{CHUNKS}/{sent[0]}", READER, json={"status": "DONE"})
    assert (again.status_code, again.json()) == (409, {"detail": "Chunk is not in PROCESSING"})
    gone = service.ask("PATCH", f"{CHUNKS}/{OTHER}", READER, json={"status": "DONE"})
    assert (gone.status_code, gone.json()) == (404, {"detail": "Chunk not found"})
    early = service.ask("PATCH", f"{CHUNKS}/{sent[2]}", READER, json={"status": "QUEUED"})
    assert (early.status_code, early.json()) == (409, {"detail": "Chunk is not in ERROR"})
    once_more = service.ask("PATCH", f"{CHUNKS}/{sent[1]}", READER, json={"status": "QUEUED"}).json()
    assert [once_more[name] for name in ("status", "error_message", "processing_started_at")] == ["QUEUED", None, None]
    assert [each["chunk_id"] for each in service.ask("POST", CLAIMS, READER).json()] == [sent[1]]
    for wrong in ({"status": "UPLOADED"}, {"status": "DONE", "error_message": "\x00"}, {}):
        assert service.ask("PATCH", f"{CHUNKS}/{sent[2]}", READER, json=wrong).status_code == 422
    assert service.ask("POST", CLAIMS, READER, params={"limit": 0}).status_code == 422


# What everything has


def test_health_says_that_all_is_well(service):
    answer = service.ask("GET", "/health", None)
    told = answer.json()
    assert (answer.status_code, told) == (
        200,
        {"status": "ok", "db": True, "storage_writable": True, "time": told["time"]},
    )
    assert datetime.fromisoformat(told["time"]).microsecond == 0


@pytest.mark.parametrize("broken", ["incoming", "database"])
def test_health_says_what_is_missing(service, broken):
    storage, engine = service.settings.storage, service.server.config.app.state.service.database.engine
    if broken == "incoming":
        (storage / "incoming").rename(storage / "away")
        (storage / "incoming").write_text("a file in its place")
    else:
        from sqlalchemy import event

        def refuse(*_):
            raise ConnectionRefusedError("nobody there")

        event.listen(engine.sync_engine, "do_connect", refuse)
        engine.sync_engine.pool = engine.sync_engine.pool.recreate()
    try:
        answer = service.ask("GET", "/health", None)
        sent = service.send()
    finally:
        if broken == "incoming":
            (storage / "incoming").unlink()
            (storage / "away").rename(storage / "incoming")
        else:
            event.remove(engine.sync_engine, "do_connect", refuse)
    told = answer.json()
    assert answer.status_code == 503
    assert told == {"status": "degraded", "db": broken != "database", "storage_writable": broken == "database",
                    "time": told["time"]}  # fmt: skip
    if broken == "database":
        assert (sent.status_code, sent.json()) == (503, {"detail": "Database is not available"})
        assert sent.headers["Retry-After"] == "10"
    else:
        assert (sent.status_code, sent.json()) == (500, {"detail": "Failed to save chunk"})


def test_a_request_has_an_id(service):
    own = service.ask("GET", "/health", None).headers["X-Request-Id"]
    assert len(own) == 36
    for given, kept in (("req-1", True), ("a b", False), ("x" * 129, False)):
        answer = service.ask("GET", "/nowhere", None, headers={"X-Request-Id": given})
        assert (answer.headers["X-Request-Id"] == given) is kept


def test_what_nobody_foresaw_is_answered_and_told_with_its_id(service, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr("ingest_api.routes.health.now", fail)
    answer = service.ask("GET", "/health", None, headers={"X-Request-Id": "mine"})
    assert (answer.status_code, answer.json()) == (500, {"detail": "Internal Server Error"})
    assert answer.headers["X-Request-Id"] == "mine"
    told = {record.message: record.fields for record in caplog.records if record.name == "etl"}
    assert told["request_failed"] == {"request_id": "mine", "error": "RuntimeError('nobody foresaw this')"}
    assert (told["request"]["status"], told["request"]["request_id"]) == (500, "mine")


def test_metrics_and_log_tell_what_came(service, minute, caplog):
    def metrics():
        lines = service.ask("GET", "/metrics", None).text.splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    before = metrics()
    for audio in (chunk(), chunk(), b"no audio", b""):
        service.send(audio, **minute)
    service.send(codec=None, channels="two", **minute)
    service.send(token="a-token-of-nobody", **minute)
    after = metrics()
    grown = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
    grown.pop("ingest_free_bytes", None)
    assert {name: value for name, value in grown.items() if "seconds" not in name} == {
        'ingest_uploads_total{outcome="stored"}': 2, 'ingest_uploads_total{outcome="repeated"}': 1,
        'ingest_uploads_total{outcome="422"}': 2, 'ingest_uploads_total{outcome="401"}': 1,
        'ingest_flags_total{flag="not_whole_ogg"}': 1, 'ingest_flags_total{flag="same_start"}': 1,
        "ingest_received_bytes_total": len(chunk()) + 8,
        'ingest_chunks{status="QUEUED"}': 2,
    }  # fmt: skip
    assert grown["ingest_upload_seconds_count"] == 6
    told = [record.fields for record in caplog.records if record.message == "chunk_refused"]
    fields = "codec: Field required; channels: Input should be a valid integer, unable to parse string as an integer"
    assert [(each["device_id"], each["status"], each["reason"]) for each in told] == [
        (DEVICE, 422, "Empty file"), (DEVICE, 422, fields), (None, 401, "Invalid or disabled device token"),
    ]  # fmt: skip
    assert after["ingest_free_bytes"] > 0


def test_the_api_describes_itself(service):
    told = service.ask("GET", "/openapi.json", None).json()
    body = told["paths"][CHUNKS]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert sorted(body["required"]) == sorted(
        ["point_id", "register_id", "device_id", "start_ts", "end_ts", "codec", "sample_rate", "channels", "chunk_file"]
    )
    assert {"200", "400", "401", "408", "409", "413", "422", "429", "500", "503"} == set(
        told["paths"][CHUNKS]["post"]["responses"]
    )
    asked = told["paths"][CHUNKS]["post"]["parameters"] + told["paths"][CHUNKS]["get"]["parameters"]
    schemas = told["components"]["schemas"]
    fields = body["properties"] | schemas["Stored"]["properties"] | schemas["Outcome"]["properties"]
    fields |= {each["name"]: each | each["schema"] for each in asked}
    assert [name for name, each in fields.items() if "description" not in each] == []
    assert service.ask("GET", "/docs", None).status_code == 200


def test_a_browser_elsewhere_may_not_ask(service):
    origin = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in service.ask("GET", "/health", None, headers=origin).headers
    assert service.ask("OPTIONS", CHUNKS, None, headers=origin).status_code == 405


# What is left behind


def test_a_sweep_puts_right_what_a_crash_left(service, minute):
    here = service.server.config.app.state.service
    lost, kept = service.send(**minute).json(), service.send(chunk(2), **minute).json()
    storage = service.settings.storage
    (storage / lost["stored_path"]).unlink()
    folder = (storage / kept["stored_path"]).parent
    old, young = folder / f"chunk_20260128_100000_{uuid4()}.ogg", folder / f"chunk_20260128_100000_{uuid4()}.ogg"
    strange, part, new_part = folder / "notes.ogg", storage / "incoming" / "x.part", storage / "incoming" / "y.part"
    ago = time.time() - 7200
    for file in (old, young, strange, part, new_part):
        file.write_bytes(b"left behind")
    for file in (old, strange, part, storage / kept["stored_path"]):
        os.utime(file, (ago, ago))
    claimed = [each["chunk_id"] for each in service.ask("POST", CLAIMS, params={"limit": 1000}).json()]
    assert {lost["chunk_id"], kept["chunk_id"]} <= set(claimed)
    service.run(sweep.sweep_files(here))
    assert [file.exists() for file in (old, young, strange, part, new_part)] == [False, True, False, False, True]
    aside = storage / "orphans" / old.relative_to(storage)
    assert aside.read_bytes() == b"left behind"
    rows = {name: service.ask("GET", f"{CHUNKS}/{each['chunk_id']}").json() for name, each in
            (("lost", lost), ("kept", kept))}  # fmt: skip
    assert (rows["lost"]["status"], rows["lost"]["error_message"]) == ("ERROR", "the file is missing")
    assert (rows["kept"]["status"], rows["kept"]["error_message"]) == ("PROCESSING", None)
    assert service.send(**minute).json() == lost
    mended = service.ask("GET", f"{CHUNKS}/{lost['chunk_id']}").json()
    assert (mended["status"], mended["error_message"]) == ("QUEUED", None)
    for file in (young, new_part, aside):
        file.unlink()
    (storage / "orphans" / strange.relative_to(storage)).unlink()


def test_a_claim_that_takes_too_long_is_given_to_another(service, minute):
    here = service.server.config.app.state.service
    sent = service.send(**minute).json()["chunk_id"]
    service.ask("POST", CLAIMS, params={"limit": 1000})
    for seconds, status in ((600.0, "PROCESSING"), (0.0, "QUEUED")):
        service.run(chunks.requeue(here.database, seconds))
        row = service.ask("GET", f"{CHUNKS}/{sent}").json()
        assert (row["status"], row["processing_started_at"] is None) == (status, status == "QUEUED")


def test_a_claim_of_the_first_service_that_says_not_since_when_is_given_to_another(service, minute):
    here = service.server.config.app.state.service
    sent = service.send(**minute).json()["chunk_id"]
    service.say("UPDATE audio_chunks SET status = 'PROCESSING', processing_started_at = NULL")
    service.run(chunks.requeue(here.database, 600.0))
    assert service.ask("GET", f"{CHUNKS}/{sent}").json()["status"] == "QUEUED"


def test_of_a_storage_that_is_away_no_file_is_lost(service, minute):
    here, storage = service.server.config.app.state.service, service.settings.storage
    sent = service.send(**minute).json()["chunk_id"]
    storage.rename(storage.with_name("away"))
    here.storage._asked_again = 0.0
    try:
        away = service.send(**minute)
        assert (away.status_code, away.json()) == (503, {"detail": "Storage is almost full"})
        assert service.ask("GET", "/metrics", None).status_code == 200
        with pytest.raises(OSError, match=f"{storage}: is away or full"):
            service.run(sweep.sweep_files(here))
    finally:
        storage.with_name("away").rename(storage)
        here.storage._asked_again = 0.0
    assert service.ask("GET", f"{CHUNKS}/{sent}").json()["status"] == "QUEUED"


def test_a_sweep_goes_on_after_a_table_was_not_to_be_read(service):
    here = service.server.config.app.state.service
    service.say("ALTER TABLE audio_chunks RENAME TO away")
    try:
        with pytest.raises(TimeoutError):
            service.run(asyncio.wait_for(sweep.sweeping(here), 0.3))
    finally:
        service.say("ALTER TABLE away RENAME TO audio_chunks")


def test_a_chunk_came_when_its_file_had_its_name(service, minute, monkeypatch):
    keep, kept = Storage.keep, []

    def slow(*told):
        time.sleep(0.05)
        keep(*told)
        kept.append(datetime.now(UTC))

    monkeypatch.setattr(Storage, "keep", slow)
    row = shown(service, service.send(headers={"Idempotency-Key": str(uuid4())}, **minute))
    assert datetime.fromisoformat(row["created_at"]) >= kept[0]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_what_is_not_offered_is_refused(service, method):
    for path, offered in ((CHUNKS, "GET, POST"), (CLAIMS, "POST"), (f"{CHUNKS}/{OTHER}", "GET, PATCH")):
        answer = requests.request(method, f"{service.url}{path}", timeout=30)
        assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})
        assert answer.headers["Allow"] == offered
