"""Receipts and failures on their way into their tables, by dlt, which updates the row of a known file.

They have a schema of their own in the dataset of the spec, so that no `--full-refresh` and no rebuild drops them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import dlt
import orjson
from dlt.common.schema import Schema
from dlt.extract import DltResource, DltSource

from pipelines.environment import Environment
from pipelines.errors import in_one_line, without_secrets
from pipelines.files.declared import Move
from pipelines.files.mover import NotMoved
from pipelines.files.tables import prepare
from pipelines.files.work import Prior
from pipelines.load import Load
from pipelines.warehouse import open_warehouse
from pipelines.working import LOADER_FORMAT

UPSERT: Any = {"disposition": "merge", "strategy": "upsert"}
SECTION = "_receipts"
"""Of dlt's configuration."""
PAGE_ROWS = 500
LONGEST_REASON = 500
LONGEST_WAIT = timedelta(days=1)
FAILURES: dict[str, Any] = {
    "url": {"data_type": "text"},
    "first_seen_at": {"data_type": "timestamp", "nullable": False},
    "last_attempt_at": {"data_type": "timestamp", "nullable": False},
    "attempts": {"data_type": "bigint", "nullable": False},
    "status": {"data_type": "text", "nullable": False},
    "http_status": {"data_type": "bigint"},
    "error": {"data_type": "text"},
    "first_error": {"data_type": "text"},
    "ignore_until": {"data_type": "timestamp"},
    "quarantine_key": {"data_type": "text"},
    "run_id": {"data_type": "text"},
}
Row = dict[str, Any]
Rows = Sequence[Row | orjson.Fragment]


class Receipts:
    """The tables that say what became of the files of one resource."""

    def __init__(self, load: Load, move: Move) -> None:
        self._load = load.ordered(replace(load.order, limit=None, since=None, until=None, full_refresh=False))
        self._move = move

    def prepare(self) -> None:
        """Have the tables as the source declares them for this kind of warehouse, before dlt makes its own."""
        load = self._load
        if is_due(load.beside(), load.environment, load.spec.name, self._move):
            with open_warehouse(load.environment, load.report.dataset) as warehouse:
                prepare(warehouse, self._move)

    def record(self, receipts: Iterable[bytes], failures: Iterable[Row]) -> None:
        """Load receipts, as a journal has them, and failures, in one package."""
        source = source_of(self._load.spec.name, self._move, [*map(orjson.Fragment, receipts)], [*failures])
        if source.resources:
            pipeline = self._load.beside()
            pipeline.extract(source, loader_file_format=LOADER_FORMAT)
            self._load.load(pipeline)


def source_of(spec: str, move: Move, receipts: Rows, failures: Rows) -> DltSource:
    """Receipts and failures as dlt takes them."""
    identity = move.files.identity
    kind = move.files.columns.get(identity, {}).get("data_type", "text")
    about = {name: move.files.columns[name] for name in move.files.about}
    columns = {identity: {"data_type": kind, "nullable": False}, **FAILURES, **about}
    tables = ((move.block.table, receipts, move.files.columns), (move.block.failures, failures, columns))
    return DltSource(Schema(schema_name(spec)), SECTION, [_table(move, *each) for each in tables if each[1]])


def is_due(pipeline: dlt.Pipeline, environment: Environment, spec: str, move: Move) -> bool:
    """Whether the tables that a source declares are still to be made: dlt does not know them yet."""
    schema = schema_name(spec)
    known = schema in pipeline.schema_names and move.block.table in pipeline.schemas[schema].tables
    return bool(move.files.tables.get(environment.kind)) and not known


def schema_name(spec: str) -> str:
    """The schema of receipts and failures in the dataset of a spec."""
    return f"{spec}_files"


def _table(move: Move, name: str, rows: Rows, columns: dict[str, Any]) -> DltResource:
    resource: DltResource = dlt.resource(
        _pages(rows), name=name, columns=columns, primary_key=move.files.identity, write_disposition=UPSERT,
        schema_contract={"data_type": "freeze"},
    )  # fmt: skip
    return resource


def _pages(rows: Rows) -> list[Rows]:
    """Rows by the page, as dlt holds each several times over; a list, as of a generator dlt looks for the module."""
    return [rows[start : start + PAGE_ROWS] for start in range(0, len(rows), PAGE_ROWS)]


def failure_of(outcome: NotMoved, prior: Prior | None, move: Move, run_id: str, now: datetime) -> Row:
    """The row of a file that could not be stored; its first cause stays, whatever follows."""
    reason = in_one_line(without_secrets(outcome.reason))[:LONGEST_REASON]
    attempts, first_seen_at = (prior.attempts if prior else 0) + 1, prior.first_seen_at if prior else now
    given_up = outcome.kind != "transient" and _is_given_up(attempts, now - first_seen_at, move)
    lasting = "quarantined" if outcome.kind == "quarantined" else "permanent" if given_up else "transient"
    return {
        move.files.identity: outcome.item.row[move.files.identity],
        "url": re.sub(r"(?<=://)[^/?#]*@", "…@", without_secrets(outcome.item.url)),
        "first_seen_at": first_seen_at,
        "last_attempt_at": now,
        "attempts": attempts,
        "status": lasting,
        "http_status": outcome.http_status,
        "error": reason,
        "first_error": prior.first_error if prior else reason,
        "ignore_until": None if given_up else now + _wait(attempts, outcome.retry_after, move),
        "quarantine_key": outcome.quarantine_key or (prior.quarantine_key if prior else None),
        "run_id": run_id,
        **{name: outcome.item.row.get(name) for name in move.files.about},
    }


def _is_given_up(attempts: int, since: timedelta, move: Move) -> bool:
    limits = move.block.gives_up_after
    return attempts >= limits.tries and since >= timedelta(days=limits.days)


def _wait(attempts: int, retry_after: float | None, move: Move) -> timedelta:
    """Until the next try: twice as long after each run, and no shorter than the upstream asked for."""
    first = move.block.cools_down_in
    doubled = min(first * (1 << min(attempts - 1, 20)), max(first, LONGEST_WAIT))
    return max(doubled, timedelta(seconds=retry_after or 0))
