"""The arrow gear: a page of JSON as one Arrow array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.types as pt

from pipelines.columnar.fit import Fitter
from pipelines.columnar.plan import Plan, take_null
from pipelines.columnar.rules import Rules
from pipelines.columnar.shape import Path
from pipelines.columnar.surprise import Surprise
from pipelines.parsed_pages import ParsedPages


def read(page: bytes, plan: Plan, parsed_pages: ParsedPages | None) -> pa.Array:
    """A page, a JSON list of records, read with the types of the plan and no guess, now or when it was looked at."""
    if plan.kind is None:
        raise Surprise(f"{plan.table}: not for Arrow")
    records = parsed_pages.find(page) if parsed_pages else None
    return records if records is not None and _is_as(records.type, plan.kind) else _parsed(page, plan)


def _is_as(found: pa.DataType, planned: pa.DataType) -> bool:
    """Whether all that is planned was read as it would be now."""
    if pt.is_struct(planned) and pt.is_struct(found):
        kinds = {field.name: field.type for field in planned}
        return all(field.name not in kinds or _is_as(field.type, kinds[field.name]) for field in found)
    if pt.is_list(planned) and pt.is_list(found):
        return _is_as(found.value_type, planned.value_type)
    return bool(found == planned)


def _parsed(page: bytes, plan: Plan) -> pa.Array:
    document = pj.read_json(
        pa.BufferReader(b'{"rows":' + page + b"}"),
        pj.ReadOptions(block_size=len(page) + 64, use_threads=False),
        pj.ParseOptions(explicit_schema=pa.schema([("rows", pa.list_(plan.kind))]), unexpected_field_behavior="infer"),
    )
    records = document["rows"].combine_chunks().flatten()
    if records.null_count:
        raise Surprise(f"{plan.table}: null in the place of a record")
    return records


class ArrowRows:
    """The rows of one table; `at` has an array for every place in them; `has_objects`: see `DictRows`."""

    def __init__(self, records: pa.Array, plan: Plan, rules: Rules, has_objects: bool) -> None:
        self.size, self._plan, self._rules, self._has_objects = len(records), plan, rules, has_objects
        self._at: dict[Path, pa.Array] = {}
        if pt.is_struct(records.type):
            self._read(records, plan.kind, ())
        else:
            self._at[("list",) if pt.is_list(records.type) else ("value",)] = records
        for path in plan.empty & self._at.keys():
            if len(self._at[path].flatten()):
                raise Surprise(f"{plan.table}: a list that used to be empty")

    def _read(self, found: pa.StructArray, planned: pa.DataType, path: Path) -> None:
        kinds = {field.name: field.type for field in planned}
        for field, values in zip(found.type, found.flatten(), strict=True):
            at = (*path, field.name)
            self._at[at] = values
            if field.name not in kinds:
                self._check_unplanned(values, at)
            elif pt.is_struct(field.type):
                self._read(values, kinds[field.name], at)

    def _check_unplanned(self, values: pa.Array, at: Path) -> None:
        """Arrow found a key that the plan lacks: harmless while it holds only nulls, or is dropped anyway."""
        if at in self._plan.dropped:
            return
        if values.null_count < len(values):
            raise Surprise(f"{self._plan.table}: {'.'.join(at)} is new")
        take_null(self._plan, at, self._rules)

    def fit(self, fitter: Fitter, column: str, at: Path) -> dict[str, pa.Array]:
        """The values of a place in the type of its column; there are no variants in this gear."""
        if at not in self._at:
            return {}
        fitted = fitter.marked if self._has_objects else fitter.array
        return {column: fitted(self._at[at], self._plan.columns[column])}

    def raw(self, at: Path) -> list[Any]:
        """The values as JSON has them; of a double nobody can tell any more whether it was an integer."""
        if pt.is_floating(self._at[at].type):
            raise Surprise(f"{self._plan.table}: a number with a fraction in a key")
        return list(self._at[at].to_pylist())

    def below(self, at: Path, child: Plan) -> tuple[Any, ArrowRows]:
        """How many elements each row has in a list, and the elements."""
        lists = self._at[at]
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        return lengths.astype(np.int64), ArrowRows(lists.flatten(), child, self._rules, self._has_objects)
