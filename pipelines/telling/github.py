"""GitHub Actions: annotations beside the log, and the job's summary; elsewhere nothing."""

from __future__ import annotations

import html
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.errors import Exit, annotation, under_github
from pipelines.logs import LOGGER
from pipelines.printing import counted
from pipelines.report import Report

MILD = (Exit.TEMPORARY, Exit.LOCKED)  # the next scheduled run tries again
LEVELS = {"fail": "error", "warn": "warning"}  # of checks
HEADER = ("spec", "status", "exit", "rows", "rejected", "failed", "seconds", "run", "message")


def annotate(report: Report) -> None:
    """What a run left out, on stderr, where a workflow reads it too."""
    for line in commands(report) if under_github() else ():
        sys.stderr.write(f"{line}\n")


def commands(report: Report) -> Iterator[str]:
    """One for the error, per resource with rows in quarantine, per broken check, one for the items.

    A step shows ten of a level.
    """
    title = f"etl run {report.spec}"
    if report.error:
        yield annotation("warning" if report.exit in MILD else "error", report.error, title=title)
    for resource, count in report.rejected.items():
        see = f"etl quarantine list {report.spec} --env {report.environment}"
        text = f"{report.spec}.{resource}: {counted(count, 'row')} in quarantine; see: {see}"
        yield annotation("warning", text, title=title)
    for check in report.checks:
        if check.status in LEVELS:
            yield annotation(LEVELS[check.status], check.line(report.spec, report.environment), title=title)
    if report.failed_items:
        first = report.failed_items[0]
        more = f", and {n:,} more" if (n := len(report.failed_items) - 1) else ""
        text = f"{report.spec}.{first['resource']}: {first['item']}: {first['reason']}{more}; run again for the rest"
        yield annotation("warning", text, title=title)


def summarise(reports: Sequence[Report]) -> None:
    """Append a table of the runs to the job's summary."""
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if not (under_github() and file and reports):
        return
    try:
        with Path(file).open("a", encoding="utf-8") as summary:
            summary.write(table(reports))
    except OSError as error:
        LOGGER.warning(f"GITHUB_STEP_SUMMARY: {error.strerror}; the summary of this job was not written")


def table(reports: Sequence[Report]) -> str:
    """The runs as Markdown."""
    rows = [HEADER, ("---",) * len(HEADER), *(_cells(report) for report in reports)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows) + "\n"


def _cells(report: Report) -> tuple[str, ...]:
    seconds = (report.finished_at - report.started_at).total_seconds() if report.finished_at else 0.0
    return (
        report.spec, report.status, str(int(report.exit or 0)), f"{report.rows_loaded:,}", f"{report.rows_rejected:,}",
        f"{len(report.failed_items):,}", f"{seconds:.1f}", f"`{report.run_id}`", _cell(report.message or ""),
    )  # fmt: skip


def _cell(text: str) -> str:
    """A text that neither ends its cell nor becomes markup."""
    return html.escape(text).translate({ord(character): f"&#{ord(character)};" for character in "\\`*_[]|@~"})
