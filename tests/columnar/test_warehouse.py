"""What loads decide is the same at the destination: merges in all strategies, on DuckDB, Postgres and BigQuery.

What no load decides is compared in the very files that are loaded: test_parity.
"""

from __future__ import annotations

import dlt
import pytest

from pipelines.bigquery import bigquery
from pipelines.postgres import postgres
from tests.clouds.project import Project
from tests.columnar.cases import CASES, Case, column, drawn, loads, unlike
from tests.columnar.parity import Outcome, both, page_by_page

KINDS = Case(
    "every type",
    [[drawn("", "x", None, n={"a": [1, ""]}, i=1, f=0.1, b=True, at="2024-05-01T10:00:00.123456+02:00",
            day="2024-05-01", time="10:00:00", money=1.25, bytes="aGFsbG8=", tags=["", "a"], many=[{"t": ""}])] * 2],
    column(n="json", day="date", time="time", bytes="binary",
           money={"data_type": "decimal", "precision": 9, "scale": 2}),
    "dicts",
)  # fmt: skip
MERGED = {f"t{number}": case for number, case in enumerate([*CASES, KINDS]) if case.is_merged or case is KINDS}
SOUND = {table: case for table, case in MERGED.items() if not case.fails}
FAILING = [case for case in MERGED.values() if case.fails]  # what fails without a load: test_parity
NAMES = {"merge upsert", KINDS.name}
ON_POSTGRES = {table: case for table, case in SOUND.items() if case.name in NAMES}
MORE = {"merge None", "replace", "hard delete", "json column of anything", "names of all kinds", "bytes", "decimals"}
ON_BIGQUERY = {f"t{number}": case for number, case in enumerate([*CASES, KINDS]) if case.name in NAMES | MORE}


def test_cases_are_loaded_into_duckdb_like_dlt_does(tmp_path, monkeypatch):
    with page_by_page(monkeypatch, few=4):
        dlts, ours = both(tmp_path, loads(SOUND), dlt.destinations.duckdb(str(tmp_path / "warehouse.duckdb")))
    _compare(SOUND, dlts, ours)
    assert set(ours.endings) == {"ok"}


def test_cases_are_loaded_into_postgres_like_dlt_does(postgres_url, tmp_path, monkeypatch):
    with page_by_page(monkeypatch, few=4):
        dlts, ours = both(tmp_path, loads(ON_POSTGRES), postgres(postgres_url))
    _compare(ON_POSTGRES, dlts, ours)
    assert set(ours.endings) == {"ok"}


def test_cases_are_loaded_into_bigquery_like_dlt_does(project: Project, tmp_path, monkeypatch):
    for name, value in project.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("dlt.destinations.impl.bigquery.bigquery.sleep", lambda seconds: None)
    with page_by_page(monkeypatch, few=4):
        dlts, ours = both(tmp_path, loads(ON_BIGQUERY), bigquery(destination_name="warehouse"))
    _compare(ON_BIGQUERY, dlts, ours)
    assert set(ours.endings) == {"ok"}


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
