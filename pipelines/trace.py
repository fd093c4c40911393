"""The folder every run leaves: `runs/<run id>/{manifest,metrics,progress,error}.json` and `success.ok`."""

from __future__ import annotations

import json
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from dlt.common.runtime.collector_base import Collector

from pipelines.atomic import write_json, write_text
from pipelines.environment import Environment
from pipelines.errors import Exit
from pipelines.ledger import End, Ledger, RunRow
from pipelines.lock import alive
from pipelines.report import Report

EVERY_SECONDS = 1.0
CRASHED = "ended without a word: killed, or the machine stopped"
UNRECORDED = "unrecorded"  # stands in the folder of a run as long as it has no row in the destination


class Trace:
    """Writes the folder of one run; each file is whole or not there."""

    def __init__(self, runs_dir: Path, report: Report) -> None:
        self.folder, self._report = runs_dir / report.run_id, report

    def begin(self) -> None:
        write_json(self.folder / "manifest.json", self._report.as_dict())
        (self.folder / UNRECORDED).touch()
        self.progress("start", "started")

    def recorded(self) -> None:
        """Note that the run has its row."""
        (self.folder / UNRECORDED).unlink(missing_ok=True)

    def progress(self, phase: str, message: str, **numbers: Any) -> None:
        """Say how far the run is."""
        process = {"pid": os.getpid(), "host": socket.gethostname()}
        content = {"phase": phase, "message": message, **numbers, **process, "updated_at": _now()}
        write_json(self.folder / "progress.json", content)

    def end(self, retry: str) -> None:
        """Write the last word; `retry` is the command that does what is left."""
        report, handed = self._report, self._report.raw_audio
        write_json(self.folder / "manifest.json", handed.manifest(report) if handed else report.as_dict())
        write_json(self.folder / "metrics.json", metrics(report) | (handed.metrics(report) if handed else {}))
        self.progress("end", report.status)
        if report.exit is Exit.OK:
            write_text(self.folder / "success.ok", "")
        else:
            error = {
                "error": report.error,
                "exit_code": report.exit,
                "errors": report.errors(),
                "retry_command": retry,
                **(handed.error(report, retry) if handed else {}),
            }
            write_json(self.folder / "error.json", error)


def metrics(report: Report) -> dict[str, Any]:
    """Numbers of one run: rows, seconds per step, how checks came out, and what was asked upstream."""
    ended = report.finished_at or report.started_at
    return {
        "rows_loaded": report.rows_loaded,
        "rows_rejected": report.rows_rejected,
        "items_failed": len(report.failed_items),
        "seconds_total": round((ended - report.started_at).total_seconds(), 3),
        "seconds": {step: round(seconds, 3) for step, seconds in report.seconds.items()},
        "gears": gears(report.gears),
        "checks": dict(Counter(check.status for check in report.checks)),
        "http": report.requests,
        "files": {resource: tally.as_dict() for resource, tally in report.files.items()},
    }


def gears(records: Counter[tuple[str, str]]) -> dict[str, dict[str, float]]:
    """How many records each gear of the columnar normaliser took, and which share of them all."""
    taken: Counter[str] = Counter()
    for (_, gear), count in records.items():
        taken[gear] += count
    return {gear: {"records": n, "share": round(n / taken.total(), 4)} for gear, n in sorted(taken.items()) if n}


def close_dead(runs_dir: Path, report: Report) -> None:
    """Give the runs that ended without a word their error file; those that still wait for the lock are left alone."""
    for manifest in runs_dir.glob("*/manifest.json"):
        folder = manifest.parent
        if folder.name == report.run_id or _has_ended(folder):
            continue
        content, said = _read(manifest), _read(folder / "progress.json")
        mine = (content.get("spec"), content.get("environment")) == (report.spec, report.environment)
        if mine and not _runs(said):
            content.pop("run_status", None)
            write_json(manifest, {**content, "status": "crashed", "exit_code": int(Exit.FAILED)})
            error = {
                "error": CRASHED,
                "exit_code": int(Exit.FAILED),
                "errors": [],
                "retry_command": f"etl {_verb(content)} {report.spec} --env {report.environment}",
            }
            write_json(folder / "error.json", error)


def record_missed(environment: Environment, spec: str, ledger: Ledger) -> None:
    """Write the rows of those that ended on this machine without the ledger, as one does that met the lock.

    Where the lock is one per spec, only those of this spec: two that hold theirs would write the others twice.
    """
    ended = [file.parent for file in environment.runs_dir.glob(f"*/{UNRECORDED}") if _has_ended(file.parent)]
    rows = {folder: row for folder in ended if (row := _row_of(folder)) and row.environment == environment.name}
    mine = {folder: row for folder, row in rows.items() if environment.duckdb_file or row.spec == spec}
    ledger.add(list(mine.values()))
    for folder in mine:
        (folder / UNRECORDED).unlink(missing_ok=True)


def end_of(runs_dir: Path, run_id: str) -> End:
    """How a run ended whose row in the destination is still open: what its folder says, else it crashed."""
    said = _read(runs_dir / run_id / "manifest.json")
    if _status(said) in ("running", "crashed"):
        return "crashed", int(Exit.FAILED), CRASHED
    return _status(said), said["exit_code"], _message(runs_dir / run_id, said)


def local_runs(environment: Environment, spec: str | None, limit: int | None = 20) -> list[RunRow]:
    """The newest runs of one spec or of all, as far as the folders on this machine tell."""
    found = [row for folder in environment.runs_dir.glob("*/") if (row := _row_of(folder))]
    mine = [row for row in found if row.environment == environment.name and spec in (None, row.spec)]
    return sorted(mine, key=lambda row: (row.started_at, row.run_id), reverse=True)[:limit]


def newest_runs(environment: Environment) -> Iterator[RunRow]:
    """The runs of an environment on this machine, the last to end first; read as they are asked for."""
    for folder in sorted(environment.runs_dir.glob("*/"), key=lambda folder: folder.stat().st_mtime_ns, reverse=True):
        row = _row_of(folder)
        if row and row.environment == environment.name:
            yield row


def numbers_of(runs_dir: Path, run_id: str) -> dict[str, Any]:
    """What `metrics.json` and the manifest of a run count; empty where it ran on another machine."""
    folder = runs_dir / run_id
    return {**_read(folder / "metrics.json"), "tables": _read(folder / "manifest.json").get("tables", {})}


def _row_of(folder: Path) -> RunRow | None:
    """A run as its folder tells it; None where somebody wrote, or cut off, what is there."""
    said = _read(folder / "manifest.json")
    with suppress(KeyError, TypeError, ValueError):
        return _row(said, _message(folder, said))
    return None


def _message(folder: Path, said: dict[str, Any]) -> str | None:
    """What a run has to say; one that ended without a word says it in its error file alone."""
    return _read(folder / "error.json").get("error") or said.get("message")


def _row(said: dict[str, Any], message: str | None) -> RunRow:
    """The row of a manifest; KeyError, TypeError or ValueError where it is none."""
    finished, counts = said["finished_at"], said["counts"]
    return RunRow(
        said["run_id"], said["spec"], said["environment"], said["mode"], _status(said), said["exit_code"],
        datetime.fromisoformat(said["started_at"]), datetime.fromisoformat(finished) if finished else None,
        counts["rows_loaded"], counts["rows_rejected"], counts["items_failed"], message,
    )  # fmt: skip


def _status(said: dict[str, Any]) -> str:
    """How a run ended or that it runs, by its manifest; that of raw audio has words of its own for it."""
    return str(said.get("run_status") or said.get("status", "running"))


def _verb(said: dict[str, Any]) -> str:
    """The command of a run, by its manifest."""
    return said["mode"] if said.get("mode") in ("fetch", "ingest", "rebuild") else "run"


def _has_ended(folder: Path) -> bool:
    return any((folder / end).exists() for end in ("success.ok", "error.json"))


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _runs(said: dict[str, Any]) -> bool:
    """Whether the process that wrote a progress file is another one of this host, and alive."""
    pid, host = said.get("pid"), said.get("host")
    return isinstance(pid, int) and host == socket.gethostname() and pid != os.getpid() and alive(pid)


class Progress(Collector):
    """dlt's counters, written to progress.json and shown on a terminal, at most once a second.

    `check` is called as often, and at the start of each step; what it raises ends the run.
    """

    def __init__(self, trace: Trace, check: Callable[[], None], show: Any = None) -> None:
        self._trace, self._check, self._show = trace, check, show
        self._counts: dict[str, int] = {}
        self._last = 0.0

    def update(
        self,
        name: str,
        inc: int = 1,
        total: int | None = None,
        inc_total: int | None = None,
        message: str | None = None,
        label: str | None = None,
    ) -> None:
        self._counts[name] = self._counts.get(name, 0) + inc
        if time.monotonic() - self._last >= EVERY_SECONDS:
            self._last = time.monotonic()
            self._check()
            self._tell()

    def say(self, phase: str, told: Callable[[], tuple[str, dict[str, Any]]]) -> None:
        """Tell how far something is that dlt does not count: a text and numbers, asked for when it is time to."""
        if time.monotonic() - self._last >= EVERY_SECONDS:
            self._last = time.monotonic()
            self._check()
            text, numbers = told()
            self._trace.progress(phase, text, **numbers)
            if self._show:
                self._show(f"{phase}: {text}")

    def _start(self, step: str) -> None:
        self._check()
        self._counts = {}

    def _stop(self) -> None:
        self._tell()

    def _tell(self) -> None:
        step = self.step or "run"
        text = ", ".join(f"{name} {count:,}" for name, count in self._counts.items())
        self._trace.progress(step.split(" ")[0].lower(), text, counts=dict(self._counts))
        if self._show:
            self._show(f"{step}: {text}")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
