"""A script that makes a Cloud Run job and its schedule for each spec; run again, it brings them up to date."""

from __future__ import annotations

import shlex
from pathlib import Path

from pipelines.deploy.jobs import OPTIONAL, Job, kept_elsewhere, scheduled
from pipelines.errors import Exit
from pipelines.printing import Printer

SCRIPT = """\
#!/usr/bin/env bash
# Cloud Run jobs and schedules of specs/, times in UTC; printed by: {command}
# Tables, cursors, locks and the history of runs lie in the destination: a container keeps nothing.
# Each secret below must be in Secret Manager under its own name, and $ACCOUNT may read it and start the jobs:
#   printf %s "$VALUE" | gcloud secrets create NAME --data-file=-
# To be notified, add {optional}=NAME:latest to the secrets of a job.
set -euo pipefail
: "${{PROJECT:?the Google Cloud project}}" "${{REGION:?such as europe-west1}}" "${{ACCOUNT:?the service account}}"
IMAGE="$REGION-docker.pkg.dev/$PROJECT/etl/etl"  # the repository `etl` of Artifact Registry

job() {{  # name, schedule, arguments, secrets, variables
  gcloud run jobs deploy "$1" --project="$PROJECT" --region="$REGION" --image="$IMAGE" --service-account="$ACCOUNT" \\
    --args="$3" ${{4:+--set-secrets="$4"}} ${{5:+--set-env-vars="$5"}} --task-timeout={minutes}m --max-retries=0
  local verb=create
  gcloud scheduler jobs describe "$1" --project="$PROJECT" --location="$REGION" > /dev/null 2>&1 && verb=update
  gcloud scheduler jobs "$verb" http "$1" --project="$PROJECT" --location="$REGION" --schedule="$2" \\
    --time-zone=Etc/UTC --http-method=POST --oauth-service-account-email="$ACCOUNT" \\
    --uri="https://run.googleapis.com/v2/projects/$PROJECT/locations/$REGION/jobs/$1:run"
}}

gcloud builds submit --project="$PROJECT" --tag="$IMAGE" .
{jobs}
"""


def deploy(root: Path, env: str, minutes: int, printer: Printer) -> Exit:
    """Print it; no retries, as the next schedule is one."""
    jobs = scheduled(root, kept_elsewhere(root, env))
    command = shlex.join(["etl", "deploy", "cloud-run", "--env", env, "--timeout-minutes", str(minutes)])
    calls = "\n".join(_call(job, env) for job in jobs)
    text = SCRIPT.format(command=command, optional=" or ".join(OPTIONAL), minutes=minutes, jobs=calls)
    printer.lines(text.splitlines())
    return Exit.OK


def _call(job: Job, env: str) -> str:
    """One job; a variable may hold a comma, so another sign parts them."""
    arguments = shlex.quote(",".join(["run", job.spec, "--env", env, "--wait", "10m"]))
    secrets = ",".join(f"{name}={name}:latest" for name in job.secrets)
    variables = ";".join(f"{name}=${{{name}:?set it}}" for name in job.settings)
    name = f"etl-{job.spec.replace('_', '-')}"
    return f'job {name} {shlex.quote(job.schedule)} {arguments} "{secrets}" "{f"^;^{variables}" if variables else ""}"'
