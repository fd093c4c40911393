"""`etl ingest`: raw files into the tables, one fetch after the other as so many runs, then into the archive."""

from __future__ import annotations

from dataclasses import replace

import dlt
from dlt.extract import DltSource

from pipelines import build
from pipelines.environment import LANDING, Environment
from pipelines.landing.fetch import CUT_OFF, sorted_out
from pipelines.landing.foreign import Strangers
from pipelines.landing.manifest import Manifest, RawFile, was_cut_off
from pipelines.landing.one_fetch import OneFetch
from pipelines.landing.position import Position
from pipelines.landing.store import Store, shown, strangers
from pipelines.load import Load
from pipelines.order import Order, settle
from pipelines.report import Report
from pipelines.specs.spec import Spec

KNOWN = "is in the archive already, and not loaded again"


def ingest(load: Load, store: Store) -> None:
    """Load every fetch that waits, oldest first, and put its files away."""
    _Ingest(load, store).run()


def listed(environment: Environment, spec: Spec, order: Order) -> tuple[list[RawFile], dict[str, str]]:
    """The files that an ingest would load now, and those that it would reject, with the reason; nothing is changed."""
    settle(environment, spec, order, read_only=True)
    source = build.unasked(environment.root, spec)
    chosen = _chosen(source, spec, order)
    store = Store(environment, spec.name)
    names = store.names()
    manifests = store.manifests(names=names)
    foreign = Strangers(environment.root, spec, source)
    rejected = dict[str, str]()
    for name in strangers(names, manifests):
        found = CUT_OFF if was_cut_off(name, spec.name) else foreign.waiting(store, name)
        if isinstance(found, Manifest):
            manifests.append(found)
        else:
            rejected[shown(name)] = found
    wanted = [(each, [name for name in each.resources if name in chosen]) for each in foreign.in_order(manifests)]
    files = [(each, file) for each, names in wanted for file in each.files
             if any(file in each.files_of(name) for name in names)]  # fmt: skip
    reasons = {file.name: foreign.refused(store, file) for each, file in files if each.is_foreign}
    rejected |= {name: reason for name, reason in reasons.items() if reason}
    return [file for _, file in files if file.name not in rejected], rejected


def _chosen(source: DltSource, spec: Spec, order: Order) -> list[str]:
    """The resources to load: those that are asked for, or all there are."""
    if not (order.select or order.exclude):
        return list(source.resources)
    return build.choose(source, spec, order.select, order.exclude)


def whole(order: Order) -> Order:
    """An order as raw files are loaded by it: what is in them was chosen when they were fetched."""
    return replace(order, limit=None, since=None, until=None, mode="incr", full_refresh=False)


def end_archiving(load: Load, store: Store, pipeline: dlt.Pipeline) -> None:
    """Put away the files of fetches that are loaded, as an ingest that died has left them."""
    position = Position.of(pipeline.state)
    for manifest in store.manifests():
        if not position.left(manifest):
            _archive(store, manifest, load.report)


def _archive(store: Store, manifest: Manifest, report: Report) -> None:
    """Put away the files of a fetch that is loaded, its manifest last; what a crash left of that is done here."""
    there = set(store.names())
    for file in manifest.files:
        if file.name in there:
            report.raw(file, "archive")
            store.archive(file)
    if not manifest.is_foreign:
        store.archive_manifest(manifest)


class _Ingest:
    """The fetches of one spec on their way into its tables."""

    def __init__(self, load: Load, store: Store) -> None:
        self.source = build.unasked(load.environment.root, load.spec)
        self.chosen = _chosen(self.source, load.spec, load.order)
        self.pipeline = load.synced(self.source.schema.name)
        self.load = load.ordered(whole(load.order))
        self.store, self.report = store, load.report

    def run(self) -> None:
        self.report.resources = self.report.resources or self.chosen
        manifests, strange = sorted_out(self.load, self.store)
        foreign = Strangers(self.load.environment.root, self.load.spec, self.source)
        if strange:
            self.store.forget_reasons()
        for name in strange:
            match foreign.waiting(self.store, name):
                case Manifest() as manifest if self.store.is_archived(manifest.files[0]):
                    self.report.warnings.append(f"{self.store.spec}: {name}: {KNOWN}")
                    self.store.archive(manifest.files[0])
                case Manifest() as manifest:
                    manifests.append(manifest)
                case reason:
                    self._reject(name, reason)
        notes = {manifest.note for manifest in manifests}
        for manifest in foreign.in_order(manifests):
            self._ingest(manifest, notes)

    def _ingest(self, manifest: Manifest, notes: set[str]) -> None:
        """Load what is left of a fetch, or what was asked for of it; put its files away when nothing is left."""
        position = Position.of(self.pipeline.state)
        left = position.left(manifest)
        todo = [name for name in left if name in self.chosen or name not in self.source.resources]
        if todo:
            done = {note: names for note, names in position.loaded.items() if note in notes}
            position.loaded = {**done, manifest.note: [*done.get(manifest.note, []), *todo]}
            refresh = None if manifest.refresh == "drop_sources" and manifest.note in done else manifest.refresh
            mine = self.store.signed() if manifest.files else {}
            position.landings = {**({} if refresh == "drop_sources" else position.landings), **mine}
            OneFetch(self.load, self.store, self.pipeline, self.source, manifest, todo, position, refresh).load()
        if len(todo) == len(left):
            _archive(self.store, manifest, self.report)

    def _reject(self, name: str, reason: str) -> None:
        self.report.failed_items.append({"resource": LANDING, "item": shown(name), "reason": reason})
        why = {"reason": reason, "run_id": self.report.run_id}
        self.store.reject(name, why, self.load.environment.name)
