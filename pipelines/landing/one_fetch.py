"""One fetch as one load: its rows, its cursor and the note that it is loaded are committed together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import dlt
from dlt.common.configuration.container import Container
from dlt.common.pipeline import pipeline_state
from dlt.extract import DltResource, DltSource
from dlt.extract.items_transform import ValidateItem
from dlt.pipeline.exceptions import PipelineStepFailed

from pipelines.coverage.claims import Claims
from pipelines.coverage.declared import declared
from pipelines.environment import LANDING
from pipelines.landing.foreign import Strangers
from pipelines.landing.manifest import Manifest, RawFile, Refresh, digests, filed
from pipelines.landing.position import Position
from pipelines.landing.reader import Unreadable, pages
from pipelines.landing.store import Store
from pipelines.ledger import Covered, Origin
from pipelines.load import Load
from pipelines.refusals import appends, dated, emptied_tables, manner
from pipelines.rows.declared import dynamic

WHOLE = ("replace", "scd2", "cdc")  # tables that a part of their rows would cut
GONE = "the source has no such resource any more; its rows are not loaded"
EMPTIED = "every row was set aside, and the table is replaced whole: it stays as it was"
TWICE = "was loaded by another way since it was fetched, and its rows would come twice or undo newer ones: left out"


class OneFetch:
    """Some resources of one fetch; what cannot be read is told and put aside, and the rest is loaded.

    `position` is what the warehouse is to know once they are loaded. `rebuilding`: their files are in the archive, and
    their cursors are set, not moved.
    """

    def __init__(
        self, load: Load, store: Store, pipeline: dlt.Pipeline, source: DltSource, manifest: Manifest,
        resources: list[str], position: Position, refresh: Refresh | None, rebuilding: bool = False,
    ) -> None:  # fmt: skip
        self._load, self._store, self._pipeline, self._source = load, store, pipeline, source
        self._manifest, self._resources, self._position = manifest, resources, position
        self._refresh = refresh
        self._rebuilding = rebuilding
        self._unread: set[str] = set()  # files
        self._lost: set[str] = set()  # their resources
        self._held: set[str] = set(position.held)  # resources whose cursor stays
        self._left_out: set[str] = set()  # resources that are not loaded

    def load(self) -> bool:
        """Load them, with as many tries as there are files that cannot be read; whether there was anything to load."""
        self._hold_back()
        while set(self._resources) - self._left_out:
            if self._loaded():
                return True
        return False

    def _hold_back(self) -> None:
        """Leave cursors alone that are not where the fetch found them, and rows that nobody wants any more."""
        state = self._pipeline.state.get("sources", {}).get(self._source.schema.name, {})
        stands, begun = digests(state, self._resources), self._manifest.begun
        moved = {name for name in stands if name in begun and stands[name] != begun[name]}
        elsewhere = set[str]() if self._rebuilding or self._refresh else moved
        self._held |= elsewhere
        for name in self._resources:
            if name not in self._source.resources:
                self._leave_out(name, GONE)
            elif name in elsewhere and (appends(self._source.resources[name]) or self._is_overtaken):
                self._leave_out(name, TWICE)
                self._put_aside(name)

    @property
    def _is_overtaken(self) -> bool:
        """Whether a run that knew nothing of this fetch has loaded since: its rows are newer, and would be undone."""
        load, fetched_at = self._load, datetime.fromisoformat(self._manifest.fetched_at)
        return bool(load.ledger.loaded_directly(load.spec.name, load.environment.name, fetched_at))

    def _loaded(self) -> bool:
        """Whether the load went through; if not, what stood in its way is left out of the next one."""
        load, pipeline, source = self._load, self._pipeline, self._fed()
        intake = load.intake()
        intake.spool.unlink(missing_ok=True)
        load.refuse_new_types(pipeline, source, self._refresh)
        with load.parsing_once():
            load.guard(pipeline, source, intake, self._refresh)
            try:
                load.extract(pipeline, source, intake, self._refresh)
            except PipelineStepFailed as failed:
                self._lose(_unreadable(failed))
                return False
            emptied = emptied_tables(source, intake)
            if emptied:
                pipeline.abort_packages()
                for name in emptied:
                    self._leave_out(name, EMPTIED)
            load.set_aside(intake)
            if not emptied:
                self._tell_origins()
                load.load(pipeline)
                self._claim()
        return not emptied

    def _tell_origins(self) -> None:
        """Note which files the rows come from, where the environment has views that show it."""
        load, manifest = self._load, self._manifest
        if load.spec.name not in load.environment.views:
            return
        read = {
            name: [file.name for file in manifest.files_of(name) if file.name not in self._unread]
            for name in self._resources
        }
        names = {name: files for name, files in read.items() if files}
        fetched_at = _moment(manifest.fetched_at)
        (load_id,) = self._pipeline.list_extracted_load_packages()
        place = (load.spec.name, load.report.dataset, load_id)
        load.ledger.add_origins(
            [Origin(*place, name, ", ".join(files), fetched_at, manifest.run_id) for name, files in names.items()]
        )

    def _claim(self) -> None:
        """Tell what the fetch had asked for, of that which is loaded whole."""
        whole = set(self._resources) - self._left_out - self._lost
        for each in declared(self._source, self._load.spec):
            rows = [Covered(**row) for row in self._manifest.claims if row["resource"] == each.resource in whole]
            self._load.report.claims.append(Claims(each, rows, self._source.schema.naming))

    def _fed(self) -> DltSource:
        """The source, its resources fed from the files."""
        resources = [
            self._resource(self._source.resources[name]) for name in self._resources if name not in self._left_out
        ]
        return DltSource(self._source.schema.clone(), self._source.section, resources)

    def _resource(self, given: DltResource) -> DltResource:
        """A resource with all hints of ours, and of its steps the one that looks at what a row is."""
        fed: DltResource = dlt.resource(lambda: self._rows(given.name), name=given.name)
        fed._set_hints(given._clone_hints(given._hints or {}))
        fed._hints_variants = dict(given._hints_variants)
        if manner(given) == "scd2" and self._manifest.fetched_at:
            dated(fed, self._manifest.fetched_at)
        for step in given._pipe.steps:
            if isinstance(step, ValidateItem):
                fed.add_step(step)
        return fed

    def _rows(self, resource: str) -> Iterator[Any]:
        self._note(pipeline_state(Container())[0])
        if resource in self._manifest.tables:
            yield dlt.mark.materialize_table_schema()
        by_row = bool(dynamic(self._source.resources[resource]))  # dlt asks each row for its table, or hints
        for file in self._manifest.files_of(resource):
            if file.name not in self._unread:
                folder = f"archive/{filed(file.resource)}" if self._rebuilding else LANDING
                path = self._store.path(folder, file.name)
                for page in pages(self._store, path, file, self._load.scratch, by_row):
                    yield self._foreign.page(resource, file, page) if self._manifest.is_foreign else page

    @cached_property
    def _foreign(self) -> Strangers:
        return Strangers(self._load.environment.root, self._load.spec, self._source)

    def _note(self, state: Any) -> None:
        """Put cursors and position into the state that is committed with the rows."""
        self._position.put(state)
        if self._manifest.state is None:
            return
        fetched, mine = self._manifest.state, state["sources"].setdefault(self._source.schema.name, {})
        entries = mine.setdefault("resources", {})
        for name in set(self._resources) - self._held - self._left_out:
            entries.pop(name, None)
            entries |= {name: fetched["resources"][name]} if name in fetched.get("resources", {}) else {}
        if not self._held and not self._position.left(self._manifest):
            for key in {*mine, *fetched} - {"resources"}:
                mine.pop(key, None)
                mine |= {key: fetched[key]} if key in fetched else {}

    def _lose(self, broken: Unreadable) -> None:
        """Do without a file: its resources keep their cursors, and a table that is replaced whole its rows."""
        file = broken.file
        lost = {name for name in self._manifest.resources if file in self._manifest.files_of(name)}
        self._unread.add(file.name)
        self._lost |= lost
        self._held |= lost
        if self._manifest.is_foreign:  # it may be put into the landing again as it is, and is then not loaded yet
            self._position.loaded.pop(self._manifest.note, None)
        self._tell(file.resource, file.name, str(broken))
        if self._rebuilding:
            self._position.held = sorted({*self._position.held, *lost})
        else:
            self._reject(file, str(broken))
        self._left_out |= {name for name in lost if manner(self._source.resources[name]) in WHOLE}

    def _put_aside(self, resource: str) -> None:
        """Reject files whose rows came by another way, lest a rebuild load them beside those."""
        for file in self._manifest.files:
            if file.resource == resource:
                self._reject(file, TWICE)

    def _reject(self, file: RawFile, reason: str) -> None:
        if file.name in self._store.names(LANDING):
            self._load.report.raw(file, "rejected")
            why = {"reason": reason, "resource": file.resource, "run_id": self._load.report.run_id}
            if self._manifest.is_foreign:
                self._store.reject(file.name, why, self._load.environment.name)
            else:
                fetch = f"etl fetch {self._store.spec} --env {self._load.environment.name} --select {file.resource}"
                fetched = {"fetched_by": self._manifest.run_id, "retry_command": fetch}
                self._store.reject(file.name, {**why, **fetched})

    def _leave_out(self, resource: str, reason: str) -> None:
        self._left_out.add(resource)
        self._held.add(resource)
        self._tell(resource, self._manifest.name, reason)

    def _tell(self, resource: str, item: str, reason: str) -> None:
        self._load.report.failed_items.append({"resource": resource, "item": item, "reason": reason})


def _moment(text: str) -> datetime | None:
    """When a fetch was; a stranger's file may say nothing, or nonsense, and its clock is taken for UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _unreadable(failed: PipelineStepFailed) -> Unreadable:
    """What could not be read, or the failure itself again."""
    cause: BaseException | None = failed
    while cause is not None:
        if isinstance(cause, Unreadable):
            return cause
        cause = cause.__cause__ or cause.__context__
    raise failed
