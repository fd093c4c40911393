"""The objects that rows name: files of the environment's `audio` destination."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from fsspec.implementations.local import LocalFileSystem

from pipelines.buckets import opened
from pipelines.erase.scope import Counts, Scope
from pipelines.errors import EtlError, SettingError

STORE = "audio"
PLACE = f"objects in {STORE}"


def erase(scope: Scope, keys: Iterable[str]) -> Counts:
    """Delete objects by their keys below the root of the store; one that is gone already does not count."""
    wanted = dict.fromkeys(keys)
    if not wanted:
        return {}
    if STORE not in scope.environment.buckets:
        raise SettingError(f"{scope.spec.name}: its rows name objects; add [{scope.environment.name}.{STORE}]")
    files, folder = opened(STORE)
    there = [key for key in wanted if files.exists(f"{folder}/{_below_root(scope.spec.name, key)}")]
    for key in there if scope.act else ():
        files.rm_file(f"{folder}/{key}")
        if isinstance(files, LocalFileSystem):
            _remove_empty(Path(folder), key)
    return {PLACE: len(there)} if there else {}


def _remove_empty(root: Path, key: str) -> None:
    """Folders that were made for an object may be named after whom it is of."""
    for folder in Path(key).parents[:-1]:
        with suppress(OSError):
            (root / folder).rmdir()


def _below_root(spec: str, key: str) -> str:
    if "://" in key or key.startswith("/") or ".." in PurePosixPath(key).parts:
        raise EtlError(f"{spec}: {key} is no key below the root of {STORE}; delete that object and empty its cell")
    return key
