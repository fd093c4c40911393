"""A message to a webhook and to Slack when runs end otherwise than well: one per command, however many specs."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import requests

from pipelines import configuration
from pipelines.environment import NOTIFY, Environment
from pipelines.errors import STATUS, EtlError, Exit, SettingError, worst
from pipelines.logs import LOGGER
from pipelines.report import Report

SCHEMA = "etl.notice.v1"
ANSWER_SECONDS = 5.0
TRIES = 2
PAUSE_SECONDS = 1.0
Body = dict[str, Any]


def of_runs(environment: Environment, reports: Sequence[Report], retry: Mapping[str, str]) -> None:
    """Tell of the runs whose end the environment wants told; `retry` is the command that does the rest, by spec."""
    told = [report for report in reports if report.status in environment.notify_on]
    if told:
        code = worst([report.exit for report in told if report.exit is not None])
        runs = [_entry(report, retry[report.spec]) for report in told]
        _send(environment, {"status": STATUS[code], "exit_code": int(code), "runs": runs})


def of_mistake(environment: Environment, error: EtlError) -> None:
    """Tell of a command that no run came of, for what stands in the workspace's files."""
    status = STATUS[error.exit]
    if status in environment.notify_on:
        _send(environment, {"status": status, "exit_code": int(error.exit), "message": str(error), "runs": []})


def _entry(report: Report, retry: str) -> Body:
    told = report.as_dict()
    wanted = ("spec", "environment", "run_id", "status", "exit_code", "started_at", "finished_at", "counts")
    advice = {Exit.OK: None, Exit.CHECKS: f"etl check {report.spec} --env {report.environment}"}
    return {
        **{key: told[key] for key in wanted},
        "message": report.message or report.outcome(),
        "retry_command": advice.get(report.exit or Exit.OK, retry),
    }


def _send(environment: Environment, content: Body) -> None:
    """To each address that is set; whatever becomes of it, a run's exit code stays."""
    body = {"schema": SCHEMA, "environment": environment.name, **content}
    try:
        places = configuration.providers(environment, {}, {}, read_only=True)
    except SettingError:  # which is why the run failed, and is told as that
        return
    for key, form in (("webhook_url", body), ("slack_url", {"text": slack_text(body)})):
        found = configuration.setting(key, (NOTIFY,), secret=True, among=places)
        if found and found[0]:  # a secret that GitHub does not have is empty
            failure = _post(str(found[0]), form)
            if failure:
                LOGGER.warning(f"{NOTIFY}.{key} of {found[1]}: {failure}; nobody was notified there")


def slack_text(body: Body) -> str:
    """The same for people, in Slack's own markup."""
    lines = [f"*etl {_plain(body['environment'])}*: {body['status']}"]
    lines += [_plain(body["message"])] if "message" in body else []
    for run in body["runs"]:
        lines.append(f"• *{run['spec']}*: {run['status']} (exit {run['exit_code']}): {_plain(run['message'])}")
        advice = f"`{_plain(run['retry_command'])}`  " if run["retry_command"] else ""
        lines.append(f"   {advice}run {run['run_id']}")
    return "\n".join(lines)


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _post(url: str, body: Body) -> str | None:
    """Send it, once more if that may help; why it did not arrive, without the URL, which is a secret."""
    failure = None
    for attempt in range(TRIES):
        time.sleep(PAUSE_SECONDS if attempt else 0)
        failure, temporary = _attempt(url, body)
        if not (failure and temporary):
            break
    return failure


def _attempt(url: str, body: Body) -> tuple[str | None, bool]:
    """What went wrong, and whether another try may end well."""
    deadline = importlib.import_module("sources.kit.deadline")
    with requests.Session() as session, deadline.within(ANSWER_SECONDS):
        for scheme in ("http://", "https://"):
            session.mount(scheme, deadline.DeadlineAdapter())
        try:
            answer = session.post(url, json=body, timeout=ANSWER_SECONDS, allow_redirects=False, stream=True)
        except (requests.Timeout, TimeoutError):
            return f"no answer in {ANSWER_SECONDS:.0f} s", True
        except requests.ConnectionError:
            return "cannot be reached", True
        except (OSError, ValueError):  # as all of requests' errors are, and what it lets through of a wrong host
            return "is no URL that can be asked, or leads to one", False
        temporary = answer.status_code == 429 or answer.status_code >= 500
        return (None if answer.ok and not answer.is_redirect else f"answered {answer.status_code}"), temporary
