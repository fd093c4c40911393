"""Every spec of this repository against every promise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipelines.specs import spec as specs
from tests.conformance import PROMISES, Promise
from tests.subject import Subject
from tests.workspace import REPOSITORY

SPECS = specs.names(REPOSITORY)
ON_POSTGRES = ("chess", "recordings")
FLEET = [(name, "duckdb") for name in SPECS] + [(name, "postgres") for name in ON_POSTGRES]
WAIVERS = {
    ("halo_legacy", "raw_files_lead_to_the_same_rows"): "a rebuild would drop the tables of spnkr, and is refused",
    ("recordings", "tells_its_docs"): "the lists come from a vendor's export that no page describes",
}


@pytest.fixture(scope="module", params=FLEET, ids="-".join)
def subject(request, tmp_path_factory) -> Iterator[Subject]:
    name, kind = request.param
    server = request.getfixturevalue("postgres_server") if kind == "postgres" else None
    with Subject(name, tmp_path_factory.mktemp(f"{name} on {kind}"), server=server) as under_test:
        yield under_test


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_a_spec_keeps_its_promise(subject: Subject, promise: Promise, request):
    if reason := WAIVERS.get((subject.name, promise.__name__)):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError))
    subject.reset()
    promise(subject)


def test_there_is_a_fleet():
    assert set(ON_POSTGRES) <= set(SPECS)


def test_waivers_name_specs_and_promises_there_are():
    known = {(name, promise.__name__) for name in SPECS for promise in PROMISES}
    assert set(WAIVERS) <= known
