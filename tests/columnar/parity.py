"""The same pages normalised by dlt and by columns, and every difference between the two.

`Side` is one way: a pipeline of its own that extracts, normalises and, where the destination is asked for, loads.
What is compared: the schema with columns, hints and order; the types in the files; rows as trees from the root down by
`_dlt_parent_id` and `_dlt_list_idx`, with their ids where those are hashes of keys; ids that stand twice, orphans,
wrong root and load ids; the error of a load that fails.
"""

from __future__ import annotations

import gc
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dlt
import pyarrow.parquet as pq
import pytest
from dlt.common.configuration.container import Container
from dlt.common.pipeline import PipelineContext
from dlt.common.schema.utils import has_table_seen_data
from dlt.common.storages.load_package import ParsedLoadJobFileName

from pipelines.columnar import columnar

Page = list[Any]
Pages = list[Page]
Hints = dict[str, Any]
Load = Mapping[str, tuple[Pages, Hints]]  # by table
LINKS = {"_dlt_id", "_dlt_parent_id", "_dlt_root_id", "_dlt_load_id", "_dlt_valid_from", "_dlt_valid_to"}


def whole(dear: bool = True) -> pytest.MarkDecorator:
    """The mark of what is compared by `make parity` alone, being too dear for every run of the tests."""
    asked = os.environ.get("ETL_PARITY") == "whole"
    return pytest.mark.skipif(dear and not asked, reason="takes minutes in all; make parity runs it")


@dataclass
class Outcome:
    """What one way made of the loads."""

    endings: list[str] = field(default_factory=list)
    tables: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)
    types: dict[str, set[str]] = field(default_factory=dict)
    trees: dict[str, Counter[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    gears: Counter[tuple[str, str]] = field(default_factory=Counter)

    def of(self, root: str) -> Outcome:
        """What is told of one root table and those below it; how loads end is told of all together."""
        parts = {part: {name: told for name, told in getattr(self, part).items() if _is_below(name, root)}
                 for part in ("tables", "columns", "types", "trees")}  # fmt: skip
        faults = [fault for fault in self.faults if _is_below(fault.split(":")[0], root)]
        gears = Counter({key: records for key, records in self.gears.items() if key[0] == root})
        return Outcome(self.endings, **parts, faults=faults, gears=gears)

    @property
    def taken(self) -> Counter[str]:
        """The records each gear took."""
        taken: Counter[str] = Counter()
        for (_, gear), records in self.gears.items():
            taken[gear] += records
        return taken

    def differences(self, other: Outcome) -> list[str]:
        """What differs, part by part; `gears` is no part of it."""
        found = [f"{part}: {getattr(self, part)} <> {getattr(other, part)}" for part in ("endings", "types", "faults")
                 if getattr(self, part) != getattr(other, part)]  # fmt: skip
        for part in ("tables", "columns", "trees"):
            mine, theirs = getattr(self, part), getattr(other, part)
            names = sorted(mine.keys() | theirs.keys())
            pairs = ((name, mine.get(name), theirs.get(name)) for name in names)
            found += [f"{part} of {name}: {_unlike(one, other)}" for name, one, other in pairs if one != other]
        return found


def both(folder: Path, loads: Sequence[Load], destination: Any = None, own: Any = None) -> tuple[Outcome, Outcome]:
    """dlt's outcome and ours, which may have a destination of its own."""
    return (
        Side(folder, "dlt", False, destination).outcome(loads),
        Side(folder, "ours", True, own or destination).outcome(loads),
    )


class Side:
    """One way of normalising; with a `destination` the rows are loaded and read back from there."""

    def __init__(self, folder: Path, name: str, by_columns: bool, destination: Any = None) -> None:
        self._is_loaded, self._by_columns = destination is not None, by_columns
        self._gears: Counter[tuple[str, str]] = Counter()
        self.pipeline = dlt.pipeline(
            f"parity_{name}",
            pipelines_dir=str(folder / name),
            destination=destination or dlt.destinations.duckdb(str(folder / f"{name}.duckdb")),
            dataset_name=f"of_{name}",
        )

    def outcome(self, loads: Sequence[Load]) -> Outcome:
        """Run the loads one after the other, then look."""
        outcome = Outcome(gears=self._gears)
        try:
            outcome.endings = [self._ending(load) for load in loads]
            self._read(outcome)
        finally:
            Container()[PipelineContext].deactivate()
        return outcome

    def _ending(self, load: Load) -> str:
        try:
            self.pipeline.extract(resources(load), loader_file_format="parquet")
            with columnar(self._gears) if self._by_columns else nullcontext():
                self.pipeline.normalize()
            if self._is_loaded:
                self.pipeline.load()
        except Exception as error:  # noqa: BLE001 how a load fails is part of what is compared
            self.pipeline.abort_packages()
            return type(_root_cause(error)).__name__
        return "ok"

    def _read(self, outcome: Outcome) -> None:
        if not self.pipeline.default_schema_name:
            return
        tables = {str(table["name"]): table for table in self.pipeline.default_schema.data_tables()}
        for name, table in tables.items():
            outcome.columns[name] = [(c, dict(hints)) for c, hints in table["columns"].items()]
            outcome.tables[name] = {key: value for key, value in table.items() if key != "columns"}
        for rows in self._stored(tables) if self._is_loaded else self._packaged(outcome):
            _plant(rows, tables, outcome)

    def _packaged(self, outcome: Outcome) -> Iterator[dict[str, list[dict[str, Any]]]]:
        """The rows of each load, as they lie in its parquet files."""
        for load_id in self.pipeline.list_normalized_load_packages():
            rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for job in self.pipeline.get_load_package_info(load_id).jobs["new_jobs"]:
                name = ParsedLoadJobFileName.parse(Path(job.file_path).name).table_name
                if not name.startswith("_dlt_"):
                    content = pq.read_table(job.file_path)
                    rows[name] += content.to_pylist()
                    outcome.types.setdefault(name, set()).update(map(str, content.schema))
            outcome.faults += [f"{name}: the id of another load" for name in rows
                               if {row.get("_dlt_load_id", load_id) for row in rows[name]} - {load_id}]  # fmt: skip
            yield rows

    def _stored(self, tables: dict[str, Any]) -> Iterator[dict[str, list[dict[str, Any]]]]:
        """The rows at the destination, after the last load."""
        with self.pipeline.sql_client() as client:
            yield {name: _rows(client, name) for name, table in tables.items() if has_table_seen_data(table)}


def resources(load: Load) -> list[Any]:
    """Resources that yield the pages; each side gets rows of its own."""
    return [dlt.resource(map(deepcopy, pages), name=name, **hints) for name, (pages, hints) in load.items()]


def _rows(client: Any, table: str) -> list[dict[str, Any]]:
    with client.execute_query(f"SELECT * FROM {client.make_qualified_table_name(table)}") as cursor:
        names = [part[0] for part in cursor.description]
        return [dict(zip(names, map(_readable, row), strict=True)) for row in cursor.fetchall()]


def _readable(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def _faults(rows: dict[str, list[dict[str, Any]]], tables: dict[str, Any]) -> Iterator[str]:
    for name, table in tables.items():
        ids = {row["_dlt_id"] for row in rows.get(name, [])}
        owners = {row["_dlt_id"] for row in rows.get(table.get("parent", name), [])}
        if len(ids) < len(rows.get(name, [])):
            yield f"{name}: an id stands twice"
        if any(row.get("_dlt_parent_id", row["_dlt_id"]) not in owners for row in rows.get(name, [])):
            yield f"{name}: rows without a parent"


def _plant(rows: dict[str, list[dict[str, Any]]], tables: dict[str, Any], outcome: Outcome) -> None:
    """Add the trees of some rows, and what is wrong with them."""
    outcome.faults += _faults(rows, tables)
    below: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    parents: dict[str, list[str]] = defaultdict(list)
    for name, table in tables.items():
        if parent := table.get("parent"):
            parents[parent].append(name)
            for row in rows.get(name, []):
                below[name, row["_dlt_parent_id"]].append(row)

    def tree(name: str, row: dict[str, Any], root: str, drawn: set[str]) -> dict[str, Any]:
        if row.get("_dlt_root_id", root) != root:
            outcome.faults.append(f"{name}: the id of another root")
        found = {key: repr(value) for key, value in row.items() if key not in drawn and value is not None}
        for child in parents[name]:
            elements = sorted(below[child, row["_dlt_id"]], key=lambda element: element["_dlt_list_idx"])
            found[f"/{child}"] = [tree(child, element, root, drawn) for element in elements]
        return found

    for name, table in tables.items():
        if not table.get("parent"):
            drawn = LINKS - ({"_dlt_id"} if table.get("x-merge-strategy") == "upsert" else set())
            grown = (json.dumps(tree(name, row, row["_dlt_id"], drawn), sort_keys=True) for row in rows.get(name, []))
            outcome.trees.setdefault(name, Counter()).update(grown)


def _is_below(name: str, root: str) -> bool:
    return name == root or name.startswith(f"{root}__")


def _root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _unlike(one: Any, other: Any) -> str:
    """Two parts, cut down to what differs where they are counted."""
    if isinstance(one, Counter) and isinstance(other, Counter):
        one, other = list((one - other).elements())[:2], list((other - one).elements())[:2]
    return f"{one} <> {other}"[:2000]


@contextmanager
def page_by_page(monkeypatch: Any, few: int) -> Iterator[None]:
    """Small tests with the roads of big ones: a page of rows stays one, and a few rows teach.

    Python does not look for cycles meanwhile.
    """
    monkeypatch.setenv("SOURCES__DATA_WRITER__BUFFER_MAX_ITEMS", "1")
    monkeypatch.setattr("pipelines.columnar.normalizer.FEW", few)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
