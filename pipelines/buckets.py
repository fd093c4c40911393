"""Folders and buckets as fsspec knows them: the filesystem destinations of an environment, and what `--to` names."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, urlsplit

from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.storages.configuration import FilesystemConfiguration
from dlt.common.storages.fsspec_filesystem import fsspec_from_config
from fsspec.implementations.local import LocalFileSystem

from pipelines import configuration
from pipelines.environment import Environment, looks_secret
from pipelines.errors import UsageError

SINGLE_SLASH = re.compile(r"[a-z][a-z0-9+.-]+:/(?!/)", re.I)


def opened(name: str) -> tuple[Any, str]:
    """The filesystem and the folder of a destination. A local folder is made; a bucket that is missing is not."""
    config = resolve_configuration(FilesystemConfiguration(), sections=("destination", name))
    filesystem, folder = fsspec_from_config(config)
    if config.is_local_filesystem:
        folder = config.make_local_path(config.bucket_url)  # fsspec's keeps the %20 of a URL
        filesystem.makedirs(folder, exist_ok=True)  # of a bucket that is missing, s3fs would make one
    return filesystem, folder.rstrip("/")


def at(environment: Environment, to: str, said: str = "--to") -> tuple[Any, str]:
    """The filesystem and the folder that `--to`, or what is `said`, names; a bucket has the environment's account."""
    if not to.strip():
        raise UsageError(f"{said}: is empty; name a folder or a bucket, or leave it out")
    if looks_secret("", to):
        raise UsageError(f"{said}: has a password in it; leave it out, the environment's buckets have their own")
    if SINGLE_SLASH.match(to):
        raise UsageError(f"{said} {to}: is neither a folder nor a bucket; write two slashes, as in gs://bucket/folder")
    if to.startswith("file://") or "://" not in to:
        path = unquote(urlsplit(to).path) if "://" in to else to
        return LocalFileSystem(auto_mkdir=True), str((environment.root / path).resolve())
    config = resolve_configuration(FilesystemConfiguration(), sections=("destination", _account(environment, to, said)))
    config.bucket_url = to
    filesystem, folder = fsspec_from_config(config)
    return filesystem, folder.rstrip("/")


def _account(environment: Environment, to: str, said: str) -> str:
    """The bucket of the environment whose account may write there: the same bucket before one of the same cloud."""
    wanted = urlsplit(to)
    urls = {name: str((configuration.setting("bucket_url", ("destination", name)) or [""])[0])
            for name in environment.buckets}  # fmt: skip
    fitting = [name for name, url in urls.items() if urlsplit(url).scheme == wanted.scheme]
    if not fitting:
        raise UsageError(
            f"{said} {to}: no bucket of [{environment.name}] is {wanted.scheme}://; name a folder, or one of their kind"
        )
    return next((name for name in fitting if urlsplit(urls[name]).netloc == wanted.netloc), fitting[0])
