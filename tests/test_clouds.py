"""The stand-ins of clouds themselves, where a test of the program would not notice that they went easy."""

from __future__ import annotations

import io
import json

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.cloud.bigquery import Client, LoadJobConfig

from tests.clouds.bigquery import BigQuery
from tests.clouds.project import Project, stand_in


@pytest.fixture
def client(bigquery: BigQuery):
    with bigquery.client() as client:
        client.query_and_wait("CREATE SCHEMA d")
        client.query_and_wait("CREATE TABLE d.t (id INT64 NOT NULL, name STRING, seen TIMESTAMP)")
        yield client


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("DELETE FROM d.t", BadRequest),
        ("UPDATE d.t SET name = 'x'", BadRequest),
        ("SELECT nope FROM d.t", BadRequest),
        ("SELECT 1 FROM d.nope", NotFound),
        ("CREATE TABLE d.t (id INT64)", Conflict),
    ],
)
def test_bigquery_refuses(client: Client, sql: str, error: type[Exception]):
    with pytest.raises(error):
        client.query_and_wait(sql)


@pytest.mark.parametrize(
    ("row", "said"),
    [({"id": 1, "other": 1}, "No such field: other"), ({"name": "x"}, "NOT NULL"), ({"id": "x"}, "reading data")],
)
def test_bigquery_loads_all_rows_or_none(client: Client, row: dict, said: str):
    config = LoadJobConfig(create_disposition="CREATE_NEVER", source_format="NEWLINE_DELIMITED_JSON")
    lines = io.BytesIO("\n".join(map(json.dumps, ({"id": 1}, row))).encode())
    with pytest.raises(BadRequest, match=said):
        client.load_table_from_file(lines, "d.t", job_config=config).result()
    assert [*client.query_and_wait("SELECT * FROM d.t")] == []


def test_bigquery_pages(client: Client):
    client.query_and_wait("INSERT INTO d.t (id) SELECT * FROM UNNEST(GENERATE_ARRAY(1, 2500))")
    assert [row[0] for row in client.query_and_wait("SELECT id FROM d.t ORDER BY id")] == list(range(1, 2501))


def test_a_project_is_cleared():
    with stand_in() as project:
        project.client.query_and_wait("CREATE SCHEMA d")
        project.client.query_and_wait("CREATE TABLE d.t (id INT64)")
        assert isinstance(project, Project)
        project.clear()
        assert project.datasets() == []
