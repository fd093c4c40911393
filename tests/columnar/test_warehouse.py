"""What is loaded is the same at the destination: every case on Postgres and BigQuery, on DuckDB what loads decide.

The rest of DuckDB's is compared in the very files that are loaded, and what fails without a load there: test_parity.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import pytest

from pipelines.duckdb import duckdb
from tests.columnar.cases import CASES, GROUPS, Case, column, drawn, loads, unlike
from tests.columnar.parity import both, page_by_page, whole

KINDS = Case(
    "every type",
    [[drawn("", "x", None, n={"a": [1, ""]}, i=1, f=0.1, b=True, at="2024-05-01T10:00:00.123456+02:00",
            day="2024-05-01", time="10:00:00", money=1.25, bytes="aGFsbG8=", tags=["", "a"], many=[{"t": ""}])] * 2],
    column(n="json", day="date", time="time", bytes="binary",
           money={"data_type": "decimal", "precision": 9, "scale": 2}),
    "dicts",
)  # fmt: skip
SOUND = {group: [case for case in cases if not case.fails] for group, cases in (GROUPS | {"kinds": [KINDS]}).items()}
REFUSED = {
    "postgres": {
        "one table twice": "dlt gives two rows one id, and Postgres holds ids to be unique",
        "a key that is an object": "the same row twice in one load: Postgres holds ids to be unique",
        "edges of text": "Postgres has no character 0",
        "json column of texts": "dlt unwraps a text that is JSON",
    },
    "bigquery": {"json column of texts": "dlt unwraps a text that is JSON"},
}
MANY = {"postgres": ("evolution", "contracts"), "bigquery": ("merges", "types", "evolution", "contracts", "lists")}
FAILING = [case for case in CASES if case.is_merged and case.fails]  # what fails without a load: test_parity


@pytest.mark.parametrize(
    ("warehouse", "group"),
    [pytest.param(warehouse, group, marks=whole(group in MANY[warehouse])) for warehouse in REFUSED for group in SOUND],
)
def test_cases_are_loaded_like_dlt_does(warehouse: str, group: str, request, tmp_path, monkeypatch):
    accepted = [case for case in SOUND[group] if case.name not in REFUSED[warehouse]]
    _compare(accepted, request.getfixturevalue(f"on_{warehouse}"), tmp_path, monkeypatch)


def test_merges_are_loaded_into_duckdb_like_dlt_does(tmp_path, monkeypatch):
    merges = [case for case in CASES if case.is_merged and not case.fails]
    _compare([*merges, KINDS], _duckdb(tmp_path), tmp_path, monkeypatch, own=duckdb(str(tmp_path / "ours.duckdb")))


@pytest.mark.parametrize(("warehouse", "name"), [(where, name) for where, names in REFUSED.items() for name in names])
def test_what_a_warehouse_refuses_fails_like_dlt_does(warehouse: str, name: str, request, tmp_path, monkeypatch):
    monkeypatch.setenv("LOAD__RAISE_ON_MAX_RETRIES", "1")
    case = next(case for case in CASES if case.name == name)
    _compare_failure(case, request.getfixturevalue(f"on_{warehouse}"), tmp_path, monkeypatch)


@pytest.mark.parametrize("case", FAILING, ids=str)
def test_a_case_fails_like_dlt_does(case: Case, tmp_path, monkeypatch):
    _compare_failure(case, _duckdb(tmp_path), tmp_path, monkeypatch, own=duckdb(str(tmp_path / "ours.duckdb")))


def test_several_workers_make_the_same_tables_and_count_their_gears(tmp_path, monkeypatch):
    monkeypatch.setenv("NORMALIZE__WORKERS", "2")
    monkeypatch.setenv("SOURCES__DATA_WRITER__FILE_MAX_ITEMS", "100")
    upsert = next(case for case in CASES if case.name == "merge upsert")
    pages = {"t": Case(upsert.name, [[*load * 3] for load in upsert.loads[:2]], upsert.hints)}
    with page_by_page(monkeypatch, few=4):
        dlts, ours = both(tmp_path, loads(pages), _duckdb(tmp_path), duckdb(str(tmp_path / "ours.duckdb")))
    assert ours.differences(dlts) == []
    assert ours.taken["arrow"] > ours.taken["rows"] > 0, ours.gears


def _duckdb(folder: Path) -> Any:
    return dlt.destinations.duckdb(str(folder / "warehouse.duckdb"))


def _compare(
    cases: list[Case], destination: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, own: Any = None
) -> None:
    named = {f"t{number}": case for number, case in enumerate(cases)}
    with page_by_page(monkeypatch, few=4):
        dlts, ours = both(folder, loads(named), destination, own)
    assert unlike(named, dlts, ours) == {}
    assert set(ours.endings) == {"ok"}
    assert [case.name for table, case in named.items() if not ours.trees.get(table)] == [], "nothing was loaded"


def _compare_failure(
    case: Case, destination: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, own: Any = None
) -> None:
    with page_by_page(monkeypatch, few=4):
        dlts, ours = both(folder, loads({"t": case}), destination, own)
    assert set(dlts.endings) != {"ok"}
    assert unlike({"t": case}, dlts, ours) == {}
