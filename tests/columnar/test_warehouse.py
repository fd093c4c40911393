"""What is loaded is the same at the destination: every case on Postgres and BigQuery, on DuckDB what loads decide.

The rest of DuckDB's is compared in the very files that are loaded, and what fails without a load there: test_parity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt
import pytest
from adbc_driver_postgresql import dbapi

from pipelines.bigquery import bigquery
from pipelines.postgres import Copy, postgres
from tests.clouds.project import Project
from tests.columnar.cases import CASES, GROUPS, Case, column, drawn, loads, unlike
from tests.columnar.parity import both, page_by_page

KINDS = Case(
    "every type",
    [[drawn("", "x", None, n={"a": [1, ""]}, i=1, f=0.1, b=True, at="2024-05-01T10:00:00.123456+02:00",
            day="2024-05-01", time="10:00:00", money=1.25, bytes="aGFsbG8=", tags=["", "a"], many=[{"t": ""}])] * 2],
    column(n="json", day="date", time="time", bytes="binary",
           money={"data_type": "decimal", "precision": 9, "scale": 2}),
    "dicts",
)  # fmt: skip
SOUND = {group: [case for case in cases if not case.fails] for group, cases in (GROUPS | {"kinds": [KINDS]}).items()}
ON_DUCKDB = [case for case in [*CASES, KINDS] if case.is_merged or case is KINDS]
REFUSED = {
    "postgres": {
        "one table twice": "dlt gives two rows one id, and Postgres holds ids to be unique",
        "a key that is an object": "the same row twice in one load: Postgres holds ids to be unique",
        "edges of text": "Postgres has no character 0",
        "json column of texts": "dlt unwraps a text that is JSON",
    },
    "bigquery": {"json column of texts": "dlt unwraps a text that is JSON"},
}
Ready = Callable[[], Any]


@pytest.fixture
def on(request, tmp_path, monkeypatch) -> Iterator[Ready]:
    """Make the destination of a test; its cases go there page by page."""
    with page_by_page(monkeypatch, few=4), MAKERS[request.param](request, tmp_path, monkeypatch) as made:
        yield made


@contextmanager
def _duckdb(request: Any, folder: Path, monkeypatch: Any) -> Iterator[Any]:
    yield dlt.destinations.duckdb(str(folder / "warehouse.duckdb"))


@contextmanager
def _postgres(request: Any, folder: Path, monkeypatch: Any) -> Iterator[Any]:
    """All copies share what one connection has found out about types, which takes most of the time of a small one."""
    url = request.getfixturevalue("postgres_url")
    with dbapi.connect(url) as first:
        monkeypatch.setattr(Copy, "_connect", lambda job: first.adbc_clone())
        yield postgres(url)


@contextmanager
def _bigquery(request: Any, folder: Path, monkeypatch: Any) -> Iterator[Any]:
    project: Project = request.getfixturevalue("project")
    for name, value in project.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("dlt.destinations.impl.bigquery.bigquery.sleep", lambda seconds: None)
    yield bigquery(destination_name="warehouse")


@pytest.mark.parametrize("case", FAILING, ids=str)
def test_a_case_fails_like_dlt_does(case: Case, tmp_path, monkeypatch):
    with page_by_page(monkeypatch, few=4):
        destination = dlt.destinations.duckdb(str(tmp_path / "warehouse.duckdb"))
        dlts, ours = both(tmp_path, loads({"t": case}), destination)
    assert set(dlts.endings) != {"ok"}
    assert ours.differences(dlts) == []
    assert ours.taken[case.gear], ours.taken


def test_several_workers_make_the_same_tables_and_count_their_gears(tmp_path, monkeypatch):
    monkeypatch.setenv("NORMALIZE__WORKERS", "2")
    monkeypatch.setenv("SOURCES__DATA_WRITER__FILE_MAX_ITEMS", "100")
    upsert = next(case for case in CASES if case.name == "merge upsert")
    pages = {"t": Case(upsert.name, [[*load * 3] for load in upsert.loads[:2]], upsert.hints)}
    with page_by_page(monkeypatch, few=4):
        destination = dlt.destinations.duckdb(str(tmp_path / "warehouse.duckdb"))
        dlts, ours = both(tmp_path, loads(pages), destination)
    assert ours.differences(dlts) == []
    assert ours.taken["arrow"] > ours.taken["rows"] > 0, ours.gears


def _compare(cases: dict[str, Case], dlts: Outcome, ours: Outcome) -> None:
    assert unlike(cases, dlts, ours) == {}
    empty = [case.name for table, case in cases.items() if not ours.trees.get(table)]
    assert empty == [], "nothing was loaded"
