"""Run specs, one after the other: lock, load, and tell what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from ulid import ULID

from pipelines import build
from pipelines.after_load import after_load
from pipelines.environment import Environment
from pipelines.errors import EtlError, Exit, UsageError
from pipelines.files.declared import chosen, counted_in_files, refuse
from pipelines.files.raw_audio import RawAudio, hand_on
from pipelines.keeping import keep_readers
from pipelines.landing.verbs import mode, perform
from pipelines.ledger import open_ledger
from pipelines.load import Load
from pipelines.lock import held
from pipelines.order import Order, by_spec, check, retry_command, settle
from pipelines.report import Report
from pipelines.specs.spec import Spec
from pipelines.tokens.accounts import ending_soon
from pipelines.trace import Progress, Trace, close_dead, end_of, record_missed
from pipelines.translate import translate


def run_all(
    environment: Environment, specs: Sequence[Spec], order: Order, show: Callable[[str], None] | None = None
) -> Iterator[Report]:
    """Run specs one after the other; one that fails does not stop the others unless `fail_fast`."""
    check(order, specs)
    if order.run_id and (environment.runs_dir / order.run_id).exists():
        raise UsageError(f"--run-id {order.run_id}: has run before; give another id")
    orders = by_spec(order, environment.root, specs)
    for spec in specs:
        report = run(environment, spec, orders[spec.name], show)
        yield report
        if order.fail_fast and report.exit is not Exit.OK:
            return
        if report.exit in (Exit.INTERRUPTED, Exit.TERMINATED):
            return


def run(environment: Environment, spec: Spec, order: Order, show: Callable[[str], None] | None = None) -> Report:
    """Run one spec and leave its trace; never raises for a failed run, the report tells."""
    dataset = environment.dataset(build.dataset_name(spec))
    run_id = order.run_id or str(ULID())
    report = Report(run_id, spec.name, environment.name, mode(environment, order), dataset, limit=order.limit)
    given, order = order, counted_in_files(spec, order)
    trace = Trace(environment.runs_dir, report)
    with _told(report):
        trace.begin()
        tokens = settle(environment, spec, order)
        refuse(environment, spec, order)
        report.raw_audio = RawAudio.of(environment, spec, order)
        with (
            held(environment, spec.lock, run_id, order.wait_seconds) as still_held,
            open_ledger(environment) as ledger,
        ):
            close_dead(environment.runs_dir, report)
            ledger.begin(report.row(), partial(end_of, environment.runs_dir))
            trace.recorded()
            record_missed(environment, spec.name, ledger)
            load = Load(environment, spec, order, report, ledger, Progress(trace, still_held, show))
            with _told(report):
                perform(load)
                still_held()
                if order.verb == "run":
                    _move_files(load)
                    still_held()
                if order.verb != "fetch":
                    after_load(environment, spec, order, report, ledger)
            with _told(report):
                hand_on(load, trace.folder)
                report.warnings += ending_soon(environment, spec, tokens, report.started_at)
            report.warnings += tokens.warnings
            report.finish()
            ledger.tell(report.row())
        if report.tables:
            _keep_readers(environment, spec, report)
    report.finish()
    with _told(report):
        trace.end(retry_command(spec, environment, given))
    return report


def _move_files(load: Load) -> None:
    """Move what the loaded rows name; what was loaded is kept whatever becomes of that."""
    if chosen(load.spec, load.order):
        from pipelines.files.phase import move_files

        try:
            move_files(load)
        except EtlError as error:
            load.report.fail(error, error)


def _keep_readers(environment: Environment, spec: Spec, report: Report) -> None:
    """Make what other specs derive of this one's tables; its own load is done, so a failure there is a warning."""
    try:
        keep_readers(environment, spec, report)
    except EtlError as error:
        report.warnings.append(f"{error}; until then what other specs derive of {spec.name} is as it was")


@contextmanager
def _told(report: Report) -> Iterator[None]:
    """Whatever goes wrong inside ends in the report, as one line; the only broad `except` there is."""
    try:
        yield
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001 the translator names it, the report tells it
        report.fail(translate(error, report.spec, report.environment), error)
