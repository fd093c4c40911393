"""Workspaces whose runs go through raw files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tests.crash_toy import install
from tests.warehouse import Ask, contents
from tests.workspace import DESTINATIONS, Result, Workspace

Tables = dict[str, Counter[Any]]
RAW = """
[raw]
keep_raw = true
{compression}
[raw.warehouse]
destination_type = "duckdb"
credentials = "warehouse.duckdb"
[raw.landing]
destination_type = "filesystem"
bucket_url = "landing"
"""


class Yard:
    """One workspace with the crash toy; the environment `raw` keeps raw files where `test` does not."""

    def __init__(self, workspace: Workspace, day: int = 1, compression: str = "") -> None:
        self.workspace = install(workspace, day)
        workspace.write("destinations.toml", DESTINATIONS + RAW.format(compression=compression))

    def etl(self, verb: str, *options: str, env: str = "test", code: int = 3, **variables: str) -> Result:
        """A command on the toy, which has bad rows, so that it usually is partial."""
        result = self.workspace.etl(verb, "crash", "--env", env, *options, **variables)
        assert result.code == code, result
        return result

    def tables(self) -> Tables:
        """The rows of the tables and of the quarantine, whose places are file and line where rows were raw."""
        found = contents(Ask(self.workspace), "crash")
        quarantine = Counter((resource, why, row) for _, resource, why, _, row in found.pop("quarantine").elements())
        return {**found, "quarantine": quarantine}

    @property
    def home(self) -> Path:
        return self.workspace.root / "landing/crash"

    def files(self, folder: str = "landing", of: str = "") -> list[Path]:
        """The files of a folder, of one resource, in their order."""
        return sorted(file for file in (self.home / folder).glob("*") if file.is_file() and of in file.name)

    def manifest(self) -> dict[str, Any]:
        """The newest manifest that waits."""
        read: dict[str, Any] = json.loads(self.files(of=".manifest.json")[-1].read_text())
        return read

    def waits(self) -> bool:
        return bool(self.files())
