"""Raw files that are too old: a mark says until when they are gone, so that a rebuild knows what it would lack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from pipelines.landing.manifest import ENDING, Manifest, RawFile, filed, moment
from pipelines.landing.store import MANIFESTS, REJECTED, WHY, Store, strangers

HOME = f"archive/{MANIFESTS}"
EXPIRED = ".expired.json"


def expire_archive(store: Store, before: datetime, act: bool) -> int:
    """Delete the archived files of old fetches, or count them; killed at any step, the next time goes on."""
    old = _old(store, before)
    if old and act:
        _mark(store, max([expired_until(store) or "", *(manifest.fetched_at for manifest in old)]))
    there = {folder: set(store.names(f"archive/{folder}")) for folder in store.folders("archive")} if old else {}
    return sum(_remove(store, manifest, there, act) for manifest in old)


def expire_rejected(store: Store, before: datetime, act: bool) -> int:
    """Delete files that were rejected long ago, each with its reason, or count them."""
    names = set(store.names(REJECTED))
    whys = {f"{name}{WHY}" for name in names} & names
    old = [name for name in names - whys if _rejected_at(store, name, whys) < before]
    for name in old if act else ():
        store.remove(REJECTED, name)
        if f"{name}{WHY}" in whys:
            store.remove(REJECTED, f"{name}{WHY}")
    return len(old)


def expired_until(store: Store) -> str | None:
    """When the last of the fetches was whose files are deleted and whose rows may be in the tables."""
    name = _mark_of(store)
    return str(json.loads(store.read(HOME, name))["until"]) if name in store.names(HOME) else None


def forget_expired(store: Store) -> None:
    """Take the mark away, when the tables have no row any more that only the deleted files held."""
    if expired_until(store) is not None:
        store.remove(HOME, _mark_of(store))


def _old(store: Store, before: datetime) -> list[Manifest]:
    """Old fetches, and what stands for old files of strangers; only what may be old by its name is looked at."""
    names = [name for name in store.names(HOME) if name.endswith(ENDING) and _may_be_old(name, before)]
    fetches = [each for each in store.manifests(HOME, names) if datetime.fromisoformat(each.fetched_at) < before]
    return [*fetches, *_old_strangers(store, [*fetches, *store.manifests()], before)]


def _old_strangers(store: Store, fetches: list[Manifest], before: datetime) -> Iterator[Manifest]:
    """Files that no fetch of ours left; they are as old as their last change."""
    for folder in store.folders("archive"):
        names = strangers(store.names(f"archive/{folder}"), fetches) if folder != MANIFESTS else []
        for name in names:
            if _may_be_old(name, before) and store.modified(f"archive/{folder}", name) < before:
                yield Manifest.foreign(store.spec, RawFile(folder, name), "")


def _may_be_old(name: str, before: datetime) -> bool:
    return moment(name) <= before.astimezone(UTC).isoformat()


def _mark(store: Store, until: str) -> None:
    with store.create(_mark_of(store), HOME) as file:
        file.write(json.dumps({"expired": True, "until": until}, indent=2).encode())


def _mark_of(store: Store) -> str:
    return f"{store.spec}{EXPIRED}"


def _remove(store: Store, fetch: Manifest, there: dict[str, set[str]], act: bool) -> int:
    """The files of a fetch, and then its manifest, by which they are found."""
    files = [file for file in fetch.files if file.name in there.get(filed(file.resource), ())]
    for file in files if act else ():
        store.remove(f"archive/{filed(file.resource)}", file.name)
    if act and not fetch.is_foreign:
        store.remove(HOME, fetch.name)
    return len(files)


def _rejected_at(store: Store, name: str, whys: set[str]) -> datetime:
    """When the reason was written, or the file where a person has taken that away."""
    told = f"{name}{WHY}"
    return store.modified(REJECTED, told if told in whys else name)
