"""Tables out of rows: every column of the schema, and the columns that link a nested row to its parent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from dlt.common.normalizers.json.helpers import get_nested_row_hash, get_row_hash
from dlt.common.normalizers.utils import DLT_ID_LENGTH_BYTES

from pipelines.columnar.fit import Fitter
from pipelines.columnar.plan import Plan
from pipelines.columnar.rules import Rules
from pipelines.columnar.shape import Path
from pipelines.columnar.surprise import Surprise

ALPHABET = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)
ID_LETTERS = -(-DLT_ID_LENGTH_BYTES * 8 // 6)


class Rows(Protocol):
    """What both fast gears offer."""

    size: int

    def fit(self, fitter: Fitter, column: str, at: Path) -> dict[str, pa.Array]: ...
    def raw(self, at: Path) -> list[Any]: ...
    def below(self, at: Path, child: Plan) -> tuple[Any, Rows]: ...


Cut = tuple[Plan, pa.Table]


@dataclass(frozen=True)
class Identity:
    """The ids of the rows of a table, and of their root rows where nested rows carry those.

    Hashed ids of root rows make hashed ids of nested ones; below random ids nobody can tell, so they are random, too.
    """

    rows: pa.Array
    roots: pa.Array | None
    is_hashed: bool


class Cutter:
    """Cuts rows into tables for one load."""

    def __init__(self, rules: Rules, load_id: str) -> None:
        self._rules, self._fitter, self._load_id = rules, Fitter(rules), load_id

    def cut(self, plan: Plan, rows: Rows) -> list[Cut]:
        """The tables of a page, parents first; raises one of `MISFIT` before anything is written."""
        identity = self._roots(plan, rows)
        loaded = pa.repeat(pa.scalar(self._load_id), rows.size)
        tables: list[Cut] = []
        self._cut(plan, rows, identity, {self._rules.load_id: loaded}, tables)
        return tables

    def _roots(self, plan: Plan, rows: Rows) -> Identity:
        key = self._rules.primary_key(plan.table)
        ids = random_ids(rows.size) if key is None else self._hashed(plan, rows, key)
        return Identity(ids, ids if self._rules.hands_down_ids(plan.table) else None, key is not None)

    def _hashed(self, plan: Plan, rows: Rows, key: list[str]) -> pa.Array:
        if not set(key) <= plan.leaves.keys():
            raise Surprise(f"{plan.table}: rows without a key")
        parts = [rows.raw(plan.leaves[column]) for column in key]
        if any(value is None for values in parts for value in values):
            raise Surprise(f"{plan.table}: null in a key")
        hashed = [get_row_hash(dict(zip(key, values, strict=True)), key) for values in zip(*parts, strict=True)]
        return pa.array(hashed, pa.string())

    def _cut(
        self, plan: Plan, rows: Rows, identity: Identity, links: dict[str, pa.Array],
        tables: list[Cut],
    ) -> None:  # fmt: skip
        tables.append((plan, self._table(plan, rows, {**links, self._rules.row_id: identity.rows})))
        for at, child in plan.lists:
            lengths, elements = rows.below(at, child)
            if elements.size:
                self._cut_nested(child, elements, identity, lengths, tables)

    def _cut_nested(self, plan: Plan, rows: Rows, parents: Identity, lengths: Any, tables: list[Cut]) -> None:
        owners = pa.array(np.repeat(np.arange(len(lengths)), lengths))
        index = np.arange(rows.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        parent = parents.rows.take(owners)
        roots = None if parents.roots is None else parents.roots.take(owners)
        links = {self._rules.parent_id: parent, self._rules.list_index: pa.array(index, pa.int64())}
        if roots is not None:
            links[self._rules.root_id] = roots
        ids = _nested_hashes(parent, plan.table, index) if parents.is_hashed else random_ids(rows.size)
        self._cut(plan, rows, Identity(ids, roots, parents.is_hashed), links, tables)

    def _table(self, plan: Plan, rows: Rows, links: dict[str, pa.Array]) -> pa.Table:
        data = dict(links)
        for column, at in plan.leaves.items():
            fitted = rows.fit(self._fitter, column, at)
            if fitted.keys() & data.keys():
                raise Surprise(f"{plan.table}.{column}: a variant has the name of another column")
            data |= fitted
        if not data.keys() <= set(plan.schema.names):
            raise Surprise(f"{plan.table}: a column that is not in the schema yet")
        return pa.table([_filled(data.get(f.name), f, rows.size) for f in plan.schema], schema=plan.schema)


def random_ids(count: int) -> pa.Array:
    """Ids like dlt's random ones, all at once: base64 letters, as many as dlt has."""
    letters = ALPHABET[np.frombuffer(os.urandom(count * ID_LETTERS), np.uint8) & 63]
    offsets = np.arange(0, ID_LETTERS * (count + 1), ID_LETTERS, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(letters))


def _nested_hashes(parents: pa.Array, table: str, index: Any) -> pa.Array:
    pairs = zip(parents.to_pylist(), index.tolist(), strict=True)
    return pa.array([get_nested_row_hash(parent, table, at) for parent, at in pairs], pa.string())


def _filled(values: pa.Array | None, field: pa.Field, size: int) -> pa.Array:
    if not field.nullable and (values is None or values.null_count):
        raise Surprise(f"{field.name}: may not be null")
    return pa.nulls(size, field.type) if values is None else values
