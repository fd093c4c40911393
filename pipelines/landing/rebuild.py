"""`etl rebuild`: the tables anew from the archive, without asking the upstream anything.

Each fetch is one load, the first of which drops the tables. How far it is stands in the pipeline's state, so that a
rebuild that was killed is brought to its end by whatever runs next on the spec.
"""

from __future__ import annotations

from datetime import datetime

import dlt
from dlt.extract import DltSource

from pipelines import build
from pipelines.errors import EtlError, UsageError
from pipelines.landing.expiry import expired_until, forget_expired
from pipelines.landing.foreign import Strangers
from pipelines.landing.ingest import end_archiving, whole
from pipelines.landing.manifest import Manifest, RawFile, Refresh
from pipelines.landing.one_fetch import OneFetch
from pipelines.landing.position import Position
from pipelines.landing.store import MANIFESTS, Store, is_of_rows, strangers
from pipelines.load import Load
from pipelines.printing import counted

AGAIN = (
    "set keep_raw = true in [{2}] and read the upstream again with etl run {0} --env {2} --full-refresh, or give them "
    "up with --drop-direct"
)
EXPIRED = (
    "{0}: the raw files fetched until {1} are deleted, being too old, and a rebuild would lose their rows; " + AGAIN
)
DIRECT = (
    "{0}: run {1} loaded rows that no raw file holds, or died and may have, and a rebuild would lose them; " + AGAIN
)
OTHERS = (
    "{}: raw files of {} are in the tables, which {} has not, and a rebuild would lose their rows; let all machines "
    "share one landing, put the archives together and rebuild there, or give them up with --drop-direct"
)
PART = (
    "{0}: {1} is loaded from raw files that still wait, and a rebuild would leave it out; load the rest first with "
    "etl ingest {0} --env {2}"
)
ELSEWHERE = (
    "{0}: a rebuild was killed, and {1}/archive has not what it was made from; end it where that is, or give it up "
    "with etl state reset {0} --env {2}"
)
REPLAYED = "{0}: {1} replayed before, in no raw file, and in quarantine again; run etl quarantine replay {0} --env {2}"


def rebuild(load: Load, store: Store) -> None:
    """Make the tables of a spec again from its archive."""
    source = build.unasked(load.environment.root, load.spec)
    pipeline = load.synced(source.schema.name)
    end_archiving(load, store, pipeline)
    _refuse_part(load, store, Position.of(pipeline.state))
    archived = _archived(load, store, source)
    if not load.order.drop_direct:
        _refuse_others(store, Position.of(pipeline.state))
        _refuse_expired(load, store, archived)
    if not archived:
        raise UsageError(f"{load.spec.name}: {store.home}/archive holds no raw files; there is nothing to rebuild from")
    if not load.order.drop_direct:
        _refuse_direct(load, archived)
    load.report.resources = list(source.resources)
    if not load.ended_rebuild:
        _Rebuild(load, store, pipeline).run(archived)


def bring_to_end(load: Load, pipeline: dlt.Pipeline) -> None:
    """Go on with a rebuild that was killed."""
    store = Store(load.environment, load.spec.name)
    source = build.unasked(load.environment.root, load.spec)
    archived, reached = _archived(load, store, source), Position.of(pipeline.state).rebuilt
    if reached not in [list(manifest.key) for manifest in archived]:
        raise EtlError(ELSEWHERE.format(load.spec.name, store.home, load.environment.name))
    _Rebuild(load, store, pipeline).run(archived)


class _Rebuild:
    """Fetches from the archive on their way into new tables."""

    def __init__(self, load: Load, store: Store, pipeline: dlt.Pipeline) -> None:
        self.load, self.store, self.pipeline = load.ordered(whole(load.order)), store, pipeline
        self.source = build.unasked(load.environment.root, load.spec)
        self.report = load.report

    def run(self, archived: list[Manifest]) -> None:
        """Load what is left; from the beginning where no rebuild has begun, which drops the tables."""
        before = Position.of(self.pipeline.state)
        begun, held, mine = before.rebuilt is not None, before.held, self.store.signed()
        if not begun:
            self._take_back_replayed()
        for manifest in _left(archived, before.rebuilt):
            position = Position(rebuilt=list(manifest.key), held=held, landings=mine)
            refresh: Refresh | None = manifest.refresh if begun else "drop_sources"
            loaded = OneFetch(
                self.load, self.store, self.pipeline, self.source, manifest, manifest.resources, position,
                refresh, rebuilding=True,
            ).load()  # fmt: skip
            begun, held = begun or loaded, position.held
        self._end()

    def _take_back_replayed(self) -> None:
        """Put rows into quarantine again that only a replay has loaded, since their tables are dropped."""
        name = self.load.spec.name
        taken = self.load.ledger.not_replayed(name)
        for resource in taken:
            self.report.rejected[resource] = self.report.rejected.get(resource, 0) + 1
        if taken:
            self.report.warnings.append(REPLAYED.format(name, counted(len(taken), "row"), self.load.environment.name))

    def _end(self) -> None:
        with self.pipeline.managed_state(extract_state=True) as state:
            Position(landings=Position.of(state).landings).put(state)
        self.load.load(self.pipeline)
        forget_expired(self.store)


def _archived(load: Load, store: Store, source: DltSource) -> list[Manifest]:
    """All that is in the archive, in the order of the fetches, what strangers left among it."""
    manifests = store.manifests(f"archive/{MANIFESTS}")
    foreign = Strangers(load.environment.root, load.spec, source)
    for resource in store.folders("archive"):
        names = strangers(store.names(f"archive/{resource}"), [*manifests, *store.manifests()])
        files = [RawFile(resource, name) for name in names if resource != MANIFESTS and is_of_rows(name)]
        manifests += [foreign.standing(store, file) for file in files]
    return foreign.in_order(manifests)


def _left(archived: list[Manifest], reached: list[str] | None) -> list[Manifest]:
    """What comes after the last fetch that a rebuild has loaded."""
    keys = [list(manifest.key) for manifest in archived]
    return archived[keys.index(reached) + 1 :] if reached else archived


def _refuse_part(load: Load, store: Store, position: Position) -> None:
    """Stop where some resources of a fetch are loaded, whose files go to the archive with the others."""
    for manifest in store.manifests():
        left = position.left(manifest)
        loaded = {file.resource for file in manifest.files} - set(left)
        if left and loaded:
            raise UsageError(PART.format(store.spec, ", ".join(sorted(loaded)), load.environment.name))


def _refuse_others(store: Store, position: Position) -> None:
    """Stop where rows are in the tables from raw files that another machine keeps for itself."""
    signs = store.signs()
    others = [place for sign, place in position.landings.items() if sign not in signs]
    if others:
        raise UsageError(OTHERS.format(store.spec, ", ".join(others), store.home))


def _refuse_expired(load: Load, store: Store, archived: list[Manifest]) -> None:
    """Stop where raw files are deleted that the tables were made of, since all was last read from the beginning."""
    until = expired_until(store)
    if until is not None and not begins_after(until, archived):
        raise UsageError(EXPIRED.format(store.spec, until[:16] or "now", load.environment.name))


def begins_after(until: str, archived: list[Manifest]) -> bool:
    """Whether the upstream was read from its beginning since then."""
    return any(each.refresh == "drop_sources" and each.fetched_at > until for each in archived)


def _refuse_direct(load: Load, archived: list[Manifest]) -> None:
    """Stop where rows were loaded that no raw file holds, since the tables were last made of raw files alone."""
    anew = [datetime.fromisoformat(manifest.fetched_at) for manifest in archived if manifest.refresh == "drop_sources"]
    direct = load.ledger.loaded_directly(load.spec.name, load.environment.name, anew[-1] if anew else None)
    if direct:
        raise UsageError(DIRECT.format(load.spec.name, direct, load.environment.name))
