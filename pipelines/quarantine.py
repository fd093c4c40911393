"""Rows that must not be loaded: taken out of the stream, spooled to disk, written to `_etl.quarantine`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from dlt.common.data_types import py_type_to_sc_type
from dlt.common.data_types.type_helpers import coerce_value
from dlt.common.json import json as dlt_json
from dlt.common.normalizers.naming import NamingConvention
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableSchemaColumns
from dlt.extract import DltResource, DltSource
from dlt.extract.incremental import Incremental, IncrementalResourceWrapper
from dlt.extract.items_transform import ItemTransform

from pipelines.cursors import own_cursor
from pipelines.storable import Storable

MISSING = "is missing or null, and must not be"
NOTICE = "_etl_notice"  # the mark of sources.kit.notices
SCALARS = (str, int, float, bool)


@dataclass(frozen=True)
class Rejection:
    """One row in quarantine; `id` is its content, so that a repeated run writes it once."""

    spec: str
    resource: str
    reason: str
    place: str
    payload: str

    @property
    def id(self) -> str:
        parts = (self.spec, self.resource, self.reason, self.place, self.payload)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@dataclass
class Intake:
    """What a run set aside while it read: rejections on disk, failed items and warnings in memory."""

    spec: str
    spool: Path
    rejected: dict[str, int] = field(default_factory=dict)
    failed: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=dict)
    _file: TextIO | None = None
    _dirty: bool = False

    def reject(self, resource: str, row: Any, reason: str, place: str = "") -> None:
        """Spool one row; `flush` puts it on disk before the page it came from goes on."""
        rejection = Rejection(self.spec, resource, reason, place, _payload(row))
        if self._file is None:
            self.spool.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.spool.open("a", encoding="utf-8")
        self._file.write(json.dumps(vars(rejection), ensure_ascii=True) + "\n")
        self._dirty = True
        self.rejected[resource] = self.rejected.get(resource, 0) + 1

    def notice(self, resource: str, notice: dict[str, Any]) -> None:
        """Take in one notice of a source."""
        match notice[NOTICE]:
            case "rejected":
                self.reject(resource, notice["row"], notice["reason"], notice["where"])
            case "failed":
                self.failed.append({"resource": resource, "item": notice["item"], "reason": notice["reason"]})
            case "warning":
                if notice["message"] not in self.warnings:
                    self.warnings.append(notice["message"])
            case other:
                raise ValueError(f"{self.spec}.{resource}: unknown notice {other!r}; see sources.kit.notices")

    def flush(self) -> None:
        """Make what was rejected since the last call durable."""
        if self._file is not None and self._dirty:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._dirty = False

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def spooled(spool: Path) -> Iterator[Rejection]:
    """The rejections of a spool file; a last line cut by a crash is left out, its page was not loaded."""
    if not spool.exists():
        return
    with spool.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield Rejection(**json.loads(line))


def guard(source: DltSource, intake: Intake, limit: int | None, kind: str, known: Schema | None = None) -> None:
    """Put the intake before the cursor of every selected resource, and the row limit at its end.

    `kind` is the destination's: what it cannot hold is set aside, too. `known` is the schema of what is loaded.

    The cursor must not see a row that is set aside: a bad value could move it past rows not read yet.
    """
    for resource in source.resources.values():  # a parent that is not selected still feeds its children
        steps = resource._pipe.steps
        cursors = [at for at, step in enumerate(steps) if isinstance(step, (Incremental, IncrementalResourceWrapper))]
        intercept = Intercept(resource.name, intake, Declared.of(source, resource, known), kind)
        resource.add_step(intercept, insert_at=cursors[0] if cursors else len(steps))
        if resource.selected:
            resource.add_step(Counter(resource.name, intake, limit))


class Declared:
    """The declared columns of a resource: finds the first reason why a row may not be loaded."""

    def __init__(self, columns: TTableSchemaColumns, naming: NamingConvention) -> None:
        own = {name: column for name, column in columns.items() if not name.startswith("_dlt_")}
        self.types = {name: c["data_type"] for name, c in own.items() if c.get("data_type")}
        self.required = {name for name, c in own.items() if _required(c)}
        self._normalize = naming.normalize_identifier
        self._parents = {
            name.rsplit("__", depth)[0]
            for name in {*self.types, *self.required}
            for depth in range(1, name.count("__") + 1)
        }
        self._columns: dict[str, str] = {}
        self._taken: set[str] = {""}
        self._shared: set[str] = set()

    @classmethod
    def of(cls, source: DltSource, resource: DltResource, known: Schema | None = None) -> Declared:
        """What is declared, and for keys without a declared type the one they were loaded with."""
        if resource.name not in source.resources or _dynamic(resource):
            return cls({}, source.schema.naming)
        table = source.schema.clone()
        columns = resource.compute_table_schema().get("columns", {})
        named = {table.naming.normalize_path(name): column for name, column in columns.items()}
        declared = cls(named, table.naming)
        cursor = own_cursor(resource)
        if cursor is not None and cursor.on_cursor_value_missing == "raise" and cursor.cursor_path.isidentifier():
            declared.required.add(table.naming.normalize_identifier(cursor.cursor_path))
        loaded = _loaded_columns(resource, known)
        for name in declared.required - declared.types.keys():
            if "data_type" in loaded.get(name, {}):
                declared.types[name] = loaded[name]["data_type"]
        return declared

    def violation(self, row: dict[str, Any]) -> str | None:
        """Why the row breaks what was declared, or None."""
        if not self.types and not self.required:
            return None
        present: set[str] = set()
        reason = self._mistyped(row, "", present)
        if reason:
            return reason
        missing = self.required - present
        return f"{min(missing)}: {MISSING}" if missing else None

    def collision(self, row: dict[str, Any]) -> str | None:
        """Two keys of the row that name one column, of which dlt would keep one value, or None."""
        if not row.keys() <= self._columns.keys():
            for key in row:
                self._column(key)
        if not self._shared:
            return None
        owners: dict[str, str] = {}
        for key in row:
            column = self._columns[key]
            if not column:
                return f"{key!r} is no name"
            if owners.setdefault(column, key) != key:
                return f"{column}: {owners[column]!r} and {key!r} both become this column"
        return None

    def widens(self, key: str) -> bool:
        """Whether the column of a key is declared as something that may hold more than 64-bit integers."""
        return self.types.get(self._column(key), "bigint") != "bigint"

    def _mistyped(self, row: dict[str, Any], prefix: str, present: set[str]) -> str | None:
        for key, value in row.items():
            if value is None:
                continue
            column = prefix + self._column(key)
            if isinstance(value, dict) and column in self._parents:
                reason = self._mistyped(value, f"{column}__", present)
                if reason:
                    return reason
            present.add(column)
            wanted = self.types.get(column)
            if wanted is None and column in self.required and not isinstance(value, (dict, list)):
                wanted = self.types[column] = py_type_to_sc_type(type(value))  # a key keeps its first type
            if wanted and not fits(value, wanted):
                return f"{column}: {_shown(value)} is not {_article(wanted)}"
        return None

    def _column(self, key: str) -> str:
        column = self._columns.get(key)
        if column is None:
            column = self._normalize(key) if key.strip() else ""
            if column in self._taken:
                self._shared.add(column)
            self._taken.add(column)
            self._columns[key] = column
        return column


class Intercept(ItemTransform[Any, Any]):
    """A step of a resource that lets neither notices nor bad rows pass."""

    def __init__(self, resource: str, intake: Intake, declared: Declared, kind: str) -> None:
        super().__init__(_same)
        self.resource, self.intake, self.declared = resource, intake, declared
        self.storable = Storable(kind, declared.widens)

    def __call__(self, item: Any, meta: Any = None) -> Any:
        if not isinstance(item, (list, dict, *SCALARS)):
            return self._table(item)
        page = item if isinstance(item, list) else [item]
        suspect = self.storable.suspects(page)
        rows = [row for row in page if self._passes(row, suspect)]
        self.intake.flush()
        return rows or None

    def _passes(self, row: Any, suspect: bool) -> bool:
        if not isinstance(row, (dict, list, *SCALARS, type(None))):
            return True  # a model or a table that dlt knows
        if isinstance(row, dict) and getattr(row, "is_notice", False):
            self.intake.notice(self.resource, row)
            return False
        reason = self._reason(row, suspect)
        if reason:
            self.intake.reject(self.resource, row, reason)
        return reason is None

    def _reason(self, row: Any, suspect: bool) -> str | None:
        if not isinstance(row, dict):
            return f"{_shown(row)} is not a row of named values"
        fault = self.storable.fault(row) if suspect else None
        return fault or self.declared.collision(row) or self.declared.violation(row)

    def _table(self, table: Any) -> Any:
        """An Arrow table without the rows that have a null where the declaration allows none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        if not isinstance(table, pa.Table):
            return table
        for column in sorted(self.declared.required & set(table.column_names)):
            if table[column].null_count == 0:
                continue
            for row in table.filter(pc.is_null(table[column])).to_pylist():
                self.intake.reject(self.resource, row, f"{column}: {MISSING}")
            table = table.filter(pc.is_valid(table[column]))
        self.intake.flush()
        return table


class Counter(ItemTransform[Any, Any]):
    """The last step of a resource: counts rows and lets no more than `limit` pass."""

    placement_affinity = 1

    def __init__(self, resource: str, intake: Intake, limit: int | None) -> None:
        super().__init__(_same)
        self.resource, self.intake, self.left = resource, intake, limit

    def __call__(self, item: Any, meta: Any = None) -> Any:
        rows = item if hasattr(item, "__len__") and not isinstance(item, dict) else [item]
        if self.left is not None:
            rows = rows[: self.left]
            self.left -= len(rows)
        self.intake.read[self.resource] = self.intake.read.get(self.resource, 0) + len(rows)
        return rows if len(rows) else None


def _same(item: Any) -> Any:
    return item


def fits(value: Any, data_type: str) -> bool:
    """Whether dlt can store the value in a column of that type without a variant column."""
    quick = _QUICK.get(data_type)
    if quick and quick(value):
        return True
    if isinstance(value, (dict, list)):
        return data_type == "json"
    if data_type == "json":
        return True
    try:
        coerce_value(data_type, py_type_to_sc_type(type(value)), value)  # type: ignore[arg-type]
    except (ValueError, TypeError, ArithmeticError):
        return False
    return True


_QUICK: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: type(value) is str,
    "bigint": lambda value: type(value) is int and -(2**63) <= value < 2**63,
    "double": lambda value: type(value) in (float, int),
    "bool": lambda value: type(value) is bool,
}


def new_types(resource: DltResource, known: Schema | None) -> list[str]:
    """The columns a resource declares with another type than they were loaded with."""
    loaded = _loaded_columns(resource, known)
    if _dynamic(resource) or not loaded or known is None:
        return []
    declared = resource.compute_table_schema().get("columns", {})
    named = {known.naming.normalize_path(name): column.get("data_type") for name, column in declared.items()}
    return [
        f"{resource.name}.{name} is {loaded[name]['data_type']} in the warehouse and declared as {data_type}"
        for name, data_type in named.items()
        if data_type and loaded.get(name, {}).get("data_type", data_type) != data_type
    ]


def _loaded_columns(resource: DltResource, known: Schema | None) -> TTableSchemaColumns:
    if known is None or not isinstance(resource.table_name, str):
        return {}
    table = known.tables.get(known.naming.normalize_table_identifier(resource.table_name))
    return table["columns"] if table else {}


def _required(column: Any) -> bool:
    return column.get("nullable") is False or bool(column.get("primary_key"))


def _dynamic(resource: DltResource) -> bool:
    """Whether hints depend on the row, so that nothing is declared before a row is there."""
    return resource.has_other_dynamic_hints or resource.has_dynamic_table_name


def _payload(row: Any) -> str:
    """A row as text; one that dlt cannot write goes through Python's own, more lenient writer."""
    if isinstance(row, str):
        return row.replace("\0", "\\u0000").encode(errors="backslashreplace").decode()
    try:
        return dlt_json.dumps(row, sort_keys=True)
    except (TypeError, ValueError):
        return _leniently(row)


def _leniently(row: Any) -> str:
    try:
        return json.dumps(row, default=repr)
    except RecursionError:
        return f"a {type(row).__name__} that is nested too deeply to be written"


def _shown(value: Any, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def _article(data_type: str) -> str:
    return f"a {data_type}" if data_type[0] not in "aeiou" else f"an {data_type}"
