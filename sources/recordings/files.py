"""Which files a `csv_path` names, how to tell that one has changed, and a copy on this machine to read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.storages.configuration import FilesystemConfiguration
from dlt.common.storages.fsspec_filesystem import fsspec_from_config
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from sources.kit.errors import BadSetting, TryLater

# What stores call the version of a file, the most exact first.
VERSIONS = (
    "ETag",
    "etag",
    "md5Hash",
    "Last-Modified",
    "LastModified",
    "last_modified",
    "updated",
    "mtime",
    "created",
)


@dataclass(frozen=True)
class ListFile:
    """One list: its name in `source_file`, size and version as its store tells them, and its path there."""

    name: str
    size: int | None
    version: str | None
    filesystem: AbstractFileSystem
    path: str


def find(csv_path: str) -> list[ListFile]:
    """The files that a path, a glob or an fsspec URL names, by name; BadSetting when there is none."""
    filesystem, path = _filesystem(csv_path)
    files = [_list_file(filesystem, info) for info in _matches(filesystem, path, csv_path)]
    if not files:
        raise BadSetting(
            f"recordings.csv_path: no file matches {_public(csv_path)}; "
            "put a list there or name another one, e.g. --with csv_path=calls.csv"
        )
    return sorted(files, key=lambda file: file.name)


@contextmanager
def local_copy(file: ListFile) -> Iterator[Path]:
    """The file on this machine: a remote one is fetched once, since it is read twice."""
    if isinstance(file.filesystem, LocalFileSystem):
        yield Path(file.path)
        return
    with tempfile.TemporaryDirectory(prefix="recordings-") as folder:
        copy = Path(folder) / "list.csv"
        _fetch(file, copy)
        yield copy


def _fetch(file: ListFile, copy: Path) -> None:
    from aiohttp import ClientError  # 7 MB that lists of this machine do without

    try:
        file.filesystem.get_file(file.path, str(copy))
    except ClientError as problem:
        raise OSError(str(problem)) from problem


def _filesystem(csv_path: str) -> tuple[AbstractFileSystem, str]:
    scheme, separator, rest = csv_path.partition("://")
    if not separator or scheme == "file":
        local = LocalFileSystem()
        return local, str(local._strip_protocol(csv_path))
    settings = FilesystemConfiguration(bucket_url=f"{scheme}://{rest.split('/')[0]}")
    resolved = resolve_configuration(settings, sections=("sources", "recordings"))
    try:
        filesystem, _ = fsspec_from_config(resolved)
    except ValueError as unknown:
        raise BadSetting(f"recordings.csv_path: {unknown}; use a local path or e.g. s3:// gs:// https://") from unknown
    return filesystem, str(filesystem._strip_protocol(csv_path))


def _matches(filesystem: AbstractFileSystem, path: str, csv_path: str) -> list[dict[str, Any]]:
    """A file of exactly this name wins over a pattern, so that `calls [1].csv` can be named."""
    try:
        found = filesystem.info(path)
    except FileNotFoundError as missing:
        _refuse_unless_absent(missing, csv_path)
        return _globbed(filesystem, path)
    if found["type"] == "file":
        return [found]
    if found["type"] != "directory":
        raise BadSetting(f"recordings.csv_path: {_public(csv_path)} is no regular file; name a file, e.g. calls.csv")
    folder = _public(csv_path).rstrip("/")
    raise BadSetting(f"recordings.csv_path: {folder} is a folder; name its files, e.g. {folder}/*.csv")


def _globbed(filesystem: AbstractFileSystem, path: str) -> list[dict[str, Any]]:
    try:
        matches = filesystem.glob(path, detail=True)
    except FileNotFoundError:
        return []
    return [info for info in matches.values() if info["type"] == "file"]


def _refuse_unless_absent(missing: FileNotFoundError, csv_path: str) -> None:
    """fsspec says "not found" for whatever goes wrong over HTTP; only 404 and 410 mean it."""
    cause = missing.__cause__
    status = getattr(cause, "status", None)
    if cause is None or status in (404, 410):
        return
    if status is None or status == 429 or status >= 500:
        what = f"answers HTTP {status}" if status else "cannot be reached"
        raise TryLater(f"recordings.csv_path: {_public(csv_path)} {what}; try again later") from missing
    raise BadSetting(
        f"recordings.csv_path: {_public(csv_path)} answers HTTP {status}; check the address and the rights"
    ) from missing


def _list_file(filesystem: AbstractFileSystem, info: dict[str, Any]) -> ListFile:
    version = next((str(info[key]) for key in VERSIONS if info.get(key)), None)
    return ListFile(_name(filesystem, info["name"]), info.get("size"), version, filesystem, info["name"])


def _name(filesystem: AbstractFileSystem, path: str) -> str:
    """Relative to the working directory where it lies under it, else whole; a URL without secrets."""
    if not isinstance(filesystem, LocalFileSystem):
        return _public(filesystem.unstrip_protocol(path))
    here = Path.cwd()
    return Path(path).relative_to(here).as_posix() if Path(path).is_relative_to(here) else path


def _public(address: str) -> str:
    """An address without user, password and query: those of a URL may be secrets."""
    if "://" not in address:
        return address
    scheme, netloc, path, _, _ = urlsplit(address)
    return urlunsplit((scheme, netloc.rpartition("@")[2], path, "", ""))
