"""The lines of a crontab, one per spec with a schedule; cron mails what they print, which is nothing for a good run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from pipelines import environment as environments
from pipelines.deploy.jobs import Job, scheduled
from pipelines.errors import Exit
from pipelines.printing import Printer


def deploy(root: Path, env: str, printer: Printer) -> Exit:
    """Print them; secrets stay in `.dlt/secrets.toml`, where the runs find them."""
    jobs = scheduled(root, environments.load(root, env))
    printer.lines(
        [
            f"# The schedules of {root}, by this machine's clock; printed by: etl deploy cron --env {shlex.quote(env)}",
            "# A run that meets another on the same warehouse waits for it, ten minutes at most.",
            *(line(job, env, root, Path(sys.executable).with_name("etl")) for job in jobs),
        ]
    )
    return Exit.OK


def line(job: Job, env: str, root: Path, program: Path) -> str:
    """One entry: what a run says goes to a log, that it did not end well is told to cron."""
    log = f"runs/{job.spec}.log"
    command = shlex.join([str(program), "run", job.spec, "--env", env, "--wait", "10m"])
    told = f'echo "etl run {job.spec} ended with $?; see {log}"'
    text = f"cd {shlex.quote(str(root))} && mkdir -p runs && {command} >> {log} 2>&1 || {told}"
    return f"{job.schedule} {text.replace('%', chr(92) + '%')}"  # cron reads a bare % as the end of the line
