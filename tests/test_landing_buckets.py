"""Raw files in a bucket, through the client that dlt would make."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clouds.gcs import GCS
from tests.clouds.s3 import S3
from tests.landing_toy import Yard
from tests.workspace import DESTINATIONS

CLOUD = """
[cloud]
keep_raw = true
[cloud.warehouse]
destination_type = "duckdb"
credentials = "warehouse.duckdb"
[cloud.landing]
destination_type = "filesystem"
bucket_url = "{}://lake/a folder"
"""


@pytest.fixture
def service(request) -> Iterator[GCS | S3]:
    with (GCS if request.param == "gs" else S3)("lake") as running:
        running.scheme = request.param
        yield running


@pytest.mark.parametrize("service", ["gs"], indirect=True)
def test_raw_files_in_a_bucket(workspace, service):
    yard = Yard(workspace())
    yard.workspace.write("destinations.toml", DESTINATIONS + CLOUD.format(service.scheme))
    yard.workspace.variables |= service.variables("landing")
    yard.etl("fetch", env="cloud", code=0)
    waiting = service.buckets.keys("lake")
    assert [key.rsplit("/", 1)[0] for key in waiting] == ["a folder/crash/landing"] * 5
    broken = next(key for key in waiting if "visits" in key)
    service.buckets.put("lake", broken, b"no zstd", "application/octet-stream")
    yard.etl("ingest", env="cloud")
    folders = {key.split("/")[2] for key in service.buckets.keys("lake")}
    assert folders == {"archive", "rejected"}
    found = yard.tables()
    yard.etl("rebuild", env="cloud")
    rebuilt = yard.tables()
    assert {t: r for t, r in rebuilt.items() if "visits" not in t} == {
        t: r for t, r in found.items() if "visits" not in t
    }
    assert not [key for key in service.buckets.keys("lake") if "/landing/" in key]


@pytest.mark.parametrize("service", ["gs", "s3"], indirect=True)
def test_a_fetch_that_fails_leaves_nothing_in_a_bucket(workspace, service):
    yard = Yard(workspace())
    yard.workspace.write("destinations.toml", DESTINATIONS + CLOUD.format(service.scheme))
    yard.workspace.variables |= service.variables("landing")
    (yard.workspace.root / "crash.json").write_text('{"things": [], "events": [{"number": 1}], "visits": []}')
    yard.etl("fetch", env="cloud", code=1)
    assert service.buckets.keys("lake") == []
