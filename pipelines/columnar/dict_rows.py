"""The dicts gear: the same plan over parsed rows, column by column."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pyarrow as pa
from dlt.common.json import custom_pua_decode_nested

from pipelines.columnar.fit import Fitter
from pipelines.columnar.plan import Plan, take_null
from pipelines.columnar.rules import Rules
from pipelines.columnar.shape import Path, Shape
from pipelines.columnar.surprise import Surprise

CONTAINERS = {dict, list}


class DictRows:
    """The rows of one table; `at` has a list of values for every place in them.

    `has_objects`: some texts may be dates, decimals or bytes, which dlt marked when it wrote them as JSON.
    """

    def __init__(self, records: list[Any], plan: Plan, rules: Rules, has_objects: bool) -> None:
        if any(type(record) is not dict for record in records):
            raise Surprise(f"{plan.table}: not a record")
        self.size, self._plan, self._rules, self._has_objects = len(records), plan, rules, has_objects
        self._at: dict[Path, list[Any]] = {}
        self._read(records, plan.shape, ())

    def _read(self, records: list[Any], shape: Shape, path: Path) -> None:
        for key in _keys(records):
            at, known = (*path, key), (shape.keys or {}).get(key)
            values = [record.get(key) if type(record) is dict else None for record in records]
            kinds = set(map(type, values)) - {type(None)}
            self._at[at] = values
            if at in self._plan.dropped:
                continue
            if not kinds:
                take_null(self._plan, at, self._rules)
            elif known is None or at in self._plan.unplaced or self._is_new(values, kinds, known, at):
                raise Surprise(f"{self._plan.table}: {'.'.join(at)} is new")
            elif dict in kinds and at not in self._plan.whole:
                self._read(values, known, at)

    def _is_new(self, values: list[Any], kinds: set[type], known: Shape, at: Path) -> bool:
        if at in self._plan.whole:
            return False
        return not known.has(kinds) or (at in self._plan.empty and any(type(v) is list and v for v in values))

    def fit(self, fitter: Fitter, column: str, at: Path) -> dict[str, pa.Array]:
        """The values of a place in the types of its column and the variants of it."""
        if at not in self._at:
            return {}
        values = self.raw(at)
        if self._has_objects:
            values = [custom_pua_decode_nested(deepcopy(value)) for value in values]
        return fitter.values(values, column, self._plan.columns)

    def raw(self, at: Path) -> list[Any]:
        """The values as JSON has them, without the objects and lists that go elsewhere."""
        values = self._at.get(at, [None] * self.size)
        if at in self._plan.whole:
            return values
        return [None if type(value) in CONTAINERS else value for value in values]

    def below(self, at: Path, child: Plan) -> tuple[Any, DictRows]:
        """How many elements each row has in a list, and the elements as records."""
        lists = [value if type(value) is list else () for value in self._at.get(at, [None] * self.size)]
        records = [_record(element) for elements in lists for element in elements]
        lengths = np.array([len(elements) for elements in lists], np.int64)
        return lengths, DictRows(records, child, self._rules, self._has_objects)


def _keys(records: list[Any]) -> dict[str, None]:
    """Every key, in the order of its first record."""
    found: dict[str, None] = {}
    for record in records:
        if type(record) is dict:
            found.update(dict.fromkeys(record))
    return found


def _record(element: Any) -> dict[str, Any]:
    if type(element) is dict:
        return element
    return {"list" if type(element) is list else "value": element}
