"""The filesystem destinations of an environment, opened as fsspec knows them."""

from __future__ import annotations

from typing import Any

from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.storages.configuration import FilesystemConfiguration
from dlt.common.storages.fsspec_filesystem import fsspec_from_config


def opened(name: str, url: str | None = None) -> tuple[Any, str]:
    """The filesystem and the folder of a destination, or of another address under its credentials.

    A local folder is made; a bucket that is missing is not.
    """
    explicit = {"bucket_url": url} if url else None
    config = resolve_configuration(FilesystemConfiguration(), sections=("destination", name), explicit_value=explicit)
    filesystem, folder = fsspec_from_config(config)
    if config.is_local_filesystem:
        folder = config.make_local_path(config.bucket_url)  # fsspec's keeps the %20 of a URL
        filesystem.makedirs(folder, exist_ok=True)  # of a bucket that is missing, s3fs would make one
    return filesystem, folder.rstrip("/")
