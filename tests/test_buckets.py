"""Buckets on S3 and GCS through the real clients: `etl doctor`, dlt's filesystem destination, lists that are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dlt
import pytest
from fsspec import AbstractFileSystem
from gcsfs import GCSFileSystem
from s3fs import S3FileSystem

from pipelines import configuration, environment
from sandbox.server import Sandbox
from tests.clouds.gcs import GCS
from tests.clouds.google import PROJECT, service_account
from tests.clouds.google import Refused as RefusedByGCS
from tests.clouds.loopback import refusing_port
from tests.clouds.s3 import KEY, S3, SECRET
from tests.clouds.s3 import Refused as RefusedByS3
from tests.toys import rows, toy
from tests.workspace import DESTINATIONS, REPOSITORY, Workspace

BUCKETS = (
    DESTINATIONS
    + """
[cloud]
[cloud.warehouse]
destination_type = "duckdb"
credentials = "cloud.duckdb"
[cloud.bucket]
destination_type = "filesystem"
bucket_url = "{scheme}://lake/a folder"
[cloud.audio]
destination_type = "filesystem"
bucket_url = "{scheme}://lake/its audio"
"""
)


@dataclass(frozen=True)
class Cloud:
    """A service with one bucket, and how it refuses."""

    scheme: str
    service: S3 | GCS
    refused: Callable[[int, str], Exception]

    @property
    def keys(self) -> list[str]:
        return self.service.buckets.keys("lake")

    def filesystem(self) -> AbstractFileSystem:
        """The client that dlt would make."""
        if isinstance(self.service, S3):
            region = {"region_name": "eu-central-003"}
            return S3FileSystem(key=KEY, secret=SECRET, endpoint_url=self.service.url, client_kwargs=region)
        return GCSFileSystem(
            PROJECT, token=json.loads(service_account(self.service.url)), endpoint_url=self.service.url
        )

    def refuse(self, pattern: str, status: int, reason: str, times: int = 1) -> None:
        self.service.refuse(pattern, self.refused(status, reason).answer, times)


@pytest.fixture(params=["s3", "gs"])
def cloud(request) -> Iterator[Cloud]:
    if request.param == "s3":
        with S3("lake") as service:
            yield Cloud("s3", service, RefusedByS3)
    else:
        with GCS("lake") as service:
            yield Cloud("gs", service, lambda status, reason: RefusedByGCS(status, reason, reason))


@pytest.fixture
def engine(workspace, cloud: Cloud) -> Workspace:
    made = workspace()
    made.write("destinations.toml", BUCKETS.format(scheme=cloud.scheme))
    made.variables.update(cloud.service.variables("bucket"))
    return made


def bucket(engine: Workspace) -> tuple[bool, str]:
    """What the doctor says of the bucket."""
    findings = engine.etl("doctor", "--env", "cloud", "--output", "json").json
    return next((each["ok"], each["text"]) for each in findings if each["what"].startswith("bucket ("))


def test_the_doctor_writes_and_deletes(engine: Workspace, cloud: Cloud):
    assert bucket(engine) == (True, "a file can be written and deleted")
    assert cloud.service.count("PUT|POST .*upload") >= 1
    assert cloud.keys == []


def test_a_bucket_that_hesitates_is_well(engine: Workspace, cloud: Cloud):
    cloud.refuse("(PUT|POST) .*etl-doctor|POST /upload", 503, "SlowDown", 2)
    assert bucket(engine) == (True, "a file can be written and deleted")


def test_a_bucket_that_is_not_there_is_not_made(engine: Workspace, cloud: Cloud):
    engine.write("destinations.toml", BUCKETS.format(scheme=cloud.scheme).replace("lake", "lakes"))
    assert bucket(engine) == (False, "there is no such bucket; create it, or mend bucket_url")
    assert "lakes" not in cloud.service.buckets


def test_a_bucket_that_is_closed(engine: Workspace, cloud: Cloud):
    cloud.refuse("etl-doctor|POST /upload", 403, "AccessDenied", 100)
    ok, said = bucket(engine)
    assert (ok, "the bucket refuses the key" in said) == (False, True)


def test_a_key_that_is_wrong(engine: Workspace, cloud: Cloud, monkeypatch):
    """gcsfs asks again and again for a token that Google refuses, longer than the doctor waits."""
    monkeypatch.setattr("pipelines.doctor.ANSWER_SECONDS", 3)
    engine.variables["DESTINATION__BUCKET__CREDENTIALS__AWS_SECRET_ACCESS_KEY"] = "hunter2"
    cloud.refuse("/token", 400, "invalid_grant", 100)
    said = {"s3": "the bucket refuses the key (SignatureDoesNotMatch); check the key and its rights"}
    gave_up = "no answer in 3 s; check the network and the address"
    assert bucket(engine) == (False, said.get(cloud.scheme, gave_up))


def test_a_service_that_is_away(engine: Workspace, cloud: Cloud):
    with refusing_port() as port:
        away = f"http://127.0.0.1:{port}"
        engine.variables = {name: value.replace(cloud.service.url, away) for name, value in engine.variables.items()}
        engine.variables["AWS_MAX_ATTEMPTS"] = "1"
        ok, said = bucket(engine)
    assert (ok, said.startswith("the destination is away: ")) == (False, True)


def test_conditions_and_parts_hold(cloud: Cloud):
    """What a mover of files stands on: one of two creators wins, and large content comes in parts."""
    filesystem = cloud.filesystem()
    part = bytes(range(256)) * 24 * 2**10
    with filesystem.open("lake/large", "wb", block_size=len(part)) as out:
        for _ in range(3):
            out.write(part)
    assert filesystem.cat_file("lake/large") == part * 3
    assert cloud.service.count("partNumber=|upload_id=") > 1
    filesystem.pipe_file("lake/once", b"first", mode="create")
    with pytest.raises(OSError, match=r"PreconditionFailed|lake"):
        filesystem.pipe_file("lake/once", b"second", mode="create")
    filesystem.mv("lake/once", "lake/moved é")
    assert (filesystem.cat_file("lake/moved é", start=1, end=3), cloud.keys) == (b"ir", ["large", "moved é"])


def test_dlt_loads_into_it(engine: Workspace, cloud: Cloud, monkeypatch):
    for name, value in engine.variables.items():
        monkeypatch.setenv(name, value)
    configuration.activate(environment.load(engine.root, "cloud"))
    pipeline = dlt.pipeline("lake", pipelines_dir=str(engine.root / "state"), destination="bucket", dataset_name="d")
    for day in (1, 2):
        pipeline.run([{"id": day}], table_name="days", write_disposition="append", loader_file_format="parquet")
    assert len([key for key in cloud.keys if key.startswith("a folder/d/days/") and key.endswith(".parquet")]) == 2


def test_lists_are_read_from_it(engine: Workspace, cloud: Cloud, sandbox: Sandbox):
    """`recordings` from a bucket is what it is from a folder, and so is their audio into one."""
    engine.link("recordings", REPOSITORY)
    engine.point_at(sandbox.settings("recordings"))
    lists = Path(sandbox.settings("recordings")["sources.recordings.csv_path"])
    for file in lists.parent.glob(lists.name):
        cloud.service.buckets.put("lake", f"lists/{file.name}", file.read_bytes(), "text/csv")
    bucket_settings = cloud.service.variables("bucket").items()
    engine.variables |= {name.replace("DESTINATION__BUCKET", "SOURCES__RECORDINGS"): v for name, v in bucket_settings}
    engine.variables |= cloud.service.variables("audio")
    found = {}
    for env, path in (("test", str(lists)), ("cloud", f"{cloud.scheme}://lake/lists/{lists.name}")):
        result = engine.etl("run", "recordings", "--env", env, "--output", "json", "--with", f"csv_path={path}")
        found[env] = (result.code, result.json[0]["tables"])
    assert found["cloud"] == found["test"]
    assert found["test"][1]["recordings"] > 0
    stored = {file.relative_to(engine.root).as_posix() for file in engine.root.rglob("audio/**/*.mp3")}
    assert {key.replace("its audio/", "audio/", 1) for key in cloud.keys if key.endswith(".mp3")} == stored


def test_an_export_is_put_there_once_it_is_whole(engine, cloud):
    toy(engine, rows(3))
    assert engine.etl("run", "toy", "--env", "cloud").code == 0
    words = ("export", "toy", "--env", "cloud", "--to", f"{cloud.scheme}://lake/of a toy", "--format")
    assert engine.etl(*words, "sqlite").code == 0
    former = cloud.keys
    cloud.refuse("things", 403, "AccessDenied" if cloud.scheme == "s3" else "forbidden", times=9)
    refused = engine.etl(*words, "csv")
    assert (refused.code, refused.out, len(refused.err.splitlines())) == (2, "", 1)
    assert cloud.keys == former == ["of a toy/_export.toy.json", "of a toy/toy.sqlite"]
    cloud.service.heal()
    result = engine.etl(*words, "csv", "--partition-by", "id")
    assert (result.code, result.err) == (0, "")
    assert cloud.keys == [
        "of a toy/_export.toy.json", "of a toy/others/id=1/part-0.csv",
        *(f"of a toy/things/id={n}/part-0.csv" for n in (1, 2, 3)),
    ]  # fmt: skip
    assert cloud.filesystem().cat_file("lake/of a toy/things/id=2/part-0.csv").count(b"\r\n") == 2
