"""Tables and models of a spec once more, as views under the names of `[<env>.views]`: those of an older program.

A view of a resource's table also tells where a row came from: `_source_file` and `_fetched_at` (the raw file, null of a
row that came through none) and `_dp_inserted_at` (when its load was committed); its load is `_dlt_load_id`.
A name that the warehouse would cut is shortened as dlt shortens that of a table.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from dlt.common.normalizers.naming import NamingConvention
from sqlglot import exp

from pipelines import promises
from pipelines.build import tables_of
from pipelines.environment import Environment
from pipelines.errors import SettingError
from pipelines.ledger import DATASET, Ledger
from pipelines.specs.spec import Spec
from pipelines.warehouse import Warehouse, open_warehouse

LOAD = "_dlt_load_id"
INSERTED, FILE, FETCHED = "_dp_inserted_at", "_source_file", "_fetched_at"


@dataclass(frozen=True)
class View:
    """A view to be: of which table, with which columns of it, and of which resource; a model or a list has none."""

    dataset: str
    name: str
    table: str
    columns: list[str]
    resource: str | None

    @property
    def has_lineage(self) -> bool:
        return self.resource is not None and LOAD in self.columns

    @property
    def all_columns(self) -> list[str]:
        return [*self.columns, *([INSERTED, FILE, FETCHED] if self.has_lineage else [])]


def keep_views(environment: Environment, spec: Spec, dataset: str, ledger: Ledger) -> None:
    """Make the views that are missing or have other columns than their tables; a view of nothing is left alone."""
    if spec.name not in environment.views:
        return
    with open_warehouse(environment, dataset) as warehouse:
        wanted = list(_wanted(environment, spec, warehouse))
        there = warehouse.tables(wanted[0].dataset) if wanted else {}
        due = [view for view in wanted if there.get(view.name) != view.all_columns]
        if due:
            _refuse_tables(environment, spec, due, there.keys() - warehouse.views(due[0].dataset))
            _ensure_dataset(warehouse, due[0].dataset)
            ledger.ensure("raw_files")
        for view in due:
            _put(warehouse, view)


def drop_views(environment: Environment, spec: Spec, dataset: str) -> None:
    """Drop the views, as Postgres drops no table that one reads; they are made again after the load."""
    if spec.name in environment.views:
        with open_warehouse(environment, dataset) as warehouse:
            wanted = list(_wanted(environment, spec, warehouse))
            views = warehouse.views(wanted[0].dataset) if wanted else set()
            for view in (view for view in wanted if view.name in views):
                warehouse.ask(f"DROP VIEW IF EXISTS {_named(warehouse, view)}")


def _refuse_tables(environment: Environment, spec: Spec, views: list[View], tables: AbstractSet[str]) -> None:
    """Refuse views whose names tables have."""
    for view in views:
        if view.name in tables:
            raise SettingError(
                f"destinations.toml: {environment.name}.views: {spec.name}: {view.dataset}.{view.name} is a table, "
                "and what is loaded is left without a view; give the views another name or dataset"
            )


def _wanted(environment: Environment, spec: Spec, warehouse: Warehouse) -> Iterator[View]:
    """The views of the tables that are there, lists inside rows and models among them."""
    resources = {table: resource for resource, table in tables_of(environment.root, spec)}
    models = {model.name for model in promises.read(environment.root, spec).models}
    is_beside = environment.view(spec.name, "")[0] == warehouse.dataset
    others = warehouse.views() - models if is_beside else set[str]()  # these views themselves
    for table, columns in warehouse.tables().items():
        root = next((root for root in resources if table.startswith(f"{root}__")), None)
        if table not in others and (table in resources or table in models or root):
            dataset, name = environment.view(spec.name, table)
            short = NamingConvention.shorten_identifier(name, name, warehouse.client.capabilities.max_identifier_length)
            yield View(dataset, short, table, columns, resources.get(table))


def _put(warehouse: Warehouse, view: View) -> None:
    named = _named(warehouse, view)
    if warehouse.kind != "postgres":
        warehouse.ask(f"CREATE OR REPLACE VIEW {named} AS {_query(warehouse, view)}")
        return
    with warehouse.transaction():  # Postgres replaces no view by one with other columns
        warehouse.ask(f"DROP VIEW IF EXISTS {named}")
        warehouse.ask(f"CREATE VIEW {named} AS {_query(warehouse, view)}")


def _query(warehouse: Warehouse, view: View) -> str:
    """The SELECT of a view; its columns by name, since DuckDB wants a view made again whose star has grown."""
    rows = exp.select(*(exp.column(name, "t") for name in view.columns)).from_(_aliased(warehouse, view.table, "t"))
    if view.has_lineage:
        of_load = exp.column("load_id", "l").eq(exp.column(LOAD, "t"))
        files = [
            exp.column("load_id", "f").eq(exp.column(LOAD, "t")),
            exp.column("dataset", "f").eq(exp.Literal.string(warehouse.dataset)),
            exp.column("resource", "f").eq(exp.Literal.string(view.resource or "")),
        ]
        rows = (
            rows.select(exp.alias_(exp.column("inserted_at", "l"), INSERTED))
            .select(exp.alias_(exp.column("source_file", "f"), FILE))
            .select(exp.alias_(exp.column("fetched_at", "f"), FETCHED))
            .join(_aliased(warehouse, "_dlt_loads", "l"), on=of_load, join_type="left")
            .join(_aliased(warehouse, "raw_files", "f", DATASET), on=exp.and_(*files), join_type="left")
        )
    return warehouse.sql(rows)


def _aliased(warehouse: Warehouse, table: str, alias: str, dataset: str | None = None) -> exp.Expr:
    return exp.alias_(warehouse.named(table, dataset), alias, table=True)


def _named(warehouse: Warehouse, view: View) -> str:
    return warehouse.sql(warehouse.named(view.name, view.dataset))


def _ensure_dataset(warehouse: Warehouse, dataset: str) -> None:
    with warehouse.client.with_alternative_dataset_name(dataset):
        if not warehouse.client.has_dataset():
            warehouse.client.create_dataset()
