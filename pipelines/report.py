"""What one run of one spec did: the same facts for the terminal, the manifest and `_etl.runs`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.errors import EtlError, Exit
from pipelines.ledger import RunRow

if TYPE_CHECKING:
    from pipelines.coverage.claims import Claims

SCHEMA = "etl.run.v1"
STATUS = {
    Exit.OK: "ok",
    Exit.FAILED: "failed",
    Exit.USAGE: "failed",
    Exit.PARTIAL: "partial",
    Exit.CHECKS: "checks_failed",
    Exit.TEMPORARY: "try_later",
    Exit.SIGN_IN: "sign_in",
    Exit.LOCKED: "locked",
    Exit.INTERRUPTED: "interrupted",
    Exit.TERMINATED: "interrupted",
}


@dataclass
class Report:
    """Grows while a run goes on; `exit` is None until it has ended.

    `gears` counts records by table and the gear of the columnar normaliser that they took.
    """

    run_id: str
    spec: str
    environment: str
    mode: str
    dataset: str
    window: str | None = None
    limit: int | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    finished_at: datetime | None = None
    exit: Exit | None = None
    resources: list[str] = field(default_factory=list)
    tables: dict[str, int] = field(default_factory=dict)
    gears: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejected: dict[str, int] = field(default_factory=dict)
    failed_items: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    requests: dict[str, Any] = field(default_factory=dict)
    resumed: bool = False
    cause: BaseException | None = None
    claims: list[Claims] = field(default_factory=list)

    @property
    def status(self) -> str:
        return "running" if self.exit is None else STATUS[self.exit]

    @property
    def rows_loaded(self) -> int:
        return sum(self.tables.values())

    @property
    def rows_rejected(self) -> int:
        return sum(self.rejected.values())

    def add_rows(self, counts: dict[str, int] | None) -> None:
        """Add dlt's row counts, its own tables left out."""
        for table, rows in (counts or {}).items():
            if not table.startswith("_dlt_") and rows:
                self.tables[table] = self.tables.get(table, 0) + rows

    def fail(self, error: EtlError, cause: BaseException) -> None:
        """Note the first error; a later one only followed from it."""
        if self.error is None:
            self.error, self.exit, self.cause = str(error), error.exit, cause

    def finish(self) -> None:
        """Set the end and, where nothing failed, whether the run was whole or partial."""
        self.finished_at = datetime.now(UTC)
        if self.exit is None:
            self.exit = Exit.PARTIAL if self.rejected or self.failed_items else Exit.OK

    def errors(self) -> list[dict[str, str]]:
        """One entry per thing left out, and one for the error that ended the run."""
        listed = [{"unit": f"{f['resource']}:{f['item']}", "message": f["reason"]} for f in self.failed_items]
        listed += [{"unit": r, "message": f"{n} rows in quarantine"} for r, n in self.rejected.items()]
        return listed + ([{"unit": self.spec, "message": self.error}] if self.error else [])

    def row(self) -> RunRow:
        """The run as a row of `_etl.runs`."""
        return RunRow(
            self.run_id, self.spec, self.environment, self.mode, self.status,
            None if self.exit is None else int(self.exit), self.started_at, self.finished_at,
            self.rows_loaded, self.rows_rejected, len(self.failed_items), self.error,
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """The run as JSON: the manifest, and one element of `--output json`."""
        return {
            "schema": SCHEMA,
            "run_id": self.run_id,
            "spec": self.spec,
            "environment": self.environment,
            "dataset": self.dataset,
            "mode": self.mode,
            "window": self.window,
            "limit": self.limit,
            "status": self.status,
            "exit_code": None if self.exit is None else int(self.exit),
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "resources": self.resources,
            "counts": {
                "rows_loaded": self.rows_loaded,
                "rows_rejected": self.rows_rejected,
                "items_failed": len(self.failed_items),
            },
            "tables": self.tables,
            "rejected": self.rejected,
            "errors": self.errors(),
            "warnings": self.warnings,
            "resumed_pending_load": self.resumed,
        }

    def lines(self) -> list[str]:
        """One line per table, then what was left out, then the verdict."""
        width = max((len(t) for t in self.tables), default=0)
        out = [f"{self.spec}.{table:<{width}}  {rows:>9,} rows" for table, rows in sorted(self.tables.items())]
        out += [
            f"{self.spec}.{r}: {n:,} rows in quarantine; see: etl quarantine list {self.spec}"
            for r, n in self.rejected.items()
        ]
        out += [f"{self.spec}.{f['resource']}: {f['item']}: {f['reason']}" for f in self.failed_items]
        return [*out, self.verdict()]

    def verdict(self) -> str:
        took = ((self.finished_at or datetime.now(UTC)) - self.started_at).total_seconds()
        if self.error:
            return f"{self.spec}: {self.status} (run {self.run_id}, exit {int(self.exit or 0)})"
        what = f"{self.rows_loaded:,} rows" if self.tables else "nothing new"
        return f"{self.spec}: {self.status}, {what} into {self.dataset} in {took:.1f} s (run {self.run_id})"
