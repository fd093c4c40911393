"""Every spec of this repository against every promise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipelines.specs import spec as specs
from tests.conformance import OF_A_SOURCE, OF_ANY_RESOURCE, PROMISES, Promise
from tests.subject import Subject
from tests.workspace import REPOSITORY

SPECS = specs.names(REPOSITORY)
ON_POSTGRES = ("chess", "recordings")
FLEET = [(name, "duckdb") for name in SPECS] + [(name, "postgres") for name in ON_POSTGRES]
WAIVERS = {
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
    if subject.env == "pg" and promise in OF_A_SOURCE:
        pytest.skip(f"{subject.name} keeps this on DuckDB, and it is the same on any warehouse")
    asked = subject.narrow if promise in OF_ANY_RESOURCE else subject
    asked.reset()
    promise(asked)


def test_of_many_resources_a_few_are_asked(tmp_path, monkeypatch):
    monkeypatch.delenv("ETL_CONFORMANCE", raising=False)
    monkeypatch.setattr("tests.subject.MANY", 2)
    monkeypatch.setattr("tests.subject.FEW", 2)
    with Subject("chess", tmp_path) as whole:
        assert whole.narrow.resources == whole.resources[::3]
        assert {table.split("__")[0] for table in whole.narrow.full()} == set(whole.resources[::3])
        monkeypatch.setenv("ETL_CONFORMANCE", "whole")
        with Subject("chess", tmp_path / "another") as another:
            assert another.narrow is another


def test_there_is_a_fleet():
    assert set(ON_POSTGRES) <= set(SPECS)


def test_waivers_name_specs_and_promises_there_are():
    known = {(name, promise.__name__) for name in SPECS for promise in PROMISES}
    assert set(WAIVERS) <= known
