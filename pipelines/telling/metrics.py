"""The latest run of each spec as Prometheus text, for a textfile collector or a Pushgateway."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines import environment as environments
from pipelines.atomic import write_text
from pipelines.environment import Environment
from pipelines.errors import Exit, Locked
from pipelines.ledger import RunRow, read_ledger
from pipelines.logs import LOGGER
from pipelines.printing import Printer
from pipelines.specs import spec as specs
from pipelines.trace import newest_runs, numbers_of
from pipelines.translate import told_of

Labels = dict[str, str]
Sample = tuple[Labels, float]


@dataclass(frozen=True)
class Latest:
    """The last run of a spec that has ended, when one last left nothing out, and its folder's numbers if it is here.

    A run with a message left something out, and be it by `--limit`.
    """

    run: RunRow
    succeeded_at: datetime | None
    numbers: dict[str, Any]


@dataclass(frozen=True)
class Family:
    """One metric; all are gauges, as each run replaces what the one before said."""

    name: str
    about: str
    samples: Callable[[Latest], Iterable[Sample]]


def show(root: Path, env: str, name: str | None, printer: Printer) -> Exit:
    """Print the metrics of one spec or of all, from the destination."""
    if name is not None and name not in specs.names(root):
        specs.load(root, name)
    printer.lines(text_of(_recorded(environments.load(root, env), name)).splitlines())
    return Exit.OK


def write(environment: Environment, file: Path) -> None:
    """Replace a file by the metrics of the runs that this machine remembers; a run never fails for it."""
    try:
        write_text(file, text_of(_remembered(environment, None)))
    except OSError as error:
        LOGGER.warning(f"{file}: {error.strerror}; the metrics of this run were not written there")


def text_of(latest: Sequence[Latest]) -> str:
    """Prometheus' text format, version 0.0.4: each family once, with all its samples."""
    return "".join(line for family in FAMILIES for line in _lines(family, latest))


def _lines(family: Family, latest: Sequence[Latest]) -> Iterator[str]:
    told = [
        f"{family.name}{{{_labels({'spec': each.run.spec, 'environment': each.run.environment, **more})}}} {value!r}\n"
        for each in latest
        for more, value in family.samples(each)
    ]
    if told:
        yield f"# HELP {family.name} {family.about}\n"
        yield f"# TYPE {family.name} gauge\n"
        yield from told


def _labels(labels: Labels) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _recorded(environment: Environment, name: str | None) -> list[Latest]:
    """Those of specs that are there, from the destination; from this machine's folders while it is written to."""
    try:
        with told_of("metrics"), read_ledger(environment, "runs") as ledger:
            runs = ledger.latest(environment.name, name) if ledger else []
    except Locked as busy:
        LOGGER.warning(f"{busy}; these are the runs of this machine")
        return _remembered(environment, name)
    known = specs.names(environment.root)
    return [_latest(environment, run, succeeded_at) for run, succeeded_at in runs if run.spec in known]


def _remembered(environment: Environment, name: str | None) -> list[Latest]:
    """From the folders of this machine, no further back than to the last success of each spec."""
    wanted = {name} if name else set(specs.names(environment.root))
    newest: dict[str, RunRow] = {}
    succeeded: dict[str, datetime | None] = {}
    for run in newest_runs(environment):
        if run.spec in wanted and run.exit_code is not None:
            newest.setdefault(run.spec, run)
            if run.exit_code == Exit.OK and not run.message:
                succeeded.setdefault(run.spec, run.finished_at)
        if wanted <= succeeded.keys():
            break
    return [_latest(environment, newest[spec], succeeded.get(spec)) for spec in sorted(newest)]


def _latest(environment: Environment, run: RunRow, succeeded_at: datetime | None) -> Latest:
    return Latest(run, succeeded_at, numbers_of(environment.runs_dir, run.run_id))


def _of_run(value: Callable[[RunRow], float]) -> Callable[[Latest], Iterable[Sample]]:
    return lambda latest: [({}, value(latest.run))]


def _by(label: str, path: str) -> Callable[[Latest], Iterable[Sample]]:
    """One sample per key of a mapping in the folder's numbers."""
    return lambda latest: [({label: str(key)}, value) for key, value in latest.numbers.get(path, {}).items()]


def _asked(count: str) -> Callable[[Latest], Iterable[Sample]]:
    return lambda latest: [({"source": name}, told[count]) for name, told in latest.numbers.get("http", {}).items()]


def _files(*counts: str) -> Callable[[Latest], Iterable[Sample]]:
    """One sample per resource with files and, of several counts, for each of them."""
    return lambda latest: [
        ({"resource": resource, **({"state": name} if len(counts) > 1 else {})}, told[name])
        for resource, told in latest.numbers.get("files", {}).items()
        for name in counts
    ]


def _at(moment: Callable[[Latest], datetime | None]) -> Callable[[Latest], Iterable[Sample]]:
    """Seconds since 1970, where it is known: a run that was killed has no end."""
    return lambda latest: [({}, found.timestamp())] if (found := moment(latest)) else []


FAMILIES = (
    Family("etl_run_exit_code", "Exit code of the last run.", _of_run(lambda run: int(run.exit_code or 0))),
    Family("etl_run_start_timestamp_seconds", "When it began.", _at(lambda latest: latest.run.started_at)),
    Family("etl_run_end_timestamp_seconds", "When it ended.", _at(lambda latest: latest.run.finished_at)),
    Family(
        "etl_run_last_success_timestamp_seconds",
        "When a run without --limit last ended with 0: all loaded, or nothing new.",
        _at(lambda latest: latest.succeeded_at),
    ),
    Family("etl_run_step_seconds", "Seconds that a step took.", _by("step", "seconds")),
    Family("etl_run_rows_loaded", "Rows it left in tables, or raw files.", _of_run(lambda run: run.rows_loaded)),
    Family("etl_run_table_rows", "Rows it left in each table.", _by("table", "tables")),
    Family("etl_run_rows_rejected", "Rows it set aside in quarantine.", _of_run(lambda run: run.rows_rejected)),
    Family("etl_run_items_failed", "Items it could not read.", _of_run(lambda run: run.items_failed)),
    Family("etl_run_files", "Files by what became of them.", _files("moved", "found", "failed", "quarantined", "same")),
    Family("etl_run_file_bytes", "Bytes of the files it moved.", _files("bytes")),
    Family("etl_run_checks", "Checks after it, by how they came out.", _by("status", "checks")),
    Family("etl_run_http_requests", "Requests to the upstream, repetitions included.", _asked("requests")),
    Family("etl_run_http_retries", "Requests that were repetitions.", _asked("retries")),
    Family("etl_run_http_body_bytes", "Bytes of the unpacked answers.", _asked("bytes")),
)  # fmt: skip
