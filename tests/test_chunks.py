"""The spec `chunks`: what it says of gaps, that its stand-in is as the service is, and both of them together."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import duckdb
import psycopg2
import pytest
from sqlglot import exp

from ingest_api.chunks import Stored
from ingest_api.devices import Registered
from pipelines.queries import parse
from sandbox import chunks as stand_in
from sandbox.exchange import Request, World
from sandbox.sound import opus, silence
from tests.serving import DEVICE, serving
from tests.workspace import REPOSITORY

GAPS = parse((REPOSITORY / "models/chunks/gaps.sql").read_text())
MADE = (
    "CREATE TEMP TABLE chunks (chunk_id text, device_id text, start_ts {0}, heard_until {0}, created_at {0}, "
    "end_ts {0}, is_whole boolean)"
)
COLUMNS = ("chunk_id", "device_id", "start_ts", "start_ts", "audio_seconds", "created_at", "end_ts")
BEGIN = 1_700_000_000
SECONDS = {  # chunks by id: start, end, when it came, and the end it claims where it is not whole; what is told of them
    "one after the other": ("a 0 60 72, b 60 120 132", []),
    "as good as one after the other": ("a 0 60 72, b 61 120 132", []),
    "the end of an hour that begins late": ("a 0 23 72, b 23 83 95", []),
    "nothing recorded": ("a 0 60 72, b 360 420 432", ["b missing 60 360"]),
    "come late": ("a 0 60 9000, b 60 120 9001, c 120 180 192", []),
    "a pause, all of it come late": ("a 0 60 9000, b 360 420 9001", ["b missing 60 360"]),
    "twice": ("a 0 60 72, b 0 60 73", ["b double 0 60"]),
    "in part twice": ("a 0 60 72, b 40 100 112", ["b double 40 60"]),
    "one within another": ("a 0 600 612, b 60 120 700, c 600 660 672", ["b double 60 120", "b clock_back 60 600"]),
    "set forward": ("a 0 60 72, b 660 720 132", ["b clock_forward 60 660", "b clock_ahead 132 720"]),
    "behind, then set right": ("a 0 60 672, b 660 720 732", ["b clock_forward 60 660"]),
    "set back": ("a 0 60 72, b 60 120 132, c 0 60 192", ["c clock_back 0 60", "c double 0 60"]),
    "ahead": ("a 180 240 72", ["a clock_ahead 72 240"]),
    "a clock that nobody had set": (f"a {60 - BEGIN} {120 - BEGIN} 72, b 60 120 132", []),
    "no sound in them": ("a 0 60 72, b 60 60 132 120, c 120 120 192 180", ["b unheard 60 120", "c unheard 120 180"]),
    "cut, then a pause": ("a 0 20 72 60, b 360 420 432", ["a unheard 20 60", "b missing 60 360"]),
    "cut, of a minute that began late": ("a 37 50 72 97, b 60 120 132", ["a unheard 50 60"]),
    "no sound, and then the sound": ("a 0 0 72 60, b 0 60 73, c 60 120 132", []),
    "no sound beside the sound": ("a 0 60 72, b 0 0 73 60, c 60 120 132", []),
    "no sound around the sound": (
        "a 0 0 72 600, b 60 120 712, c 600 660 1312",
        ["a unheard 0 60", "c missing 120 600"],
    ),
}


def told(kind: str, ask, rows: str) -> list[str]:
    ask(MADE.format("timestamptz"))
    for row in rows.split(", "):
        name, start, heard, came, *claimed = row.split()
        moments = ", ".join(f"to_timestamp({BEGIN} + {s})" for s in (start, heard, came, *(claimed or [heard])))
        ask(f"INSERT INTO chunks VALUES ('{name}', 'd', {moments}, {not claimed})")
    found = ask(GAPS.written(kind, lambda reference: exp.to_table(reference.table)))
    return sorted(
        f"{chunk} {what} {since.timestamp() - BEGIN:.0f} {until.timestamp() - BEGIN:.0f}"
        for chunk, _, what, since, until, seconds in found
        if seconds == (until - since).total_seconds()
    )


@pytest.mark.parametrize(("rows", "gaps"), SECONDS.values(), ids=SECONDS)
def test_gaps_and_overlaps_are_told_apart(rows: str, gaps: list[str]):
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        assert told("duckdb", lambda sql: connection.execute(sql).fetchall(), rows) == sorted(gaps)


def test_gaps_are_the_same_in_postgres(postgres_server: str):
    def ask(sql: str):
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    connection = psycopg2.connect(postgres_server)
    try:
        for rows, gaps in SECONDS.values():
            assert told("postgres", ask, rows) == sorted(gaps)
            connection.rollback()
    finally:
        connection.close()


def test_seconds_between_times_are_timestamp_diff_in_bigquery():
    written = GAPS.written("bigquery", lambda reference: exp.to_table(reference.table))
    assert "TIMESTAMP_DIFF(`until_ts`, `from_ts`, SECOND)" in written
    assert "DATE_DIFF" not in written
    days = parse("SELECT date_diff('day', a, b) AS days FROM t").written("bigquery", lambda _: exp.to_table("t"))
    assert "DATE_DIFF(`b`, `a`, DAY)" in days


def asked(path: str, records: int = 20, **query: str):
    request = Request("GET", path, {k: [v] for k, v in query.items()}, {"authorization": f"Bearer {stand_in.TOKEN}"})
    return stand_in.answer(request, World(records=records))


def test_the_stand_in_says_what_the_service_says(tmp_path):
    page, devices = asked(stand_in.CHUNKS, limit="3").body, asked(stand_in.DEVICES).body
    with serving(tmp_path) as service:
        service.register()
        service.send()
        real = service.ask("GET", "/api/v1/chunks?limit=1").json()
        registered = service.ask("GET", "/api/v1/admin/devices").json()
        refused = service.ask("GET", "/api/v1/chunks", "another-token-than-that")
    assert page.keys() == real.keys()
    assert page["chunks"][0].keys() == real["chunks"][0].keys()
    assert devices[0].keys() == registered[0].keys()
    for chunk in page["chunks"]:
        Stored.model_validate({**chunk, "flags": " ".join(chunk["flags"])})
    for device in devices:
        Registered.model_validate(device)
    wrong = stand_in.answer(Request("GET", stand_in.CHUNKS), World())
    assert (wrong.status, wrong.body) == (refused.status_code, refused.json())
    following = asked(stand_in.CHUNKS, limit="3", cursor=page["next"]).body["chunks"]
    assert page["chunks"][-1]["created_at"] <= following[0]["created_at"]
    assert not {c["chunk_id"] for c in page["chunks"]} & {c["chunk_id"] for c in following}


def test_what_recorders_sent_is_in_the_warehouse_and_its_audio_in_the_lake(tmp_path, workspace):
    made = workspace("chunks")
    with serving(tmp_path / "service") as service:
        service.register(timezone="Europe/Paris")
        assert service.send(silence(1, 60), start_ts="2026-01-28T10:00:00", end_ts="2026-01-28T10:01:00").ok
        assert service.send(opus(2, 5), start_ts="2026-01-28T10:02:55", end_ts="2026-01-28T10:03:55").ok
        made.point_at({
            "sources.chunks.base_url": service.url,
            "sources.chunks.credentials.token": service.settings.admin_token.get_secret_value(),
        })  # fmt: skip
        first = made.etl("run", "chunks", "--env", "test")
        gap = made.query("SELECT kind, from_ts, until_ts, seconds FROM chunks.gaps")
        assert service.send(silence(3, 115), start_ts="2026-01-28T10:01:00", end_ts="2026-01-28T10:02:55").ok
        assert service.send(b"no sound", start_ts="2026-01-28T10:03:00", end_ts="2026-01-28T10:04:00").ok
        second = made.etl("run", "chunks", "--env", "test")
        kept = {name: (service.settings.storage / name).read_bytes() for name in service.files()}
    assert (first.code, second.code) == (0, 3), first.err + second.err
    utc = [datetime.fromisoformat(f"2026-01-28T09:{clock}+00:00") for clock in ("01:00", "02:55")]
    assert gap == [("missing", *utc, 115)]
    silent = datetime.fromisoformat("2026-01-28T09:03:00+00:00")
    assert made.query("SELECT kind, from_ts, seconds FROM chunks.gaps") == [("unheard", silent, 60)]
    assert made.query("SELECT error FROM chunks.audio_failures")[0][0].startswith("no sound file")
    assert made.query("SELECT device_id, chunks, seconds, not_whole FROM chunks.chunks_by_hour") == [
        (DEVICE, 4, 180, 1),
    ]  # fmt: skip
    moved = dict(made.query("SELECT 'audio/' || object_key[8:], object_key FROM chunks.audio"))
    assert len(moved) == 3
    assert all((made.root / "audio" / key).read_bytes() == kept[name] for name, key in moved.items())
    assert made.query("SELECT count(*) FROM chunks.chunks") == [(4,)]


def test_the_stand_in_has_every_kind_of_gap_that_whole_files_have():
    rows = asked(stand_in.CHUNKS, 120, limit="1000").body["chunks"]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(MADE.format("timestamptz"))
        connection.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, CAST(? AS timestamptz) + to_seconds(?), ?, ?, true)",
            [[row[name] for name in COLUMNS] for row in rows],
        )
        found = connection.execute(GAPS.written("duckdb", lambda reference: exp.to_table(reference.table))).fetchall()
    by_device = Counter((int(device[-1], 16), kind) for _, device, kind, *_ in found)
    assert {kind for _, kind in by_device} == {"missing", "double", "clock_forward", "clock_back", "clock_ahead"}
    assert 0xC000 % 16 not in {device for device, _ in by_device}
