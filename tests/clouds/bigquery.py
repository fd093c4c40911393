"""A stand-in of BigQuery's REST API as google-cloud-bigquery speaks it: datasets, tables, jobs, queries, uploads.

Jobs are done when they are made, unless `stall` keeps them running in the eyes of the client. It knows dlt's wiring,
its retries and the shape of its SQL; it knows nothing of quotas, cost, partition pruning or the optimizer.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import re
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from typing import Any

from google.cloud.bigquery import Client
from google.oauth2.credentials import Credentials

from tests.clouds.bigquery_sql import Rows, Warehouse, big
from tests.clouds.google import NOTHING_OUTSIDE, PROJECT, TOKEN, Refused, Service, service_account
from tests.clouds.loopback import Answer, Asked

API = f"/bigquery/v2/projects/{PROJECT}"
PAGE = 1000
MOST_BYTES = 10 * 2**20  # in a request that is no upload
Json = dict[str, Any]
OF_PARAMETER: dict[str, Callable[[str], Any]] = {
    "INT64": int, "FLOAT64": float, "BOOL": lambda text: text == "true", "NUMERIC": decimal.Decimal,
    "BIGNUMERIC": decimal.Decimal, "BYTES": base64.b64decode, "DATE": dt.date.fromisoformat,
    "TIMESTAMP": dt.datetime.fromisoformat, "DATETIME": dt.datetime.fromisoformat, "STRING": str,
}  # fmt: skip


class BigQuery(Service):
    """The service on a port of its own, with what a test may want of it."""

    def __init__(self) -> None:
        self.warehouse = Warehouse()
        self._jobs: dict[str, Json] = {}
        self._rows: dict[str, Rows | None] = {}
        self._refused: dict[str, Refused] = {}
        self._uploads: dict[str, Json] = {}
        self._failing: list[tuple[str, str]] = []
        self._stalled: re.Pattern[str] | None = None
        super().__init__(self._route)

    @property
    def variables(self) -> dict[str, str]:
        """What leads google's client here; dlt has no setting for it."""
        account = {"DESTINATION__WAREHOUSE__CREDENTIALS": service_account(self.url)}
        return {"BIGQUERY_EMULATOR_HOST": self.url, **account, **NOTHING_OUTSIDE}

    def client(self) -> AbstractContextManager[Client]:
        """Google's client, for a look from outside."""
        return closing(Client(PROJECT, Credentials(TOKEN), client_options={"api_endpoint": self.url}))

    @property
    def statements(self) -> list[str]:
        """Every script so far."""
        return self.warehouse.statements

    @property
    def loads(self) -> list[Json]:
        """The configuration of every load job so far."""
        return [job["configuration"]["load"] for job in self._jobs.values() if "load" in job["configuration"]]

    def fail_load(self, table: str, reason: str, times: int = 1) -> None:
        """Let the next load jobs of a table end with an error; none of their rows is loaded."""
        self._failing += [(table, reason)] * times

    def stall(self, pattern: str) -> None:
        """Say of jobs whose table or SQL matches that they still run, until `heal`; their work is done."""
        self._stalled = re.compile(pattern)

    def heal(self) -> None:
        """Forget every fault."""
        self._stalled = None
        self._failing = []
        super().heal()

    def _routes(self) -> list[tuple[str, str, Callable[..., Answer]]]:
        return [
            ("POST", f"{API}/queries", self._query),
            ("GET", f"{API}/queries/([^/]+)", self._results),
            ("POST", f"{API}/jobs", self._insert_job),
            ("GET", f"{API}/jobs/([^/]+)", self._job),
            ("POST", f"{API}/jobs/([^/]+)/cancel", self._cancel),
            ("POST", f"(?:/resumable)?/upload{API}/jobs", self._begin_upload),
            ("PUT", f"(?:/resumable)?/upload{API}/jobs", self._upload),
            ("GET", f"{API}/datasets", self._datasets),
            ("POST", f"{API}/datasets", self._create_dataset),
            ("GET", f"{API}/datasets/([^/]+)", self._dataset),
            ("DELETE", f"{API}/datasets/([^/]+)", self._delete_dataset),
            ("GET", f"{API}/datasets/([^/]+)/tables", self._tables),
            ("GET", f"{API}/datasets/([^/]+)/tables/([^/]+)", self._table),
            ("PATCH", f"{API}/datasets/([^/]+)/tables/([^/]+)", self._describe),
        ]

    # datasets and tables

    def _datasets(self, asked: Asked) -> Answer:
        return Answer(200, {"datasets": [_dataset(name) for name in self.warehouse.datasets()]})

    def _create_dataset(self, asked: Asked) -> Answer:
        name = asked.json()["datasetReference"]["datasetId"]
        self.warehouse.create_dataset(name)
        return Answer(200, _dataset(name))

    def _dataset(self, asked: Asked, name: str) -> Answer:
        self.warehouse.check_dataset(name)
        return Answer(200, _dataset(name))

    def _delete_dataset(self, asked: Asked, name: str) -> Answer:
        self.warehouse.drop_dataset(name)
        return Answer(204)

    def _tables(self, asked: Asked, dataset: str) -> Answer:
        tables = self.warehouse.tables(dataset)
        return Answer(200, {"tables": [{"tableReference": _reference(dataset, table)} for table in tables]})

    def _table(self, asked: Asked, dataset: str, table: str) -> Answer:
        columns = self.warehouse.columns(dataset, table).items()
        fields = [_field(name, big(kind), "NULLABLE" if empty else "REQUIRED") for name, (kind, empty) in columns]
        described = self.warehouse.descriptions(dataset, table)
        for field in fields:
            field |= {"description": described[field["name"]]} if field["name"] in described else {}
        about = {"description": described[""]} if "" in described else {}
        return Answer(200, {"tableReference": _reference(dataset, table), "schema": {"fields": fields}, **about})

    def _describe(self, asked: Asked, dataset: str, table: str) -> Answer:
        told = asked.json()
        described = {field["name"]: field["description"] for field in told["schema"]["fields"] if field["description"]}
        self.warehouse.describe(dataset, table, {"": told["description"], **described})
        return self._table(asked, dataset, table)

    # jobs

    def _query(self, asked: Asked) -> Answer:
        if len(asked.body) > MOST_BYTES:
            raise Refused(413, "uploadTooLarge", f"Request payload size exceeds the limit: {MOST_BYTES} bytes.")
        body = asked.json()
        job = self._run_job(uuid.uuid4().hex, {"query": body})
        return self._answer(job, body.get("maxResults"), None, body.get("formatOptions", {}))

    def _results(self, asked: Asked, job_id: str) -> Answer:
        form = {"useInt64Timestamp": asked.query.get("formatOptions.useInt64Timestamp", "").lower() == "true"}
        return self._answer(self._known(job_id), asked.query.get("maxResults"), asked.query.get("pageToken"), form)

    def _insert_job(self, asked: Asked) -> Answer:
        body = asked.json()
        return Answer(200, self._shown(self._run_job(body["jobReference"]["jobId"], body["configuration"])))

    def _job(self, asked: Asked, job_id: str) -> Answer:
        return Answer(200, self._shown(self._known(job_id)))

    def _cancel(self, asked: Asked, job_id: str) -> Answer:
        return Answer(200, {"job": self._shown(self._known(job_id))})

    def _begin_upload(self, asked: Asked) -> Answer:
        body = asked.json()
        self._refuse_known(body["jobReference"]["jobId"])
        upload = uuid.uuid4().hex
        self._uploads[upload] = body
        return Answer(200, headers={"Location": f"{self.url}{asked.path}?uploadType=resumable&upload_id={upload}"})

    def _upload(self, asked: Asked) -> Answer:
        body = self._uploads[asked.query["upload_id"]]
        body["content"] = body.get("content", b"") + asked.body
        if asked.headers.get("content-range", "").endswith("/*"):
            return Answer(308, headers={"Range": f"bytes=0-{len(body['content']) - 1}"})
        job = self._run_job(body["jobReference"]["jobId"], body["configuration"], body["content"])
        return Answer(200, {**job, "status": {"state": "RUNNING"}})  # as the service says that takes its time

    def _refuse_known(self, job_id: str) -> None:
        if job_id in self._jobs:
            raise Refused(409, "duplicate", f"Already Exists: Job {PROJECT}:US.{job_id}")

    def _known(self, job_id: str) -> Json:
        if job_id not in self._jobs:
            raise Refused(404, "notFound", f"Not found: Job {PROJECT}:US.{job_id}")
        return self._jobs[job_id]

    def _run_job(self, job_id: str, configuration: Json, content: bytes = b"") -> Json:
        """Do what a job is for; an error of its own is part of the job, not of the answer."""
        self._refuse_known(job_id)
        now, kind = str(int(time.time() * 1000)), "load" if "load" in configuration else "query"
        job: Json = {
            "id": f"{PROJECT}:US.{job_id}",
            "jobReference": {"projectId": PROJECT, "jobId": job_id, "location": "US"},
            "configuration": {**configuration, "jobType": kind.upper()},
            "statistics": {"creationTime": now, "startTime": now, "endTime": now, kind: {}},
            "status": {"state": "RUNNING"},
        }
        self._jobs[job_id] = job
        try:
            self._load(job, content) if kind == "load" else self._run_query(job)
        except Refused as refused:
            self._refused[job_id] = refused
            job["status"] = {"errorResult": refused.result, "errors": [refused.result]}
        job["status"]["state"] = "DONE"
        return job

    def _load(self, job: Json, content: bytes) -> None:
        load = job["configuration"]["load"]
        table = load["destinationTable"]
        for each in self._failing:
            if each[0] == table["tableId"]:
                self._failing.remove(each)
                raise Refused(400, each[1], f"the stand-in was told to fail: {each[1]}")
        rows = self.warehouse.load(table["datasetId"], table["tableId"], load["sourceFormat"], content)
        job["statistics"]["load"]["outputRows"] = str(rows)

    def _run_query(self, job: Json) -> None:
        query = job["configuration"]["query"]
        properties = {each["key"]: each["value"] for each in query.get("connectionProperties", [])}
        if query.get("createSession"):
            job["statistics"]["sessionInfo"] = {"sessionId": job["jobReference"]["jobId"]}
            self.warehouse.begin(job["jobReference"]["jobId"])
            return
        self._rows[job["jobReference"]["jobId"]] = self.warehouse.query(
            query["query"],
            query.get("defaultDataset", {}).get("datasetId"),
            [_value(each["parameterType"], each["parameterValue"]) for each in query.get("queryParameters", [])],
            properties.get("session_id"),
        )

    def _shown(self, job: Json) -> Json:
        """A job as the client may see it now."""
        return {**job, "status": {"state": "RUNNING"}} if self._stalls(job) else job

    def _stalls(self, job: Json) -> bool:
        configuration = job["configuration"]
        what = configuration["query"]["query"] if "query" in configuration else _path(configuration["load"])
        return bool(self._stalled and self._stalled.search(what))

    def _answer(self, job: Json, most: Any, page: str | None, form: Json) -> Answer:
        """A page of the rows of a query; asked for none, it must name no rows at all."""
        job_id = job["jobReference"]["jobId"]
        told: Json = {"jobReference": job["jobReference"], "jobComplete": not self._stalls(job)}
        if not told["jobComplete"]:
            return Answer(200, told)
        if job_id in self._refused:
            raise self._refused[job_id]
        rows = self._rows.get(job_id) or Rows([], [])
        told |= {"totalRows": str(len(rows.values)), "schema": {"fields": [_field(*c) for c in rows.columns]}}
        if "sessionInfo" in job["statistics"]:
            told["sessionInfo"] = job["statistics"]["sessionInfo"]
        start, size = int(page or 0), PAGE if most is None else min(int(most), PAGE)
        if size and rows.columns:
            shown = rows.values[start : start + size]
            told["rows"] = [
                {"f": [_cell(value, bool(form.get("useInt64Timestamp"))) for value in row]} for row in shown
            ]
        if size and start + size < len(rows.values):
            told["pageToken"] = str(start + size)
        return Answer(200, told)


def _dataset(name: str) -> Json:
    return {"datasetReference": {"projectId": PROJECT, "datasetId": name}, "location": "US"}


def _reference(dataset: str, table: str) -> Json:
    return {"projectId": PROJECT, "datasetId": dataset, "tableId": table}


def _path(load: Json) -> str:
    return f"{load['destinationTable']['datasetId']}.{load['destinationTable']['tableId']}"


def _field(name: str, kind: str, mode: str = "NULLABLE") -> Json:
    return {"name": name, "type": kind, "mode": mode}


def _cell(value: Any, whole_microseconds: bool) -> Json:
    """A value as it travels: text, or null."""
    match value:
        case None:
            return {"v": None}
        case bool():
            return {"v": "true" if value else "false"}
        case bytes():
            return {"v": base64.b64encode(value).decode()}
        case decimal.Decimal():
            return {"v": format(value.normalize(), "f")}
        case dt.datetime() if value.tzinfo:
            microseconds = (value - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
            return {"v": str(microseconds) if whole_microseconds else repr(microseconds / 1e6)}
        case dt.datetime():
            return {"v": value.isoformat()}
        case list():
            return {"v": [_cell(each, whole_microseconds) for each in value]}
        case _:
            return {"v": str(value)}


def _value(kind: Json, value: Json) -> Any:
    """A query parameter as DuckDB takes it."""
    text = value.get("value")
    return None if text is None else OF_PARAMETER[kind["type"]](text)
