"""Tell of the runs of one command: after each, and once at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pipelines import environment as environments
from pipelines.environment import Environment
from pipelines.errors import SettingError, SpecError
from pipelines.report import Report
from pipelines.telling import github, metrics, notify


@contextmanager
def telling(
    environment: Environment, metrics_file: Path | None, retry: Mapping[str, str]
) -> Iterator[Callable[[Report], None]]:
    """Gives what to call with each report once its run has ended; `retry` is the command for the rest, by spec."""
    reports: list[Report] = []

    def ended(report: Report) -> None:
        reports.append(report)
        github.annotate(report)
        if metrics_file:
            metrics.write(environment, metrics_file)

    try:
        yield ended
    finally:  # also when a signal ends the command between two runs, or nobody reads what it prints
        github.summarise(reports)
        notify.of_runs(environment, reports, retry)


@contextmanager
def mistakes_told(root: Path, env: str) -> Iterator[None]:
    """Notify of a wrong spec or setting, for which a scheduled command ends before there is a run to tell of."""
    try:
        yield
    except (SpecError, SettingError) as error:
        notify.of_mistake(environments.load(root, env), error)
        raise
