"""Takes up what a dead run left, where dlt alone would lose rows, load them twice or stand still.

dlt goes on from the folders of a load package, which it renames and fills step by step. Killed inside a step it leaves
a package in two places or half deleted, a job that the destination has committed and nobody has noted down, or an
extract that is committed and its schema not. Each is brought back to the last state that dlt can go on from.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema import Schema
from dlt.common.schema.typing import C_DLT_LOAD_ID, C_DLT_LOADS_TABLE_LOAD_ID, TTableSchema
from dlt.common.schema.utils import (
    get_columns_names_with_prop,
    get_first_column_name_with_prop,
    get_nested_tables,
    is_nested_table,
)
from dlt.common.storages import LoadStorage, NormalizeStorage, PackageStorage, ParsedLoadJobFileName
from dlt.destinations.job_client_impl import SqlJobClientBase

REPEATS_ITS_JOBS = {"duckdb", "postgres"}  # BigQuery knows a load job by its name and runs it once, unlike a merge
SQL = ".sql"
STATE, SCHEMAS = dlt.Pipeline.STATE_FILE, "schemas"
DESCRIPTIONS = (
    PackageStorage.SCHEMA_FILE_NAME,
    PackageStorage.SCHEMA_UPDATES_FILE_NAME,
    PackageStorage.LOAD_PACKAGE_STATE_FILE_NAME,
)
PART = re.compile(r"[0-9a-f]{16}")  # how dlt names a file that it will rename when it is whole


def clear(state_dir: Path, name: str) -> None:
    """Remove what a killed run of a spec was writing: a throw-away folder, files that dlt was to rename, torn files.

    To be called before the pipeline is opened, since dlt takes any file beside its schemas for a schema.
    """
    for copied in (state_dir / "scratch").glob(f"*/{name}"):
        shutil.rmtree(copied.parent)
    home = state_dir / name
    for folder in (home, *home.glob("*"), *home.glob("*/*")):
        for part in _files(folder):
            if PART.fullmatch(part.name) and part.is_file():
                part.unlink()
    _heal(home)


def waits(state_dir: Path, name: str) -> bool:
    """Whether a load package of a spec waits to be finished."""
    return bool(_waiting(state_dir / name))


def take_up(pipeline: dlt.Pipeline, kind: str) -> bool:
    """Mend the working folder of a pipeline; whether a package waits in it that must be loaded first."""
    extracted = NormalizeStorage(True, pipeline._normalize_storage_config())
    load = LoadStorage(True, LoadStorage.ALL_SUPPORTED_FILE_FORMATS, pipeline._load_storage_config())
    _sweep(extracted, load)
    _adopt_schemas(pipeline, load.normalized_packages)
    _adopt_schemas(pipeline, extracted.extracted_packages)
    if not pipeline.has_pending_data:
        return False
    with _client(pipeline) as client:
        known = _knows(client, pipeline.pipeline_name)
        if _is_outdated(client, pipeline, known):
            return False  # what waits is read again, from where the destination stands
        _close_loaded(client, load)
        for load_id in load.list_normalized_packages():
            if kind not in REPEATS_ITS_JOBS:
                _merge_again(client, load.normalized_packages, load_id)
            elif not known or load.normalized_packages.list_started_jobs(load_id):
                _start_again(client, load.normalized_packages, load_id)
    return pipeline.has_pending_data


def forget_unfinished(pipeline: dlt.Pipeline, schema_name: str) -> None:
    """Delete the rows of loads that never ended and wait nowhere: those of a run whose working folder is gone."""
    with _client(pipeline) as client, suppress(DestinationUndefinedEntity):
        stored = client.get_stored_schema(schema_name)
        if stored:
            schema = Schema.from_dict(json.loads(stored.schema))
            loads = _qualified(client, schema.loads_table_name)
            column = _escaped(client, schema, C_DLT_LOADS_TABLE_LOAD_ID)
            _forget(client, schema, f"NOT IN (SELECT {column} FROM {loads})")


def adopt_stored(pipeline: dlt.Pipeline, schema_name: str) -> None:
    """Take over the schema of tables that were only ever loaded in parts.

    Such runs keep no state, and where no state is kept dlt does not look for a schema, either: a value of another
    type than the column would then jam the load.
    """
    if schema_name in pipeline.schema_names:
        return
    with _client(pipeline) as client, suppress(DestinationUndefinedEntity):
        stored = client.get_stored_schema(schema_name)
        if stored:
            with pipeline.managed_state():
                pipeline._inject_schema(Schema.from_dict(json.loads(stored.schema)))


def _heal(home: Path) -> None:
    """Drop what a power cut tore: dlt writes its files without waiting for the disk."""
    for package in _waiting(home):
        if not all(map(_is_object, (package / name for name in DESCRIPTIONS if (package / name).exists()))):
            shutil.rmtree(package)
    if home.is_dir() and not all(map(_is_object, (home / STATE, *home.glob("schemas/*.json")))):
        _rewind(home)


def _rewind(home: Path) -> None:
    """Make a pipeline as it was before the packages that wait; without any, as the destination will tell."""
    before = next((package / PackageStorage.RESTORE_FOLDER for package in _waiting(home)), home / "none")
    if not _is_object(before / STATE):
        shutil.rmtree(home)
        return
    shutil.rmtree(home / SCHEMAS, ignore_errors=True)
    if (before / SCHEMAS).is_dir():
        shutil.copytree(before / SCHEMAS, home / SCHEMAS)
    shutil.copy2(before / STATE, home / STATE)


def _waiting(home: Path) -> list[Path]:
    """The folders of the load packages that wait, in the order in which they are loaded."""
    folders = (home / "load" / LoadStorage.NORMALIZED_FOLDER, home / "normalize" / NormalizeStorage.EXTRACTED_FOLDER)
    return [package for folder in folders for package in _files(folder)]


def _is_object(file: Path) -> bool:
    """Whether a file holds a JSON object, whole."""
    try:
        return isinstance(json.loads(file.read_bytes()), dict)
    except (FileNotFoundError, ValueError):
        return False


def _client(pipeline: dlt.Pipeline) -> SqlJobClientBase:
    client = pipeline.destination_client()
    assert isinstance(client, SqlJobClientBase)
    return client


def _knows(client: SqlJobClientBase, pipeline_name: str) -> bool:
    """Whether the destination holds a load of this pipeline that ended."""
    try:
        return client.get_stored_state(pipeline_name) is not None
    except DestinationUndefinedEntity:
        return False


def _is_outdated(client: SqlJobClientBase, pipeline: dlt.Pipeline, known: bool) -> bool:
    """Whether the destination has lost what was loaded before, or another machine has loaded since."""
    if not known:
        return not pipeline.first_run
    oldest = min([*pipeline.list_extracted_load_packages(), *pipeline.list_normalized_load_packages()])
    name = _escaped(client, client.schema, "schema_name")
    return _is_counted(client, f"> %s AND {name} = %s", oldest, client.schema.name)


def _sweep(extracted: NormalizeStorage, load: LoadStorage) -> None:
    """Remove what was not committed, and what was committed and has gone on to the next folder."""
    home = Path(extracted.storage.storage_path)
    for folder in home.iterdir():
        if folder.is_dir() and folder.name != NormalizeStorage.EXTRACTED_FOLDER:
            shutil.rmtree(folder)
    for package in load.new_packages.list_packages():
        load.new_packages.delete_package(package)
    gone_on = {*load.list_normalized_packages(), *load.list_loaded_packages()}
    for package in extracted.extracted_packages.list_packages():
        if package in gone_on or not _is_whole(extracted.extracted_packages, package):
            extracted.extracted_packages.delete_package(package)


def _is_whole(packages: PackageStorage, load_id: str) -> bool:
    """Whether nothing of a package is deleted yet; only one that has gone on or holds no row is ever deleted."""
    folder = _folder(packages, load_id)
    parts = (PackageStorage.SCHEMA_FILE_NAME, PackageStorage.NEW_JOBS_FOLDER)
    return all((folder / part).exists() for part in parts)


def _adopt_schemas(pipeline: dlt.Pipeline, packages: PackageStorage) -> None:
    """Take over the schema of an extract that was committed when the pipeline's own was not yet saved."""
    for load_id in packages.list_packages():
        schema = packages.load_schema(load_id)
        if _is_newer(schema, pipeline) or not pipeline.default_schema_name:
            with pipeline.managed_state():
                pipeline._inject_schema(schema)


def _is_newer(schema: Schema, pipeline: dlt.Pipeline) -> bool:
    try:
        return schema.version > pipeline.schemas[schema.name].version
    except FileNotFoundError:
        return True


def _close_loaded(client: SqlJobClientBase, load: LoadStorage) -> None:
    """Put away packages that are loaded and counted in the destination, or marked so."""
    packages = load.normalized_packages
    for load_id in load.list_normalized_packages():
        if packages.is_package_completed(load_id):
            load.storage.rename_tree(load.get_normalized_package_path(load_id), load.get_loaded_package_path(load_id))
        elif not packages.list_new_jobs(load_id) and _is_counted(client, "= %s", load_id):
            load.complete_load_package(load_id, aborted=False)


def _is_counted(client: SqlJobClientBase, load_id: str, *values: str) -> bool:
    """Whether the destination counts a load with such an id among those that ended."""
    loads = _qualified(client, client.schema.loads_table_name)
    column = _escaped(client, client.schema, C_DLT_LOADS_TABLE_LOAD_ID)
    with suppress(DestinationUndefinedEntity):
        return bool(client.sql_client.execute_sql(f"SELECT 1 FROM {loads} WHERE {column} {load_id} LIMIT 1", *values))
    return False


def _start_again(client: SqlJobClientBase, packages: PackageStorage, load_id: str) -> None:
    """Make a package one whose load has not begun, so that dlt empties its staging tables and runs every job.

    Nobody knows whether a started job was committed. What tells that one was started is removed last.
    """
    _forget(client, packages.load_schema(load_id), "= %s", load_id)
    folder = _folder(packages, load_id)
    packages.storage.save(f"{folder.name}/{PackageStorage.SCHEMA_UPDATES_FILE_NAME}", "{}")
    for marker in _files(folder / PackageStorage.PENDING_TRANSITIONS_FOLDER):
        marker.unlink()
    new = folder / PackageStorage.NEW_JOBS_FOLDER
    for jobs in (new, folder / PackageStorage.COMPLETED_JOBS_FOLDER, folder / PackageStorage.STARTED_JOBS_FOLDER):
        for job in _files(jobs):
            _renew(job, new)


def _merge_again(client: SqlJobClientBase, packages: PackageStorage, load_id: str) -> None:
    """Take back what a merge without a key may have appended from its staging table, if dlt will run it again."""
    again = (ParsedLoadJobFileName.parse(job) for job, _ in packages.list_retried_new_jobs(load_id))
    merging = {job.table_name for job in again if job.file_format == "sql"}
    if merging:
        _forget(client, packages.load_schema(load_id), "= %s", load_id, only=merging)


def _renew(job: Path, new: Path) -> None:
    """A job with rows waits again; one that follows from others is made anew by them."""
    if job.suffix == SQL:
        job.unlink()
    else:
        job.replace(new / job.name)


def _forget(
    client: SqlJobClientBase, schema: Schema, load_ids: str, *values: Any, only: Collection[str] | None = None
) -> None:
    """Delete the rows of some loads from tables that only grow; in all others keys or truncation see to it."""
    column = schema.naming.normalize_identifier(C_DLT_LOAD_ID)
    growing = [name for name, t in schema.tables.items() if column in t["columns"] and _only_grows(t)]
    roots = [name for name in growing if only is None or name in only]
    there = _existing(client, (name for root in roots for name in _chain(schema, root)))
    for root in roots:
        for name in [name for name in _chain(schema, root) if name in there]:
            table, key = _qualified(client, name), client.sql_client.escape_column_name(column)
            gone = f"{key} {load_ids}" if name == root else _orphaned(client, schema, name)
            client.sql_client.execute_sql(f"DELETE FROM {table} WHERE {gone}", *(values if name == root else ()))


def _only_grows(table: TTableSchema) -> bool:
    """Whether loading a row again makes a second one."""
    if is_nested_table(table):
        return False
    if table.get("write_disposition") == "merge":
        keys = [*get_columns_names_with_prop(table, "primary_key"), *get_columns_names_with_prop(table, "merge_key")]
        return not keys and table.get("x-merge-strategy", "delete-insert") == "delete-insert"
    return table.get("write_disposition", "append") == "append"


def _orphaned(client: SqlJobClientBase, schema: Schema, name: str) -> str:
    """The condition for rows of a list whose parent is gone."""
    parent = str(schema.tables[name]["parent"])
    mine = get_first_column_name_with_prop(schema.tables[name], "parent_key")
    theirs = get_first_column_name_with_prop(schema.tables[parent], "row_key")
    assert mine, f"{name}: has no column that leads to its parent"
    assert theirs, f"{parent}: has no column that its lists lead to"
    mine, theirs = map(client.sql_client.escape_column_name, (mine, theirs))
    return f"{mine} NOT IN (SELECT {theirs} FROM {_qualified(client, parent)})"


def _chain(schema: Schema, root: str) -> list[str]:
    """A table and those of the lists in it, parents first."""
    return [str(table["name"]) for table in get_nested_tables(schema.tables, root)]


def _qualified(client: SqlJobClientBase, table: str) -> str:
    return client.sql_client.make_qualified_table_name(table)


def _existing(client: SqlJobClientBase, names: Iterable[str]) -> set[str]:
    return {name for name, columns in client.get_storage_tables(names) if columns}


def _escaped(client: SqlJobClientBase, schema: Schema, column: str) -> str:
    return client.sql_client.escape_column_name(schema.naming.normalize_identifier(column))


def _folder(packages: PackageStorage, load_id: str) -> Path:
    return Path(packages.storage.make_full_path(packages.get_package_path(load_id)))


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
