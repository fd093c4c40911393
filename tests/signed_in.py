"""A workspace whose toy specs read what stands behind the sandbox's authorization server."""

from __future__ import annotations

import re
import sys
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from sandbox.server import Sandbox
from tests.workspace import Result, Workspace

SPEC = "name: {name}\nabout: Rows for who is signed in.\npython: {{}}\n"
SOURCE = '''\
"""Rows of the sandbox's protected resource, for each account, `times` times."""

from datetime import timedelta

import dlt

from sources.kit import http
from sources.kit.oauth2 import OAuth2

SIGN_IN = OAuth2(
    "oauth",
    authorize_url="https://upstream.example.test/authorize",
    token_url="https://upstream.example.test/token",
    scopes=("rows.read",),
    lasts=timedelta(days=180),
    secret="{secret}",
)


@dlt.source(name="{name}", section="{name}")
def {name}(base_url: str = dlt.config.value, accounts: list[str] | None = None, times: int = 1, once: bool = False,
           fails: bool = False):
    return rows(base_url, accounts, times, once, fails)


@dlt.resource(primary_key=("account", "id"), write_disposition="merge")
def rows(base_url, accounts, times, once, fails):
    for account in accounts or [""]:
        session = http.open_session("{name}")
        session.auth = SIGN_IN.auth(account)
        if fails:
            raise ValueError(f"no such thing: {{session.auth.token().access_token}}")
        for _ in range(times):
            for row in session.json(base_url + "/rows" + ("?once=1" if once else "")):
                yield {{"account": account, **row}}
'''


def install(workspace: Workspace, sandbox: Sandbox, *names: str, secret: str = "none") -> Workspace:
    """Write the specs (`oauth` when none is named), which share one sign-in, and point them at the sandbox."""
    workspace.point_at(sandbox.settings("oauth"))
    for name in names or ("oauth",):
        workspace.write(f"specs/{name}.yaml", SPEC.format(name=name))
        workspace.write(f"sources/{name}.py", SOURCE.format(name=name, secret=secret))
        workspace.point_at({f"sources.{name}.base_url": f"{sandbox.url}/oauth"})
    return workspace


def choose(workspace: Workspace, env: str, tokens: str) -> None:
    """Let an environment keep tokens there."""
    file = workspace.root / "destinations.toml"
    text, table = re.sub(r"tokens = .*\n", "", file.read_text()), f"[{env}]\n"
    text = text if table in text else f"{text}\n{table}"
    file.write_text(text.replace(table, f'{table}tokens = "{tokens}"\n', 1))


def login(
    workspace: Workspace, *words: str, env: str = "test", pasted: str | None = None, browser: bool = False
) -> Result:
    """Sign in without a browser, by pasting where the address leads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", Person(pasted))
        way = () if browser else ("--no-browser",)
        return workspace.etl("auth", "login", "oauth", "--env", env, *way, *words)


class Person:
    """Reads the address on stderr, follows it, and pastes where it led to; or something else."""

    def __init__(self, pasted: str | None) -> None:
        self._pasted = pasted

    def isatty(self) -> bool:
        return False

    def readline(self) -> str:
        address = re.search(r"http://\S+", sys.stderr.getvalue())[0]
        return f"{landing(address) if self._pasted is None else self._pasted}\n"


def landing(address: str) -> str:
    """Where a browser ends up that is sent to an address."""
    return requests.get(address, allow_redirects=False, timeout=30).headers["Location"]


def query(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))
