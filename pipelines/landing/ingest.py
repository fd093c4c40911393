"""`etl ingest`: raw files into the tables, one fetch after the other as so many runs, then into the archive."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from dlt.extract import DltSource

from pipelines import build
from pipelines.environment import LANDING, Environment
from pipelines.landing.fetch import put_aside_cut_off
from pipelines.landing.manifest import Manifest, RawFile, resource_of
from pipelines.landing.one_fetch import OneFetch
from pipelines.landing.position import Position
from pipelines.landing.store import Store, is_of_rows, strangers
from pipelines.load import Load
from pipelines.order import Order, settle
from pipelines.specs.spec import Spec

UNKNOWN = "belongs to no resource: its name ends with none of {}; rename it and put it into landing again"
NO_ROWS = "is neither JSON lines nor parquet by its name; call it .jsonl, .jsonl.zst, .jsonl.gz or .parquet"


def ingest(load: Load, store: Store) -> None:
    """Load every fetch that waits, oldest first, and put its files away."""
    _Ingest(load, store).run()


def waiting(store: Store, known: Collection[str]) -> list[Manifest]:
    """The fetches that wait, and with them the files of strangers, in their order."""
    manifests = store.manifests()
    strange = [
        Manifest.foreign(store.spec, RawFile(resource, name, size=store.size(name)), store.mark(name))
        for name in strangers(store.names(LANDING), manifests)
        if is_of_rows(name) and (resource := resource_of(name, known))
    ]
    return sorted([*manifests, *strange], key=lambda manifest: manifest.key)


def listed(environment: Environment, spec: Spec, order: Order) -> list[RawFile]:
    """The files that an ingest would load now; nothing is changed."""
    settle(environment, spec, order, read_only=True)
    source = build.outline(environment.root, spec)
    chosen = _chosen(source, spec, order)
    manifests = waiting(Store(environment, spec.name), source.resources)
    return [file for each in manifests for file in each.files if file.resource in chosen]


def _chosen(source: DltSource, spec: Spec, order: Order) -> list[str]:
    """The resources to load: those that are asked for, or all there are."""
    return (
        build.choose(source, spec, order.select, order.exclude)
        if order.select or order.exclude
        else list(source.resources)
    )


def whole(order: Order) -> Order:
    """An order as raw files are loaded by it: what is in them was chosen when they were fetched."""
    return replace(order, limit=None, since=None, until=None, mode="incr", full_refresh=False)


class _Ingest:
    """The fetches of one spec on their way into its tables."""

    def __init__(self, load: Load, store: Store) -> None:
        self.load = load.ordered(whole(load.order))
        self.store, self.report = store, load.report
        self.source = build.outline(load.environment.root, load.spec)

    def run(self) -> None:
        chosen = _chosen(self.source, self.load.spec, self.load.order)
        self.report.resources = self.report.resources or chosen
        self.pipeline = self.load.synced(self.source.schema.name)
        put_aside_cut_off(self.load, self.store)
        self._reject_strangers()
        manifests = waiting(self.store, self.source.resources)
        notes = {manifest.note for manifest in manifests}
        for manifest in manifests:
            self._ingest(manifest, chosen, notes)

    def _ingest(self, manifest: Manifest, chosen: Sequence[str], notes: set[str]) -> None:
        """Load what is left of a fetch, or what was asked for of it; put its files away when nothing is left."""
        position = Position.of(self.pipeline.state)
        left = position.left(manifest)
        todo = [name for name in left if name in chosen or name not in self.source.resources]
        if todo:
            loaded = {note: names for note, names in position.loaded.items() if note in notes}
            position.loaded = {
                **loaded,
                manifest.note: [name for name in manifest.resources if name not in left] + todo,
            }
            OneFetch(self.load, self.store, self.pipeline, self.source, manifest, todo, position).load()
        if len(todo) == len(left):
            self._archive(manifest)

    def _archive(self, manifest: Manifest) -> None:
        """Put away the files of a fetch that is loaded, its manifest last; what a crash left of that is done here."""
        there = set(self.store.names(LANDING))
        for file in manifest.files:
            if file.name in there:
                self.report.raw(file, "archive")
                self.store.archive(file)
        if not manifest.is_foreign:
            self.store.archive_manifest(manifest)

    def _reject_strangers(self) -> None:
        """Files that nobody can load are put aside with the reason."""
        for name in strangers(self.store.names(LANDING), self.store.manifests()):
            if not is_of_rows(name):
                self._reject(name, NO_ROWS)
            elif resource_of(name, self.source.resources) is None:
                self._reject(name, UNKNOWN.format(", ".join(sorted(self.source.resources))))

    def _reject(self, name: str, reason: str) -> None:
        self.report.failed_items.append({"resource": LANDING, "item": name, "reason": reason})
        self.store.reject(name, {"reason": reason, "run_id": self.report.run_id})
