"""dlt's JSON normaliser with two fast gears in front of its own."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

import orjson
from dlt.common.data_writers import get_best_writer_spec
from dlt.common.data_writers.buffered import BufferedDataWriter
from dlt.common.json import json, may_have_pua
from dlt.common.schema import TSchemaUpdate
from dlt.common.schema.typing import C_DLT_ID
from dlt.normalize.items_normalizers import JsonLItemsNormalizer

from pipelines.columnar.arrow_rows import ArrowRows, read
from pipelines.columnar.cut import Cut, Cutter, Rows
from pipelines.columnar.dict_rows import DictRows
from pipelines.columnar.plain import PlainParquet
from pipelines.columnar.plan import Plan, Planner
from pipelines.columnar.rules import Rules
from pipelines.columnar.shape import Shape
from pipelines.columnar.surprise import MISFIT
from pipelines.parsed_pages import ParsedPages

FEW = 64  # rows: as many teach the shape of a table, and a part this small that still surprises is dlt's
NOBODY = "-"
HOPELESS = 4  # pages in a row that went to dlt whole: the rest of the table follows them


class ColumnarNormalizer(JsonLItemsNormalizer):
    """One root table of one load; at its end it writes a line to the open file `tally`: the records each gear took.

    Of pages found in `parsed_pages` it takes the records from there.
    """

    tally: ClassVar[int]
    parsed_pages: ClassVar[ParsedPages | None]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        rules = Rules(self)
        self._rules, self._planner, self._cutter = rules, Planner(rules), Cutter(rules, self.load_id)
        self._shape, self._root = Shape(), ""
        self._plan: Plan | None = None
        self._gears: Counter[str] = Counter()
        self._refused = 0 if self.item_storage.writer_spec.file_format == "parquet" else HOPELESS

    def __call__(self, extracted_items_file: str, root_table_name: str) -> list[TSchemaUpdate]:
        """Normalise a file of pages, one JSON list per line."""
        updates: list[TSchemaUpdate] = []
        with self.normalize_storage.extracted_packages.storage.open_file(extracted_items_file, "rb") as pages:
            for page in pages:
                self._maybe_cancel()
                self._page(root_table_name, page.rstrip(b"\n"), updates)
        if not self._has_written(root_table_name):  # dlt decides what an empty file means
            updates += super().__call__(extracted_items_file, root_table_name)
        self._root = root_table_name
        return updates

    def _normalize_chunk(
        self, root_table_name: str, items: list[Any], may_have_pua: bool, skip_write: bool
    ) -> TSchemaUpdate:
        """dlt's own; the row that stands for none has an id, as of a key that is not there none can be made."""
        rows = [{C_DLT_ID: NOBODY}] if skip_write else items
        return super()._normalize_chunk(root_table_name, rows, may_have_pua, skip_write)

    def close(self) -> None:
        """Tell the tally, in one write; workers that are forked share the place in the file."""
        super().close()
        if not self._root.startswith(self.schema._dlt_tables_prefix):
            os.write(self.tally, json.dumpb([self._root, self._gears]) + b"\n")

    def _page(self, root: str, page: bytes, updates: list[TSchemaUpdate]) -> None:
        # dates, decimals, bytes: dlt marks what JSON has no type for, with what is no ASCII, which is seen faster
        has_objects = not page.isascii() and may_have_pua(page)
        if self._refused >= HOPELESS:
            self._by_rows(root, json.loadb(page), has_objects, updates)
        elif not self._is_cut(root, "arrow", lambda plan: self._arrow(page, plan, has_objects)):
            records, before = json.loadb(page), self._gears["rows"]
            self._by_parts(root, records, has_objects, updates)
            is_refused = len(records) > FEW and self._gears["rows"] - before == len(records)
            self._refused = self._refused + 1 if is_refused else 0

    def _by_parts(self, root: str, records: list[Any], has_objects: bool, updates: list[TSchemaUpdate]) -> None:
        """The dicts gear for as many rows as it takes, dlt for the few around a surprise; order is kept."""
        has_learnt = self._plan is None and self._shape.keys and len(records) > FEW
        if has_learnt and self._is_cut(
            root, "arrow", lambda plan: self._arrow(orjson.dumps(records), plan, has_objects)
        ):
            return
        if self._is_cut(root, "dicts", lambda plan: DictRows(records, plan, self._rules, has_objects)):
            return
        if len(records) <= FEW:
            self._by_rows(root, records, has_objects, updates)
            return
        middle = len(records) // 2 if self._shape.keys else FEW
        self._by_parts(root, records[:middle], has_objects, updates)
        self._by_parts(root, records[middle:], has_objects, updates)

    def _arrow(self, page: bytes, plan: Plan, has_objects: bool) -> Rows:
        return ArrowRows(read(page, plan, self.parsed_pages), plan, self._rules, has_objects)

    def _is_cut(self, root: str, gear: str, read: Callable[[Plan], Rows]) -> bool:
        """Whether a fast gear took the rows: all of them, or none."""
        try:
            plan = self._planned(root)
            rows = read(plan)
            tables = self._cutter.cut(plan, rows)
        except MISFIT:
            return False
        self._write(tables, rows)
        self._gears[gear] += rows.size
        return True

    def _by_rows(self, root: str, records: list[Any], has_objects: bool, updates: list[TSchemaUpdate]) -> None:
        """dlt's own code; what it makes of the rows is what the next plan knows."""
        if self._refused < HOPELESS:
            for record in records:
                self._shape.learn(record)
        updates.append(self._normalize_chunk(root, records, has_objects, skip_write=False))
        self._plan = None
        self._gears["rows"] += len(records)

    def _planned(self, root: str) -> Plan:
        if self._plan is None:
            self._plan = self._planner.plan(root, self._shape)
        return self._plan

    def _write(self, tables: list[Cut], rows: Rows) -> None:
        if not rows.size:
            return
        for plan, table in tables:
            self._writer(plan.table).write_data_item(table, plan.columns)
            self._report_progress(plan.table, table.num_rows)

    def _writer(self, name: str) -> BufferedDataWriter[Any]:
        """A second writer per table in dlt's own storage, which closes, counts and commits it like the first."""
        storage, key = self.item_storage, self._writer_key(name)
        if key not in storage.buffered_writers:
            spec = get_best_writer_spec("arrow", storage.writer_spec.file_format)
            template = storage._get_data_item_path_template(self.load_id, self.schema.name, name)
            storage.buffered_writers[key] = BufferedDataWriter(spec, template)
            storage.buffered_writers[key].writer_cls = PlainParquet
        return storage.buffered_writers[key]

    def _writer_key(self, name: str) -> str:
        return f"{self.load_id}.{self.schema.name}.{name}.columnar"

    def _has_written(self, root: str) -> bool:
        own, _ = self.item_storage.get_active_writer(self.load_id, self.schema.name, root)
        return bool({own, self._writer_key(root)} & self.item_storage.buffered_writers.keys())
