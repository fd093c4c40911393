"""What would do harm, refused before anything is read or loaded: the same for a run, a plan and a replay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dlt.common.schema import Schema
from dlt.extract import DltResource, DltSource

from pipelines import build
from pipelines.cursors import narrow
from pipelines.environment import Environment
from pipelines.errors import UsageError
from pipelines.order import Order
from pipelines.rows.declared import dynamic
from pipelines.rows.intake import Intake
from pipelines.rows.redeclared import new_types
from pipelines.specs.spec import Spec
from pipelines.window import Window

HARM = {
    "append": "appends, and the rows of this run would come twice",
    "replace": "is replaced whole, and this run would cut it",
    "cdc": "loses what a run does not bring, and this run would cut it",
    "scd2": "retires what a run does not bring, and this run would cut it",
}
KEYLESS = "is merged without a key, which appends, and the rows of this run would come twice"


def refuse(environment: Environment, spec: Spec, source: DltSource, window: Window, order: Order) -> None:
    """Refuse a run by its order; what is left of it has the window on its cursors."""
    if order.freezes_cursor:
        _refuse_parts(spec, source)
    if order.limit is not None and (window or order.mode == "backfill"):
        _refuse_cut_groups(spec, source)
    if window:
        _apply_window(environment, spec, source, window)
    _refuse_dataset(environment, environment.dataset(build.dataset_name(spec)))


def refuse_new_types(spec: Spec, resources: Iterable[DltResource], known: Schema | None) -> None:
    """A column keeps the type it was loaded with; another one would jam the load of this run and of all after."""
    changed = [text for resource in resources for text in new_types(resource, known)]
    if changed:
        raise UsageError(
            f"{spec.name}: {'; '.join(changed)}; take the declaration back, or load the table anew with --full-refresh"
        )


def emptied_tables(source: DltSource, intake: Intake) -> list[str]:
    """The resources whose rows were all set aside and whose table would be replaced by nothing."""
    whole = [
        name for name, resource in source.selected_resources.items() if manner(resource) in HARM.keys() - {"append"}
    ]
    return [name for name in whole if intake.rejected.get(name) and not intake.read.get(name)]


def takes_window(environment: Environment, spec: Spec) -> bool:
    """Whether the source has a window among its arguments, and sees itself to it."""
    return {"since", "until"} <= set(build.arguments(environment.root, spec))


def manner(resource: DltResource) -> str:
    """`append`, `replace`, or the strategy of a merge."""
    disposition: Any = resource.write_disposition
    if isinstance(disposition, dict):
        return str(disposition.get("strategy") or disposition.get("disposition", "merge"))
    return str(disposition)


def appends(resource: DltResource) -> bool:
    """Whether a row that is loaded again comes twice; dlt appends what is merged without a key, too."""
    kind = manner(resource)
    return kind == "append" or (kind in ("merge", "delete-insert") and not _has_key(resource))


def _has_key(resource: DltResource) -> bool:
    """Whether a merge has something to go by; where rows name their table, the columns are not known before them."""
    keys = ("primary_key", "merge_key")
    if dynamic(resource):
        return any((resource._hints or {}).get(key) for key in keys)
    return any(column.get(key) for column in resource.compute_table_schema()["columns"].values() for key in keys)


def dated(resource: DltResource, moment: str | None) -> None:
    """From when the versions of a historical table hold; None is the moment of the load, and takes back another."""
    disposition: Any = resource.write_disposition
    dated_one: Any = {"boundary_timestamp": moment, **disposition}
    resource.apply_hints(write_disposition=dated_one)


def _refuse_parts(spec: Spec, source: DltSource) -> None:
    """A part of the rows would come twice where they are appended, and push out the others in a whole table."""
    for name, resource in source.selected_resources.items():
        harm = HARM.get(manner(resource)) or (KEYLESS if appends(resource) else None)
        if harm:
            raise UsageError(f"{spec.name}: {name} {harm}; leave it out with --exclude {name}")


def _refuse_cut_groups(spec: Spec, source: DltSource) -> None:
    """A group that is replaced as a whole would lose what the limit leaves, where no later run reads it again."""
    for name, resource in source.selected_resources.items():
        if any(column.get("merge_key") for column in resource.compute_table_schema()["columns"].values()):
            raise UsageError(
                f"{spec.name}: {name} replaces rows that belong together as a whole, and a limit would cut them for "
                f"good in days that no later run reads again; leave out --limit, or use --exclude {name}"
            )


def _apply_window(environment: Environment, spec: Spec, source: DltSource, window: Window) -> None:
    """Put the window on the cursors; refuse it where nothing could act on it."""
    narrowed = [narrow(resource, window) for resource in source.selected_resources.values()]
    if not any(narrowed) and not takes_window(environment, spec):
        raise UsageError(f"{spec.name}: has no cursor, so --since and --until cannot act; leave them out")


def _refuse_dataset(environment: Environment, dataset: str) -> None:
    """DuckDB names a catalog after its file, and a dataset of that name cannot be told from it."""
    file = environment.duckdb_file
    if file and file.stem == dataset:
        raise UsageError(f"{file.name}: DuckDB cannot tell the file from the dataset {file.stem!r}; rename one of them")
