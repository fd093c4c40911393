"""`etl models`: what follows a load, without the load: every model is made and every check judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ulid import ULID

from pipelines.build import dataset_name
from pipelines.errors import Exit, worst
from pipelines.keeping import keep_promises
from pipelines.logs import LOGGER
from pipelines.order import Order
from pipelines.printing import Printer
from pipelines.rejects import writing
from pipelines.report import Report
from pipelines.specs.spec import Spec
from pipelines.views import keep_views


def make(root: Path, env: str, chosen: Sequence[Spec], printer: Printer) -> Exit:
    """Make the models of specs and print what became of them and of the checks."""
    reports = [_made(root, env, spec) for spec in chosen]
    for report in reports:
        printer.lines(report.lines_after() or [f"{report.spec}: no models; write one as models/{report.spec}/NAME.sql"])
        for told in [*report.warnings, *([report.error] if report.error else [])]:
            LOGGER.error(told) if told == report.error else LOGGER.warning(told)
    printer.document([report.as_dict() for report in reports])
    return worst([report.exit for report in reports if report.exit is not None])


def _made(root: Path, env: str, spec: Spec) -> Report:
    with writing(root, env, spec.name) as (environment, ledger):
        report = Report(str(ULID()), spec.name, env, "models", environment.dataset(dataset_name(spec)))
        keep_promises(environment, spec, Order(), report, ledger, anew=True)
        keep_views(environment, spec, report.dataset, ledger)
    report.finish()
    return report
