"""Run specs: finish what is pending, read, set bad rows aside, load, and tell what happened."""

from __future__ import annotations

import gc
import importlib
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import dlt
from dlt.common.runtime import signals
from dlt.common.schema import Schema
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed
from ulid import ULID

from pipelines import build, configuration
from pipelines.columnar import columnar
from pipelines.counting import rows_of
from pipelines.environment import WAREHOUSE, Environment, looks_secret
from pipelines.errors import EtlError, Exit, UsageError, did_you_mean
from pipelines.ledger import Ledger, open_ledger
from pipelines.lock import held
from pipelines.parsed_pages import ParsedPages
from pipelines.refusals import emptied_tables, refuse, refuse_new_types
from pipelines.report import Report
from pipelines.resume import adopt_stored, clear, forget_unfinished, take_up
from pipelines.rows.intake import Intake, spooled
from pipelines.rows.quarantine import guard
from pipelines.specs.spec import Spec
from pipelines.trace import Progress, Trace, close_dead, end_of, record_missed
from pipelines.translate import is_of_rows, translate
from pipelines.window import iso, parse

# Parquet reaches Postgres by COPY in binary form, which costs the server half of what a CSV does (docs/adr/0012).
LOADER_FORMAT = {"duckdb": "parquet", "postgres": "parquet", "bigquery": "parquet"}
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Order:
    """What the command line asked of a run; every field acts."""

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    limit: int | None = None
    full_refresh: bool = False
    mode: str = "incr"
    run_id: str | None = None
    max_retry: int | None = None
    fail_fast: bool = False
    wait_seconds: float = 0
    values: tuple[str, ...] = ()
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def freezes_cursor(self) -> bool:
        """Whether the run must leave the cursor where it is."""
        return bool(self.limit is not None or self.since or self.until or self.mode == "backfill")


def run_all(
    environment: Environment, specs: Sequence[Spec], order: Order, show: Callable[[str], None] | None = None
) -> Iterator[Report]:
    """Run specs one after the other; one that fails does not stop the others unless `fail_fast`."""
    check(order, specs)
    if order.run_id and (environment.runs_dir / order.run_id).exists():
        raise UsageError(f"--run-id {order.run_id}: has run before; give another id")
    for spec in specs:
        report = run(environment, spec, order, show)
        yield report
        if order.fail_fast and report.exit is not Exit.OK:
            return
        if report.exit in (Exit.INTERRUPTED, Exit.TERMINATED):
            return


def check(order: Order, specs: Sequence[Spec]) -> None:
    """Refuse what cannot be meant, before anything is touched."""
    if order.limit is not None and order.limit < 1:
        raise UsageError(f"--limit {order.limit}: must be at least 1")
    if order.full_refresh and order.freezes_cursor:
        raise UsageError(
            "--full-refresh replaces whole tables; leave out --limit, --since, --until and --mode backfill"
        )
    if order.max_retry is not None and order.max_retry < 0:
        raise UsageError(f"--max-retry {order.max_retry}: must be 0 or more")
    if order.run_id is not None and (len(specs) > 1 or not RUN_ID.fullmatch(order.run_id)):
        raise UsageError(f"--run-id {order.run_id}: names one run of one spec, with letters, digits and _ . - only")


def run(environment: Environment, spec: Spec, order: Order, show: Callable[[str], None] | None = None) -> Report:
    """Run one spec and leave its trace; never raises for a failed run, the report tells."""
    dataset = environment.dataset(build.dataset_name(spec))
    run_id = order.run_id or str(ULID())
    report = Report(run_id, spec.name, environment.name, order.mode, dataset, limit=order.limit)
    trace = Trace(environment.runs_dir, report)
    with _told(report):
        trace.begin()
        settle(environment, spec, order)
        with (
            held(environment, spec.name, run_id, order.wait_seconds) as still_held,
            open_ledger(environment) as ledger,
        ):
            close_dead(environment.runs_dir, report)
            ledger.begin(report.row(), partial(end_of, environment.runs_dir))
            trace.recorded()
            record_missed(environment, spec.name, ledger)
            with _told(report):
                _Load(environment, spec, order, report, ledger, Progress(trace, still_held, show)).run()
            report.finish()
            ledger.finish(report.row())
    report.finish()
    with _told(report):
        trace.end(retry_command(spec, environment, order))
    return report


def settle(environment: Environment, spec: Spec, order: Order, read_only: bool = False) -> None:
    """Make the settings of one run visible to dlt: the command line on top, the spec at the bottom."""
    window = parse(order.since, order.until, spec.timezone or "UTC")
    known = build.arguments(environment.root, spec)
    mine: dict[str, Any] = _values(spec, known, order.values)
    for name in ("since", "until"):
        moment = getattr(window, name)
        if moment is not None and name in known:
            mine[name] = iso(moment)
    if order.max_retry is not None:
        mine["http.max_attempts"] = order.max_retry + 1
    overrides = configuration.nested({**order.overrides, **{f"sources.{spec.name}.{k}": v for k, v in mine.items()}})
    configuration.activate(environment, overrides, {"sources": {spec.name: dict(spec.python or {})}}, read_only)
    for section in (("sources", spec.name, "http"), ("sources", "http")):
        configuration.refuse_unknown_keys(section, _http_settings())


def retry_command(spec: Spec, environment: Environment, order: Order) -> str:
    """The command that would do what this run left."""
    given: dict[str, Any] = {
        "--env": environment.name,
        "--mode": order.mode if order.mode != "incr" else None,
        "--select": ",".join(order.select),
        "--exclude": ",".join(order.exclude),
        "--since": order.since,
        "--until": order.until,
        "--limit": order.limit,
        "--max-retry": order.max_retry,
    }
    words = ["etl", "run", spec.name]
    words += [part for option, value in given.items() if value not in (None, "") for part in (option, str(value))]
    words += ["--full-refresh"] if order.full_refresh else []
    words += [part for value in order.values for part in ("--with", _harmless(value))]
    return shlex.join(words)


def _harmless(value: str) -> str:
    """`--with` for a file a person reads: what may hold a secret is left out."""
    key, _, given = value.partition("=")
    may_hold_one = looks_secret(key, given) or ("://" in given and ("?" in given or "@" in given))
    return f"{key}=…" if may_hold_one else value


def open_pipeline(environment: Environment, spec: Spec, pipelines_dir: Path | None = None) -> dlt.Pipeline:
    """The dlt pipeline of a spec: name, dataset and folder follow from the names."""
    folder = pipelines_dir or environment.state_dir
    folder.mkdir(parents=True, exist_ok=True)
    return dlt.pipeline(
        spec.name,
        pipelines_dir=str(folder),
        destination=WAREHOUSE,
        dataset_name=build.dataset_name(spec),
    )


def reopened(environment: Environment, spec: Spec, pipeline: dlt.Pipeline) -> dlt.Pipeline:
    """The same pipeline without what this machine remembers: the destination's state is the truth, older or newer.

    `Pipeline.drop` would do, but puts the naming layout on the dataset a second time.
    """
    pipeline.deactivate()
    shutil.rmtree(pipeline.working_dir)
    return open_pipeline(environment, spec)


@contextmanager
def scratch_copy(environment: Environment, spec: Spec, main: dlt.Pipeline, name: str) -> Iterator[dlt.Pipeline]:
    """A pipeline with the schema and state of `main`, loading into the same tables; its state is thrown away."""
    folder = environment.state_dir / "scratch" / name
    home, copied = Path(main.working_dir), folder / spec.name
    try:
        shutil.copytree(home / "schemas", copied / "schemas")
        shutil.copy2(home / "state.json", copied / "state.json")
        scratch = open_pipeline(environment, spec, folder)
        scratch.config.restore_from_destination = False
        yield scratch
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        main.activate()


class _Load:
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
            with self._timed("extract"), self._pages_ahead(), _seldom_collected():
                pipeline.extract(source, refresh=self._refresh(), loader_file_format=self._format())
        finally:
            intake.close()
            self.report.failed_items = intake.failed
            self.report.warnings += intake.warnings
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

    def _format(self) -> Any:
        return LOADER_FORMAT[self.environment.kind]

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.report.seconds[step] = self.report.seconds.get(step, 0) + time.monotonic() - started


def _values(spec: Spec, known: dict[str, str], given: Sequence[str]) -> dict[str, Any]:
    """`--with key=value` as settings of the source; a list is given as `a,b` or as JSON."""
    found: dict[str, Any] = {}
    for text in given:
        key, separator, value = text.partition("=")
        if not separator:
            raise UsageError(f"--with {text}: write key=value")
        options = [f"http.{name}" for name in _http_settings()] if key.startswith("http.") else list(known)
        if key not in options:
            near = did_you_mean(key, options)
            raise UsageError(f"--with {key}: {spec.name} has no such argument{near}; it has: {', '.join(options)}")
        is_list = "list" in known.get(key, "") and not value.startswith("[")
        found[key] = [part.strip() for part in value.split(",")] if is_list else value
    return found


def _http_settings() -> list[str]:
    """The settings of the HTTP client that all sources share."""
    return list(importlib.import_module("sources.kit.http").HttpSettings.get_resolvable_fields())


@contextmanager
def _fresh_after_bad_rows(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Drop a package whose rows cannot be normalized, now or ever, lest it block what follows: they are read again."""
    try:
        yield
    except PipelineStepFailed as failed:
        if is_of_rows(failed):
            pipeline.abort_packages()
        raise


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Python looks for cycles less often: pages of rows have none, and looking takes a third of the time."""
    usual = gc.get_threshold()
    gc.set_threshold(50_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _all_tables(pipeline: dlt.Pipeline) -> dict[str, int]:
    """Any table may have rows of a package that a dead run had normalized: nobody has its counts."""
    return dict.fromkeys(pipeline.default_schema.data_table_names(seen_data_only=True), 1)


@contextmanager
def _told(report: Report) -> Iterator[None]:
    """Whatever goes wrong inside ends in the report, as one line; the only broad `except` there is."""
    try:
        yield
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001 the translator names it, the report tells it
        report.fail(translate(error, report.spec), error)
