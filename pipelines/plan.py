"""What a run would do, without asking any upstream and without writing anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import dlt
from dlt.common.schema import Schema
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.extract import DltResource, DltSource

from pipelines import build, needs, promises
from pipelines.cursors import Within
from pipelines.environment import Environment
from pipelines.errors import EtlError
from pipelines.files.declared import counted_in_files
from pipelines.files.declared import refuse as refuse_files
from pipelines.files.plan import PlannedFiles, planned
from pipelines.files.rehearsal import Rehearsal, rehearsals
from pipelines.landing import waiting
from pipelines.needs import Need
from pipelines.order import Order, settle
from pipelines.printing import counted
from pipelines.refusals import refuse, refuse_new_types, takes_window
from pipelines.specs.spec import Spec
from pipelines.state import remembered
from pipelines.translate import translate
from pipelines.window import parse
from pipelines.working import LOADER_FORMAT

START = "from the beginning"


@dataclass
class Plan:
    """One spec's run, told beforehand."""

    spec: str
    environment: str
    dataset: str
    loader_format: str
    window: str | None
    limit: int | None
    cursor_stays: bool
    full_refresh: bool
    resources: list[dict[str, Any]] = field(default_factory=list)
    needs: list[Need] = field(default_factory=list)
    keeps_raw: bool = False
    raw_files_waiting: int = 0
    models: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    files: list[PlannedFiles] = field(default_factory=list)
    lists: list[Rehearsal] = field(default_factory=list)
    reached: str = "ok"

    def as_dict(self) -> dict[str, Any]:
        needs, files = [vars(need) for need in self.needs], [each.as_dict() for each in self.files]
        return {**vars(self), "needs": needs, "files": files, "lists": [each.as_dict() for each in self.lists]}

    def lines(self) -> list[str]:
        """The plan for a person."""
        frozen = " (cursor stays)" if self.cursor_stays else ""
        out = [f"{self.spec} → {self.dataset} in {self.environment}, as {self.loader_format}{frozen}"]
        out += [f"  window {self.window}"] if self.window else []
        out += [f"  at most {counted(self.limit, 'row')} per resource"] if self.limit else []
        out += ["  through raw files, which are kept"] if self.keeps_raw else []
        waiting = self.raw_files_waiting
        out += [f"  loads {counted(waiting, 'raw file')} in landing first"] if waiting else []
        out += ["  drops these tables and loads them again"] if self.full_refresh else []
        for r in self.resources:
            key = f" by {', '.join(r['primary_key'])}" if r["primary_key"] else ""
            fewest = r["requests_at_least"]
            asked = "" if fewest is None else f", at least {fewest} request{'' if fewest == 1 else 's'}"
            out.append(f"  {r['name']} → {r['table']}: {r['write_disposition']}{key}{asked}")
            out.append(f"    cursor: {r['cursor']}")
            out.append(f"    table: {r['schema']}")
        out += [f"  {line}" for each in self.lists for line in each.lines()]
        out += [f"  then {each.line()}" for each in self.files]
        out += [f"  then makes {', '.join(self.models)}"] if self.models else []
        out += [f"  then checks {', '.join(self.checks)}"] if self.checks else []
        out += [f"  {need}" for need in self.needs]
        return out + ([] if self.reached == "ok" else [f"  destination: {self.reached}"])


def plan_of(environment: Environment, spec: Spec, order: Order) -> Plan:
    """The plan of one spec; reads the destination's state and tables where it can."""
    order = counted_in_files(spec, order)
    settle(environment, spec, order, read_only=True)
    refuse_files(environment, spec, order)
    source = build.outline(environment.root, spec)
    chosen = build.choose(source, spec, order.select, order.exclude)
    window = parse(order.since, order.until, spec.timezone or "UTC")
    refuse(environment, spec, source, window, order)
    plan = Plan(
        spec.name, environment.name, environment.dataset(build.dataset_name(spec)), LOADER_FORMAT,
        str(window) if window else None, order.limit, order.freezes_cursor, order.full_refresh,
        needs=needs.of_source(environment, spec),
    )  # fmt: skip
    plan.needs += needs.of_destination(environment, "warehouse")
    plan.keeps_raw, plan.raw_files_waiting = environment.keeps_raw, waiting.count(environment, spec.name)
    promised = promises.read(environment.root, spec)
    plan.models, plan.checks = [m.name for m in promised.models], [check.title for check in promised.checks]
    seen = _look(environment, spec, source)
    plan.reached = seen.reached
    plan.lists = rehearsals(environment, spec, order)
    if seen.reached == "ok":
        plan.files = planned(environment, spec, order, window, plan.lists)
    if not order.full_refresh:
        refuse_new_types(spec, source.selected_resources.values(), seen.schema)
    anew = window or order.full_refresh or order.mode == "backfill"
    state = {} if anew else seen.state
    requests = {} if order.limit else needs.estimate(environment.root, spec, state)  # a limit may end it sooner
    entries = state.get("resources", {})
    plan.resources = [
        _resource(source.resources[name], entries.get(name, {}), requests.get(name), seen.tables, source)
        for name in chosen
    ]
    if window:
        heeded = takes_window(environment, spec)
        elsewhere = "as the source takes the window" if heeded else f"{START}, whatever the window"
        for each in plan.resources:
            each["cursor"] = _narrowed(source.resources[each["name"]]) or elsewhere
    return plan


@dataclass(frozen=True)
class _Seen:
    """What the destination has: the source's state, its schema, and the columns of its tables if they are known."""

    state: dict[str, Any] = field(default_factory=dict)
    schema: Schema | None = None
    tables: dict[str, set[str]] | None = field(default_factory=dict)
    reached: str = "ok"


def _look(environment: Environment, spec: Spec, source: DltSource) -> _Seen:
    try:
        with remembered(environment, spec) as pipeline:
            if pipeline is None or source.schema.name not in pipeline.schema_names:
                return _Seen()
            state = pipeline.state.get("sources", {}).get(spec.name, {})
            return _Seen(state, pipeline.schemas[source.schema.name], _columns(pipeline, source))
    except Exception as error:  # noqa: BLE001 the translator decides; an unreachable destination is part of a plan
        failure: EtlError = translate(error, spec.name)
        return _Seen(tables=None, reached=f"could not be reached: {failure}")


def _columns(pipeline: dlt.Pipeline, source: DltSource) -> dict[str, set[str]]:
    names = [source.schema.naming.normalize_table_identifier(_table(r)) for r in source.resources.values()]
    with pipeline.destination_client(source.schema.name) as client:
        assert isinstance(client, SqlJobClientBase)
        return {table: set(columns) for table, columns in client.get_storage_tables(names) if columns}


def _resource(
    resource: DltResource,
    state: dict[str, Any],
    requests_at_least: int | None,
    tables: dict[str, set[str]] | None,
    source: DltSource,
) -> dict[str, Any]:
    schema = resource.compute_table_schema()
    declared = {source.schema.naming.normalize_path(name): c for name, c in schema.get("columns", {}).items()}
    table = source.schema.naming.normalize_table_identifier(_table(resource))
    return {
        "name": resource.name,
        "table": table,
        "write_disposition": schema.get("write_disposition"),
        "primary_key": [name for name, column in declared.items() if column.get("primary_key")],
        "cursor": "unknown" if tables is None else _cursor(state),
        "requests_at_least": requests_at_least,
        "schema": _changes(table, {name for name, c in declared.items() if c.get("data_type")}, tables),
    }


def _table(resource: DltResource) -> str:
    return resource.table_name if isinstance(resource.table_name, str) else resource.name


def _cursor(state: dict[str, Any]) -> str:
    """Where the next run starts, as far as the state tells."""
    incremental = state.get("incremental", {})
    if incremental:
        return ", ".join(f"{path} from {cursor.get('last_value')}" for path, cursor in incremental.items())
    entries = "entry" if len(state) == 1 else "entries"
    return f"remembers {len(state)} {entries}" if state else START


def _narrowed(resource: DltResource) -> str | None:
    """The window on the cursor of a resource, where it has one."""
    within = next((step for step in resource._pipe.steps if isinstance(step, Within)), None)
    return f"{within.path} in {within.window}" if within else None


def _changes(table: str, declared: set[str], tables: dict[str, set[str]] | None) -> str:
    if tables is None:
        return "unknown"
    if table not in tables:
        return "new"
    missing = sorted(declared - tables[table])
    return f"adds {', '.join(missing)}" if missing else "no change"
