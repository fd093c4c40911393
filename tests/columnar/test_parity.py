"""Every semantic case comes out of the columnar normaliser as it comes out of dlt's own; merges: test_warehouse."""

from __future__ import annotations

import pytest

from tests.columnar.cases import CASES, Case, loads
from tests.columnar.parity import Outcome, both, page_by_page

SOUND = {f"t{number}": case for number, case in enumerate(CASES) if not case.is_merged and not case.fails}
FAILING = [case for case in CASES if not case.is_merged and case.fails]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> tuple[Outcome, Outcome]:
    """dlt's and ours of all sound cases, side by side in one pipeline."""
    with pytest.MonkeyPatch.context() as patch, page_by_page(patch, few=4):
        return both(tmp_path_factory.mktemp("parity"), loads(SOUND))


@pytest.mark.parametrize("table", SOUND, ids=lambda table: SOUND[table].name)
def test_a_case_is_normalised_like_dlt_does(table: str, outcomes):
    dlts, ours = (outcome.of(table) for outcome in outcomes)
    assert ours.endings == ["ok"] * len(ours.endings)
    assert ours.differences(dlts) == []
    assert ours.taken[SOUND[table].gear], ours.taken


@pytest.mark.parametrize("case", FAILING, ids=str)
def test_a_case_fails_like_dlt_does(case: Case, tmp_path, monkeypatch):
    with page_by_page(monkeypatch, few=4):
        dlts, ours = both(tmp_path, loads({"t": case}))
    assert set(dlts.endings) != {"ok"}
    assert ours.differences(dlts) == []
    assert ours.taken[case.gear], ours.taken
