"""What a run that moves files hands on in its folder: lines of what it read, its audio where that is kept, a manifest.

`data/*.jsonl` has the rows that the run loaded and those whose files it moved or failed to move. The manifest follows
the schema `bh.v1.raw_audio` and holds beside it what that of any run does; `run_status` is there what elsewhere is
`status`. It is written once, at the end.
"""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from pipelines import build
from pipelines.atomic import write_bytes
from pipelines.environment import Environment
from pipelines.errors import Exit
from pipelines.files import stores
from pipelines.files.declared import Move, chosen, moves_of
from pipelines.load import Load
from pipelines.order import Order, retry_command
from pipelines.queries import parse
from pipelines.report import Report
from pipelines.specs.spec import Spec
from pipelines.warehouse import Warehouse, open_warehouse
from sources.kit.files import Lines

SCHEMA, VERSION = "bh.v1.raw_audio", "1.0.0"
FLOW_RUN = ("ETL_FLOW_RUN_ID", "PREFECT__FLOW_RUN_ID")
STATUSES = {Exit.OK: "success", Exit.PARTIAL: "partial", Exit.CHECKS: "partial"}
MOST_NAMED = 50  # files in a command to repeat them; of more it is said that they failed
PAGE_ROWS = 1000
AUDIO = "audio/"
NO_REASON = "some files could not be stored"

Row = dict[str, Any]


@dataclass
class RawAudio:
    """What one run hands on; empty until `hand_on` has filled it."""

    step: str
    mode: str
    root: Path
    primary: str
    calls: str | None
    """The file with the rows that are no recordings, if there is one."""
    repeat: Callable[[tuple[str, ...]], str]
    """The command that moves some files again, or without any all that failed, set as the run was."""
    lines: dict[str, int] = field(default_factory=dict)
    """How many, by file."""
    moved: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """What is the matter with a file, in a word: `http_404`, `transient`, `permanent` or `quarantined`."""
    audio: str = AUDIO

    @classmethod
    def of(cls, environment: Environment, spec: Spec, order: Order) -> RawAudio | None:
        """What a run by this order is to hand on; None where it moves nothing."""
        if order.verb != "run" or not chosen(spec, order):
            return None
        move = moves_of(environment.root, spec, order, outlined=True)[0]
        files = {table: lines.file for table, lines in _lines(move).items()}
        primary = files.pop(move.table)
        mode = "backfill" if order.mode == "backfill" else "incr"
        again = Order(max_retry=order.max_retry, values=order.values, transfers=order.transfers, bwlimit=order.bwlimit)

        def repeat(ids: tuple[str, ...]) -> str:
            return retry_command(spec, environment, replace(again, only=ids, failed=not ids))

        calls = next(iter(files.values()), None)
        return cls(f"01_ingest_{spec.name}", mode, environment.root, primary, calls, repeat)

    def manifest(self, report: Report) -> dict[str, Any]:
        """The last word of a run."""
        told = report.as_dict()
        errors = self._errors(report)
        return {
            "schema": SCHEMA,
            "schema_version": VERSION,
            "step_id": self.step,
            "step_run_id": report.run_id,
            "flow_run_id": next((os.environ[name] for name in FLOW_RUN if os.environ.get(name)), None),
            "producer": self._producer,
            "run_mode": self.mode,
            "started_at_utc": _second(report.started_at),
            "finished_at_utc": _second(report.finished_at),
            "status": STATUSES.get(report.exit or Exit.OK, "error"),
            "input_refs": [{"type": "recording_id", "value": id} for id in [*self.moved, *self.failed]],
            "outputs": {
                "primary": self.primary,
                "aux": {**({"calls": self.calls} if self.calls else {}), "audio_dir": self.audio},
            },
            "counts": {**self.counts(report), **told["counts"]},
            "metrics": {"bytes_downloaded": _bytes(report), "throughput_mbps": _megabits(report)},
            "errors": errors,
            "notes": None,
            "run_status": told["status"],
            **{key: value for key, value in told.items() if key not in ("schema", "status", "counts", "errors")},
        }

    def counts(self, report: Report) -> dict[str, int]:
        """What was read and what became of its files."""
        return {
            "calls": self.lines.get(self.calls or "", 0),
            "recordings": self.lines.get(self.primary, 0),
            "downloaded": sum(tally.moved for tally in report.files.values()),
            "failed": sum(tally.failed + tally.quarantined for tally in report.files.values()),
        }

    def metrics(self, report: Report) -> dict[str, Any]:
        """The numbers by the names that those who read them know; `throughput_mbps` are megabits a second."""
        counts = self.counts(report)
        return {
            "calls": counts["calls"],
            "recordings_total": counts["recordings"],
            "downloaded_ok": counts["downloaded"],
            "failed": counts["failed"],
            "bytes_downloaded": _bytes(report),
            "runtime_s": round(_seconds(report), 3),
            "throughput_mbps": _megabits(report),
        }

    def error(self, report: Report, retry: str) -> dict[str, Any]:
        """What a run that was not whole says of its files: which failed, why, and the command for just those."""
        if not self.failed:
            return {"failed_ids": []}
        named = tuple(self.failed) if len(self.failed) <= MOST_NAMED else ()
        again = retry if report.error else self.repeat(named)
        return {"failed_ids": [*self.failed], "reason": report.error or NO_REASON, "retry_command": again}

    def _errors(self, report: Report) -> list[dict[str, str]]:
        """One entry per thing left out; where the run was not whole there is one."""
        listed = report.errors()
        names = [(error, error["unit"].rpartition(":")[2]) for error in listed]
        return [
            {"unit_id": id if id in self.failed else error["unit"], "error_key": self.failed.get(id, report.status),
             "message": error["message"]}
            for error, id in names
        ]  # fmt: skip

    @cached_property
    def _producer(self) -> dict[str, Any]:
        return {
            "git_sha": _git_sha(self.root),
            "host": socket.gethostname(),
            "user": _user(),
            "processor_version": build.version()["etl"],
        }


def hand_on(load: Load, folder: Path) -> None:
    """Fill the run's `data/` with what the warehouse has of it by now."""
    handed = load.report.raw_audio
    if handed is None:
        return
    with open_warehouse(load.environment, load.report.dataset) as warehouse:
        for move in moves_of(load.environment.root, load.spec, load.order):
            _HandOn(load, move, warehouse, handed, folder / "data").run()


class _HandOn:
    """The files of one resource."""

    def __init__(self, load: Load, move: Move, warehouse: Warehouse, handed: RawAudio, folder: Path) -> None:
        self._load, self._move, self._warehouse, self._handed, self._folder = load, move, warehouse, handed, folder
        self._there = warehouse.tables()
        self._id = f'"{move.files.identity}"'
        self._loads = ", ".join(f"'{load_id}'" for load_id in load.load_ids)

    def run(self) -> None:
        """Note what was moved and what was not, and write the lines of what was read."""
        mine = f"run_id = '{self._load.report.run_id}'"
        failures = self._rows(self._move.block.failures, mine)
        self._handed.failed |= {str(row[self._move.files.identity]): _word(row) for row in failures}
        kept = self._moved()
        for table, lines in _lines(self._move).items():
            where = self._read_or_moved(mine) if table == self._move.table else self._of_this_run()
            self._handed.lines[lines.file] = self._write(lines, self._rows(table, where), kept)

    def _of_this_run(self) -> str:
        return f"_dlt_load_id IN ({self._loads})" if self._loads else "FALSE"

    def _read_or_moved(self, mine: str) -> str:
        """The condition for rows that this run has loaded, or whose files it has moved or tried to."""
        told = ((self._move.block.table, self._of_this_run()), (self._move.block.failures, mine))
        named = [f'{self._id} IN (SELECT {self._id} FROM "{t}" WHERE {w})' for t, w in told if t in self._there]
        return " OR ".join([self._of_this_run(), *named])

    def _rows(self, table: str, where: str, *columns: str) -> Iterator[Row]:
        """Rows of a table, if it is there; all columns but dlt's where none is named."""
        if table in self._there and where != "FALSE":
            wanted = columns or [name for name in self._there[table] if not name.startswith("_dlt_")]
            listed = ", ".join(f'"{name}"' for name in wanted)
            sql = f'SELECT {listed} FROM "{table}" WHERE {where}'
            written = parse(sql).written(self._warehouse.kind, lambda named: self._warehouse.named(named.table))
            for page in self._warehouse.pages(written, PAGE_ROWS):
                yield from page

    def _write(self, lines: Lines, rows: Iterator[Row], kept: dict[str, str]) -> int:
        """Write a file of lines, which is whole or not there; how many they are."""
        self._folder.mkdir(parents=True, exist_ok=True)
        part, count = self._folder / f".{lines.file}.part", 0
        with part.open("wb") as file:
            for row in rows:
                count += 1
                line = lines.line(row)
                audio = kept.get(str(row.get(self._move.files.identity)))
                told = {**line, "audio": audio} if audio else line
                file.write(orjson.dumps(told, default=str, option=orjson.OPT_APPEND_NEWLINE))
        part.replace(self._folder / lines.file)
        return count

    def _moved(self) -> dict[str, str]:
        """Note what was moved, and keep it beside its lines where the environment wants that; names by id."""
        keeps, names = self._load.environment.keeps_audio, dict[str, str]()
        if not keeps:
            self._handed.audio = str(self._load.environment.table[self._move.block.to]["bucket_url"])
        columns = () if keeps else (self._move.files.identity,)
        for row in self._rows(self._move.block.table, self._of_this_run(), *columns):
            id = str(row[self._move.files.identity])
            self._handed.moved.append(id)
            if keeps:
                names[id] = self._keep(row)
        return names

    def _keep(self, receipt: Row) -> str:
        """Keep the audio of a file; how it is called in `data/`."""
        key = str(receipt[self._move.files.named.key])
        name = Path(self._move.files.kept_as(receipt) if self._move.files.kept_as else key).name
        write_bytes(self._folder / AUDIO / name, stores.opened(self._move.block.to).read(key))
        return AUDIO + name


def _lines(move: Move) -> dict[str, Lines]:
    """What becomes of each table; the resource's own has a file in any case."""
    return {move.table: Lines(f"metadata_{move.table}.jsonl", dict), **move.files.lines}


def _word(failure: Row) -> str:
    status = failure["http_status"]
    return f"http_{status}" if status and failure["status"] != "quarantined" else str(failure["status"])


def _bytes(report: Report) -> int:
    return sum(tally.bytes for tally in report.files.values())


def _seconds(report: Report) -> float:
    return ((report.finished_at or datetime.now(UTC)) - report.started_at).total_seconds()


def _megabits(report: Report) -> float:
    seconds = _seconds(report)
    return round(_bytes(report) * 8 / 1e6 / seconds, 3) if seconds else 0.0


def _second(moment: datetime | None) -> str | None:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if moment else None


def _git_sha(root: Path) -> str:
    """The commit of the workspace, short."""
    asked = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip() or "unknown"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that nobody has
        return "unknown"
