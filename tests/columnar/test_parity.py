"""Every semantic case comes out of the columnar normaliser as it comes out of dlt's own; merges: test_warehouse."""

from __future__ import annotations

import pytest

from tests.columnar.cases import CASES, GROUPS, Case, loads, unlike
from tests.columnar.parity import both, page_by_page

SOUND = {group: [case for case in cases if not case.is_merged and not case.fails] for group, cases in GROUPS.items()}
FAILING = [case for case in CASES if not case.is_merged and case.fails]


@pytest.mark.parametrize("group", SOUND)
def test_sound_cases_are_normalised_like_dlt_does(group: str, tmp_path, monkeypatch):
    cases = {f"t{number}": case for number, case in enumerate(SOUND[group])}
    with page_by_page(monkeypatch, few=4):
        dlts, ours = both(tmp_path, loads(cases))
    assert unlike(cases, dlts, ours) == {}
    assert set(ours.endings) == {"ok"}


@pytest.mark.parametrize("case", FAILING, ids=str)
def test_a_case_fails_like_dlt_does(case: Case, tmp_path, monkeypatch):
    with page_by_page(monkeypatch, few=4):
        dlts, ours = both(tmp_path, loads({"t": case}))
    assert ours.differences(dlts) == []
    assert ours.taken[case.gear], ours.taken
    assert set(dlts.endings) != {"ok"}
