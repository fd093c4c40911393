"""`etl fetch`: what a run would load goes into raw files; the cursor waits in their manifest to be ingested."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dlt
from dlt.extract import DltResource, DltSource
from dlt.extract.items_transform import ItemTransform

from pipelines import build
from pipelines.environment import LANDING
from pipelines.landing.manifest import ENDING, Manifest, digests, named, was_cut_off
from pipelines.landing.position import Position
from pipelines.landing.store import Store, strangers
from pipelines.landing.writer import Writer
from pipelines.load import Load
from pipelines.rows.intake import Intake
from pipelines.working import scratch_copy


def fetch(load: Load, store: Store) -> None:
    """Read the upstream into raw files and a manifest, which is written last and without which they are nothing."""
    with load.asking() as source:
        main = load.synced(source.schema.name)
        load.refuse_new_types(main, source, load.refresh)
        if load.order.to is None:
            put_aside_cut_off(load, store)
        with scratch_copy(load.environment, load.spec, main, load.report.run_id) as scratch:
            scratch.collector = load.progress
            _Fetch(load, store, source, scratch, main).run()


def put_aside_cut_off(load: Load, store: Store) -> None:
    """Reject the files of fetches that died before their manifest; their rows will be read again."""
    store.sweep()
    names = [name for name in strangers(store.names(LANDING), store.manifests()) if store.spec in name]
    runs = load.ledger.begun(store.spec) if names else {}
    for name in names:
        if was_cut_off(name, store.spec, runs):
            store.reject(name, {
                "reason": "its fetch died before it was whole; its rows are read again by the next",
                "run_id": load.report.run_id,
                "retry_command": f"etl fetch {store.spec} --env {load.environment.name}",
            })  # fmt: skip


class _Fetch:
    """One fetch, into a pipeline that is thrown away."""

    def __init__(self, load: Load, store: Store, source: DltSource, scratch: dlt.Pipeline, main: dlt.Pipeline) -> None:
        self.load, self.store, self.source, self.scratch = load, store, source, scratch
        self.at = datetime.now(UTC)
        self.begun = self._begin(main)

    def run(self) -> None:
        load, run_id = self.load, self.load.report.run_id
        with Writer(self.store, load.spec.name, run_id, self.at, load.environment.packs_raw) as writer:
            intake = _Intake(load.spec.name, load.intake().spool, writer, self.source)
            for resource in self.source.selected_resources.values():
                resource.add_step(_Land(resource, self.source, writer))
            load.extract(self.scratch, self.source, intake, load.refresh)
            load.set_aside(intake)
        self.store.commit(self._manifest(writer))
        for file in writer.files:
            load.report.raw(file, LANDING)

    def _begin(self, main: dlt.Pipeline) -> dict[str, str]:
        """Begin where the newest fetch that waits has ended, or else where the warehouse stands; digests of that."""
        order, name = self.load.order, self.source.schema.name
        waiting = [each for each in self.store.manifests() if each.state is not None]
        with self.scratch.managed_state() as state:
            sources = state.setdefault("sources", {})
            if order.since or order.until or order.mode == "backfill":
                sources.clear()
            elif waiting and waiting[-1].state is not None and Position.of(main.state).left(waiting[-1]):
                sources[name] = waiting[-1].state
            return digests(sources.get(name, {}), self.source.selected_resources)

    def _manifest(self, writer: Writer) -> Manifest:
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
            {} if frozen else self.begun,
            build.version()["etl"],
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
    """What a fetch takes in: a row that no table would take is raw all the same, and judged when it is ingested."""

    def __init__(self, spec: str, spool: Path, writer: Writer, source: DltSource) -> None:
        super().__init__(spec, spool)
        self._writer, self._landed = writer, set(source.selected_resources)

    def refuse(self, resource: str, row: Any, reason: str, place: str = "") -> None:
        if place or resource not in self._landed or not self._writer.keep(resource, row):
            self.reject(resource, row, reason, place)
