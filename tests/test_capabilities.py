"""A destination finds out once what it can do, and that is what dlt finds."""

from __future__ import annotations

from typing import Any

import dlt.destinations
import pytest
from dlt.common.destination import Destination, DestinationCapabilitiesContext
from dlt.common.normalizers.naming import snake_case, sql_cs_v1

from pipelines.configuration import OURS

NAMINGS = [None, snake_case.NamingConvention(), sql_cs_v1.NamingConvention()]


@pytest.mark.parametrize("kind", OURS)
def test_it_is_found_once_for_each_way_of_naming(kind, monkeypatch):
    ours, dlts = Destination.from_reference(OURS[kind]), getattr(dlt.destinations, kind)()
    for _ in range(3):
        for naming in NAMINGS:
            assert _told(ours.capabilities(naming=naming)) == _told(dlts.capabilities(naming=naming))
        monkeypatch.setattr(type(ours), "_raw_capabilities", lambda self: pytest.fail("found again"))


@pytest.mark.parametrize("kind", OURS)
def test_what_a_pipeline_writes_into_it_stays_there(kind):
    ours = Destination.from_reference(OURS[kind])
    ours.capabilities().preferred_loader_file_format = "of one pipeline"
    assert ours.capabilities().preferred_loader_file_format != "of one pipeline"


def test_settings_act():
    ours = Destination.from_reference(OURS["bigquery"])
    config = ours.spec(credentials=ours.spec.credentials_type()())
    config.should_set_case_sensitivity_on_new_dataset, config.has_case_sensitive_identifiers = True, False
    assert ours.capabilities().has_case_sensitive_identifiers
    assert not ours.capabilities(config).has_case_sensitive_identifiers


def _told(capabilities: DestinationCapabilitiesContext) -> dict[str, Any]:
    """All but what cannot be compared, and BigQuery's types, which are ours."""
    return {k: v for k, v in capabilities.items() if k not in ("loader_file_format_selector", "type_mapper")}
