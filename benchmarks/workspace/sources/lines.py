"""Nested records, a line of JSON each, that nobody parses on the way."""

from __future__ import annotations

from pathlib import Path

import dlt
from dlt.extract import DltResource

from sources.kit.json_lines import json_lines


@dlt.source(name="lines", section="lines")
def lines(jsonl_path: str = dlt.config.value) -> DltResource:
    """The records of a file, in pages of raw lines."""
    return dlt.resource(json_lines(Path(jsonl_path)), name="records", primary_key="id", write_disposition="append")
