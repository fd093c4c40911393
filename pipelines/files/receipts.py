"""Receipts and failures on their way into their tables, by dlt, which updates the row of a known file.

They have a schema of their own in the dataset of the spec, so that no `--full-refresh` and no rebuild drops them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import dlt
from dlt.common.schema import Schema
from dlt.extract import DltResource, DltSource

from pipelines.errors import in_one_line, without_secrets
from pipelines.files.declared import Move
from pipelines.files.mover import NotMoved
from pipelines.files.work import Prior
from pipelines.load import Load
from pipelines.working import LOADER_FORMAT

UPSERT: Any = {"disposition": "merge", "strategy": "upsert"}
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


class Receipts:
    """The tables that say what became of the files of one resource."""

    def __init__(self, load: Load, move: Move) -> None:
        self._load = load.ordered(replace(load.order, limit=None, since=None, until=None, full_refresh=False))
        self._move, self._name = move, f"{load.spec.name}_files"

    def record(self, receipts: Iterable[Row], failures: Iterable[Row]) -> None:
        """Load them, in one package."""
        wanted = [*self._receipts([*receipts]), *self._failures([*failures])]
        if wanted:
            pipeline = self._load.beside()
            source = DltSource(Schema(self._name), self._load.spec.name, wanted)
            pipeline.extract(source, loader_file_format=LOADER_FORMAT)
            self._load.load(pipeline)

    def _receipts(self, rows: list[Row]) -> Iterable[DltResource]:
        if rows:
            yield self._table(self._move.block.table, rows, self._move.files.columns)

    def _failures(self, rows: list[Row]) -> Iterable[DltResource]:
        if rows:
            kind = self._move.files.columns.get(self._move.files.identity, {}).get("data_type", "text")
            columns = {self._move.files.identity: {"data_type": kind, "nullable": False}, **FAILURES}
            yield self._table(self._move.block.failures, rows, columns)

    def _table(self, name: str, rows: list[Row], columns: dict[str, Any]) -> DltResource:
        resource: DltResource = dlt.resource(
            rows, name=name, columns=columns, primary_key=self._move.files.identity, write_disposition=UPSERT,
            schema_contract={"data_type": "freeze"},
        )  # fmt: skip
        return resource


def failure_of(outcome: NotMoved, prior: Prior | None, move: Move, run_id: str, now: datetime) -> Row:
    """The row of a file that could not be stored; its first cause stays, whatever follows."""
    reason = in_one_line(without_secrets(outcome.reason))[:LONGEST_REASON]
    attempts, first_seen_at = (prior.attempts if prior else 0) + 1, prior.first_seen_at if prior else now
    given_up = outcome.kind != "transient" and _is_given_up(attempts, now - first_seen_at, move)
    lasting = "quarantined" if outcome.kind == "quarantined" else "permanent" if given_up else "transient"
    return {
        move.files.identity: outcome.item.row[move.files.identity],
        "url": without_secrets(outcome.item.url),
        "first_seen_at": first_seen_at,
        "last_attempt_at": now,
        "attempts": attempts,
        "status": lasting,
        "http_status": outcome.http_status,
        "error": reason,
        "first_error": prior.first_error if prior else reason,
        "ignore_until": None if given_up else now + _wait(attempts, outcome.retry_after, move),
        "quarantine_key": outcome.quarantine_key,
        "run_id": run_id,
    }


def _is_given_up(attempts: int, since: timedelta, move: Move) -> bool:
    limits = move.block.gives_up_after
    return attempts >= limits.tries and since >= timedelta(days=limits.days)


def _wait(attempts: int, retry_after: float | None, move: Move) -> timedelta:
    """Until the next try: twice as long after each run, and no shorter than the upstream asked for."""
    first = move.block.cools_down_in
    doubled = min(first * (1 << min(attempts - 1, 20)), max(first, LONGEST_WAIT))
    return max(doubled, timedelta(seconds=retry_after or 0))
