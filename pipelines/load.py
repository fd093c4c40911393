"""One run of one spec while its lock is held: finish what is pending, read, set bad rows aside, load."""

from __future__ import annotations

import copy
import importlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext

import dlt
from dlt.common.pipeline import ExtractInfo
from dlt.common.runtime import signals
from dlt.common.schema import Schema
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed

from pipelines import build, configuration
from pipelines.columnar import columnar
from pipelines.counting import rows_of
from pipelines.coverage.claims import Claims, claimed
from pipelines.environment import Environment
from pipelines.errors import EtlError
from pipelines.keeping import make_room
from pipelines.landing.manifest import Refresh
from pipelines.landing.position import Position
from pipelines.ledger import UNFINISHED, Ledger
from pipelines.memory import give_back
from pipelines.order import Order
from pipelines.parsed_pages import ParsedPages
from pipelines.refusals import dated, emptied_tables, manner, refuse, refuse_new_types
from pipelines.report import Report
from pipelines.resume import adopt_stored, clear, forget_unfinished, take_up
from pipelines.rows.intake import Intake
from pipelines.rows.quarantine import guard
from pipelines.specs.spec import Spec
from pipelines.trace import Progress
from pipelines.translate import is_of_rows
from pipelines.window import parse
from pipelines.working import LOADER_FORMAT, open_pipeline, reopened, scratch_copy


class Load:
    """One run of one spec while its lock is held."""

    def __init__(
        self, environment: Environment, spec: Spec, order: Order, report: Report, ledger: Ledger, progress: Progress
    ) -> None:  # fmt: skip
        self.environment, self.spec, self.order, self.report = environment, spec, order, report
        self.ledger, self.progress = ledger, progress
        self.window = parse(order.since, order.until, spec.timezone or "UTC")
        self.spools = environment.spools(spec.name)
        self.scratch = environment.state_dir / "scratch" / f"raw-{report.run_id}" / spec.name  # see `resume.clear`
        self.feeders: set[str] = set()
        self.main: dlt.Pipeline | None = None
        self.schema_name = spec.name
        self.ended_rebuild = False
        self._load_ids, self._written = list[str](), dict[str, int]()
        self._in_doubt = False  # whether rows may be in the tables that nobody has counted
        self.parsed_pages: ParsedPages | None = None

    def ordered(self, order: Order) -> Load:
        """The same load by another order."""
        other = copy.copy(self)
        other.order, other.window = order, parse(order.since, order.until, self.spec.timezone or "UTC")
        return other

    def run(self) -> None:
        """Read the upstream and load what it gives."""
        with self.asking() as source:
            pipeline = self.synced(source.schema.name)
            self.refuse_new_types(pipeline, source, self.refresh)
            with self._marked(pipeline), self._working(pipeline) as working, self.parsing_once():
                intake = self.intake()
                self.guard(working, source, intake, self.refresh)
                if self.extract(working, source, intake, self.refresh):
                    self.report.mode = self.order.manner
                self.report.claims = self.claims(source, intake)
                emptied = emptied_tables(source, intake)
                if emptied:
                    working.abort_packages()
                self.set_aside(intake)
                if emptied:
                    see = f"etl quarantine list {self.spec.name} --env {self.environment.name}"
                    raise EtlError(
                        f"{self.spec.name}: every row of {', '.join(emptied)} was set aside, and the table is replaced "
                        f"whole: nothing was loaded; see {see}"
                    )
                self.load(working)

    @property
    def load_ids(self) -> list[str]:
        """The loads of this run, in their order."""
        return list(self._load_ids)

    @contextmanager
    def asking(self) -> Iterator[DltSource]:
        """The source with what was asked of it, its requests counted."""
        kit = importlib.import_module("sources.kit.http")
        kit.reset_counts()
        source = build.build(self.environment.root, self.spec)
        self.feeders = {name for name, resource in source.resources.items() if not resource.selected}
        self.report.resources = build.choose(source, self.spec, self.order.select, self.order.exclude)
        self.report.window = str(self.window) if self.window else None
        refuse(self.environment, self.spec, source, self.window, self.order)
        for resource in source.selected_resources.values():
            if manner(resource) == "scd2":
                dated(resource, None)
        yield source
        self.report.requests = kit.counts_as_dict()

    def synced(self, schema_name: str) -> dlt.Pipeline:
        """The main pipeline with pending packages loaded, the destination's state taken over, a rebuild ended."""
        self.schema_name = schema_name
        if self.main is None:
            with self.timed("pending"):
                self.ledger.take_in(self.spools)
                self.main = self._synced(schema_name)
            if Position.of(self.main.state).rebuilt is not None:
                from pipelines.landing.rebuild import bring_to_end

                bring_to_end(self, self.main)
                self.ended_rebuild = True
        return self.main

    def _synced(self, schema_name: str) -> dlt.Pipeline:
        clear(self.environment.state_dir, self.spec.name)
        pipeline = open_pipeline(self.environment, self.spec)
        pipeline.collector = self.progress
        if self.order.full_refresh and pipeline.has_pending_data:
            pipeline.abort_packages()  # all of it is read again
        if take_up(pipeline, self.environment.kind):
            self.report.resumed = True
            self.load(pipeline)
        pipeline = reopened(self.environment, self.spec, pipeline)
        pipeline.collector = self.progress
        pipeline.sync_destination()
        adopt_stored(pipeline, schema_name)
        if not self.ledger.ended_well(self.report.row()):
            forget_unfinished(pipeline, schema_name)
        return pipeline

    def beside(self) -> dlt.Pipeline:
        """The main pipeline, for tables that the engine fills once the source's are loaded."""
        assert self.main is not None, f"{self.spec.name}: nothing was loaded before"
        adopt_stored(self.main, self.schema_name)  # else dlt takes the engine's schema for that of the pipeline
        return self.main

    @contextmanager
    def _working(self, main: dlt.Pipeline) -> Iterator[dlt.Pipeline]:
        """The pipeline to load with: the main one, or a copy whose state nobody keeps."""
        if not self.order.freezes_cursor:
            yield main
            return
        with scratch_copy(self.environment, self.spec, main, self.report.run_id) as scratch:
            scratch.collector = self.progress
            if self.order.since or self.order.until or self.order.mode == "backfill":
                with scratch.managed_state() as state:
                    state["sources"] = {}
            yield scratch

    @contextmanager
    def _marked(self, main: dlt.Pipeline) -> Iterator[None]:
        """Have the mode tell of a run that fails when its rows may be in the tables, or wait to be loaded there."""
        self._in_doubt = False
        try:
            yield
        except BaseException:
            if self._in_doubt or main.has_pending_data:
                self.report.mode = f"{self.order.manner}{UNFINISHED}"
            raise

    @contextmanager
    def parsing_once(self) -> Iterator[None]:
        """What the guard has parsed is there for the normaliser, if that takes it."""
        if not configuration.wants_columnar():
            yield
            return
        with closing(ParsedPages(self.environment.state_dir)) as self.parsed_pages:
            yield

    def intake(self) -> Intake:
        """What takes in what this run sets aside."""
        return Intake(self.spec.name, self.spools / f"{self.report.run_id}.jsonl")

    def guard(self, pipeline: dlt.Pipeline, source: DltSource, intake: Intake, refresh: Refresh | None) -> None:
        """Put the guard before every resource, and the limit after it."""
        guard(
            source,
            intake,
            self.order.limit,
            self.environment.kind,
            self.known(pipeline, source, refresh),
            feeders=self.feeders,
            parsed_pages=self.parsed_pages,
        )
        if self.order.limit is not None:
            for resource in source.selected_resources.values():
                if not resource.is_transformer:
                    resource.add_limit(self.order.limit, count_rows=True)

    def extract(self, pipeline: dlt.Pipeline, source: DltSource, intake: Intake, refresh: Refresh | None) -> bool:
        """Read a guarded source into a package; whether that has rows. The report gets what failed."""
        try:
            with self.timed("extract"), self._pages_ahead():
                return _has_rows(pipeline.extract(source, refresh=refresh, loader_file_format=LOADER_FORMAT))
        finally:
            intake.close()
            self.report.failed_items += intake.failed
            self.report.postponed = self.report.postponed or bool(intake.postponed)
            self.report.signed_out += intake.signed_out
            self.report.warnings += intake.warnings

    def claims(self, source: DltSource, intake: Intake) -> list[Claims]:
        """What a run that has read its source to the end has asked for."""
        if self.order.limit is not None:
            return []
        return [*claimed(self.environment, self.spec, source, intake, self.window, self.report)]

    def _pages_ahead(self) -> AbstractContextManager[None]:
        """Pages are asked for ahead, save in a limited run, which leaves most of them alone."""
        limited = self.order.limit is not None
        return nullcontext() if limited else importlib.import_module("sources.kit.ahead").reading_ahead()

    def load(self, pipeline: dlt.Pipeline) -> None:
        """Normalize and load what was extracted, which drops tables first where it is a refresh."""
        if not pipeline.has_pending_data:
            return
        with signals.intercepted_signals():  # dlt's own interception forgets a signal that comes near its end
            by_columns = columnar(self.report.gears, self.parsed_pages)
            with self.timed("normalize"), by_columns, _fresh_after_bad_rows(pipeline):
                info = pipeline.normalize()
            give_back()
            signals.raise_if_signalled()
            if _drops_tables(pipeline):
                make_room(self.environment, self.spec, self.report.dataset)
            self._in_doubt = True
            with self.timed("load"):
                loaded = pipeline.load()
            give_back()
            if info and loaded and not pipeline.list_normalized_load_packages():
                self._count(pipeline, loaded.loads_ids, info.row_counts or _all_tables(pipeline))
                self._in_doubt = False
            signals.raise_if_signalled()

    def _count(self, pipeline: dlt.Pipeline, load_ids: list[str], written: dict[str, int]) -> None:
        """Tell how many rows the loads of this run have left, of which several may have written the same row."""
        self._load_ids += load_ids
        for table, rows in written.items():
            self._written[table] = self._written.get(table, 0) + rows
        left = rows_of(pipeline, self._load_ids, self._written)
        self.report.tables = {table: rows for table, rows in left.items() if rows}

    def set_aside(self, intake: Intake) -> None:
        """Write what was set aside to quarantine, before what was not is committed."""
        self.ledger.take_in(self.spools)
        for resource, rows in intake.rejected.items():
            self.report.rejected[resource] = self.report.rejected.get(resource, 0) + rows

    def known(self, pipeline: dlt.Pipeline, source: DltSource, refresh: Refresh | None) -> Schema | None:
        """The schema of what is loaded already; None for a first run and for one that replaces it."""
        name = source.schema.name
        return pipeline.schemas[name] if name in pipeline.schema_names and not refresh else None

    def refuse_new_types(self, pipeline: dlt.Pipeline, source: DltSource, refresh: Refresh | None) -> None:
        """Refuse declarations that the loaded columns cannot follow."""
        refuse_new_types(self.spec, source.selected_resources.values(), self.known(pipeline, source, refresh))

    @property
    def refresh(self) -> Refresh | None:
        """What of the tables is dropped and read again."""
        if not self.order.full_refresh:
            return None
        return "drop_resources" if self.order.select or self.order.exclude else "drop_sources"

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add what the block takes to the seconds of a step."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.report.seconds[step] = self.report.seconds.get(step, 0) + time.monotonic() - started


@contextmanager
def _fresh_after_bad_rows(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Drop a package whose rows cannot be normalized, now or ever, lest it block what follows: they are read again."""
    try:
        yield
    except PipelineStepFailed as failed:
        if is_of_rows(failed):
            pipeline.abort_packages()
        raise


def _drops_tables(pipeline: dlt.Pipeline) -> bool:
    """Whether what is to be loaded drops tables; it may be of a run that died."""
    states = map(pipeline.get_load_package_state, pipeline.list_normalized_load_packages())
    return any(state.get("dropped_tables") for state in states)


def _has_rows(info: ExtractInfo) -> bool:
    steps = (step for steps in info.metrics.values() for step in steps)
    return any(counts.items_count for step in steps for counts in step["resource_metrics"].values())


def _all_tables(pipeline: dlt.Pipeline) -> dict[str, int]:
    """Any table may have rows of a package that a dead run had normalized: nobody has its counts."""
    schemas = pipeline.schemas.values()
    return {table: 1 for schema in schemas for table in schema.data_table_names(seen_data_only=True)}
