"""What dlt knows of the types of a dictionary, once it is read no more than once."""

from __future__ import annotations

import pytest
from dlt.common import validation
from dlt.common.exceptions import DictValidationException
from dlt.common.schema.typing import TColumnSchema

from pipelines import type_hints


def test_dlt_validates_as_before_and_reads_the_types_once(monkeypatch):
    read = []
    monkeypatch.setattr(type_hints, "STOCK", lambda spec, globalns: read.append(spec) or {"name": str})
    monkeypatch.setattr(validation, type_hints.NAME, None)
    type_hints._hints.cache_clear()
    type_hints.remember()
    for _ in range(2):
        validation.validate_dict(TColumnSchema, {"name": "id"}, ".")
        with pytest.raises(DictValidationException, match="unexpected"):
            validation.validate_dict(TColumnSchema, {"nam": "id"}, ".")
    type_hints._hints.cache_clear()
    assert read == [TColumnSchema]
