"""One run of one spec while its lock is held: finish what is pending, read, set bad rows aside, load."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import Any

import dlt
from dlt.common.runtime import signals
from dlt.common.schema import Schema
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed

from pipelines import build, configuration
from pipelines.columnar import columnar
from pipelines.counting import rows_of
from pipelines.coverage.claims import claimed
from pipelines.environment import Environment
from pipelines.errors import EtlError
from pipelines.ledger import Ledger
from pipelines.order import Order
from pipelines.parsed_pages import ParsedPages
from pipelines.refusals import emptied_tables, refuse, refuse_new_types
from pipelines.report import Report
from pipelines.resume import adopt_stored, clear, forget_unfinished, take_up
from pipelines.rows.intake import Intake, spooled
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
        self.spools = environment.state_dir / "quarantine" / spec.name
        self.parsed_pages: ParsedPages | None = None

    def run(self) -> None:
        kit = importlib.import_module("sources.kit.http")
        kit.reset_counts()
        source = build.build(self.environment.root, self.spec)
        self.feeders = {name for name, resource in source.resources.items() if not resource.selected}
        self.report.resources = build.choose(source, self.spec, self.order.select, self.order.exclude)
        self.report.window = str(self.window) if self.window else None
        refuse(self.environment, self.spec, source, self.window, self.order.freezes_cursor)
        with self._timed("pending"):
            self._write_quarantine()
            pipeline = self._synced(source.schema.name)
        refuse_new_types(self.spec, source.selected_resources.values(), self._known(pipeline, source))
        with self._working(pipeline) as working, self._parsing_once():
            intake = self._extract(working, source)
            emptied = emptied_tables(source, intake)
            if emptied:
                working.abort_packages()
            self._write_quarantine()
            self.report.rejected = dict(intake.rejected)
            if emptied:
                raise EtlError(
                    f"{self.spec.name}: every row of {', '.join(emptied)} was set aside, and the table is replaced "
                    f"whole: nothing was loaded; see etl quarantine list {self.spec.name}"
                )
            self._load(working)
        self.report.requests = kit.counts_as_dict()

    def _synced(self, schema_name: str) -> dlt.Pipeline:
        """The main pipeline with pending packages loaded and the destination's state taken over."""
        clear(self.environment.state_dir, self.spec.name)
        pipeline = open_pipeline(self.environment, self.spec)
        pipeline.collector = self.progress
        if self.order.full_refresh and pipeline.has_pending_data:
            pipeline.abort_packages()  # all of it is read again
        if take_up(pipeline, self.environment.kind):
            self.report.resumed = True
            self._load(pipeline)
        pipeline = reopened(self.environment, self.spec, pipeline)
        pipeline.collector = self.progress
        pipeline.sync_destination()
        adopt_stored(pipeline, schema_name)
        if not self.ledger.ended_well(self.report.row()):
            forget_unfinished(pipeline, schema_name)
        return pipeline

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
    def _parsing_once(self) -> Iterator[None]:
        """What the guard has parsed is there for the normaliser, if that takes it."""
        if not configuration.wants_columnar():
            yield
            return
        with closing(ParsedPages(self.environment.state_dir)) as self.parsed_pages:
            yield

    def _extract(self, pipeline: dlt.Pipeline, source: DltSource) -> Intake:
        intake = Intake(self.spec.name, self.spools / f"{self.report.run_id}.jsonl")
        known = self._known(pipeline, source)
        guard(
            source,
            intake,
            self.order.limit,
            self.environment.kind,
            known,
            feeders=self.feeders,
            parsed_pages=self.parsed_pages,
        )
        if self.order.limit is not None:
            for resource in source.selected_resources.values():
                if not resource.is_transformer:
                    resource.add_limit(self.order.limit, count_rows=True)
        try:
            with self._timed("extract"), self._pages_ahead():
                pipeline.extract(source, refresh=self._refresh(), loader_file_format=LOADER_FORMAT)
        finally:
            intake.close()
            self.report.failed_items = intake.failed
            self.report.warnings += intake.warnings
        if self.order.limit is None:
            self.report.claims = [*claimed(self.environment, self.spec, source, intake, self.window, self.report)]
        return intake

    def _pages_ahead(self) -> AbstractContextManager[None]:
        """Pages are asked for ahead, save in a limited run, which leaves most of them alone."""
        limited = self.order.limit is not None
        return nullcontext() if limited else importlib.import_module("sources.kit.ahead").reading_ahead()

    def _load(self, pipeline: dlt.Pipeline) -> None:
        if not pipeline.has_pending_data:
            return
        with signals.intercepted_signals():  # dlt's own interception forgets a signal that comes near its end
            by_columns = columnar(self.report.gears, self.parsed_pages)
            with self._timed("normalize"), by_columns, _fresh_after_bad_rows(pipeline):
                info = pipeline.normalize()
            signals.raise_if_signalled()
            with self._timed("load"):
                loaded = pipeline.load()
            if info and loaded and not pipeline.list_normalized_load_packages():
                self.report.add_rows(rows_of(pipeline, loaded.loads_ids, info.row_counts or _all_tables(pipeline)))
            signals.raise_if_signalled()

    def _write_quarantine(self) -> None:
        """Write every spool to the destination before the load that belongs to it is committed."""
        for spool in sorted(self.spools.glob("*.jsonl")):
            self.ledger.quarantine(spool.stem, spooled(spool))
            spool.unlink()

    def _known(self, pipeline: dlt.Pipeline, source: DltSource) -> Schema | None:
        """The schema of what is loaded already; None for a first run and for one that replaces it."""
        name = source.schema.name
        return pipeline.schemas[name] if name in pipeline.schema_names and not self.order.full_refresh else None

    def _refresh(self) -> Any:
        if not self.order.full_refresh:
            return None
        return "drop_resources" if self.order.select or self.order.exclude else "drop_sources"

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
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


def _all_tables(pipeline: dlt.Pipeline) -> dict[str, int]:
    """Any table may have rows of a package that a dead run had normalized: nobody has its counts."""
    return dict.fromkeys(pipeline.default_schema.data_table_names(seen_data_only=True), 1)
