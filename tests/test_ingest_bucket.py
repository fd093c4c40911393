"""The ingest service whose audio goes to a bucket of the environment at last."""

from __future__ import annotations

import gc
import os
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from uuid import UUID

import pytest

from ingest_api import bucket, chunks, sweep
from ingest_api.app import create_app
from ingest_api.routes import chunks as reading
from ingest_api.service import DISK_THREADS
from ingest_api.settings import Settings
from ingest_api.storage import Storage
from ingest_api.tables import Status
from pipelines.errors import SettingError
from pipelines.files.folder import Folder
from tests.clouds.b2 import B2
from tests.serving import chunk, serving, wait_for

CHUNKS = "/api/v1/chunks"
DESTINATIONS = """
[dev.warehouse]
destination_type = "duckdb"
[dev.audio]
destination_type = "filesystem"
bucket_url = "{}"
"""


@pytest.fixture
def b2(tmp_path, monkeypatch):
    """A bucket, and a workspace whose `audio` it is."""
    with B2("lake") as cloud:
        for name, value in cloud.variables("audio").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(bucket, "WEATHER_SECONDS", 0.05)
        monkeypatch.setattr(bucket, "IDLE_SECONDS", 0.02)
        (tmp_path / "destinations.toml").write_text(DESTINATIONS.format("s3://lake/recorded"))
        yield cloud


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A workspace whose `audio` is a folder; nothing is moved there by itself but what is there at the start."""
    monkeypatch.setattr(bucket, "IDLE_SECONDS", 60)
    (tmp_path / "destinations.toml").write_text(DESTINATIONS.format("lake"))
    return tmp_path


def grow_old(file):
    os.utime(file, (time.time() - 7200,) * 2)


def row(service, answer) -> dict:
    return service.ask("GET", f"{CHUNKS}/{answer.json()['chunk_id']}").json()


def test_a_chunk_is_queued_once_the_bucket_has_it(b2, tmp_path):
    with serving(tmp_path, AUDIO_BUCKET="audio") as service:
        service.register()
        b2.exceed("storage", "^PUT")
        sent = service.send()
        assert (sent.status_code, sent.json()["queued"], row(service, sent)["status"]) == (200, True, "UPLOADED")
        name, chunk_id = sent.json()["stored_path"], sent.json()["chunk_id"]
        assert service.files() == [name]
        database = service.server.config.app.state.service.database
        refused = chunks.moved(database, UUID(chunk_id), Status.UPLOADED, Status.ERROR, "the bucket refuses it")
        assert service.run(refused)
        again = service.ask("PATCH", f"{CHUNKS}/{chunk_id}", json={"status": "QUEUED"})
        assert again.json()["status"] == "UPLOADED"
        b2.heal()
        wait_for(lambda: row(service, sent)["status"] == "QUEUED")
        wait_for(lambda: service.files() == [])
        assert b2.buckets.get("lake", f"recorded/{name}").content == chunk()
        claimed = service.ask("POST", "/api/v1/claims").json()
        assert [each["chunk_id"] for each in claimed] == [chunk_id]
        for status in ("ERROR", "QUEUED"):
            told = service.ask("PATCH", f"{CHUNKS}/{chunk_id}", json={"status": status}).json()
            assert told["status"] == status
        again = service.send()
        assert (again.json(), service.files(), service.incoming()) == (sent.json(), [], [])
        path = f"{CHUNKS}/{chunk_id}/file"
        assert service.ask("GET", path).content == chunk()
        part = service.ask("GET", path, headers={"Range": "bytes=0-3"})
        assert (part.status_code, part.content) == (206, b"OggS")
        wrong = [service.ask("GET", path, headers={"Range": words}) for words in ("bytes=99999999-", "bytes=x")]
        assert [answer.status_code for answer in wrong] == [416, 400]
        wait_for(lambda: service.incoming() == [])
        b2.exceed("download", "^GET")
        away = service.ask("GET", path)
        assert (away.status_code, away.json()) == (503, {"detail": "Bucket is not available"})
        assert away.headers["Retry-After"] == "30"
        b2.heal()
        service.run(sweep.sweep_files(service.server.config.app.state.service))
        assert row(service, sent)["status"] == "QUEUED"
        assert len(b2.versions("lake", f"recorded/{name}")) == 1
        assert service.incoming() == []


def test_what_a_kill_left_in_both_places_is_removed_here(b2, tmp_path):
    with serving(tmp_path, AUDIO_BUCKET="audio") as service:
        service.register()
        sent = service.send()
        wait_for(lambda: row(service, sent)["status"] == "QUEUED" and not service.files())
        left = service.settings.storage / sent.json()["stored_path"]
        left.write_bytes(chunk())
        grow_old(left)
        here = service.server.config.app.state.service
        service.run(sweep.sweep_files(here))
        service.run(bucket.follow(here, here.bucket))
        assert service.files() == []
        assert not (service.settings.storage / "orphans").exists()
        assert len(b2.versions("lake", f"recorded/{sent.json()['stored_path']}")) == 1


def test_what_was_stored_before_there_was_a_bucket_follows(b2, tmp_path):
    with serving(tmp_path) as service:
        service.register()
        sent = service.send()
        grow_old(service.settings.storage / sent.json()["stored_path"])
        assert [each["status"] for each in service.ask("POST", "/api/v1/claims").json()] == ["PROCESSING"]
        service.say("UPDATE audio_chunks SET sha256 = NULL")  # as in rows of the first service
    with serving(tmp_path, AUDIO_BUCKET="audio") as service:
        wait_for(lambda: not service.files())
        assert service.ask("GET", f"{CHUNKS}/{sent.json()['chunk_id']}/file").content == chunk()
        assert row(service, sent)["status"] == "PROCESSING"


def test_what_waits_for_a_bucket_that_is_no_more_is_queued(folder):
    with serving(folder, AUDIO_BUCKET="audio") as service:
        service.register()
        sent = service.send()
        assert row(service, sent)["status"] == "UPLOADED"
    with serving(folder) as service:
        wait_for(lambda: row(service, sent)["status"] == "QUEUED")


@pytest.mark.parametrize(
    ("looks", "what"),
    [("awaited", lambda here: sweep.sweep_files(here)), ("uploaded", lambda here: bucket.move(here, here.bucket))],
    ids=["a sweep", "another service"],
)
def test_a_chunk_that_is_moved_while_somebody_looks_is_not_lost(folder, monkeypatch, looks, what):
    with serving(folder, AUDIO_BUCKET="audio") as service:
        service.register()
        sent = service.send()
        here, look = service.server.config.app.state.service, getattr(chunks, looks)

        async def then_moved(*asked):
            found = await look(*asked)
            monkeypatch.setattr(chunks, looks, look)
            assert await bucket.move(here, here.bucket) == 1
            return found

        monkeypatch.setattr(chunks, looks, then_moved)
        service.run(what(here))
        assert (row(service, sent)["status"], row(service, sent)["error_message"]) == ("QUEUED", None)
        assert (service.files(), here.metrics.lost) == ([], 0)


def test_a_file_that_is_lost_before_it_is_moved_is_told_of_unless_all_are(folder):
    with serving(folder, AUDIO_BUCKET="audio") as service:
        service.register()
        sent = service.send()
        here, storage = service.server.config.app.state.service, service.settings.storage
        storage.rename(folder / "away")
        with pytest.raises(OSError, match="is away or full"):
            service.run(bucket.move(here, here.bucket))
        (folder / "away").rename(storage)
        assert row(service, sent)["status"] == "UPLOADED"
        (storage / sent.json()["stored_path"]).unlink()
        service.run(bucket.move(here, here.bucket))
        assert (row(service, sent)["status"], row(service, sent)["error_message"]) == ("ERROR", "the file is missing")
        assert here.metrics.lost == 1


def test_a_bucket_that_is_not_found_does_not_make_a_file_missing(folder, monkeypatch):
    """A bucket of Google's that is not there is told so."""
    with serving(folder, AUDIO_BUCKET="audio") as service:
        service.register()
        sent = service.send()
        here = service.server.config.app.state.service

        def nowhere(*_):
            raise FileNotFoundError("audio")

        monkeypatch.setattr(Folder, "put", nowhere)
        with pytest.raises(FileNotFoundError, match="audio"):
            service.run(bucket.move(here, here.bucket))
        assert (row(service, sent)["status"], here.metrics.lost) == ("UPLOADED", 0)


def test_a_chunk_that_comes_again_while_it_is_moved_is_not_done_again(folder, monkeypatch):
    with serving(folder, AUDIO_BUCKET="audio") as service:
        service.register()
        sent = service.send()
        name, keep = sent.json()["stored_path"], Storage.keep

        def then_done(storage, arrived, kept_as):
            keep(storage, arrived, kept_as)
            if kept_as == name:
                service.say("UPDATE audio_chunks SET status = 'DONE'")

        (service.settings.storage / name).unlink()  # as after it was moved
        monkeypatch.setattr(Storage, "keep", then_done)
        assert service.send().json() == sent.json()
        assert (service.files(), row(service, sent)["status"]) == ([name], "DONE")


def test_a_bucket_nobody_has_is_refused(b2, tmp_path, recwarn):
    settings = Settings.read({"AUDIO_BUCKET": "audi"}, tmp_path)
    with pytest.raises(SettingError, match=r"AUDIO_BUCKET: \[dev\] has no bucket 'audi' \(did you mean 'audio'\?\)"):
        create_app(settings)
    gc.collect()
    assert [str(each.message) for each in recwarn if "never awaited" in str(each.message)] == []


def test_a_folder_is_a_bucket_too_and_one_that_hangs_holds_up_no_upload(tmp_path, monkeypatch):
    monkeypatch.setattr(bucket, "IDLE_SECONDS", 0.02)
    monkeypatch.setattr(reading, "BUCKET_SECONDS", 0.1)
    healed = Event()
    (tmp_path / "destinations.toml").write_text(DESTINATIONS.format("lake"))
    with serving(tmp_path, AUDIO_BUCKET="audio") as service:
        service.register()
        sent = service.send()
        wait_for(lambda: row(service, sent)["status"] == "QUEUED" and not service.files())
        assert (tmp_path / "lake" / sent.json()["stored_path"]).read_bytes() == chunk()
        monkeypatch.setattr(Folder, "read", lambda *_: healed.wait(60))
        with ThreadPoolExecutor(DISK_THREADS) as readers:
            paths = [f"{CHUNKS}/{sent.json()['chunk_id']}/file"] * DISK_THREADS
            assert {answer.status_code for answer in readers.map(lambda path: service.ask("GET", path), paths)} == {503}
            assert service.send().json() == sent.json()
            healed.set()
