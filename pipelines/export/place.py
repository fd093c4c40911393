"""Where exports go: a folder or a bucket. Files are written beside their place and put there once all are whole.

A manifest says which files are ours. While files are put in place it names old and new ones and is not `complete`, so
that whatever moment a kill comes, each file is whole, and the next export knows which to replace and which to remove.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from ulid import ULID

from pipelines import buckets
from pipelines.environment import Environment
from pipelines.errors import EtlError, Locked
from pipelines.export import life

SCHEMA = "etl.export.v1"
STAGING = re.compile(r"\.etl-export-[0-9A-Z]{26}(-.+)?")
NOTHING: dict[str, Any] = {"files": []}


@dataclass
class Exported:
    """One table: its rows, and its files by their paths in the place."""

    table: str
    rows: int = 0
    size: int = 0
    files: list[str] = field(default_factory=list)
    parts: Counter[str] = field(default_factory=Counter)

    def next_file(self, path: str, suffix: str) -> str:
        """The name of the next file: `games.parquet`, or `part-0.parquet` in the folder of a partition."""
        self.files.append(f"{path}.{suffix}" if path == self.table else f"{path}/part-{self.parts[path]}.{suffix}")
        self.parts[path] += 1
        return self.files[-1]


class Place:
    """A folder of a filesystem, with a staging folder of this export inside."""

    def __init__(self, filesystem: Any, folder: str, shown: str, environment: str, spec: str) -> None:
        self._files, self._folder, self.shown = filesystem, folder.rstrip("/"), shown
        self._environment, self._spec = environment, spec
        self._manifest = f"_export.{spec}.json"
        self._staging = f"{self._folder}/.etl-export-{ULID()}"
        self._life = ExitStack()

    @contextmanager
    def staged(self, file: str) -> Iterator[Any]:
        """A stream into a file of the staging folder."""
        with self._files.open(f"{self._staging}/{file}", "wb") as stream:
            yield stream

    @contextmanager
    def staged_locally(self, file: str) -> Iterator[Path]:
        """A path of this machine whose file is then in the staging folder."""
        with tempfile.TemporaryDirectory(prefix="etl-export-") as scratch:
            local = isinstance(self._files, LocalFileSystem)
            path = Path(self._staging if local else scratch) / file
            yield path
            if not local:
                self._files.put_file(str(path), f"{self._staging}/{file}")

    def size(self, files: Sequence[str]) -> int:
        """Bytes of staged files."""
        return sum(self._files.size(f"{self._staging}/{file}") for file in files)

    def begin(self) -> None:
        """Take the place: remove what dead exports left, stop where another one is at work."""
        try:
            self._files.makedirs(self._folder, exist_ok=True)
        except OSError as error:
            raise EtlError(f"{self.shown}: no folder can be made there; give another --to") from error
        self._life.enter_context(life.shown(self._files, self._staging))
        for path in self._files.ls(self._folder, detail=False):
            if path.rstrip("/").rpartition("/")[2] != self._staging.rpartition("/")[2]:
                self._clear(path)

    def end(self) -> None:
        """Remove the staging folder."""
        self._life.close()
        with suppress(FileNotFoundError):
            self._files.rm(self._staging, recursive=True)

    def put(self, done: Sequence[Exported]) -> None:
        """Put every file in its place, remove what former exports of these tables left, and say so."""
        former = self._former()
        mine = {each.table: each for each in done}
        new = {file for each in done for file in each.files}
        old = {file for table in former.values() for file in table["files"]}
        stale = {file for name, table in former.items() if name in mine for file in table["files"]} - new
        self._refuse_foreign(new - old)
        kept = {name: table for name, table in former.items() if name not in mine and not new & set(table["files"])}
        told = {name: {"rows": each.rows, "files": sorted(each.files)} for name, each in mine.items()}
        between = {name: {**told[name], "files": sorted({*each.files, *former.get(name, NOTHING)["files"]}),
                          "complete": False} for name, each in mine.items()}  # fmt: skip
        self._write_manifest({**kept, **between})
        for file in sorted(new):
            self._move(file, file)
        for file in sorted(stale - {file for table in kept.values() for file in table["files"]}):
            self._remove(file)
        self._write_manifest({**kept, **told})

    def _clear(self, path: str) -> None:
        """Remove the staging folder of an export that is dead; Locked where one is at work."""
        if not STAGING.fullmatch(path.rstrip("/").rpartition("/")[2]):
            return
        if life.is_alive(self._files, path.rstrip("/")):
            killed = "" if isinstance(self._files, LocalFileSystem) else "; one that was killed is gone in two minutes"
            raise Locked(f"{self.shown}: another export is at work there; let it end, or give another --to{killed}")
        self._files.rm(path, recursive=True)

    def _former(self) -> dict[str, Any]:
        """The tables of former exports and their files."""
        try:
            environment, tables = _told(self._files.cat_file(f"{self._folder}/{self._manifest}"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise EtlError(
                f"{self.shown}/{self._manifest}: is no manifest of an export; move it away and export again"
            ) from error
        if environment != self._environment:
            raise EtlError(f"{self.shown}: has an export of {self._spec} from {environment!r}; give another --to")
        return tables

    def _refuse_foreign(self, files: set[str]) -> None:
        """No file is overwritten that no export of this spec has made."""
        found = self._files.find(self._folder, withdirs=True, detail=True)
        kinds = {path.removeprefix(f"{self._folder}/"): told["type"] for path, told in found.items()}
        there = {path for path, kind in kinds.items() if kind != "directory"}
        occupied = {*kinds, *(str(folder) for path in there for folder in Path(path).parents)}
        for file in sorted(files):
            above = {str(folder) for folder in Path(file).parents}
            for taken in sorted(({file} & occupied) | (above & there)):
                raise EtlError(
                    f"{self.shown}/{taken}: is not of an export of {self._spec}; move it, or give another --to"
                )

    def _remove(self, file: str) -> None:
        """Remove a file, and on this machine the folders that are empty then."""
        with suppress(FileNotFoundError):
            self._files.rm_file(f"{self._folder}/{file}")
        for folder in list(Path(file).parents)[:-1] if isinstance(self._files, LocalFileSystem) else ():
            with suppress(OSError):
                (Path(self._folder) / folder).rmdir()

    def _move(self, staged: str, file: str) -> None:
        """Put one file in its place, over what is there."""
        self._files.mv(f"{self._staging}/{staged}", f"{self._folder}/{file}")

    def _write_manifest(self, tables: dict[str, Any]) -> None:
        complete = all(table.get("complete", True) for table in tables.values())
        content = {
            "schema": SCHEMA, "spec": self._spec, "environment": self._environment,
            "exported_at": datetime.now(UTC).isoformat(), "complete": complete, "tables": dict(sorted(tables.items())),
        }  # fmt: skip
        self._files.pipe_file(f"{self._staging}/manifest", json.dumps(content, indent=2).encode() + b"\n")
        self._move("manifest", self._manifest)


def _told(manifest: bytes) -> tuple[str, dict[str, Any]]:
    """The environment and the tables that a manifest names; ValueError if it is none, or has a file elsewhere."""
    match json.loads(manifest):
        case {"schema": schema, "environment": str(environment), "tables": dict(tables)} if schema == SCHEMA:
            if all(_is_inside(file) for table in tables.values() for file in _files_of(table)):
                return environment, tables
    raise ValueError("is no manifest")


def _files_of(table: Any) -> list[Any]:
    match table:
        case {"files": list(files)}:
            return files
    raise ValueError("is no table of a manifest")


def _is_inside(file: Any) -> bool:
    return isinstance(file, str) and not {"", ".", ".."} & {*file.split("/")}


@contextmanager
def opened(environment: Environment, spec: str, to: str | None) -> Iterator[Place]:
    """The place that `to` names, or `exports/<environment>/<spec>`; what is staged in it is removed at the end."""
    shown = f"exports/{environment.name}/{spec}" if to is None else to
    place = Place(*buckets.at(environment, shown), shown, environment.name, spec)
    try:
        place.begin()
        yield place
    finally:
        place.end()
