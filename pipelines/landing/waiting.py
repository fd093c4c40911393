"""How many raw files wait, where telling it costs nothing."""

from __future__ import annotations

from pathlib import Path

from pipelines.configuration import setting
from pipelines.environment import LANDING, Environment
from pipelines.landing.manifest import ROWS
from pipelines.printing import counted


def count(environment: Environment, spec: str) -> int:
    """The raw files in a local landing; 0 where it is a bucket, which is not asked."""
    found = setting("bucket_url", ("destination", LANDING)) if LANDING in environment.destinations() else None
    if found is None or "://" in found[0]:
        return 0
    return sum(file.name.endswith(ROWS) for file in (Path(found[0]) / spec / LANDING).glob("*"))


def told(environment: Environment, spec: str) -> list[str]:
    """One line where files wait."""
    files = count(environment, spec)
    load = f"etl ingest {spec} --env {environment.name}"
    return [f"{spec}: {counted(files, 'raw file')} in landing, not loaded yet; load with: {load}"] if files else []
