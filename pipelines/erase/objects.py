"""The objects that rows name: files of a filesystem destination, `audio` unless the spec says otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from fsspec.implementations.local import LocalFileSystem

from pipelines.buckets import opened
from pipelines.build import moves
from pipelines.erase.scope import Counts, Scope
from pipelines.errors import EtlError, SettingError
from pipelines.files.stores import QUARANTINE

STORE = "audio"


def store_of(scope: Scope, table: str) -> str:
    """The destination of the objects that rows of a table name."""
    blocks = moves(scope.spec).values()
    return next((block.to for block in blocks if table in (block.table, block.failures)), STORE)


def with_those_aside(scope: Scope, table: str, keys: list[str]) -> list[str]:
    """Keys that receipts name, and where the same files were in quarantine before: no row says so any more."""
    are_receipts = any(table == block.table for block in moves(scope.spec).values())
    return [*keys, *(f"{QUARANTINE}/{key}" for key in keys if are_receipts)]


def erase(scope: Scope, keys: Mapping[str, Iterable[str]]) -> Counts:
    """Delete objects, by store, each by its key below the root of that; one that is gone already does not count."""
    counts = {f"objects in {store}": _erase(scope, store, dict.fromkeys(wanted)) for store, wanted in keys.items()}
    return {place: count for place, count in counts.items() if count}


def _erase(scope: Scope, store: str, wanted: Iterable[str]) -> int:
    if store not in scope.environment.buckets:
        raise SettingError(f"{scope.spec.name}: its rows name objects; add [{scope.environment.name}.{store}]")
    files, folder = opened(store)
    there = [key for key in wanted if files.exists(f"{folder}/{_below_root(scope.spec.name, store, key)}")]
    for key in there if scope.act else ():
        files.rm_file(f"{folder}/{key}")
        if isinstance(files, LocalFileSystem):
            _remove_empty(Path(folder), key)
    return len(there)


def _remove_empty(root: Path, key: str) -> None:
    """Folders that were made for an object may be named after whom it is of."""
    for folder in Path(key).parents[:-1]:
        with suppress(OSError):
            (root / folder).rmdir()


def _below_root(spec: str, store: str, key: str) -> str:
    if "://" in key or key.startswith("/") or ".." in PurePosixPath(key).parts:
        raise EtlError(f"{spec}: {key} is no key below the root of {store}; delete that object and empty its cell")
    return key
