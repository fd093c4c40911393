"""Files that no fetch of ours left: the type in their name, the tables it fills, and what the source makes of lines."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import orjson
from dlt.common.configuration.inject import with_config
from dlt.extract import DltSource

from pipelines import build
from pipelines.environment import LANDING
from pipelines.landing.manifest import Manifest, RawFile, in_order, moment, resource_of, stem_of
from pipelines.landing.reader import Unreadable, pages
from pipelines.landing.store import Store, is_of_rows
from pipelines.rows.intake import NOTICE
from pipelines.specs.spec import Spec

UNKNOWN = "belongs to no resource: its name ends with none of {}; rename it and put it into landing again"
MISFIT = "is nothing that a file of {} holds"
UNSHOWN = "has a name with characters that cannot be shown; rename it and put it into landing again"
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
        if not name.isprintable():
            return UNSHOWN
        if not is_of_rows(name):
            return NO_ROWS
        if kind is None:
            return UNKNOWN.format(", ".join(sorted(self._tables)))
        return self.standing(store, RawFile(kind, name, size=store.size(name)), store.mark(name))

    def standing(self, store: Store, file: RawFile, mark: str = "") -> Manifest:
        """What stands for a file that is of a type; one that has rows already has those of its first table."""
        tables = self._tables.get(file.resource, (file.resource,))
        return Manifest.foreign(store.spec, file, mark, tables if self._reads(file) else tables[:1])

    def in_order(self, manifests: Iterable[Manifest]) -> list[Manifest]:
        """The oldest first; of strangers' files with no fetch of ours between them, first those that others need."""
        runs = groupby(in_order(manifests), lambda manifest: manifest.is_foreign)
        return [each for _, run in runs for each in sorted(run, key=lambda manifest: not self._leads(manifest))]

    def refused(self, store: Store, file: RawFile) -> str | None:
        """Why a file of the landing will be put aside, as far as it tells by itself."""
        try:
            for page in pages(store, store.path(LANDING, file.name), file, Path(gettempdir()), parsed=False):
                for item, place in _placed(page) if self._reads(file) else ():
                    self._line(file, item, place)
        except Unreadable as broken:
            return str(broken)
        return None

    def is_of(self, file: RawFile) -> tuple[str, ...]:
        """The tables that such a file fills; none where its lines are rows, or of no type that is known."""
        return self._tables.get(file.resource, ()) if self._reads(file) else ()

    def told(self, table: str, file: RawFile, line: bytes) -> list[Any]:
        """The rows that one line is to a table; none where the source cannot tell."""
        try:
            return list(self._rows(table, file, orjson.Fragment(line), ":1"))
        except Unreadable:
            return []

    def page(self, table: str, file: RawFile, page: Any) -> Any:
        """The rows that the lines of a page are to a table; `Unreadable` where the source says so of one."""
        if not self._reads(file):
            return page
        told = Told()
        for item, place in _placed(page):
            for row in self._rows(table, file, item, place):
                told.append(row)
                told.places.append(place)
        return told

    def _reads(self, file: RawFile) -> bool:
        """Whether the source makes rows of the lines of a file, rather than that they are rows."""
        return self._foreign is not None and not file.name.endswith(".parquet")

    def _leads(self, manifest: Manifest) -> bool:
        types = self._foreign.first if self._foreign and manifest.is_foreign else ()
        return any(file.resource in types for file in manifest.files)

    def _rows(self, table: str, file: RawFile, item: Any, place: str) -> Iterator[Any]:
        first, *others = self._tables[file.resource]
        line = self._line(file, item, place)
        if line is None:
            if table == first:
                yield item  # one table's guard says what is wrong with it
            return
        rows = self._made(table, line, place)
        for row in rows:
            if getattr(row, "is_notice", False) and row[NOTICE] == "failed":
                raise Unreadable(file, row["reason"])
        is_lost = not rows and table == first and not any(self._made(other, line, place) for other in others)
        yield from [_misfit(line, place)] if is_lost and not self._foreign.is_empty(line) else rows

    def _line(self, file: RawFile, item: Any, place: str) -> Any:
        """What a line says; None where it is no object, `Unreadable` where nobody can tell whose it is."""
        content = None if getattr(item, "is_notice", False) else _parsed(item)
        if not isinstance(content, dict):
            return None
        kit: Any = importlib.import_module("sources.kit.foreign")
        number = int(place.rpartition(":")[2])
        line = kit.Line(content, number, file.resource, stem_of(file.name), moment(file.name))
        if fault := self._foreign.fault(line):
            raise Unreadable(file, fault)
        return line

    def _made(self, table: str, line: Any, place: str) -> list[Any]:
        """The rows of a line; one that has another shape than its type is a row that must not be loaded."""
        try:
            return list(self._foreign.rows(table, line))
        except (AttributeError, KeyError, TypeError, ValueError):
            return [_misfit(line, place)]


class Told(list[Any]):
    """Rows, each with the place of its line."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []


def _misfit(line: Any, place: str) -> Any:
    notices: Any = importlib.import_module("sources.kit.notices")
    return notices.rejected(line.content, MISFIT.format(line.type), place)


def _placed(page: Any) -> Iterable[tuple[Any, str]]:
    """What is on a page, each with its place."""
    return zip(page, getattr(page, "places", [""] * len(page)), strict=True)


def _parsed(item: Any) -> Any:
    try:
        return orjson.loads(orjson.dumps(item))
    except orjson.JSONDecodeError:
        return None
