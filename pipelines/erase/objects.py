"""The objects that rows name: files of a filesystem destination, `audio` unless the spec says otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from pipelines.build import moves
from pipelines.erase.scope import Counts, Scope
from pipelines.errors import EtlError, SettingError
from pipelines.files import stores
from pipelines.files.stores import DOTS, QUARANTINE
from pipelines.files.verbs import store_told

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
    """Delete objects with all their versions, by store, each by its key below the root of that; one that is gone
    already does not count."""
    counts = {f"objects in {store}": _erase(scope, store, dict.fromkeys(wanted)) for store, wanted in keys.items()}
    return {place: count for place, count in counts.items() if count}


def _erase(scope: Scope, destination: str, wanted: Iterable[str]) -> int:
    name = scope.spec.name
    if destination not in scope.environment.buckets:
        raise SettingError(f"{name}: its rows name objects; add [{scope.environment.name}.{destination}]")
    store = stores.opened(destination)
    with store_told(name):
        there = [found for key in wanted if (found := stores.versions(store, _below_root(name, destination, key)))]
        for version in chain.from_iterable(there) if scope.act else ():
            store.erase(version)
    return len(there)


def _below_root(spec: str, store: str, key: str) -> str:
    if "://" in key or key.startswith("/") or not DOTS.isdisjoint(key.split("/")):
        raise EtlError(f"{spec}: {key} is no key below the root of {store}; delete that object and empty its cell")
    return key
