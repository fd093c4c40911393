"""What one run of one spec did: the same facts for the terminal, the manifest and `_etl.runs`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.checks.judge import Checked
from pipelines.environment import LANDING
from pipelines.errors import STATUS, EtlError, Exit
from pipelines.files.tally import Tally
from pipelines.landing.manifest import RawFile
from pipelines.ledger import RunRow
from pipelines.models.make import Made
from pipelines.printing import counted

if TYPE_CHECKING:
    from pipelines.coverage.claims import Claims
    from pipelines.files.raw_audio import RawAudio

SCHEMA = "etl.run.v1"
MOST_ITEMS = 50  # of those that failed, in what a person reads


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
    raw_files: dict[str, dict[str, Any]] = field(default_factory=dict)
    raw_home: str = ""
    rejected: dict[str, int] = field(default_factory=dict)
    failed_items: list[dict[str, str]] = field(default_factory=list)
    postponed: bool = False
    signed_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    requests: dict[str, Any] = field(default_factory=dict)
    resumed: bool = False
    models: list[Made] = field(default_factory=list)
    checks: list[Checked] = field(default_factory=list)
    expired: dict[str, int] = field(default_factory=dict)
    cause: BaseException | None = None
    claims: list[Claims] = field(default_factory=list)
    files: dict[str, Tally] = field(default_factory=dict)
    raw_audio: RawAudio | None = None

    @property
    def status(self) -> str:
        return "running" if self.exit is None else STATUS[self.exit]

    @property
    def rows_loaded(self) -> int:
        """Rows it left in tables; of a fetch those in raw files."""
        if self.mode == "fetch":
            return sum(file["rows"] for file in self.raw_files.values() if file["in"] == "landing")
        return sum(self.tables.values())

    @property
    def rows_rejected(self) -> int:
        return sum(self.rejected.values())

    @property
    def message(self) -> str | None:
        """Why a run did not end well, or did not load all there was, in one line; None for one that did."""
        if self.error:
            return self.error
        left = [*self.signed_out]
        left += [f"{counted(self.rows_rejected, 'row')} in quarantine"] if self.rejected else []
        left += [f"{counted(len(self.failed_items), 'item')} failed"] if self.failed_items else []
        broken = [check.name for check in self.checks if check.failed]
        left += [f"{counted(len(broken), 'check')} failed: {', '.join(broken)}"] if broken else []
        left += [f"at most {counted(self.limit, 'row')} per resource"] if self.limit else []
        return ", ".join(left) or None

    def raw(self, file: RawFile, place: str) -> None:
        """Note where a raw file is now: in landing, archive or rejected."""
        self.raw_files[file.name] = {"resource": file.resource, "rows": file.rows, "bytes": file.size, "in": place}

    def fail(self, error: EtlError, cause: BaseException) -> None:
        """Note the first error; a later one only followed from it."""
        if self.error is None:
            self.error, self.exit, self.cause = str(error), error.exit, cause

    def finish(self) -> None:
        """Set the end, once, and where nothing failed whether the checks hold and the run was whole."""
        self.finished_at = self.finished_at or datetime.now(UTC)
        if self.exit is None:
            self.exit = self._ending()

    def _ending(self) -> Exit:
        """How a run ended in which nothing broke: what a later run brings comes before what is wrong with this one."""
        if self.signed_out:
            return Exit.SIGN_IN
        if self.postponed:
            return Exit.TEMPORARY
        if any(check.failed for check in self.checks):
            return Exit.CHECKS
        return Exit.PARTIAL if self.rejected or self.failed_items else Exit.OK

    def errors(self) -> list[dict[str, str]]:
        """One entry per thing left out, and one for the error that ended the run."""
        listed = [{"unit": self.spec, "message": reason} for reason in self.signed_out]
        listed += [{"unit": f"{f['resource']}:{f['item']}", "message": f["reason"]} for f in self.failed_items]
        listed += [{"unit": r, "message": f"{counted(n, 'row')} in quarantine"} for r, n in self.rejected.items()]
        listed += [{"unit": check.name, "message": check.message} for check in self.checks if check.failed]
        return listed + ([{"unit": self.spec, "message": self.error}] if self.error else [])

    def row(self) -> RunRow:
        """The run as a row of `_etl.runs`."""
        return RunRow(
            self.run_id, self.spec, self.environment, self.mode, self.status,
            None if self.exit is None else int(self.exit), self.started_at, self.finished_at,
            self.rows_loaded, self.rows_rejected, len(self.failed_items), self.message,
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
            "message": self.message,
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
            "raw_files": self.raw_files,
            "files": {resource: tally.as_dict() for resource, tally in self.files.items()},
            "rejected": self.rejected,
            "models": [made.as_dict() for made in self.models],
            "checks": [check.as_dict() for check in self.checks],
            "errors": self.errors(),
            "warnings": self.warnings,
            "resumed_pending_load": self.resumed,
            "expired": self.expired,
            **self.result(),
        }

    @property
    def files_of_nobody(self) -> int:
        """Files of the landing that belong to no resource, or hold no rows by their name."""
        return sum(item["resource"] == LANDING for item in self.failed_items)

    def result(self) -> dict[str, Any]:
        """What became of it under the names by which other ingestors tell it, of raw files only."""
        places = [file["in"] for file in self.raw_files.values()]
        return {
            "service": self.spec,
            "environment": self.environment,
            "data_types": self.resources,
            "timestamp": (self.finished_at or self.started_at).isoformat(),
            "success": self.exit is Exit.OK,
            "files_ingested": places.count("archive"),
            "files_failed": places.count("rejected") + self.files_of_nobody,
            "error": None if self.exit is Exit.OK else self.message,
        }

    def lines(self) -> list[str]:
        """One line per table as SQL names it, then what was left out or too old, models, checks, the verdict."""
        width = max((len(t) for t in self.tables), default=0)
        out = [f"{self.dataset}.{table:<{width}}  {counted(n, 'row'):>14}" for table, n in sorted(self.tables.items())]
        out += [f"{self.spec}.{f['resource']}: {name} is in {f['in']}" for name, f in self.raw_files.items()]
        out += [f"{self.spec}: raw files are in {self.raw_home}"] if self.raw_files else []
        see = f"etl quarantine list {self.spec} --env {self.environment}"
        out += [f"{self.spec}.{r}: {counted(n, 'row')} in quarantine; see: {see}" for r, n in self.rejected.items()]
        out += [f"{self.spec}.{resource}: {tally.line()}" for resource, tally in self.files.items()]
        out += [f"{self.spec}.{f['resource']}: {f['item']}: {f['reason']}" for f in self.failed_items[:MOST_ITEMS]]
        out += [f"{reason}; this account was left out" for reason in self.signed_out]
        more = len(self.failed_items) - MOST_ITEMS
        out += [f"{self.spec}: {more:,} more failed; see runs/{self.run_id}/error.json"] if more > 0 else []
        out += [f"{self.spec}: {n:,} too old in {place}, deleted" for place, n in self.expired.items()]
        return [*out, *self.lines_after(), self.verdict()]

    def lines_after(self) -> list[str]:
        """What became of models and checks."""
        made = [model.name for model in self.models if model.status == "made"]
        out = [f"{self.spec}: made {', '.join(made)}"] if made else []
        out += [f"{self.spec}.{m.name}: {m.status}: {m.message}" for m in self.models if not m.stands]
        passed = sum(check.status == "ok" for check in self.checks)
        out += [f"{self.spec}: {passed} of {len(self.checks)} checks ok"] if self.checks else []
        return out + [check.line(self.spec, self.environment) for check in self.checks if check.status != "ok"]

    def verdict(self) -> str:
        if self.error:
            return f"{self.spec}: {self.status} (run {self.run_id}, exit {int(self.exit or 0)})"
        return f"{self.spec}: {self.status}, {self.outcome()}"

    def outcome(self) -> str:
        """What a run that did not break off has left, and where."""
        took = ((self.finished_at or datetime.now(UTC)) - self.started_at).total_seconds()
        made = sum(model.status == "made" for model in self.models)
        what = counted(self.rows_loaded, "row") if self.tables else "no new rows" if made else "nothing new"
        what, where = what + (f", {counted(made, 'model')} made," if made else ""), self.dataset
        if self.mode == "fetch":
            what = counted(self.rows_loaded, "row") if self.rows_loaded else "nothing new"
            where = "raw files"
        return f"{what} into {where} in {took:.1f} s (run {self.run_id})"
