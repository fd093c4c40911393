"""A workspace of its own for a test: this repository's specs, sources and stand-ins in a scratch folder."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import yaml

import cli
from sandbox.server import as_environment

REPOSITORY = Path(__file__).resolve().parents[1]
DESTINATIONS = """
[test]
[test.warehouse]
destination_type = "duckdb"
credentials = "warehouse.duckdb"
[test.landing]
destination_type = "filesystem"
bucket_url = "landing"
[test.audio]
destination_type = "filesystem"
bucket_url = "audio"
"""
POSTGRES = """
[pg]
[pg.warehouse]
destination_type = "postgres"
[pg.warehouse.credentials]
host = "{host}"
port = {port}
database = "{database}"
username = "{user}"
[pg.landing]
destination_type = "filesystem"
bucket_url = "landing"
[pg.audio]
destination_type = "filesystem"
bucket_url = "audio"
"""
BIGQUERY = """
[bq]
[bq.landing]
destination_type = "filesystem"
bucket_url = "landing"
[bq.audio]
destination_type = "filesystem"
bucket_url = "audio"
[bq.warehouse]
destination_type = "bigquery"
"""


@dataclass(frozen=True)
class Result:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Workspace:
    """A folder with `destinations.toml`; `links` are the specs that are there from the start."""

    def __init__(self, root: Path, links: tuple[str, ...] = ()) -> None:
        self.root, self.variables = root, {}
        root.mkdir(parents=True, exist_ok=True)
        (root / "destinations.toml").write_text(DESTINATIONS)
        for package in ("specs", "sources", "sandbox", "models", ".dlt"):
            (root / package).mkdir(exist_ok=True)
        for name in links:
            self.link(name)

    def link(self, name: str, home: Path = REPOSITORY) -> None:
        """Bring one spec of the repository, or of another workspace, here, with its source and stand-in."""
        for file in (
            f"specs/{name}.yaml",
            f"sources/{name}.py",
            f"sources/{name}",
            f"sandbox/{name}.py",
            f"models/{name}",
        ):
            if (home / file).exists() and not (self.root / file).exists():
                (self.root / file).symlink_to(home / file)
        for other in {*self._read_by_models(name), *_into(home / "specs" / f"{name}.yaml")}:
            self.link(other, home)

    def _read_by_models(self, name: str) -> set[str]:
        """The other specs whose tables the models of one read."""
        texts = (file.read_text() for file in (self.root / "models" / name).glob("*.sql"))
        named = {found for text in texts for found in re.findall(r"\b(?:FROM|JOIN) (\w+)\.\w", text)}
        return {other for other in named if other != name and (REPOSITORY / f"specs/{other}.yaml").exists()}

    def write(self, path: str, text: str) -> Path:
        """Write a file of the workspace."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def source(self, name: str, text: str, more: str = "") -> None:
        """Write a source of one's own and its spec, which ends with `more`."""
        self.write(f"specs/{name}.yaml", f"name: {name}\nabout: A source for tests.\npython: {{}}\n{more}")
        self.write(f"sources/{name}.py", text)

    def postgres(self, url: str) -> None:
        """Add the environment `pg` for a server; the password comes from the environment as it must."""
        parts = urlsplit(url)
        text = POSTGRES.format(host=parts.hostname, port=parts.port, database=parts.path[1:], user=parts.username)
        self.write("destinations.toml", DESTINATIONS + text)
        self.variables["DESTINATION__WAREHOUSE__CREDENTIALS__PASSWORD"] = parts.password or "x"

    def bigquery(self, variables: Mapping[str, str], settings: str = "") -> None:
        """Add the environment `bq`; `variables` lead to the service, `settings` are more lines of its warehouse."""
        self.write("destinations.toml", DESTINATIONS + BIGQUERY + settings)
        self.variables.update(variables)

    def point_at(self, settings: Mapping[str, Any]) -> None:
        """Point sources at a sandbox: `Sandbox.settings(…)`."""
        self.variables |= as_environment(dict(settings))

    def etl(self, *arguments: str, **variables: str) -> Result:
        """Run a command in this process."""
        out, err = io.StringIO(), io.StringIO()
        with self._environment(variables), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main(["--root", str(self.root), *arguments])
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        return Result(code, out.getvalue(), err.getvalue())

    def spawn(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start a command as a process of its own."""
        command = [sys.executable, "-m", "cli", "--root", str(self.root), *arguments]
        environment = {**os.environ, **self.variables, **variables}
        return subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, *arguments: str, **variables: str) -> Result:
        """Run a command as a process of its own, to its end."""
        with self.spawn(*arguments, **variables) as process:
            out, err = process.communicate(timeout=240)
        return Result(process.returncode, out, err)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the DuckDB warehouse."""
        with duckdb.connect(str(self.root / "warehouse.duckdb"), read_only=True) as connection:
            return connection.sql(sql).fetchall()

    @contextlib.contextmanager
    def _environment(self, variables: Mapping[str, str]) -> Iterator[None]:
        before, folder = dict(os.environ), Path.cwd()
        os.environ.update({**self.variables, **variables})
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
            os.chdir(folder)


def _into(spec: Path) -> list[str]:
    """The spec into whose tables one loads."""
    into = yaml.safe_load(spec.read_text()).get("into") if spec.exists() else None
    return [into] if into else []
