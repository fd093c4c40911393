"""This engine as its user runs it: a workspace with specs and sources, and `etl run`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.case import Work
from benchmarks.measure import REPOSITORY

WORKSPACE = Path(__file__).with_name("workspace")
DUCKDB = """\
[bench.warehouse]
destination_type = "duckdb"
credentials = "warehouse.duckdb"
[bench.audio]
destination_type = "filesystem"
bucket_url = "audio"
"""
POSTGRES = """\
[bench.warehouse]
destination_type = "postgres"
[bench.warehouse.credentials]
host = "{host}"
port = {port}
database = "{database}"
username = "{user}"
"""


def run(work: Work, spec: str, *arguments: str, options: Sequence[str] = ()) -> None:
    """`etl run SPEC --env bench --with …` in a workspace made for it; SystemExit with its code unless that is 0."""
    _lay_out(work, spec)
    import cli

    values = [word for argument in arguments for word in ("--with", argument)]
    try:
        cli.main(["--root", str(work.folder), "run", spec, "--env", "bench", *values, *options])
    except SystemExit as end:
        if end.code:
            raise


def _lay_out(work: Work, spec: str) -> None:
    """A workspace with one spec, from here or from the repository."""
    (work.folder / "destinations.toml").write_text(_warehouse(work))
    for home in (WORKSPACE, REPOSITORY):
        for file in (f"specs/{spec}.yaml", f"sources/{spec}.py", f"sources/{spec}"):
            link = work.folder / file
            link.parent.mkdir(exist_ok=True)
            if (home / file).exists() and not link.is_symlink():
                link.symlink_to(home / file)


def _warehouse(work: Work) -> str:
    if not work.server.startswith("postgresql://"):
        return DUCKDB
    parts = urlsplit(work.server)
    os.environ["DESTINATION__WAREHOUSE__CREDENTIALS__PASSWORD"] = parts.password or ""
    return POSTGRES.format(host=parts.hostname, port=parts.port, database=parts.path[1:], user=parts.username)
