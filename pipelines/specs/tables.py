"""Which table each resource writes, and where two would write one: their rows would mix without a word."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from dlt.common.schema import Schema
from dlt.extract import DltSource

from pipelines.specs.spec import Spec

Written = list[tuple[str, str]]
"""Resources and their tables, named as in the destination, in the order of the source."""


def of_source(source: DltSource) -> Written:
    """The tables of a source, without those whose name depends on the row."""
    name = source.schema.naming.normalize_tables_path
    return [(r.name, name(r.table_name)) for r in source.resources.values() if isinstance(r.table_name, str)]


def of_rest(rest: dict[str, Any]) -> Written:
    """The tables of a config under `rest:`; needs none of its secrets."""
    name = Schema("tables").naming.normalize_tables_path
    defaults = rest.get("resource_defaults", {})
    resources = [{"name": r} if isinstance(r, str) else {**defaults, **r} for r in rest["resources"]]
    return [(r["name"], name(r.get("table_name", r["name"]))) for r in resources]


def of_files(spec: Spec) -> Written:
    """The tables of receipts and failures."""
    blocks = {name: hints.files for name, hints in spec.resources.items() if hints.files}
    return [(f"files of {name}", table) for name, block in blocks.items() for table in (block.table, block.failures)]


def clashes(written: Written) -> Iterator[tuple[int, int, str]]:
    """Two resources by position and the table that both would write, be it a list nested in the rows of one."""
    for (first, (_, one)), (second, (_, other)) in combinations(enumerate(written), 2):
        if one == other or one.startswith(f"{other}__") or other.startswith(f"{one}__"):
            yield first, second, max(one, other, key=len)
