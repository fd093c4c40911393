"""The dlt pipeline of a spec: opened, taken over from the destination, or copied for a run whose state nobody keeps."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt

from pipelines import build
from pipelines.environment import WAREHOUSE, Environment
from pipelines.resume import adopt_stored, clear, forget_unfinished, take_up
from pipelines.specs.spec import Spec

# Parquet reaches Postgres by COPY in binary form, which costs the server half of what a CSV does (docs/adr/0012).
LOADER_FORMAT: Any = "parquet"


def open_pipeline(environment: Environment, spec: Spec, pipelines_dir: Path | None = None) -> dlt.Pipeline:
    """The dlt pipeline of a spec: name, dataset and folder follow from the names."""
    folder = pipelines_dir or environment.state_dir
    folder.mkdir(parents=True, exist_ok=True)
    return dlt.pipeline(
        spec.name,
        pipelines_dir=str(folder),
        destination=WAREHOUSE,
        dataset_name=build.dataset_name(spec),
    )


def reopened(environment: Environment, spec: Spec, pipeline: dlt.Pipeline) -> dlt.Pipeline:
    """The same pipeline without what this machine remembers: the destination's state is the truth, older or newer.

    `Pipeline.drop` would do, but puts the naming layout on the dataset a second time.
    """
    pipeline.deactivate()
    shutil.rmtree(pipeline.working_dir)
    return open_pipeline(environment, spec)


def synced(environment: Environment, spec: Spec) -> dlt.Pipeline:
    """The pipeline as the destination has it, with what a run left loaded first."""
    clear(environment.state_dir, spec.name)
    pipeline = open_pipeline(environment, spec)
    if take_up(pipeline, environment.kind):
        pipeline.normalize()
        pipeline.load()
    pipeline = reopened(environment, spec, pipeline)
    pipeline.sync_destination()
    adopt_stored(pipeline, spec.name)
    for schema in pipeline.schema_names:
        forget_unfinished(pipeline, schema)
    return pipeline


@contextmanager
def scratch_copy(environment: Environment, spec: Spec, main: dlt.Pipeline, name: str) -> Iterator[dlt.Pipeline]:
    """A pipeline with the schema and state of `main`, loading into the same tables; its state is thrown away."""
    folder = environment.state_dir / "scratch" / name
    home, copied = Path(main.working_dir), folder / spec.name
    try:
        shutil.copytree(home / "schemas", copied / "schemas")
        shutil.copy2(home / "state.json", copied / "state.json")
        scratch = open_pipeline(environment, spec, folder)
        scratch.config.restore_from_destination = False
        yield scratch
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        main.activate()
