"""Any JSON at all comes out of the columnar normaliser as it comes out of dlt's own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.columnar.parity import both, page_by_page

KEYS = st.sampled_from(["a", "b", "c", "aB", "a b", "value", "list", "a__b", "d"])
INTEGERS = st.integers(-3, 3) | st.just(2**60)
DOUBLES = st.sampled_from([0.5, -1e15, 1e-300, 0.1 + 0.2, 1, -0.0])
STAMPS = st.sampled_from(["2024-05-01T10:00:00Z", "2024-05-01T10:00:00.1234567+02:00", "1969-12-31T23:59:59.9-03:30"])
TEXTS = st.sampled_from(["", "x", "7", "1.5", "true", "2024-05-01", "2024-05-01 10:00:00", "é\n", "\u0000"]) | STAMPS
SCALARS = st.none() | st.booleans() | INTEGERS | DOUBLES | TEXTS
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
PLAIN = st.sampled_from([INTEGERS, DOUBLES, st.booleans(), STAMPS, st.sampled_from(["", "x", "é\n"])])


def lists_or_structs(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Strategies for values of one shape, out of those for the values inside."""
    records = st.dictionaries(KEYS, inner, min_size=1, max_size=3).map(_record_of)
    return records | (inner | records).map(lambda element: st.lists(element, max_size=3))


def _record_of(fields: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={key: value | st.none() for key, value in fields.items()})


@st.composite
def pages(draw: st.DrawFn) -> list[list[dict[str, Any]]]:
    """Pages of records that look like each other, as those of an API do, but for a few."""
    fields = draw(st.dictionaries(KEYS, st.recursive(PLAIN, lists_or_structs, max_leaves=3), min_size=1, max_size=4))
    usual, odd = _record_of(fields), st.dictionaries(KEYS, ANYTHING, max_size=3)
    count = draw(st.integers(2, 4))
    found = [draw(st.lists(usual, min_size=4, max_size=10)) for _ in range(count)]
    for page in draw(st.lists(st.sampled_from(found), max_size=2)):
        page[draw(st.integers(0, len(page) - 1))] = draw(odd)
    return [
        [{"id": 20 * number + row, **record} for row, record in enumerate(page)] for number, page in enumerate(found)
    ]


HINTS = [{}, {}, {"max_table_nesting": 0}, {"max_table_nesting": 1}, {"max_table_nesting": 2}, {
    "primary_key": "id", "write_disposition": {"disposition": "merge", "strategy": "upsert"}}]  # fmt: skip


@settings(max_examples=5, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(load=st.fixed_dictionaries({f"t{number}": st.tuples(pages(), st.sampled_from(HINTS)) for number in range(8)}))
def test_any_records_are_normalised_like_dlt_does(load):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch, page_by_page(patch, few=3):
        dlts, ours = both(Path(folder), [load])
    assert ours.differences(dlts) == []
