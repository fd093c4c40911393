"""Every spec of this repository against every promise.

Of specs with many tables some stand for all, and of the promises those that depend on the source; on Postgres those
that depend on the warehouse. `ETL_CONFORMANCE=whole` asks for the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pipelines.specs import spec as specs
from tests import conformance
from tests.conformance import OF_A_SOURCE, PROMISES, Promise
from tests.subject import Subject
from tests.workspace import REPOSITORY

SPECS = specs.names(REPOSITORY)
ON_POSTGRES = ("chess", "recordings")
FLEET = [(name, "duckdb") for name in SPECS] + [(name, "postgres") for name in ON_POSTGRES]
WHOLE = os.environ.get("ETL_CONFORMANCE") == "whole"
SAMPLES = {
    "garmin": ("stress", "stress_samples", "activity_splits"),
    "halo": ("medal_labels", "medal_icons", "career_ranks"),
    "halo_legacy": ("match_stats", "aliases"),
    "spnkr": ("match_stats", "aliases"),
    "spotify": ("recently_played", "saved_tracks"),
}
OF_A_SAMPLE = (
    conformance.tells_its_docs,
    conformance.builds_without_network,
    conformance.every_resource_has_a_key,
    conformance.first_run_loads_rows_into_every_resource,
    conformance.second_run_changes_nothing,
    conformance.next_day_adds_only_what_is_new,
    conformance.keys_are_unique_and_never_null,
    conformance.a_late_partition_gets_its_history,
    conformance.a_failed_run_can_be_repeated,
    conformance.raw_files_lead_to_the_same_rows,
    conformance.timestamps_are_utc,
)
OF_A_RUN = (
    conformance.a_late_partition_gets_its_history,
    conformance.limit_never_loses_rows,
    conformance.select_never_loses_rows,
    conformance.a_window_moves_no_cursor,
    conformance.no_secret_in_output,
)
WAIVERS = {
    ("halo_legacy", "raw_files_lead_to_the_same_rows"): "a rebuild would drop the tables of spnkr, and is refused",
    ("recordings", "tells_its_docs"): "the lists come from a vendor's export that no page describes",
    ("spnkr", "duplicate_page_adds_no_row"): "answers are kept as they came, with what they say twice",
    ("spnkr", "drift_loses_no_row"): "the events of a film are in a file: where none is named, it is told and no row",
}


@pytest.fixture(scope="module", params=FLEET, ids="-".join)
def subject(request, tmp_path_factory) -> Iterator[Subject]:
    name, kind = request.param
    server = request.getfixturevalue("postgres_server") if kind == "postgres" else None
    sample = () if WHOLE else SAMPLES.get(name, ())
    with Subject(name, tmp_path_factory.mktemp(f"{name} on {kind}"), server=server, sample=sample) as under_test:
        yield under_test


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_a_spec_keeps_its_promise(subject: Subject, promise: Promise, request):
    if reason := WAIVERS.get((subject.name, promise.__name__)):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError))
    if subject.env == "pg" and promise in OF_A_SOURCE:
        pytest.skip(f"{subject.name} keeps this on DuckDB, and it is the same on any warehouse")
    if subject.env == "pg" and promise in OF_A_RUN and not WHOLE:
        pytest.skip(f"{subject.name} keeps this on DuckDB; ETL_CONFORMANCE=whole asks for it here, too")
    if subject.select and promise not in OF_A_SAMPLE:
        pytest.skip(f"{subject.name} has many tables; ETL_CONFORMANCE=whole asks for this, too")
    subject.reset()
    promise(subject)


def test_there_is_a_fleet():
    assert {*ON_POSTGRES, *SAMPLES} <= set(SPECS)


def test_waivers_name_specs_and_promises_there_are():
    known = {(name, promise.__name__) for name in SPECS for promise in PROMISES}
    assert set(WAIVERS) <= known
