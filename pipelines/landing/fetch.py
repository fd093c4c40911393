"""`etl fetch`: what a run would load goes into raw files; the cursor waits in their manifest to be ingested."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dlt
from dlt.extract import DltResource, DltSource
from dlt.extract.items_transform import ItemTransform

from pipelines import build
from pipelines.environment import LANDING
from pipelines.landing.manifest import ENDING, Manifest, Refresh, State, digests, named, was_cut_off
from pipelines.landing.position import Position
from pipelines.landing.store import Store, shown, strangers
from pipelines.landing.writer import Writer
from pipelines.load import Load
from pipelines.rows.intake import Intake
from pipelines.working import scratch_copy

CUT_OFF = "its fetch died before it was whole, so it is put aside; its rows are read again by the next fetch"


def fetch(load: Load, store: Store) -> None:
    """Read the upstream into raw files and a manifest, which is written last and without which they are nothing."""
    with load.asking() as source:
        main = load.synced(source.schema.name)
        load.refuse_new_types(main, source, load.refresh)
        waiting = sorted_out(load, store)[0] if load.order.to is None else []
        with scratch_copy(load.environment, load.spec, main, load.report.run_id) as scratch:
            scratch.collector = load.progress
            _Fetch(load, store, source, scratch).run(_unloaded(main, waiting))


def sorted_out(load: Load, store: Store) -> tuple[list[Manifest], list[str]]:
    """The fetches that wait and the files of strangers; those of a fetch that died before its manifest are rejected."""
    store.sweep()
    names = store.names()
    manifests = store.manifests(names=names)
    strange = strangers(names, manifests)
    runs = load.ledger.begun(store.spec) if strange else {}
    cut_off = [name for name in strange if was_cut_off(name, store.spec, runs)]
    for name in cut_off:
        load.report.warnings.append(f"{store.spec}: {shown(name)}: {CUT_OFF}")
        store.reject(name, {"reason": CUT_OFF, "run_id": load.report.run_id})
    return manifests, [name for name in strange if name not in cut_off]


def _refreshed(state: State, refresh: Refresh | None) -> State:
    """What is left of a state when it is dropped, all of it or that of the resources which are read."""
    if refresh is None:
        return state
    return {} if refresh == "drop_sources" else {key: value for key, value in state.items() if key != "resources"}


def _unloaded(main: dlt.Pipeline, waiting: list[Manifest]) -> State | None:
    """The state after the newest fetch that is not loaded."""
    position = Position.of(main.state)
    states = [manifest.state for manifest in waiting if manifest.state is not None and position.left(manifest)]
    return states[-1] if states else None


class _Fetch:
    """One fetch, into a pipeline that is thrown away."""

    def __init__(self, load: Load, store: Store, source: DltSource, scratch: dlt.Pipeline) -> None:
        self.load, self.store, self.source, self.scratch = load, store, source, scratch
        self.at = datetime.now(UTC)

    def run(self, newest: State | None) -> None:
        """Fetch from where the newest fetch that waits has ended, or else from where the warehouse stands."""
        load, begun = self.load, self._begin(newest)
        with Writer(self.store, load.spec.name, load.report.run_id, self.at, load.environment.packs_raw) as writer:
            intake = _Intake(load.spec.name, load.intake().spool, writer, self.source)
            load.guard(self.scratch, self.source, intake, load.refresh)
            for resource in self.source.selected_resources.values():
                resource.add_step(_Land(resource, self.source, writer))
            load.extract(self.scratch, self.source, intake, load.refresh)
            intake.end()
            claims = [asdict(row) for claims in load.claims(self.source, intake) for row in claims.rows]
            load.set_aside(intake)
        self.store.commit(self._manifest(writer, begun, claims))
        for file in writer.files:
            load.report.raw(file, LANDING)

    def _begin(self, newest: State | None) -> dict[str, str]:
        """Give the pipeline the state to begin from; digests of it."""
        order, name = self.load.order, self.source.schema.name
        with self.scratch.managed_state() as state:
            sources = state.setdefault("sources", {})
            if order.since or order.until or order.mode == "backfill":
                sources.clear()
            elif newest is not None:
                sources[name] = newest
            return digests(_refreshed(sources.get(name, {}), self.load.refresh), self.source.selected_resources)

    def _manifest(self, writer: Writer, begun: dict[str, str], claims: list[dict[str, Any]]) -> Manifest:
        load, report = self.load, self.load.report
        frozen = load.order.freezes_cursor or load.order.to is not None
        resources = list(self.source.selected_resources)
        state = self.scratch.state.get("sources", {}).get(self.source.schema.name, {})
        return Manifest(
            f"{named(self.at, load.spec.name, report.run_id)}{ENDING}",
            load.spec.name,
            report.run_id,
            self.at.isoformat(),
            resources,
            writer.files,
            report.window,
            report.limit,
            load.refresh,
            None if frozen else state,
            {} if frozen else begun,
            claims,
            build.version()["etl"],
            [*writer.asked_tables],
        )


class _Land(ItemTransform[Any, Any]):
    """The last step of a resource: its pages go into a raw file, and on only to resources that are fed by it."""

    placement_affinity = 1.5  # behind the limit, before the fork to others

    def __init__(self, resource: DltResource, source: DltSource, writer: Writer) -> None:
        super().__init__(lambda item: item)
        self.resource, self.writer = resource.name, writer
        pipes = [selected._pipe for selected in source.selected_resources.values()]
        self.feeds = any(pipe.parent is resource._pipe for pipe in pipes)

    def __call__(self, item: Any, meta: Any = None) -> Any:
        self.writer.write(self.resource, item, meta)
        return item if self.feeds else None


class _Intake(Intake):
    """What a fetch takes in: a row that no table would take is raw all the same, and judged when it is ingested.

    It comes after the page that it stood in, lest it teach a column its type before a good row does.
    """

    def __init__(self, spec: str, spool: Path, writer: Writer, source: DltSource) -> None:
        super().__init__(spec, spool)
        self._writer, self._landed = writer, set(source.selected_resources)
        self._of_page: list[tuple[str, Any]] = []
        self._of_last: list[tuple[str, Any]] = []

    def refuse(self, resource: str, row: Any, reason: str, place: str = "") -> None:
        if place or resource not in self._landed or not self._writer.holds(resource, row):
            self.reject(resource, row, reason, place)
        else:
            self._of_page.append((resource, row))

    def flush(self) -> None:
        super().flush()
        self._land(self._of_last)
        self._of_last, self._of_page = self._of_page, []

    def end(self) -> None:
        """Land what is left when all pages are read."""
        self._land([*self._of_last, *self._of_page])

    def _land(self, rows: list[tuple[str, Any]]) -> None:
        for resource, row in rows:
            self._writer.write(resource, row, None)
