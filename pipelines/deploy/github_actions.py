"""`.github/workflows/etl.yaml`: one job per spec with a schedule, each with its own secrets and nobody else's."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import yaml

from pipelines.atomic import write_text
from pipelines.deploy.jobs import OPTIONAL, Job, kept_elsewhere, scheduled
from pipelines.errors import EtlError, Exit, UsageError
from pipelines.printing import counted

FILE = ".github/workflows/etl.yaml"
ALL = "all specs"  # no name of one, for its space
PYTHON = "3.12"
IN_A_ROW = 3
HEADER = """\
# Generated from the schedules in specs/; do not edit. Written again by:
#   {command} --write
# Times are UTC. Tables, cursors, locks and the history of runs lie in the destination: a runner keeps nothing.
"""
# 5 asks for time: the next scheduled run tries again, so the job is green, with a warning, until runs in a row end so.
RUN = """\
for name in {needed}; do
  [ -n "${{!name}}" ] && continue
  echo "::error::$name is empty; set it in the repository under Settings, Secrets and variables, Actions"
  exit 2
done
set -f
env={env}
code=0
etl run {spec} --env "$env" --wait 10m $ARGUMENTS || code=$?
case $code in
  5)
    again=(etl status {spec} --env "$env")
    if "${{again[@]}}" --output json | python -c '{judge}'
    then echo "::warning::{spec}: temporary; the next scheduled run tries again"; code=0
    else echo "::error::{spec}: {times} runs in a row ended so, or the destination is away; see: ${{again[*]}}"
    fi ;;
  6) echo "::error::{spec}: a person must sign in; on your machine: etl auth login {spec} --env $env" ;;
esac
exit $code
"""
JUDGE = 'import json, sys; sys.exit([run["exit_code"] for run in json.load(sys.stdin)][:{times}] == {fives})'


class _Text(str):
    """A text of several lines, as a block."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Blocks for scripts; lists stand in by two blanks, as people write them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


_Dumper.add_representer(_Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|"))


def deploy(root: Path, env: str, minutes: int, write: bool, check: bool) -> Exit:
    """Print, write or check the workflow."""
    if write and check:
        raise UsageError("--write and --check: give one of them")
    command = shlex.join(["etl", "deploy", "github-actions", "--env", env, "--timeout-minutes", str(minutes)])
    jobs = scheduled(root, kept_elsewhere(root, env))
    text = workflow(jobs, env, minutes, command)
    file = root / FILE
    if write:
        write_text(file, text)
        sys.stdout.write(f"{FILE}: {counted(len(jobs), 'job')}\n")
    elif check:
        _refuse_other(file, text, f"run {command} --write")
    else:
        sys.stdout.write(text)
    return Exit.OK


def _refuse_other(file: Path, text: str, advice: str) -> None:
    """Fail unless a file holds a text."""
    if not file.is_file():
        raise EtlError(f"{FILE}: is not there; {advice}")
    if file.read_text(encoding="utf-8") != text:
        raise EtlError(f"{FILE}: is stale; {advice}")


def workflow(jobs: list[Job], env: str, minutes: int, command: str) -> str:
    """The file's text."""
    content = {
        "name": "etl",
        "on": {
            "schedule": [{"cron": cron} for cron in sorted({job.schedule for job in jobs})],
            "workflow_dispatch": {"inputs": _inputs(jobs)},
        },
        "permissions": {"contents": "read"},
        "jobs": {job.spec: _job(job, env, minutes) for job in jobs},
    }
    return HEADER.format(command=command) + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=4096)


def _inputs(jobs: list[Job]) -> dict[str, Any]:
    names = [ALL, *(job.spec for job in jobs)]
    return {
        "spec": {"description": "What to run", "type": "choice", "options": names, "default": ALL},
        "arguments": {"description": "More for etl run, e.g. --since 2024-01-01", "type": "string", "default": ""},
    }


def _job(job: Job, env: str, minutes: int) -> dict[str, Any]:
    return {
        "if": f"github.event.schedule == '{job.schedule}' || inputs.spec == '{ALL}' || inputs.spec == '{job.spec}'",
        "runs-on": "ubuntu-latest",
        "timeout-minutes": minutes,
        "concurrency": {"group": f"etl-{env}-{job.spec}", "cancel-in-progress": False},
        "steps": [
            {"uses": "actions/checkout@v4", "with": {"persist-credentials": False}},
            {
                "uses": "actions/setup-python@v5",
                "with": {"python-version": PYTHON, "cache": "pip", "cache-dependency-path": "requirements/run.txt"},
            },
            {"run": "pip install --require-hashes -r requirements/run.txt"},
            {"run": "pip install --no-build-isolation --no-deps --editable ."},
            {"name": f"etl run {job.spec}", "shell": "bash", "env": _variables(job), "run": _script(job, env)},
            {
                "if": "failure() || cancelled()",
                "uses": "actions/upload-artifact@v4",
                "with": {
                    "name": f"runs-{job.spec}-${{{{ github.run_attempt }}}}",
                    "path": "runs/",
                    "if-no-files-found": "ignore",
                },
            },
        ],
    }


def _variables(job: Job) -> dict[str, str]:
    secrets = {name: f"${{{{ secrets.{name} }}}}" for name in (*job.secrets, *OPTIONAL)}
    settings = {name: f"${{{{ vars.{name} }}}}" for name in job.settings}
    return {**secrets, **settings, "ARGUMENTS": "${{ inputs.arguments }}"}


def _script(job: Job, env: str) -> _Text:
    judge = JUDGE.format(times=IN_A_ROW, fives=[int(Exit.TEMPORARY)] * IN_A_ROW)
    needed = " ".join((*job.secrets, *job.settings))
    return _Text(RUN.format(spec=job.spec, env=shlex.quote(env), needed=needed, times=IN_A_ROW, judge=judge))
