"""A BigQuery project for a test: the stand-in, or the real one that ETL_BIGQUERY names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import google.auth
import pytest
from google.cloud.bigquery import Client
from google.cloud.bigquery.dataset import DatasetListItem

from tests.clouds.bigquery import BigQuery
from tests.warehouse import Ask, Rows


class AskBigQuery(Ask):
    """Asks a project with google's client, in statements that DuckDB takes too."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def all(self, statements: Iterable[str]) -> list[Rows]:
        return [[row.values() for row in self._client.query_and_wait(sql.replace('"', "`"))] for sql in statements]

    def columns(self, dataset: str) -> Rows:
        return self(f"SELECT table_name, column_name FROM `{dataset}`.INFORMATION_SCHEMA.COLUMNS ORDER BY 1, 2")


@dataclass(frozen=True)
class Project:
    """Where it is, for a workspace, and how to look into it; `service` is the stand-in, when it is that."""

    variables: dict[str, str]
    client: Client
    service: BigQuery | None

    @property
    def ask(self) -> AskBigQuery:
        return AskBigQuery(self.client)

    def datasets(self) -> list[DatasetListItem]:
        """The datasets of the project, without those in which BigQuery keeps the results of queries."""
        found = self.client.list_datasets(include_all=True)
        return [each for each in found if each.dataset_id == "_etl" or not each.dataset_id.startswith("_")]

    def clear(self) -> None:
        """Drop every dataset."""
        for dataset in self.datasets():
            self.client.delete_dataset(dataset.reference, delete_contents=True)


@contextmanager
def project() -> Iterator[Project]:
    """An empty project for as long as the block runs."""
    real = os.environ.get("ETL_BIGQUERY")
    with _real(real) if real else stand_in() as found:
        yield found


@contextmanager
def stand_in() -> Iterator[Project]:
    with BigQuery() as service, service.client() as client:
        yield Project(service.variables, client, service)


@contextmanager
def _real(name: str) -> Iterator[Project]:
    """The project that was named; all that is in it is dropped after each test, so it must be for tests alone."""
    credentials, _ = google.auth.default()
    with closing(Client(name, credentials)) as client:
        found = Project({"DESTINATION__WAREHOUSE__PROJECT_ID": name}, client, None)
        if found.datasets():
            pytest.fail(
                f"ETL_BIGQUERY: {name} is not empty, and these tests drop all there is; name one for tests alone"
            )
        try:
            yield found
        finally:
            found.clear()
