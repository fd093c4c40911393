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


def parse(page: bytes, plan: Plan, rules: Rules, has_objects: bool) -> ArrowRows:
    """A page, a JSON list of records, read with the types of the plan and no guess; `has_objects`: see `DictRows`."""
    if plan.kind is None:
        raise Surprise(f"{plan.table}: not for Arrow")
    document = pj.read_json(
        pa.BufferReader(b'{"rows":' + page + b"}"),
        pj.ReadOptions(block_size=len(page) + 64, use_threads=False),
        pj.ParseOptions(explicit_schema=pa.schema([("rows", pa.list_(plan.kind))]), unexpected_field_behavior="infer"),
    )
    records = document["rows"].combine_chunks().flatten()
    if records.null_count:
        raise Surprise(f"{plan.table}: null in the place of a record")
    return ArrowRows(records, plan, rules, has_objects)


class ArrowRows:
    """The rows of one table; `at` has an array for every place in them."""

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
                self._check_unplanned(field.type, at)
            elif pt.is_struct(field.type):
                self._read(values, kinds[field.name], at)

    def _check_unplanned(self, kind: pa.DataType, at: Path) -> None:
        """Arrow found a key that the plan lacks: harmless while it holds only nulls, or is dropped anyway."""
        if at in self._plan.dropped:
            return
        if not pt.is_null(kind):
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
