"""This engine as its user runs it: a workspace with specs and sources, and `etl run`."""

from __future__ import annotations

import os
import shutil
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
[bench.landing]
destination_type = "filesystem"
bucket_url = "landing"
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
    values = [word for argument in arguments for word in ("--with", argument)]
    _etl(work, "run", spec, *values, *options)


def land(work: Work, spec: str, resource: str, name: str) -> None:
    """Put a file of the data set into the landing of a spec, as a stranger would."""
    place = work.folder / "landing" / spec / "landing" / f"2025_01_01_00_00_{spec}_{resource}.jsonl"
    place.parent.mkdir(parents=True)
    shutil.copyfile(work.data / name, place)


def ingest(work: Work, spec: str) -> None:
    """`etl ingest SPEC --env bench`."""
    _etl(work, "ingest", spec)


def _etl(work: Work, verb: str, spec: str, *words: str) -> None:
    _lay_out(work, spec)
    import cli

    try:
        cli.main(["--root", str(work.folder), verb, spec, "--env", "bench", *words])
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
