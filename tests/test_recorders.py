"""A day of twenty recorders in fast motion, with all that may go wrong: no chunk is lost, none is stored twice.

`ETL_CHUNK_SECONDS=60 pytest tests/test_recorders.py` is the whole of it: a chunk a minute, 28,800 in all.
Otherwise chunks last an hour. The night is one in which an hour comes twice.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg2
import pytest
import requests

from sandbox.fast_motion import Clock
from sandbox.line import SILENT, TORN, UNANSWERED, WHOLE, Line
from sandbox.recorders import Chunk, Identity, Recorder
from tests.postgres_server import database, postgres
from tests.workspace import DESTINATIONS, REPOSITORY

PARIS = ZoneInfo("Europe/Paris")
NOON = datetime(2024, 10, 26, 10, tzinfo=UTC)
TWICE = datetime(2024, 10, 27, 0, tzinfo=UTC)
DAY = timedelta(days=1)
CHUNK_SECONDS = float(os.environ.get("ETL_CHUNK_SECONDS", "3600"))
DEVICES = 20
ADMIN = "a-token-of-the-administrator"
SHUT_OUT = 7
SOON = 300
HERE = ("--host", "127.0.0.1", "--port", "0")


class Service:
    """`etl serve` as a process, on a database; what it says goes to a file."""

    def __init__(self, folder: Path, url: str, line: Line) -> None:
        self._folder, self._line = folder, line
        self._environment = {
            **os.environ, "DATABASE_URL": url, "AUDIO_STORAGE_DIR": str(folder / "audio"), "ADMIN_TOKEN": ADMIN,
            "UPLOADS_PER_MINUTE": "100000",
        }  # fmt: skip
        self.url = ""

    def start(self) -> None:
        """Start, and have the line lead here."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli", "--root", str(self._folder), "serve", *HERE],
                cwd=REPOSITORY, env=self._environment, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        self.url = self._process.stdout.readline().strip()
        assert self.url, (self._folder / "log").read_text()[-2000:]
        self._line.port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        """The end, without a word."""
        self._process.kill()
        self._process.communicate()

    def ask(self, method: str, path: str, **more) -> requests.Response:
        """What the administrator asks, past the line."""
        answer = requests.request(
            method, f"{self.url}{path}", headers={"Authorization": f"Bearer {ADMIN}"}, timeout=60, **more
        )
        assert answer.ok, answer.text
        return answer


class Store:
    """The database of the service, which can be killed, and be away."""

    def __init__(self, url: str) -> None:
        self.url, self._name = url, url.rpartition("/")[2]
        self._server = f"{url.rpartition('/')[0]}/postgres"
        # the server of the tests is fast, and forgets what it promised when it is killed
        self._ask(self._server, f"ALTER DATABASE {self._name} SET synchronous_commit = on")

    def kill(self) -> None:
        """Kill a process that serves the service: Postgres ends all others, recovers, and is there again."""
        others = f"SELECT pid FROM pg_stat_activity WHERE datname = '{self._name}' AND pid <> pg_backend_pid()"
        for (pid,) in self._ask(self._server, others)[:1]:
            os.kill(pid, signal.SIGKILL)
        self._wait()

    def leave(self) -> None:
        """Be there for nobody."""
        self._ask(self._server, f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
        self._ask(
            self._server, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self._name}'"
        )

    def come_back(self) -> None:
        """Be there again."""
        self._ask(self._server, f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")

    def chunks(self) -> list[tuple]:
        """What was stored, in the order it came: device, SHA-256, start, id, name of the file."""
        columns = "CAST(device_id AS text), sha256, start_ts, CAST(chunk_id AS text), file_path, flags"
        return self._ask(self.url, f"SELECT {columns} FROM audio_chunks ORDER BY created_at, chunk_id")

    def _wait(self) -> None:
        for _ in range(600):
            with suppress(psycopg2.OperationalError):
                self._ask(self.url, "SELECT 1")
                return
            time.sleep(0.05)
        raise AssertionError("the database does not come back")

    def _ask(self, url: str, sql: str) -> list[tuple]:
        connection = psycopg2.connect(url)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


class Weather:
    """What goes wrong in a day, at moments when all recorders send."""

    def __init__(self, clock: Clock, line: Line, service: Service, store: Store) -> None:
        self._clock, self._line, self._service, self._store = clock, line, service, store
        self._random = random.Random("weather")
        self.spools: dict[int, int] = {}

    def run(self, recorders: list[Recorder]) -> None:
        """The day."""
        for hour, happens in (
            (2, self._kill_service),
            (4, self._cut_line),
            (6, self._kill_store),
            (8, self._stop_service),
            (10, lambda: self._shut_one_out(recorders)),
            (17, self._lose_store),
            (19, self._kill_store),
        ):
            self._clock.sleep_until(NOON + timedelta(hours=hour, seconds=CHUNK_SECONDS + 10))
            time.sleep(self._random.uniform(0, 0.05))
            happens()

    def _kill_service(self) -> None:
        self._service.kill()
        self._service.start()

    def _stop_service(self) -> None:
        self._service.kill()
        self._clock.sleep(20 * 60)
        self._service.start()

    def _kill_store(self) -> None:
        self._store.kill()

    def _lose_store(self) -> None:
        self._store.leave()
        self._clock.sleep(20 * 60)
        self._store.come_back()

    def _cut_line(self) -> None:
        self._line.is_cut = True
        self._clock.sleep(70 * 60)
        self._line.is_cut = False

    def _shut_one_out(self, recorders: list[Recorder]) -> None:
        """Refuse a recorder for some hours, among them the one that comes twice; how much waits at each, then?"""
        device = f"/api/v1/admin/devices/{recorders[SHUT_OUT].who.device_id}"
        self._service.ask("PATCH", device, json={"is_enabled": False})
        self._clock.sleep_until(TWICE + timedelta(hours=2, seconds=CHUNK_SECONDS + 10 + SOON))
        self.spools = {number: len(recorder.spool) for number, recorder in enumerate(recorders)}
        self._service.ask("PATCH", device, json={"is_enabled": True})


def fates():
    """Of every hundred requests seven are torn or lose their answer; one answer never comes, and nobody says so."""
    chance = random.Random("fates")

    def fate(number: int) -> str:
        if number == 33:
            return SILENT
        return chance.choices((WHOLE, TORN, UNANSWERED), (93, 3, 4))[0]

    return fate


def identity(number: int) -> Identity:
    ids = (str(UUID(int=kind * 1000 + number)) for kind in (1, 2, 3))
    return Identity(*ids, token=f"the-token-of-recorder-{number}", zone=PARIS)


@contextmanager
def day(folder: Path):
    """The day, when it is over: the recorders, the service and its database."""
    with ExitStack() as stack:
        store = Store(stack.enter_context(database(stack.enter_context(postgres()))))
        line = stack.enter_context(Line(fates()))
        service = Service(folder, store.url, line)
        service.start()
        stack.callback(service.kill)
        clock = Clock(NOON)
        recorders = [
            Recorder(identity(n), line.url, clock, NOON + DAY, CHUNK_SECONDS, patience=6) for n in range(DEVICES)
        ]
        for recorder in recorders:
            who = recorder.who
            told = {"device_id": who.device_id, "point_id": who.point_id, "register_id": who.register_id}
            service.ask(
                "POST", "/api/v1/admin/devices", json={**told, "token_plain": who.token, "timezone": who.zone.key}
            )
        weather = Weather(clock, line, service, store)
        threads = [clock.start(lambda: weather.run(recorders)), *(clock.start(recorder.run) for recorder in recorders)]
        for thread in threads:
            thread.join()
        yield recorders, weather, service, store


@pytest.mark.timeout(3600)
def test_a_day_of_recorders(tmp_path, monkeypatch):
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    (tmp_path / "destinations.toml").write_text(DESTINATIONS.replace("[test", "[dev"))
    with day(tmp_path) as (recorders, weather, _, store):
        stored = store.chunks()
        files = {path.relative_to(tmp_path / "audio").as_posix() for path in (tmp_path / "audio/audio").rglob("*.ogg")}
    assert {row[4] for row in stored} <= files, "a row without its file"
    assert len({row[:2] for row in stored}) == len(stored), "a chunk is stored twice"
    for recorder in recorders:
        rows = [row for row in stored if row[0] == recorder.who.device_id]
        sent, lost = [chunk.sha256 for chunk, _ in recorder.sent], {chunk.sha256 for chunk in recorder.overwritten}
        assert set(sent) == {chunk.sha256 for chunk in recorder.recorded} - lost, "lost on the way"
        assert [row[1] for row in rows if row[1] not in lost] == sent, "not stored, or in another order"
        assert [row[3] for row in rows if row[1] not in lost] == [chunk_id for _, chunk_id in recorder.sent]
        assert recorder.attempts > len(sent), "nothing went wrong"
        if not lost:
            assert [row[2] for row in rows] == [chunk.began for chunk, _ in recorder.sent], "at another time"
    assert not any(recorder.overwritten for recorder in recorders if recorder is not recorders[SHUT_OUT])
    held_up = {number for number, waiting in weather.spools.items() if waiting > 1 + SOON / CHUNK_SECONDS}
    assert held_up == {SHUT_OUT}, "one that is refused holds up others"


def test_recorders_cut_at_the_marks_and_name_files_by_their_clock():
    recorder = Recorder(identity(1), "http://unused", Clock(TWICE - timedelta(seconds=37)), TWICE + DAY, 3600)
    chunks: list[Chunk] = list(recorder._chunks(TWICE - timedelta(seconds=37), TWICE + timedelta(hours=2)))
    assert [(chunk.name, (chunk.ended - chunk.began).seconds) for chunk in chunks] == [
        ("chunk_20241027_015923.ogg", 37),
        ("chunk_20241027_020000.ogg", 3600),
        ("chunk_20241027_020000.ogg", 3600),
    ]
    assert len({chunk.sha256 for chunk in chunks}) == 3
