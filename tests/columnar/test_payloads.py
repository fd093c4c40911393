"""Every recorded payload comes out of the columnar normaliser as it comes out of dlt's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.columnar.parity import Page, both, page_by_page

FOLDERS = ("chess", "errors", "garmin", "halo", "ingest_api", "landing", "spinoco", "spotify")


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_recorded_payloads_are_normalised_like_dlt_does(folder: str, payloads: Path, tmp_path, monkeypatch):
    recorded = {_table(file): [_records(file)] * 3 for file in _files(payloads / folder)}
    assert recorded, f"no payload in {folder}"
    with page_by_page(monkeypatch, few=4):
        dlts, ours = both(tmp_path, [{name: (pages, {}) for name, pages in recorded.items() if pages[0]}])
    assert ours.differences(dlts) == []
    assert ours.endings == ["ok"]
    assert ours.taken["arrow"] + ours.taken["dicts"] > ours.taken["rows"], ours.taken


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
