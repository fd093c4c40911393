"""Keep what a spec promises around a load: models are made of its tables, then checks look at both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pipelines import promises
from pipelines.build import dataset_name, tables_of
from pipelines.checks.judge import Checked, Judge
from pipelines.environment import Environment
from pipelines.errors import EtlError
from pipelines.ledger import CheckRow, Ledger, open_ledger
from pipelines.lock import held
from pipelines.models import folder
from pipelines.models.make import Made, Maker, make_way
from pipelines.order import Order
from pipelines.promises import Names
from pipelines.report import Report
from pipelines.specs import spec as specs
from pipelines.specs.checks import RowCount
from pipelines.specs.spec import Spec
from pipelines.translate import told_of
from pipelines.views import drop_views, keep_views
from pipelines.warehouse import Warehouse, open_warehouse


def make_room(environment: Environment, spec: Spec, dataset: str) -> None:
    """Take away the views that would keep tables from being dropped."""
    if environment.kind == "postgres":
        drop_views(environment, spec, dataset)
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
        report.warnings += [_left_over(warehouse, spec, name, kind) for name, kind in maker.left_over()]
        if promised.checks:
            taken_away = order.full_refresh or order.drop_direct  # on purpose: fewer rows are no loss
            counts = {} if taken_away else ledger.last_counts(spec.name, report.dataset)
            not_made = [made.name for made in report.models if not made.stands]
            left_out = _left_out(environment, spec, order, report)
            judge = Judge(warehouse, promised, counts, order.freezes_cursor, left_out, not_made)
            report.checks = list(judge.results())
            ledger.add_checks([_row(report.run_id, report.spec, report.dataset, result) for result in report.checks])
    failed = _failed(environment, report.spec, report.models)
    if failed:
        report.fail(failed, failed)


def keep_readers(environment: Environment, spec: Spec, report: Report) -> None:
    """Make the models of other specs that read the tables of this one; one that cannot be made is only told."""
    for reader in _readers(environment.root, spec):
        with (
            told_of(reader.name, environment.name),
            held(environment, reader.lock, report.run_id),
            open_ledger(environment) as ledger,
        ):
            made = _made_again(environment, reader, ledger, report.run_id, own=reader.name == spec.into)
        report.models += [replace(each, name=f"{reader.name}.{each.name}") for each in made if each.status == "made"]
        failed = _failed(environment, reader.name, made)
        report.warnings += [str(failed)] if failed else []


def _made_again(environment: Environment, spec: Spec, ledger: Ledger, run_id: str, own: bool) -> list[Made]:
    """What became of the models of a spec that are due; of tables not its `own`, none where none was ever made."""
    dataset = environment.dataset(dataset_name(spec))
    if not own and not ledger.models(spec.name, dataset):
        return []
    with open_warehouse(environment, dataset) as warehouse:
        made = Maker(warehouse, promises.read(environment.root, spec), ledger, run_id).make()
    keep_views(environment, spec, dataset, ledger)
    return made


def _readers(root: Path, spec: Spec) -> Iterator[Spec]:
    """Specs of other datasets that have a model of this one's, and the spec into whose tables it loads."""
    own = Names(root, spec)
    for name in folder.names(root):
        models = folder.read(root, name).models.values() if name != spec.name and name in specs.names(root) else ()
        if name == spec.into or any(r.dataset and own.is_own(r) for model in models for r in model.query.references):
            yield specs.load(root, name)


def _left_out(environment: Environment, spec: Spec, order: Order, report: Report) -> list[str]:
    """The tables of resources that a run was told to leave alone."""
    if not (order.select or order.exclude):
        return []
    return [table for resource, table in tables_of(environment.root, spec) if resource not in report.resources]


def _had_models(environment: Environment, report: Report, ledger: Ledger) -> bool:
    """Whether there may be tables of models that are gone; not asked of BigQuery, where it costs each run a second."""
    return environment.kind != "bigquery" and bool(ledger.models(report.spec, report.dataset))


def make_anew(environment: Environment, spec: Spec, ledger: Ledger, run_id: str) -> None:
    """Make every model of tables whose rows were changed by other means than a load; EtlError when one cannot be."""
    with open_warehouse(environment, environment.dataset(dataset_name(spec))) as warehouse:
        maker = Maker(warehouse, promises.read(environment.root, spec), ledger, run_id, everything=True)
        failed = _failed(environment, spec.name, maker.make())
    if failed:
        raise failed


def count_anew(environment: Environment, spec: Spec, ledger: Ledger, run_id: str) -> None:
    """Note how many rows are left where some were deleted on purpose, lest the next run takes it for a loss."""
    dataset, promised = environment.dataset(dataset_name(spec)), promises.read(environment.root, spec)
    counts = promised.only(lambda check: isinstance(check, RowCount))
    if counts.checks and ledger.last_counts(spec.name, dataset):
        with open_warehouse(environment, dataset) as warehouse:
            found = [replace(result, status="skipped") for result in Judge(warehouse, counts, {}).results()]
        ledger.add_checks([_row(run_id, spec.name, dataset, result) for result in found])


def _failed(environment: Environment, spec: str, models: list[Made]) -> EtlError | None:
    failed = [made for made in models if made.status == "failed"]
    if not failed:
        return None
    more = f"; {len(failed) - 1} more failed" if failed[1:] else ""
    first, again = failed[0], f"etl models {spec} --env {environment.name}"
    what = f"models/{spec}/{first.name}.sql{first.place}: {first.message}{more}"
    return EtlError(f"{what}; what was there is as it was: mend it, then {again}")


def _left_over(warehouse: Warehouse, spec: Spec, name: str, kind: str) -> str:
    table = f"{warehouse.dataset}.{name}"
    drop = f"DROP {kind} {warehouse.sql(warehouse.named(name))}"
    return f"models/{spec.name}/{name}.sql: is gone, and {table} is no longer made; bring the file back, or say: {drop}"


def _row(run_id: str, spec: str, dataset: str, result: Checked) -> CheckRow:
    return CheckRow(
        run_id, spec, dataset, result.name, result.kind, result.severity, result.status,
        result.failing, result.counted, result.message, datetime.now(UTC),
    )  # fmt: skip
