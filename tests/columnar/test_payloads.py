"""Every recorded payload comes out of the columnar normaliser as it comes out of dlt's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.columnar.parity import Page, Pages, both, page_by_page, whole

FOLDERS = ("chess", "errors", "garmin", "halo", "ingest_api", "landing", "spinoco", "spotify")
SMALL = ("chess", "errors", "landing")
TOO_WIDE = {"responses_endpoints": "halo"}  # by folder: a row with more columns than fit into a page of Postgres


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_recorded_payloads_are_normalised_like_dlt_does(folder: str, payloads: Path, tmp_path, monkeypatch):
    _compare(_recorded(payloads / folder), None, tmp_path, monkeypatch)


@pytest.mark.parametrize("folder", [pytest.param(name, marks=whole(name not in SMALL)) for name in FOLDERS])
@pytest.mark.parametrize("warehouse", ["postgres", "bigquery"])
def test_the_recorded_payloads_are_loaded_like_dlt_does(
    warehouse: str, folder: str, payloads: Path, request, tmp_path, monkeypatch
):
    recorded, destination = _recorded(payloads / folder), request.getfixturevalue(f"on_{warehouse}")
    if warehouse == "postgres":
        recorded = {table: pages for table, pages in recorded.items() if table not in TOO_WIDE}
    _compare(recorded, destination, tmp_path, monkeypatch)


@pytest.mark.parametrize("table", [pytest.param(name, marks=whole()) for name in TOO_WIDE])
def test_what_postgres_refuses_fails_like_dlt_does(table: str, payloads: Path, on_postgres, tmp_path, monkeypatch):
    monkeypatch.setenv("LOAD__RAISE_ON_MAX_RETRIES", "1")
    found = _recorded(payloads / TOO_WIDE[table])
    with page_by_page(monkeypatch, few=4):
        dlts, ours = both(tmp_path, [{table: (found[table], {})}], on_postgres)
    assert ours.differences(dlts) == []
    assert ours.endings == ["OperationalError"]


def _compare(recorded: dict[str, Pages], destination: Any, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with page_by_page(monkeypatch, few=4):
        dlts, ours = both(into, [{table: (pages, {}) for table, pages in recorded.items()}], destination)
    assert ours.differences(dlts) == []
    assert ours.endings == ["ok"]
    assert ours.taken["arrow"] + ours.taken["dicts"] > ours.taken["rows"], ours.taken


def _recorded(folder: Path) -> dict[str, Pages]:
    """Three times the same page for every payload, which becomes a table."""
    found = {_table(file): [_records(file)] * 3 for file in _files(folder)}
    assert found, f"no payload in {folder}"
    return {table: pages for table, pages in found.items() if pages[0]}


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.json*") if file.is_file())


def _table(file: Path) -> str:
    return "_".join((*file.parts[-2:-1], file.stem)).replace("-", "_")


def _records(file: Path) -> Page:
    """A payload as a page: its list, the one list of records inside it, or itself; long ones are cut."""
    text = file.read_text(encoding="utf-8")
    content: Any = [json.loads(line) for line in text.splitlines()] if file.suffix == ".jsonl" else json.loads(text)
    found = content if isinstance(content, list) else [content]
    return [record for record in found if isinstance(record, dict)][:40]
