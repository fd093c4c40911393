"""A store by fsspec: a local folder, a bucket of Google's, memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from pipelines.files.bodies import Body
from pipelines.files.steps import Call, Patience, Steps
from pipelines.files.stores import DOTS, About, Head, Put, Refusal, Remnant, Weather, addressed, metadata_of, sound_in

BITE = 2**20
PART = ".part"
EMPTY = frozenset({""})
"""What every path leaves out, of fsspec's; one in a bucket of Google's keeps its dots."""
SHA256, SOURCE_ID = "sha256", "source-id"


class Folder:
    """The objects below a folder of a filesystem."""

    hides = False

    def __init__(self, filesystem: Any, folder: str) -> None:
        self.filesystem, self.folder = filesystem, folder
        self._is_local = isinstance(filesystem, LocalFileSystem)
        self._resolved = EMPTY if "gs" in filesystem.protocol else EMPTY | DOTS

    @property
    def place(self) -> str:
        """The folder, as links lead to it."""
        return f"{self.filesystem.protocol}:{os.path.realpath(self.folder) if self._is_local else self.folder}"

    def check(self, key: str) -> None:
        """Misleading where a part is resolved on the way."""
        addressed(key, self._resolved)

    def putting(self, key: str, body: Body, about: About, patience: Patience) -> Steps[Put]:
        """`put` while other transfers go on; fsspec tries again by itself where that helps."""
        put: Put = yield Call(partial(self.put, key, body, about))
        return put

    def put(self, key: str, body: Body, about: About) -> Put:
        """Whole under its name, or not there; Weather when the store is away, Refusal where a folder has its name."""
        if self._is_local:
            return self._put_file(Path(self._place(key)), body)
        try:
            self.filesystem.pipe_file(self._place(key), body.view(), **self._told(about))
        except (ConnectionError, TimeoutError) as error:
            raise Weather(str(error) or type(error).__name__) from error
        return Put()

    def head(self, key: str) -> Head | None:
        """What is there, its bytes read for their hash unless its metadata has that."""
        self.filesystem.invalidate_cache()
        try:
            info = self.filesystem.info(self._place(key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        if info["type"] != "file":
            return None
        metadata = info.get("metadata") or {}
        return Head(
            key=key,
            bytes=info["size"],
            sha256=metadata.get(SHA256) or self._sha256(key),
            source_id=metadata.get(SOURCE_ID),
            content_type=info.get("contentType"),
            etag=info.get("etag"),
            version=info.get("generation"),
            sound=sound_in(metadata, info.get("contentType")),
        )

    def delete(self, key: str) -> None:
        """Remove an object; Refusal where a folder has its name."""
        with suppress(FileNotFoundError, NotADirectoryError), _no_folder():
            self.filesystem.rm_file(self._place(key))

    def listed(self, prefix: str) -> Iterator[Head]:
        """The objects whose keys begin so."""
        for name, info in self._found(prefix):
            if name.startswith(prefix) and not name.endswith(PART):
                yield Head(name, info["size"], etag=info.get("etag"))

    def versions(self, prefix: str) -> Iterator[Remnant]:
        """The objects whose keys begin so: one version is all there is."""
        for head in self.listed(prefix):
            yield Remnant(head.key)

    def unfinished(self, prefix: str) -> Iterator[Remnant]:
        """What a killed process has left beside the place of an object."""
        for name, _ in self._found(prefix):
            folder, _, file = name.rpartition("/")
            key = f"{folder}/{file[1 : -len(PART)]}".removeprefix("/")
            if file.startswith(".") and file.endswith(PART) and key.startswith(prefix):
                yield Remnant(key, upload=name)

    def erase(self, remnant: Remnant) -> None:
        """Remove an object, or what was begun of one, and the folders made for it, which may have somebody's name."""
        self.delete(remnant.upload or remnant.key)
        for folder in Path(remnant.key).parents[:-1] if self._is_local else ():
            with suppress(OSError):
                Path(self._path(str(folder))).rmdir()

    def read(self, key: str) -> bytes:
        """All bytes of an object."""
        data: bytes = self.filesystem.cat_file(self._place(key))
        return data

    def _found(self, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The files in and below the folder that a prefix is of, by name."""
        self.filesystem.invalidate_cache()
        folder = prefix.rpartition("/")[0]
        if not self._resolved.isdisjoint(folder.split("/") if folder else ()):
            return
        above = self._path(folder).rstrip("/")
        for path, info in sorted(self.filesystem.find(above, detail=True).items()):
            if not (self._is_local and Path(path).is_dir()):  # a link, to what may have a place in the store, too
                yield path[len(self.folder) + 1 :], info

    def _place(self, key: str) -> str:
        """Where an object is."""
        return self._path(addressed(key, self._resolved))

    def _path(self, key: str) -> str:
        return f"{self.folder}/{key}"

    def _put_file(self, path: Path, body: Body) -> Put:
        """Beside its place, then into it; whoever puts it there next writes over what a killed process left."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}{PART}")
        with _no_folder():
            try:
                with part.open("wb") as file:
                    stream = body.stream()
                    while bite := stream.read(BITE):
                        file.write(bite)
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        return Put()

    def _told(self, about: About) -> dict[str, Any]:
        """What Google's bucket is told of an object; memory has no place for it."""
        if "gs" not in self.filesystem.protocol:
            return {}
        return {"content_type": about.content_type, "metadata": metadata_of(about)}

    def _sha256(self, key: str) -> str:
        with self.filesystem.open(self._place(key), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _no_folder() -> Iterator[None]:
    """Refusal where a folder stands in the place of an object."""
    try:
        yield
    except IsADirectoryError as error:
        raise Refusal("a folder stands in its place; move it away") from error
