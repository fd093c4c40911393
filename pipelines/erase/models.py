"""Derived tables are made anew of what is left, those of other specs that read it, too; then they are searched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from pipelines import promises
from pipelines.build import dataset_name
from pipelines.environment import Environment
from pipelines.erase.scope import Scope
from pipelines.keeping import count_anew, make_anew
from pipelines.ledger import Ledger, ModelRow, open_ledger
from pipelines.lock import held
from pipelines.order import Order, settle
from pipelines.printing import counted
from pipelines.promises import Promises
from pipelines.specs import spec as specs
from pipelines.specs.spec import Spec
from pipelines.translate import told_of
from pipelines.warehouse import open_warehouse

Table = tuple[str | None, str]
"""A dataset, before the environment's layout, and a table of it."""


def make_readers_anew(environment: Environment, readers: Sequence[Spec], run_id: str) -> None:
    """Make the models of these specs in this order, as far as they were made before."""
    for spec in readers:
        with told_of(spec.name):
            settle(environment, spec, Order())
            with held(environment, spec.lock, run_id), open_ledger(environment) as ledger:
                if ledger.models(spec.name, environment.dataset(dataset_name(spec))):
                    make_anew(environment, spec, ledger, run_id)
                    count_anew(environment, spec, ledger, run_id)


def readers_of(root: Path, erased: Sequence[Spec]) -> list[Spec]:
    """The specs whose models read tables of some specs, straight or through others; SpecError if one is wrong.

    In such an order that every model is made of what was made anew: specs that read each other come more than once.
    """
    changed = {dataset_name(spec) for spec in erased}
    left = [promises.read(root, spec) for spec in specs.load_all(root)]
    readers: list[Promises] = []
    while found := [each for each in left if changed & {dataset for dataset, _ in _reads(each)}]:
        readers += found
        changed |= {each.names.own for each in found}
        left = [each for each in left if each not in found]
    return list(_in_turn(readers))


def _reads(promised: Promises) -> set[Table]:
    return {(promised.names.dataset(r), r.table) for model in promised.models for r in model.query.references}


def _in_turn(readers: Sequence[Promises]) -> Iterator[Spec]:
    """Each spec as often as it takes until every model comes after all that it reads; in a circle that is never."""
    specs_of: dict[Table, Spec] = {(each.names.own, model.name): each.spec for each in readers for model in each.models}
    needs = {
        (each.names.own, model.name): {(each.names.dataset(r), r.table) for r in model.query.references} & {*specs_of}
        for each in readers
        for model in each.models
    }
    try:
        yield from _grouped(TopologicalSorter(needs), specs_of)
    except CycleError:
        yield from (each.spec for each in readers)


def _grouped(sorter: TopologicalSorter[Table], specs_of: Mapping[Table, Spec]) -> Iterator[Spec]:
    sorter.prepare()
    ready: list[Table] = []
    now: Spec | None = None
    while sorter.is_active():
        ready += sorter.get_ready()
        model = next((each for each in ready if specs_of[each] is now), ready[0])
        if specs_of[model] is not now:
            now = specs_of[model]
            yield now
        ready.remove(model)
        sorter.done(model)


def still_holding(scope: Scope, ledger: Ledger) -> Iterator[str]:
    """What to say of each derived table that holds the value: those that are made anew must not any more."""
    for row in ledger.all_models():
        file = Path("models", row.spec, f"{row.name}.sql")
        is_made = (scope.environment.root / file).is_file()
        if (scope.act or not is_made) and _is_of(scope.environment, row) and (count := _count(scope, row)):
            what = f"{file} makes it so; mend that" if is_made else f"{file} is gone, so nothing makes it anew; drop it"
            yield f"{row.spec}: {row.dataset}.{row.name}: the value stands in {counted(count, 'row')}, and {what}"


def _is_of(environment: Environment, row: ModelRow) -> bool:
    """Whether a model is of this environment, where several share a warehouse; nobody knows of a spec that is gone."""
    if row.spec not in specs.names(environment.root):
        return True
    return row.dataset == environment.dataset(dataset_name(specs.load(environment.root, row.spec)))


def _count(scope: Scope, row: ModelRow) -> int:
    with open_warehouse(scope.environment, row.dataset) as warehouse:
        columns = warehouse.tables().get(row.name, [])
        if not columns:
            return 0
        condition, values = scope.matches([warehouse.client.escape_column_name(column) for column in columns])
        sql = f"SELECT count(*) FROM {warehouse.sql(warehouse.named(row.name))} WHERE {condition}"
        return int((warehouse.client.execute_sql(sql, *values) or [(0,)])[0][0])
