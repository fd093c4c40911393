"""BigQuery that refuses, fails, is slow or away: the exit code, one line, and no row lost or loaded twice."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from tests.clouds.bigquery import BigQuery
from tests.clouds.google import Refused
from tests.clouds.loopback import Answer, refusing_port
from tests.workspace import Workspace

RESOURCES = "resources: {entries: {append_reason: an entry does not change}}\n"
SOURCE = '''\
"""Ten entries, once; what is loaded twice stands there twice."""

import dlt


@dlt.source(name="log", section="log")
def log():
    yield entries


@dlt.resource(primary_key="id", write_disposition="append")
def entries(id=dlt.sources.incremental("id", initial_value=0)):
    yield [{"id": n} for n in range(1, 11) if n > id.start_value]
'''
PATIENT = {"DESTINATION__WAREHOUSE__RETRY_DEADLINE": "10", "DESTINATION__WAREHOUSE__JOB_TIMEOUT": "20"}
IMPATIENT = "retry_deadline = 1.0\nhttp_timeout = 1.0\njob_timeout = 2.0\n"
ALWAYS = 10_000
UPLOAD, QUERY, POLL = "(POST|PUT) .*/upload/", "POST .*/queries", "GET .*/jobs/"


@pytest.fixture
def engine(workspace, bigquery, monkeypatch) -> Workspace:
    monkeypatch.setattr("dlt.destinations.impl.bigquery.bigquery.sleep", lambda seconds: time.sleep(0.02))
    monkeypatch.setattr("google.resumable_media._helpers.calculate_retry_wait", lambda *_: (0.01, 0.01))
    made = workspace()
    made.source("log", SOURCE, RESOURCES)
    made.bigquery(bigquery.variables, IMPATIENT)
    return made


def refusal(status: int, reason: str) -> Answer:
    return Refused(status, reason, f"the stand-in refuses: {reason}").answer


def loaded(bigquery: BigQuery) -> list[int]:
    with bigquery.client() as client:
        return sorted(row[0] for row in client.query_and_wait("SELECT id FROM log.entries"))


Fault = Callable[[BigQuery], None]


def stumble(bigquery: BigQuery) -> None:
    """Refuse each kind of request for a while."""
    bigquery.refuse(QUERY, refusal(403, "rateLimitExceeded"), 2)
    bigquery.refuse("POST .*/upload/", refusal(503, "backendError"))
    bigquery.refuse("PUT .*/upload/", refusal(500, "internalError"))
    bigquery.refuse("POST .*/upload/", refusal(403, "quotaExceeded"))


def fail_then_tell_nothing(bigquery: BigQuery) -> None:
    """Let a load job fail, and say nothing of the one after."""
    bigquery.fail_load("entries", "backendError")
    bigquery.refuse(f"{POLL}.*_1_parquet", refusal(503, "backendError"), 6)


PASSING: dict[str, Fault] = {
    "requests are refused for a while": stumble,
    "the answer to an upload is lost": lambda b: b.lose("PUT .*/upload/", refusal(503, "backendError")),
    "a load job fails, the next does not tell": fail_then_tell_nothing,
}
ENDING: dict[str, tuple[Fault, int, str]] = {
    "a quota": (lambda b: b.refuse(UPLOAD, refusal(403, "quotaExceeded"), ALWAYS), 5, r"asks for time \(quotaExceeded"),
    "no query": (lambda b: b.refuse(QUERY, refusal(503, "backendError"), ALWAYS), 5, r"asks for time \(backendError"),
    "no upload": (lambda b: b.refuse("POST .*/upload/", refusal(500, "backendError"), ALWAYS), 5, "asks for time"),
    "no right": (lambda b: b.refuse(QUERY, refusal(403, "accessDenied"), ALWAYS), 2, "refuses the account"),
    "no account": (lambda b: b.refuse("/token", Answer(400, {"error": "invalid_grant"}), ALWAYS), 2, "mend its cred"),
    "a load job fails": (lambda b: b.fail_load("entries", "invalid", ALWAYS), 1, r"\(invalid\): .*; .* --pending$"),
    "a query never ends": (lambda b: b.stall("SELECT"), 5, "no answer in time"),
    "a query without an answer": (lambda b: b.hold(QUERY, ALWAYS), 5, "timed out"),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_does_not_end_a_run(engine: Workspace, bigquery: BigQuery, fault: Fault):
    engine.variables |= PATIENT
    fault(bigquery)
    result = engine.etl("run", "log", "--env", "bq")
    assert (result.code, result.err) == (0, "")
    assert loaded(bigquery) == list(range(1, 11))


@pytest.mark.parametrize(("fault", "code", "said"), ENDING.values(), ids=ENDING)
def test_what_does_not_pass_is_one_line_and_the_next_run_goes_on(
    engine: Workspace, bigquery: BigQuery, fault: Fault, code: int, said: str
):
    fault(bigquery)
    result = engine.etl("run", "log", "--env", "bq")
    bigquery.heal()
    again = engine.etl("run", "log", "--env", "bq")
    assert (result.code, len(result.err.splitlines())) == (code, 1), result
    assert re.search(said, result.err)
    assert (again.code, loaded(bigquery)) == (0, list(range(1, 11)))


def test_nobody_listens(engine: Workspace):
    with refusing_port() as port:
        engine.variables["BIGQUERY_EMULATOR_HOST"] = f"http://127.0.0.1:{port}"
        result = engine.etl("run", "log", "--env", "bq")
    assert (result.code, len(result.err.splitlines())) == (5, 1), result
    assert "Connection refused" in result.err


@pytest.mark.timeout(60)  # of the hour a query may take
def test_a_query_that_nobody_takes_ends_with_its_request(engine: Workspace):
    engine.variables["DESTINATION__WAREHOUSE__JOB_TIMEOUT"] = "3600"
    with refusing_port() as port:
        engine.variables["BIGQUERY_EMULATOR_HOST"] = f"http://127.0.0.1:{port}"
        result = engine.etl("plan", "log", "--env", "bq")
    assert result.code == 0, result
    assert "destination: could not be reached: " in result.out
    assert "Connection refused" in result.out


def test_a_dataset_that_is_gone_is_loaded_anew(engine: Workspace, bigquery: BigQuery):
    assert engine.etl("run", "log", "--env", "bq").code == 0
    bigquery.warehouse.drop_dataset("log")
    assert engine.etl("run", "log", "--env", "bq").code == 0
    assert loaded(bigquery) == list(range(1, 11))


def test_a_job_that_takes_long_is_looked_at_again_not_made_again(engine: Workspace, bigquery: BigQuery):
    engine.variables["DESTINATION__WAREHOUSE__HTTP_TIMEOUT"] = "20"  # only the job is late, on the busiest machine
    bigquery.stall(r"^log\.entries$")
    results = [engine.etl("run", "log", "--env", "bq") for _ in range(2)]
    bigquery.heal()
    results.append(engine.etl("run", "log", "--env", "bq"))
    assert [result.code for result in results] == [5, 5, 0]
    assert "runs for more than 2 s; the next run looks at it again" in results[0].err
    assert [load["destinationTable"]["tableId"] for load in bigquery.loads].count("entries") == 1
    assert loaded(bigquery) == list(range(1, 11))


def test_more_goes_to_quarantine_than_one_request_can_hold(engine: Workspace, bigquery: BigQuery):
    large = SOURCE.replace('{"id": n}', '{"id": None, "n": n, "text": "x" * 1_500_000}')
    engine.write(
        "sources/log.py",
        large.replace(
            ', write_disposition="append"', ', write_disposition="append", columns={"id": {"nullable": False}}'
        ),
    )
    assert engine.etl("run", "log", "--env", "bq").code == 3
    with bigquery.client() as client:
        assert next(iter(client.query_and_wait("SELECT count(*) FROM _etl.quarantine")))[0] == 10
