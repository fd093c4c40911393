"""Files that no fetch of ours left: the type in their name, the tables it fills, and what the source makes of lines."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import orjson
from dlt.common.configuration.inject import with_config
from dlt.extract import DltSource

from pipelines import build
from pipelines.landing.manifest import Manifest, RawFile, moment, resource_of, stem_of
from pipelines.landing.reader import Unreadable
from pipelines.landing.store import Store, is_of_rows
from pipelines.rows.intake import NOTICE
from pipelines.specs.spec import Spec

UNKNOWN = "belongs to no resource: its name ends with none of {}; rename it and put it into landing again"
MISFIT = "is nothing that a file of {} holds"
NO_ROWS = "is neither JSON lines nor parquet by its name; call it .jsonl, .jsonl.zst, .jsonl.gz or .parquet"


class Strangers:
    """What a spec makes of such files; one whose source has no `foreign` takes them for rows of its tables."""

    def __init__(self, root: Path, spec: Spec, source: DltSource) -> None:
        function = getattr(build.load_module(root, "sources", spec.name), "foreign", None)
        self._foreign: Any = with_config(function, sections=("sources", spec.name))() if function else None
        own = {name: (name,) for name in source.resources}
        self._tables: dict[str, tuple[str, ...]] = {**own, **(self._foreign.tables if self._foreign else {})}

    @property
    def types(self) -> Collection[str]:
        """What files may be of."""
        return self._tables

    def waiting(self, store: Store, name: str) -> Manifest | str:
        """What stands for a file of the landing, or why it cannot be loaded."""
        kind = resource_of(name, self._tables)
        if not is_of_rows(name):
            return NO_ROWS
        if kind is None:
            return UNKNOWN.format(", ".join(sorted(self._tables)))
        return self.standing(store, RawFile(kind, name, size=store.size(name)), store.mark(name))

    def standing(self, store: Store, file: RawFile, mark: str = "") -> Manifest:
        """What stands for a file that is of a type."""
        return Manifest.foreign(store.spec, file, mark, self._tables.get(file.resource, (file.resource,)))

    def is_of(self, file: RawFile) -> tuple[str, ...]:
        """The tables that such a file fills; none where its lines are rows, or of no type that is known."""
        return self._tables.get(file.resource, ()) if self._foreign and not file.name.endswith(".parquet") else ()

    def told(self, table: str, file: RawFile, line: bytes) -> list[Any]:
        """The rows that one line is to a table; none where the source cannot tell."""
        try:
            return list(self._rows(table, file, orjson.Fragment(line), ":1"))
        except Unreadable:
            return []

    def page(self, table: str, file: RawFile, page: Any) -> Any:
        """The rows that the lines of a page are to a table; `Unreadable` where the source says so of one."""
        if self._foreign is None or file.name.endswith(".parquet"):
            return page
        told = Told()
        for item, place in zip(page, getattr(page, "places", [""] * len(page)), strict=True):
            for row in self._rows(table, file, item, place):
                told.append(row)
                told.places.append(place)
        return told

    def _rows(self, table: str, file: RawFile, item: Any, place: str) -> Iterator[Any]:
        content = None if getattr(item, "is_notice", False) else _parsed(item)
        if not isinstance(content, dict):
            if table == self._tables[file.resource][0]:
                yield item  # one table's guard says what is wrong with it
            return
        kit: Any = importlib.import_module("sources.kit.foreign")
        number = int(place.rpartition(":")[2])
        line = kit.Line(content, number, file.resource, stem_of(file.name), moment(file.name))
        for row in self._made(table, line, place):
            if getattr(row, "is_notice", False) and row[NOTICE] == "failed":
                raise Unreadable(file, row["reason"])
            yield row

    def _made(self, table: str, line: Any, place: str) -> list[Any]:
        """The rows of a line; one that has another shape than its type is a row that must not be loaded."""
        try:
            return list(self._foreign.rows(table, line))
        except (AttributeError, KeyError, TypeError, ValueError):
            notices: Any = importlib.import_module("sources.kit.notices")
            return [notices.rejected(line.content, MISFIT.format(line.type), place)]


class Told(list[Any]):
    """Rows, each with the place of its line."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []


def _parsed(item: Any) -> Any:
    try:
        return orjson.loads(orjson.dumps(item))
    except orjson.JSONDecodeError:
        return None
