"""Keep what a spec promises around a load: models are made of its tables, then checks look at both."""

from __future__ import annotations

from datetime import UTC, datetime

from pipelines import promises
from pipelines.build import dataset_name
from pipelines.checks.judge import Checked, Judge
from pipelines.environment import Environment
from pipelines.errors import EtlError
from pipelines.ledger import CheckRow, Ledger
from pipelines.models.make import Made, Maker, make_way
from pipelines.order import Order
from pipelines.report import Report
from pipelines.specs.spec import Spec
from pipelines.warehouse import open_warehouse


def make_room(environment: Environment, spec: Spec, dataset: str) -> None:
    """Take away the views that would keep tables from being dropped."""
    if environment.kind == "postgres":
        with open_warehouse(environment, dataset) as warehouse:
            make_way(warehouse, promises.read(environment.root, spec))


def keep_promises(
    environment: Environment, spec: Spec, order: Order, report: Report, ledger: Ledger, anew: bool = False
) -> None:
    """Make the models that are due, or all `anew`, and judge the checks; the report tells what failed."""
    promised = promises.read(environment.root, spec)
    if not promised.models and not promised.checks and not _had_models(environment, report, ledger):
        return
    with open_warehouse(environment, report.dataset) as warehouse:
        maker = Maker(warehouse, promised, ledger, report.run_id, anew)
        report.models = maker.make()
        report.warnings += [_left_over(report, name) for name in maker.left_over()]
        if promised.checks:
            counts = ledger.last_counts(spec.name, report.dataset)
            not_made = [made.name for made in report.models if not made.stands]
            report.checks = list(Judge(warehouse, promised, counts, order.freezes_cursor, not_made).results())
            ledger.add_checks([_row(report, result) for result in report.checks])
    failed = _failed(report.spec, report.models)
    if failed:
        report.fail(failed, failed)


def _had_models(environment: Environment, report: Report, ledger: Ledger) -> bool:
    """Whether there may be tables of models that are gone; not asked of BigQuery, where it costs each run a second."""
    return environment.kind != "bigquery" and bool(ledger.models(report.spec, report.dataset))


def make_anew(environment: Environment, spec: Spec, ledger: Ledger, run_id: str) -> None:
    """Make every model of tables whose rows were changed by other means than a load; EtlError when one cannot be."""
    with open_warehouse(environment, environment.dataset(dataset_name(spec))) as warehouse:
        maker = Maker(warehouse, promises.read(environment.root, spec), ledger, run_id, everything=True)
        failed = _failed(spec.name, maker.make())
    if failed:
        raise failed


def _failed(spec: str, models: list[Made]) -> EtlError | None:
    failed = [made for made in models if made.status == "failed"]
    if not failed:
        return None
    more = f"; {len(failed) - 1} more failed" if failed[1:] else ""
    return EtlError(
        f"models/{spec}/{failed[0].name}.sql: {failed[0].message}{more}; what was there is as it was: mend it, then "
        f"etl models {spec}"
    )


def _left_over(report: Report, name: str) -> str:
    return (
        f"models/{report.spec}/{name}.sql: is gone, and {report.dataset}.{name} is no longer made; drop that, or bring "
        "the file back"
    )


def _row(report: Report, result: Checked) -> CheckRow:
    return CheckRow(
        report.run_id, report.spec, report.dataset, result.name, result.kind, result.severity, result.status,
        result.failing, result.counted, result.message, datetime.now(UTC),
    )  # fmt: skip
