"""The engine's own tables in `_etl`, one dataset per destination: how runs ended, and what they must remember.

Written by plain SQL through dlt's client of the destination, so that they exist wherever dlt loads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.destinations.exceptions import DatabaseException
from dlt.destinations.sql_client import SqlClientBase

from pipelines import configuration
from pipelines.environment import Environment
from pipelines.rows.intake import Rejection, spooled
from pipelines.warehouse import connected

DATASET = "_etl"
T = TypeVar("T")
End = tuple[str, int, str | None]  # status, exit code and message of a run
BATCH = 500
BATCH_CHARACTERS = 2_000_000  # of payloads; BigQuery takes no request above 10 MB
PATIENCE_SECONDS = 10.0  # with a reader of a DuckDB file, before a run gives up
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WELL = {"ok", "partial", "checks_failed"}
TYPES = {
    "duckdb": {"text": "VARCHAR", "time": "TIMESTAMPTZ", "int": "BIGINT"},
    "postgres": {"text": "text", "time": "timestamptz", "int": "bigint"},
    "bigquery": {"text": "STRING", "time": "TIMESTAMP", "int": "INT64"},
}
TABLES = {
    "runs": {
        "run_id": "text", "spec": "text", "environment": "text", "mode": "text", "status": "text",
        "exit_code": "int", "started_at": "time", "finished_at": "time", "rows_loaded": "int",
        "rows_rejected": "int", "items_failed": "int", "message": "text",
    },
    "quarantine": {
        "id": "text", "spec": "text", "resource": "text", "reason": "text", "place": "text", "payload": "text",
        "run_id": "text", "first_seen_at": "time", "last_seen_at": "time", "replayed_at": "time",
    },
    "coverage": {
        "spec": "text", "resource": "text", "part": "text", "item": "text", "since": "time", "until": "time",
        "state": "text", "reason": "text", "run_id": "text", "checked_at": "time",
    },
    "locks": {
        "name": "text", "run_id": "text", "host": "text", "pid": "int", "since": "time", "expires_at": "time",
    },
    "checks": {
        "run_id": "text", "spec": "text", "dataset": "text", "name": "text", "kind": "text", "severity": "text",
        "status": "text", "failing": "int", "counted": "int", "message": "text", "checked_at": "time",
    },
    "models": {
        "dataset": "text", "name": "text", "spec": "text", "fingerprint": "text", "load_id": "text", "run_id": "text",
        "built_at": "time",
    },
    "transfers": {
        "spec": "text", "dataset": "text", "resource": "text", "run_id": "text", "in_doubt": "int", "since": "time",
    },
    "raw_files": {
        "spec": "text", "dataset": "text", "load_id": "text", "resource": "text", "source_file": "text",
        "fetched_at": "time", "run_id": "text",
    },
    "erasures": {
        "id": "text", "kind": "text", "environment": "text", "started_at": "time", "finished_at": "time",
        "counts": "text",
    },
    "tokens": {
        "spec": "text", "account": "text", "version": "int", "updated_at": "time", "expires_at": "time",
        "payload": "text", "claimed_by": "text", "claimed_until": "time",
    },
}  # fmt: skip
UNFINISHED = (
    "+unfinished"  # ends the mode of a run that failed, whose rows may be in the tables or get there with the next
)
DIRECT = ("incr", "backfill", "full-refresh")  # modes of runs that load rows no raw file holds
EVERY_RUN = ("runs", "quarantine", "locks")


@dataclass(frozen=True)
class RunRow:
    """One row of `_etl.runs`."""

    run_id: str
    spec: str
    environment: str
    mode: str
    status: str
    exit_code: int | None
    started_at: datetime
    finished_at: datetime | None = None
    rows_loaded: int = 0
    rows_rejected: int = 0
    items_failed: int = 0
    message: str | None = None


@dataclass(frozen=True)
class Quarantined:
    """One row of `_etl.quarantine`."""

    id: str
    spec: str
    resource: str
    reason: str
    place: str
    payload: str
    run_id: str
    first_seen_at: datetime
    last_seen_at: datetime
    replayed_at: datetime | None


@dataclass(frozen=True)
class CheckRow:
    """One row of `_etl.checks`; `counted` is what a row count found."""

    run_id: str
    spec: str
    dataset: str
    name: str
    kind: str
    severity: str
    status: str
    failing: int | None
    counted: int | None
    message: str
    checked_at: datetime


@dataclass(frozen=True)
class ModelRow:
    """One row of `_etl.models`: what a derived table was last made from."""

    dataset: str
    name: str
    spec: str
    fingerprint: str
    load_id: str | None
    run_id: str
    built_at: datetime


@dataclass(frozen=True)
class Transfer:
    """One row of `_etl.transfers`: files of a resource are being moved, or were by a run that died.

    `in_doubt`: 1 where objects may be stored that no journal of this machine knows of.
    """

    spec: str
    dataset: str
    resource: str
    run_id: str
    in_doubt: int
    since: datetime


@dataclass(frozen=True)
class Covered:
    """One row of `_etl.coverage`: what a run learned of the time from `since` to `until`, or of an item.

    An item has the time it was asked for in both; `part`, `item` and `reason` are empty where there is none.
    """

    spec: str
    resource: str
    part: str
    item: str
    since: datetime
    until: datetime
    state: str
    reason: str
    run_id: str
    checked_at: datetime


@dataclass(frozen=True)
class Origin:
    """One row of `_etl.raw_files`: the raw files that a load took the rows of a resource from, by name."""

    spec: str
    dataset: str
    load_id: str
    resource: str
    source_file: str
    fetched_at: datetime | None
    run_id: str


class Ledger:
    """The engine's tables over one open connection."""

    def __init__(self, client: SqlClientBase[Any], kind: str) -> None:
        self._client, self._types = client, TYPES[kind]

    @property
    def client(self) -> SqlClientBase[Any]:
        """The connection, for tables beside these."""
        return self._client

    def ensure(self, *tables: str) -> None:
        """Create what is missing; two processes may race here, so a lost race counts as created."""
        if not self._client.has_dataset():
            self._tolerantly(self._client.create_dataset)
        for table in tables or EVERY_RUN:
            columns = ", ".join(f"{name} {self._types[kind]}" for name, kind in TABLES[table].items())
            self._tolerantly(lambda t=table, c=columns: self.execute(f"CREATE TABLE IF NOT EXISTS {{{t}}} ({c})"))

    def has(self, table: str) -> bool:
        """Whether a table is there."""
        if not self._client.has_dataset():
            return False
        try:
            self.execute(f"SELECT 1 FROM {{{table}}} LIMIT 1")
        except DestinationUndefinedEntity:
            return False
        return True

    def execute(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement; `{runs}` stands for the qualified table, and BigQuery takes no None as a value."""
        named = {table: self._client.make_qualified_table_name(table) for table in TABLES}
        first, *rest = sql.format(**named).split("%s")
        holes = ("NULL" if value is None else "%s" for value in values)
        text = first + "".join(hole + piece for hole, piece in zip(holes, rest, strict=True))
        given = [value for value in values if value is not None]
        return [tuple(row) for row in self._client.execute_sql(text, *given) or []]

    def begin(self, run: RunRow, end_of: Callable[[str], End]) -> None:
        """Write a run that has just started, and to every earlier one of its spec still open how it ended."""
        still_open = "SELECT run_id FROM {runs} WHERE spec = %s AND environment = %s AND status = 'running'"
        for (run_id,) in self.execute(still_open, run.spec, run.environment):
            status, code, message = end_of(run_id)
            self.execute(
                "UPDATE {runs} SET status = %s, exit_code = %s, message = %s WHERE run_id = %s AND spec = %s",
                status, code, message, run_id, run.spec,
            )  # fmt: skip
        self._insert("runs", [run])

    def add(self, runs: Sequence[RunRow]) -> None:
        """Write the runs that the table has not."""
        for batch in _batches(runs):
            ids = [run.run_id for run in batch]
            known = self.execute(f"SELECT run_id, spec FROM {{runs}} WHERE run_id IN ({_holes(ids)})", *ids)
            self._insert("runs", [run for run in batch if (run.run_id, run.spec) not in known])

    def tell(self, run: RunRow) -> None:
        """Write into the row of a run how it stands, or how it ended."""
        columns = [name for name in TABLES["runs"] if name != "run_id"]
        changes = ", ".join(f"{name} = %s" for name in columns)
        values = [getattr(run, name) for name in columns]
        self.execute(f"UPDATE {{runs}} SET {changes} WHERE run_id = %s AND spec = %s", *values, run.run_id, run.spec)

    def ended_well(self, run: RunRow) -> bool:
        """Whether the last run of the same spec before this one went to its end; true when there was none."""
        rows = self.execute(
            "SELECT status FROM {runs} WHERE spec = %s AND environment = %s AND run_id <> %s "
            "ORDER BY started_at DESC LIMIT 1",
            run.spec, run.environment, run.run_id,
        )  # fmt: skip
        return not rows or rows[0][0] in WELL

    def fetches(self, spec: str, environment: str) -> bool:
        """Whether raw files of a spec were ever fetched, so that some may wait."""
        sql = "SELECT 1 FROM {runs} WHERE spec = %s AND environment = %s AND mode IN ('fetch', 'fetch+ingest') LIMIT 1"
        return bool(self.execute(sql, spec, environment))

    def loaded_directly(self, spec: str, environment: str, since: datetime | None) -> str | None:
        """The last run since a moment or a rebuild that loaded rows of no raw file, or ended early and may have."""
        rebuilt = "SELECT max(started_at) FROM {runs} WHERE spec = %s AND environment = %s AND mode = 'rebuild'"
        whole = f"{rebuilt} AND status IN ({_holes(list(WELL))})"
        anew = [moment for (moment,) in self.execute(whole, spec, environment, *WELL) if moment is not None]
        start = max([*anew, since or EPOCH])
        unfinished = [f"{mode}{UNFINISHED}" for mode in DIRECT]
        found = self.execute(
            "SELECT run_id FROM {runs} WHERE spec = %s AND environment = %s AND started_at > %s "
            f"AND (mode IN ({_holes(DIRECT)}) AND (rows_loaded > 0 OR status = 'crashed') "
            f"OR mode IN ({_holes(unfinished)})) ORDER BY started_at DESC LIMIT 1",
            spec, environment, start, *DIRECT, *unfinished,
        )  # fmt: skip
        return str(found[0][0]) if found else None

    def begun(self, spec: str) -> dict[str, datetime]:
        """When each run of a spec began."""
        rows = self.execute("SELECT run_id, started_at FROM {runs} WHERE spec = %s", spec)
        return {str(run_id): moment for run_id, moment in rows}

    def history(self, spec: str | None = None, limit: int = 20) -> list[RunRow]:
        """The newest runs first, of one spec or of all."""
        where, values = ("WHERE spec = %s", [spec]) if spec else ("", [])
        columns = ", ".join(TABLES["runs"])
        sql = f"SELECT {columns} FROM {{runs}} {where} ORDER BY started_at DESC, run_id DESC LIMIT {int(limit)}"
        return [RunRow(*row) for row in self.execute(sql, *values)]

    def latest(self, environment: str, spec: str | None = None) -> list[tuple[RunRow, datetime | None]]:
        """The last run of each spec, or of one, that has ended, and when one last ended with 0 and left nothing out."""
        only, values = (" AND spec = %s", [environment, spec]) if spec else ("", [environment])
        columns = ", ".join(f"r.{name}" for name in TABLES["runs"])
        rows = self.execute(
            f"SELECT {columns}, l.succeeded_at FROM {{runs}} AS r JOIN (SELECT spec, max(started_at) AS started_at, "
            "max(CASE WHEN exit_code = 0 AND message IS NULL THEN finished_at END) AS succeeded_at FROM {runs} "
            f"WHERE environment = %s AND exit_code IS NOT NULL{only} GROUP BY spec) AS l "
            "ON r.spec = l.spec AND r.started_at = l.started_at WHERE r.environment = %s ORDER BY r.spec",
            *values, environment,
        )  # fmt: skip
        return [(RunRow(*row), succeeded_at) for *row, succeeded_at in rows]

    def quarantine(self, run_id: str, rejections: Iterable[Rejection]) -> int:
        """Write rejections, each once however often it is seen; returns how many were new."""
        new, now = 0, datetime.now(UTC)
        for batch in _batches(rejections, lambda rejection: len(rejection.payload)):
            unique = {rejection.id: rejection for rejection in batch}
            known = self._known(list(unique))
            if known:
                self.execute(
                    "UPDATE {quarantine} SET last_seen_at = %s, run_id = %s, replayed_at = NULL "
                    f"WHERE id IN ({_holes(known)})",
                    now, run_id, *known,
                )  # fmt: skip
            rows = [
                Quarantined(id, r.spec, r.resource, r.reason, r.place, r.payload, run_id, now, now, None)
                for id, r in unique.items() if id not in known
            ]  # fmt: skip
            self._insert("quarantine", rows)
            new += len(rows)
        return new

    def take_in(self, spools: Path) -> None:
        """Write every spool of a folder, as must be done before the load that belongs to it is committed."""
        for spool in sorted(spools.glob("*.jsonl")):
            self.quarantine(spool.stem, spooled(spool))
            spool.unlink()

    def quarantined(
        self, spec: str | None = None, resource: str | None = None, ids: Sequence[str] = (),
        everything: bool = False, limit: int | None = None,
    ) -> list[Quarantined]:  # fmt: skip
        """Rows in quarantine, oldest first; those replayed are left out unless `everything`."""
        sql, values = self._where(spec, resource, ids, everything)
        columns, last = ", ".join(TABLES["quarantine"]), f" LIMIT {int(limit)}" if limit is not None else ""
        sql = f"SELECT {columns} FROM {{quarantine}} {sql} ORDER BY first_seen_at, spec, resource, place, id{last}"
        return [Quarantined(*row) for row in self.execute(sql, *values)]

    def count_quarantined(self, spec: str | None, resource: str | None, everything: bool) -> int:
        where, values = self._where(spec, resource, (), everything)
        return int(self.execute(f"SELECT count(*) FROM {{quarantine}} {where}", *values)[0][0])

    def replayed(self, ids: Sequence[str]) -> None:
        """Mark rows as loaded after all."""
        for batch in _batches(ids):
            sql = f"UPDATE {{quarantine}} SET replayed_at = %s WHERE id IN ({_holes(batch)})"
            self.execute(sql, datetime.now(UTC), *batch)

    def not_replayed(self, spec: str) -> list[str]:
        """Take back that rows were replayed of which no raw file knows; their resources."""
        rows = "spec = %s AND place = '' AND replayed_at IS NOT NULL"
        found = self.execute(f"SELECT resource FROM {{quarantine}} WHERE {rows}", spec)
        self.execute(f"UPDATE {{quarantine}} SET replayed_at = NULL WHERE {rows}", spec)
        return [resource for (resource,) in found]

    def drop_quarantined(self, ids: Sequence[str]) -> None:
        for batch in _batches(ids):
            self.execute(f"DELETE FROM {{quarantine}} WHERE id IN ({_holes(batch)})", *batch)

    def add_checks(self, rows: Sequence[CheckRow]) -> None:
        """Write the results of checks."""
        self._in_time("checks", partial(self._insert, "checks", rows))

    def last_counts(self, spec: str, dataset: str) -> dict[str, int]:
        """What each row count of a spec found when it last was judged."""
        sql = (
            "SELECT name, counted FROM (SELECT name, counted, row_number() OVER (PARTITION BY name ORDER BY checked_at "
            "DESC) AS place FROM {checks} WHERE spec = %s AND dataset = %s AND counted IS NOT NULL) AS judged "
            "WHERE place = 1"
        )
        with suppress(DestinationUndefinedEntity):
            return dict(self.execute(sql, spec, dataset))
        return {}

    def models(self, spec: str, dataset: str) -> dict[str, ModelRow]:
        """What the models of a spec were last made from, by name."""
        columns = ", ".join(TABLES["models"])
        with suppress(DestinationUndefinedEntity):
            rows = self.execute(f"SELECT {columns} FROM {{models}} WHERE spec = %s AND dataset = %s", spec, dataset)
            return {row[1]: ModelRow(*row) for row in rows}
        return {}

    def all_models(self) -> list[ModelRow]:
        """The models of all specs, of those that are gone, too."""
        with suppress(DestinationUndefinedEntity):
            columns = ", ".join(TABLES["models"])
            return [ModelRow(*row) for row in self.execute(f"SELECT {columns} FROM {{models}} ORDER BY dataset, name")]
        return []

    def put_models(self, spec: str, dataset: str, rows: Sequence[ModelRow], gone: Sequence[str] = ()) -> None:
        """Write what models were made from, in place of what is there, and forget those that are gone."""
        names = [row.name for row in rows] + list(gone)
        sql = f"DELETE FROM {{models}} WHERE spec = %s AND dataset = %s AND name IN ({_holes(names)})"
        self._in_time("models", partial(self.execute, sql, spec, dataset, *names))
        self._insert("models", rows)

    def covered(self, spec: str) -> list[Covered]:
        """What runs have learned of a spec's coverage; nothing as long as there is no table."""
        columns = ", ".join(TABLES["coverage"])
        try:
            rows = self.execute(f"SELECT {columns} FROM {{coverage}} WHERE spec = %s", spec)
        except DestinationUndefinedEntity:
            return []
        return [Covered(*row) for row in rows]

    def cover(self, rows: Sequence[Covered]) -> None:
        """Write what a run has learned."""
        for batch in _batches(rows):
            self._in_time("coverage", partial(self._insert, "coverage", batch))

    def drop_covered(self, spec: str, but: str) -> None:
        """Delete what is written of a spec's coverage, but that of one run."""
        self.execute("DELETE FROM {coverage} WHERE spec = %s AND run_id <> %s", spec, but)

    def add_origins(self, rows: Sequence[Origin]) -> None:
        """Write where the rows of a load come from, before it is committed."""
        self._in_time("raw_files", partial(self._insert, "raw_files", rows))

    def transfer(self, dataset: str, resource: str) -> Transfer | None:
        """The transfer of a resource that has not come to its end."""
        columns = ", ".join(TABLES["transfers"])
        with suppress(DestinationUndefinedEntity):
            rows = self.execute(
                f"SELECT {columns} FROM {{transfers}} WHERE dataset = %s AND resource = %s ORDER BY since DESC LIMIT 1",
                dataset, resource,
            )  # fmt: skip
            return Transfer(*rows[0]) if rows else None
        return None

    def begin_transfer(self, transfer: Transfer) -> None:
        """Write that files of a resource are being moved, in place of what is written."""
        self._in_time("transfers", partial(self._insert, "transfers", [transfer]))
        self.end_transfer(transfer.dataset, transfer.resource, transfer.run_id)

    def end_transfer(self, dataset: str, resource: str, but: str = "") -> None:
        """Delete what is written of moving files of a resource, but of one run."""
        sql = "DELETE FROM {transfers} WHERE dataset = %s AND resource = %s AND run_id <> %s"
        self.execute(sql, dataset, resource, but)

    def _known(self, ids: list[str]) -> list[str]:
        rows = self.execute(f"SELECT id FROM {{quarantine}} WHERE id IN ({_holes(ids)})", *ids)
        return [row[0] for row in rows]

    def _where(
        self, spec: str | None, resource: str | None, ids: Sequence[str], everything: bool
    ) -> tuple[str, list[Any]]:
        wanted = [("spec = %s", [spec])] if spec else []
        wanted += [("resource = %s", [resource])] if resource else []
        wanted += [(f"id IN ({_holes(ids)})", list(ids))] if ids else []
        wanted += [] if everything else [("replayed_at IS NULL", [])]
        text = " AND ".join(condition for condition, _ in wanted)
        return (f"WHERE {text}" if text else ""), [value for _, values in wanted for value in values]

    def _insert(self, table: str, rows: Sequence[Any]) -> None:
        if not rows:
            return
        columns = list(TABLES[table])
        one = f"({_holes(columns)})"
        values = [getattr(row, column) for row in rows for column in columns]
        listed = ", ".join(columns)
        self.execute(f"INSERT INTO {{{table}}} ({listed}) VALUES {', '.join([one] * len(rows))}", *values)

    def _in_time(self, table: str, write: Callable[[], Any]) -> None:
        """Write to a table that is made when it is missing, rather than asked for each time."""
        try:
            write()
        except DestinationUndefinedEntity:
            self.ensure(table)
            write()

    def _tolerantly(self, create: Any) -> None:
        try:
            create()
        except (DatabaseException, DestinationUndefinedEntity) as error:
            if "exist" not in str(error) and "unique" not in str(error):
                raise


@contextmanager
def open_ledger(environment: Environment, *tables: str, create: bool = True) -> Iterator[Ledger]:
    """The ledger of the environment's warehouse; the configuration must be active.

    Whoever writes holds the lock, so what else has a DuckDB file open is a reader, and is waited for.
    """
    with connected(DATASET, PATIENCE_SECONDS if create and environment.duckdb_file else 0) as client:
        ledger = Ledger(client, environment.kind)
        if create:
            ledger.ensure(*tables)
        yield ledger


@contextmanager
def read_ledger(environment: Environment, table: str) -> Iterator[Ledger | None]:
    """The ledger, for reading; None as long as no run has made the table."""
    configuration.activate(environment, read_only=True)
    if environment.duckdb_file and not environment.duckdb_file.exists():
        yield None
        return
    with connected(DATASET) as client:
        ledger = Ledger(client, environment.kind)
        yield ledger if ledger.has(table) else None


def _holes(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))


def _batches(given: Iterable[T], size: Callable[[T], int] = lambda _: 0) -> Iterator[list[T]]:
    """What is given, in order and in parts that fit into one statement."""
    batch, characters = list[T](), 0
    for one in given:
        if batch and (len(batch) == BATCH or characters + size(one) > BATCH_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(one)
        characters += size(one)
    if batch:
        yield batch


assert [f.name for f in fields(RunRow)] == list(TABLES["runs"])
assert [f.name for f in fields(Covered)] == list(TABLES["coverage"])
assert [f.name for f in fields(Quarantined)] == list(TABLES["quarantine"])
assert [f.name for f in fields(CheckRow)] == list(TABLES["checks"])
assert [f.name for f in fields(ModelRow)] == list(TABLES["models"])
assert [f.name for f in fields(Transfer)] == list(TABLES["transfers"])
assert [f.name for f in fields(Origin)] == list(TABLES["raw_files"])
