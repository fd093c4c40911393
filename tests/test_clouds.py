"""The stand-ins of clouds themselves, where a test of the program would not notice that they went easy."""

from __future__ import annotations

import io
import json
import socket
from urllib.parse import urlsplit

import pytest
import requests
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.cloud.bigquery import Client, LoadJobConfig

from tests.clouds.bigquery import API, BigQuery
from tests.clouds.google import PROJECT, TOKEN
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


@pytest.mark.parametrize("sent", [b"", b'{"id": 1}\n'])
def test_bigquery_makes_no_job_of_a_part_of_an_upload(bigquery: BigQuery, client: Client, sent: bytes):
    """What a client leaves that is killed in the middle; a job of it would be done, with rows that are missing."""
    table = {"projectId": PROJECT, "datasetId": "d", "tableId": "t"}
    load = {"destinationTable": table, "sourceFormat": "NEWLINE_DELIMITED_JSON"}
    job = {"jobReference": {"jobId": "cut"}, "configuration": {"load": load}}
    token = {"Authorization": f"Bearer {TOKEN}"}
    begun = requests.post(f"{bigquery.url}/upload{API}/jobs", json=job, headers=token, timeout=9)
    upload = urlsplit(begun.headers["Location"])
    with socket.create_connection((upload.hostname, upload.port)) as killed:
        head = (f"PUT {upload.path}?{upload.query} HTTP/1.1", f"Authorization: Bearer {TOKEN}", "Content-Length: 99")
        killed.sendall("\r\n".join((*head, "", "")).encode() + sent)
        killed.shutdown(socket.SHUT_WR)
        assert killed.recv(1) == b""
    with pytest.raises(NotFound):
        client.get_job("cut")


def test_a_project_is_cleared():
    with stand_in() as project:
        project.client.query_and_wait("CREATE SCHEMA d")
        project.client.query_and_wait("CREATE TABLE d.t (id INT64)")
        assert isinstance(project, Project)
        project.clear()
        assert project.datasets() == []
