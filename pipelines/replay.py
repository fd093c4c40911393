"""`etl quarantine replay`: rows that were set aside are loaded after all, never over a newer version of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import dlt
from dlt.common.data_types import py_type_to_sc_type
from dlt.common.data_types.type_helpers import coerce_value
from dlt.common.schema.typing import C_DLT_LOAD_ID, TColumnSchema
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.extract import DltResource, DltSource
from ulid import ULID

from pipelines import build
from pipelines.environment import Environment
from pipelines.errors import Exit, UsageError
from pipelines.ledger import Ledger, Quarantined
from pipelines.order import Order
from pipelines.printing import Printer, counted
from pipelines.refusals import manner, refuse_new_types
from pipelines.rejects import SHORT, chosen, decoded, writing
from pipelines.rows.declared import dynamic
from pipelines.rows.intake import LANDED, Intake
from pipelines.rows.quarantine import guard
from pipelines.specs import spec as specs
from pipelines.working import LOADER_FORMAT, scratch_copy, synced

BATCH = 100
FIRST_STAYS = ("append", "insert-only")  # a key that is in such a table is never written again
WHOLE = "is read whole by every run, so a single row cannot join its table; run the spec again, then drop its rows"
BY_ROW = "names its table by the row, so a single row cannot join it; run the spec again, then drop its rows"
NO_KEY = "has no key of its own, so a single row cannot join its table; run the spec again, then drop its rows"


def replay(
    root: Path,
    env: str,
    name: str,
    resource: str | None,
    ids: Sequence[str],
    values: Sequence[str],
    printer: Printer,
) -> Exit:
    """Feed rows through their resource again; those that pass are loaded and marked, the others stay.

    A row the source itself refused (it has a place) is not a row of the table yet, so it is mended at that place;
    one of a raw file is what its upstream gave, and has none.
    A row stays, too, when its table or the quarantine holds a version of it that was read by the same run or later.
    """
    spec = specs.load(root, name)
    passed: list[str] = []
    outdated: list[str] = []
    with writing(root, env, name, Order(values=tuple(values))) as (environment, ledger):
        rows = chosen(ledger, env, name, resource, ids)
        placed = [row for row in rows if row.place and not row.place.startswith(LANDED)]
        loose = [row for row in rows if row not in placed]
        pipeline = synced(environment, spec) if loose else None
        for each in dict.fromkeys(row.resource for row in loose):
            assert pipeline is not None
            mine = [row for row in loose if row.resource == each]
            loaded, older = _Replay(environment, spec, ledger, pipeline, each).load(mine)
            ledger.replayed(loaded)
            passed, outdated = passed + loaded, outdated + older
    left = len(rows) - len(passed)
    printer.lines(
        f"{name}: {r.place}: mend it there and run again, then: etl quarantine drop {name} {r.id[:SHORT]} --env {env}"
        for r in placed
    )
    if outdated:
        drop = " ".join(["etl quarantine drop", name, *(row[:SHORT] for row in outdated), "--env", env])
        printer.lines([f"{name}: {len(outdated)} superseded by newer rows, kept in quarantine; drop them with: {drop}"])
    printer.document({"spec": name, "loaded": len(passed), "still_rejected": left, "superseded": outdated})
    printer.lines([f"{name}: {counted(len(passed), 'row')} loaded, {left} still in quarantine"])
    return Exit.PARTIAL if left else Exit.OK


class _Replay:
    """The rows of one resource, on their way into its table."""

    def __init__(
        self, environment: Environment, spec: specs.Spec, ledger: Ledger, pipeline: dlt.Pipeline, name: str
    ) -> None:
        self.environment, self.spec, self.ledger, self.pipeline, self.name = environment, spec, ledger, pipeline, name
        self.source = build.build(environment.root, spec)
        if name not in self.source.resources:
            raise UsageError(f"{spec.name}.{name}: the source has no such resource any more; drop its rows")
        self.resource = self.source.resources[name]
        if dynamic(self.resource):
            raise UsageError(f"{name}: {BY_ROW}")
        schema = self.source.schema.name
        self.known = pipeline.schemas[schema] if schema in pipeline.schema_names else None
        refuse_new_types(spec, [self.resource], self.known)
        self.schema = (self.known or self.source.schema).clone()
        self.schema.update_table(self.resource.compute_table_schema())
        self.table = self.schema.naming.normalize_table_identifier(str(self.resource.compute_table_schema()["name"]))
        columns = self.schema.get_table_columns(self.table, include_incomplete=True)
        self.keys = {name: column for name, column in columns.items() if column.get("primary_key")}
        _refuse(self.resource, self.keys)

    def load(self, rows: list[Quarantined]) -> tuple[list[str], list[str]]:
        """Load the rows that pass now; the ids of those loaded, and of those a newer version stands in the way of."""
        passing = dict(self._passing(rows))
        outdated = self._outdated([row for row in rows if row.id in passing]) if self.keys else set()
        loaded = [row for row in passing if row not in outdated]
        if loaded:
            self._load([item for row in loaded for item in passing[row]])
        return loaded, [row.id for row in rows if row.id in outdated]

    def _passing(self, rows: list[Quarantined]) -> Iterator[tuple[str, list[Any]]]:
        """The ids of the rows that are not refused again, each with what the resource makes of it."""
        intake = Intake(self.spec.name, self.environment.state_dir / "scratch" / "replay.jsonl")
        for row in rows:
            before = intake.rejected.get(self.name, 0)
            fed = self._fed([decoded(row.payload)])
            guard(fed, intake, None, self.environment.kind, self.known)
            items = list(fed.resources[self.name])
            if items and intake.rejected.get(self.name, 0) == before and not intake.failed:
                yield row.id, items
        intake.close()
        intake.spool.unlink(missing_ok=True)

    def _outdated(self, rows: list[Quarantined]) -> set[str]:
        """The rows of which there is a version that was read by the same run or later, waiting or in the table."""
        waiting = [(each, self._key(each)) for each in self.ledger.quarantined(self.spec.name, self.name)]
        begun = self.ledger.begun(self.spec.name)
        read = {each.id: begun.get(each.run_id, each.last_seen_at) for each, _ in waiting}
        keys = {each.id: key for each, key in waiting if key is not None}
        newest: dict[tuple[Any, ...], list[str]] = {}
        for row in keys:
            newest.setdefault(keys[row], []).append(row)
        mine = [row.id for row in rows if row.id in keys]
        rivals = {a for a in mine if any(b != a and read[b] >= read[a] for b in newest[keys[a]])}
        return rivals | self._in_table({row: (keys[row], read[row]) for row in mine})

    def _in_table(self, rows: dict[str, tuple[tuple[Any, ...], datetime]]) -> set[str]:
        """The rows whose key is in the table, loaded since a moment."""
        found: set[str] = set()
        with self.pipeline.destination_client(self.source.schema.name) as client:
            assert isinstance(client, SqlJobClientBase)
            if not dict(client.get_storage_tables([self.table]))[self.table]:
                return found
            ids = list(rows)
            for start in range(0, len(ids), BATCH):
                batch = ids[start : start + BATCH]
                values = [value for row in batch for value in (*rows[row][0], self._since(rows[row][1]))]
                asked = " UNION ALL ".join(self._question(client, number) for number in range(len(batch)))
                found |= {batch[number] for (number,) in client.sql_client.execute_sql(asked, *values) or []}
        return found

    def _question(self, client: SqlJobClientBase, number: int) -> str:
        column = client.sql_client.escape_column_name
        conditions = [f"{column(key)} = %s" for key in self.keys]
        conditions.append(f"{column(self.schema.naming.normalize_identifier(C_DLT_LOAD_ID))} >= %s")
        table = client.sql_client.make_qualified_table_name(self.table)
        return f"SELECT {number} FROM {table} WHERE {' AND '.join(conditions)}"

    def _since(self, moment: datetime) -> str:
        """The least id of a load that is in the way: dlt names a load by its second, and compares the names as text."""
        return "" if manner(self.resource) in FIRST_STAYS else f"{moment.timestamp():.3f}"

    def _key(self, row: Quarantined) -> tuple[Any, ...] | None:
        """The key a row has in its table, or None when it has none that fits."""
        item = decoded(row.payload)
        if not isinstance(item, dict):
            return None
        _, flat = next(iter(self.schema.normalize_data_item(item, "", self.table)))
        try:
            return tuple(_typed(flat[key], column) for key, column in self.keys.items())
        except (KeyError, ValueError, TypeError, ArithmeticError):
            return None

    def _fed(self, items: list[Any]) -> DltSource:
        """A source with one resource: the hints of ours over given rows."""
        table: Any = self.resource.compute_table_schema()
        hints: dict[str, Any] = {"table_name": table["name"], "columns": table.get("columns", {})}
        hints["write_disposition"] = self.resource.write_disposition
        if self.resource.max_table_nesting is not None:
            hints["max_table_nesting"] = self.resource.max_table_nesting
        return DltSource(
            self.source.schema.clone(), self.source.section, [dlt.resource(items, name=self.name, **hints)]
        )

    def _load(self, items: list[Any]) -> None:
        """Load with a copy of the pipeline, so that the cursor stays."""
        with scratch_copy(self.environment, self.spec, self.pipeline, f"replay-{ULID()}") as scratch:
            scratch.extract(self._fed(items), loader_file_format=LOADER_FORMAT)
            scratch.normalize()
            scratch.load()


def _refuse(resource: DltResource, keys: Iterable[str]) -> None:
    """Only a row with a key can join a table without touching other rows, or one that is appended."""
    how = manner(resource)
    if how in ("replace", "cdc", "scd2"):
        raise UsageError(f"{resource.name}: {WHOLE}")
    by_others = any(column.get("merge_key") for column in resource.compute_table_schema().get("columns", {}).values())
    if how != "append" and (not keys or by_others):
        raise UsageError(f"{resource.name}: {NO_KEY}")


def _typed(value: Any, column: TColumnSchema) -> Any:
    if value is None:
        raise ValueError("a key is never null")
    data_type = column.get("data_type")
    return coerce_value(data_type, py_type_to_sc_type(type(value)), value) if data_type else value
