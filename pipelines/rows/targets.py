"""The tables that the pages of a resource go to: its own, and those that a page names by `dlt.mark`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.schema import Schema
from dlt.extract import DltResource, DltSource
from dlt.extract.hints import DltResourceHints, HintsMeta
from dlt.extract.items import TableNameMeta

from pipelines.parsed_pages import ParsedPages
from pipelines.rows.declared import Declared
from pipelines.rows.raw_lines import Screen
from pipelines.rows.storable import Storable


@dataclass
class Target:
    """One table and what looks at its rows; `form` is what was loaded into it so far, "rows" or "arrow"."""

    declared: Declared
    storable: Storable
    screen: Screen
    form: str | None


class Targets:
    """Finds the table of a page; hints that come with a page are laid on those of the resource, as dlt will do it."""

    def __init__(
        self,
        source: DltSource,
        resource: DltResource,
        known: Schema | None,
        kind: str,
        caps: DestinationCapabilitiesContext,
        parsed: ParsedPages | None = None,
    ) -> None:
        self._source, self._known, self._kind, self._caps, self._parsed = source, known, kind, caps, parsed
        self._hints, self._merged = _Hints(resource), list[Any]()
        self._found: dict[str | None, Target] = {}

    def of(self, meta: Any) -> Target:
        """The table of a page with this meta."""
        if isinstance(meta, HintsMeta) and meta.hints:
            meta = self._merge(meta)
        name = meta.table_name if isinstance(meta, TableNameMeta) else None
        if name not in self._found:
            self._found[name] = self._target(name)
        return self._found[name]

    def _merge(self, meta: HintsMeta) -> TableNameMeta | None:
        hints: Any = meta.hints
        if hints not in self._merged:
            self._hints.merge_hints(hints, bool(meta.create_table_variant))
            self._merged.append(hints)
            self._found.pop(hints["table_name"] if meta.create_table_variant else None, None)
        return TableNameMeta(hints["table_name"]) if meta.create_table_variant else None

    def _target(self, name: str | None) -> Target:
        declared = Declared.of(self._source, self._hints, self._known, self._caps, name)
        screen = Screen(declared, self._kind, self._parsed)
        return Target(declared, Storable(self._kind, declared.widens), screen, declared.form)


class _Hints(DltResourceHints):
    """A copy of the hints of a resource, so that its own stay what they are."""

    def __init__(self, resource: DltResource) -> None:
        self._name = resource.name
        super().__init__(resource._clone_hints(resource._hints))
        self._hints_variants = dict(resource._hints_variants)

    @property
    def name(self) -> str:
        return self._name
