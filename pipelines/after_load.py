"""What follows a load while its lock is held: models are made of the tables, then checks look at both."""

from __future__ import annotations

from datetime import UTC, datetime

from pipelines import promises
from pipelines.checks.judge import Checked, Judge
from pipelines.environment import Environment
from pipelines.errors import EtlError
from pipelines.ledger import CheckRow, Ledger
from pipelines.models.make import Made, Maker
from pipelines.order import Order
from pipelines.promises import Promises
from pipelines.report import Report
from pipelines.specs.spec import Spec
from pipelines.warehouse import Warehouse, open_warehouse


def after_load(environment: Environment, spec: Spec, order: Order, report: Report, ledger: Ledger) -> None:
    """Make the models that are due and judge the checks; the report tells what failed."""
    found = promises.read(environment.root, spec)
    if not found.models and not found.checks and environment.kind == "bigquery":
        return  # to look for tables of models that are gone would cost each run a second
    with open_warehouse(environment, report.dataset) as warehouse:
        _make(warehouse, environment, found, report, ledger)
        _judge(warehouse, environment, found, order, report, ledger)


def _make(
    warehouse: Warehouse, environment: Environment, found: Promises, report: Report, ledger: Ledger
) -> None:  # fmt: skip
    maker = Maker(warehouse, environment.root, found, ledger, report.run_id)
    report.models = maker.make()
    report.warnings += [
        f"{found.spec.name}: models/{found.spec.name}/{name}.sql is gone and the table {report.dataset}.{name} is no "
        "longer made; drop it, or bring the file back"
        for name in maker.left_over()
    ]
    failed = [made for made in report.models if made.status == "failed"]
    if failed:
        error = EtlError(_why(found.spec, failed))
        report.fail(error, error)


def _why(spec: Spec, failed: list[Made]) -> str:
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return (
        f"models/{spec.name}/{failed[0].name}.sql: {failed[0].message}{more}; the table is as it was: mend the model, "
        f"then etl models {spec.name}"
    )


def _judge(
    warehouse: Warehouse, environment: Environment, found: Promises, order: Order, report: Report, ledger: Ledger
) -> None:  # fmt: skip
    if not found.checks:
        return
    counts = ledger.last_counts(found.spec.name, report.dataset)
    not_made = [made.name for made in report.models if made.status not in ("made", "unchanged")]
    judge = Judge(warehouse, environment.root, found, counts, order.freezes_cursor, not_made)
    report.checks = list(judge.results())
    ledger.add_checks([_row(report, result) for result in report.checks])


def _row(report: Report, result: Checked) -> CheckRow:
    return CheckRow(
        report.run_id, report.spec, report.dataset, result.name, result.kind, result.severity, result.status,
        result.failing, result.counted, result.message, datetime.now(UTC),
    )  # fmt: skip
