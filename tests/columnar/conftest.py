"""Warehouses to load cases into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import pytest
from adbc_driver_postgresql import dbapi

from pipelines.bigquery import bigquery
from pipelines.postgres import Copy, postgres
from tests.clouds.project import Project


@pytest.fixture
def on_postgres(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Postgres whose types are looked up once, not by every load job, where it takes most of the time."""
    turn = Lock()

    @contextmanager
    def connected(job: Copy) -> Iterator[Any]:
        with turn:
            try:
                yield shared
            finally:
                shared.rollback()

    with dbapi.connect(postgres_url) as shared:
        monkeypatch.setattr(Copy, "_connect", connected)
        yield postgres(postgres_url)


@pytest.fixture
def on_bigquery(project: Project, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A BigQuery whose load jobs are asked at once whether they have ended."""
    for name, value in project.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("dlt.destinations.impl.bigquery.bigquery.sleep", lambda seconds: None)
    return bigquery(destination_name="warehouse")
