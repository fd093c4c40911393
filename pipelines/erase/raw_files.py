"""Raw files: rows about the value are left out of them, manifests forget its cursors, names of files lose it."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import build
from pipelines.environment import LANDING
from pipelines.erase.raw_rows import RawRows, RowsOfOthers
from pipelines.erase.remembered import without
from pipelines.erase.scope import Counts, Scope
from pipelines.landing.foreign import Strangers
from pipelines.landing.manifest import Manifest, RawFile, digests, resource_of
from pipelines.landing.store import MANIFESTS, REJECTED, WHY, Store, is_of_rows

PLACE_OF_STATES = "raw files' manifests"
PACKED = {"gzip": re.compile(rb"\x1f\x8b"), "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")}
ROWS_AT_ONCE = 50_000


class RawFiles:
    """The raw files of one spec; `left` are rows about others that name the value, `unread` files nobody can read."""

    def __init__(self, scope: Scope) -> None:
        self._scope, self._store = scope, Store(scope.environment, scope.spec.name)
        self._tables = dict(build.tables_of(scope.environment.root, scope.spec))
        self._manifests = {
            manifest.name: (folder, manifest)
            for folder in (LANDING, f"archive/{MANIFESTS}")
            for manifest in self._store.manifests(folder)
        }
        self.left, self.unread = Counts(), list[str]()

    def erase(self, remembered: dict[str, Any]) -> Counts:
        """Erase in every file; `remembered` are the states of sources, as the destination still has them."""
        counts = {PLACE_OF_STATES: self._forget(remembered)}
        with self._scratch() as scratch:
            for folder in self._folders():
                if self._scope.act:
                    self._store.sweep(folder)
                for name in self._store.names(folder):
                    place = f"raw rows in {folder}"
                    counts[place] = counts.get(place, 0) + self._clean(folder, name, scratch)
                    self._rename(folder, name)
        return {place: count for place, count in counts.items() if count}

    def _folders(self) -> list[str]:
        archived = [f"archive/{name}" for name in self._store.folders("archive") if name != MANIFESTS]
        return [LANDING, *archived, REJECTED]

    def _forget(self, remembered: dict[str, Any]) -> int:
        """Take the value's cursors and claims out of manifests, newest first: each tells by a digest where it began."""
        newest_first = sorted(self._manifests.values(), key=lambda found: found[1].key, reverse=True)
        states = [*remembered.values(), *(manifest.state for _, manifest in newest_first if manifest.state)]
        cleaned = [(state, without(state, self._scope.sought)) for state in states]
        renamed = {
            before: after
            for old, new in cleaned
            for before, after in zip(self._digests(old), self._digests(new), strict=True)
        }
        changed = 0
        for folder, manifest in newest_first:
            begun = {name: renamed.get(digest, digest) for name, digest in manifest.begun.items()}
            state = manifest.state and without(manifest.state, self._scope.sought)
            claims = [
                claim for claim in manifest.claims if not self._scope.sought.stands_in(json.dumps(claim, default=str))
            ]
            if (state, begun, claims) != (manifest.state, manifest.begun, manifest.claims):
                changed += (state, claims) != (manifest.state, manifest.claims)
                self._commit(folder, replace(manifest, state=state, begun=begun, claims=claims))
        return changed

    def _digests(self, state: Any) -> list[str]:
        return list(digests(state, self._tables).values())

    def _commit(self, folder: str, manifest: Manifest) -> None:
        if self._scope.act:
            self._store.commit(manifest, folder)
            self._manifests[manifest.name] = (folder, manifest)

    def _clean(self, folder: str, name: str, scratch: Path) -> int:
        """Leave out what is about the value; how many rows that are."""
        if name in self._manifests:
            return 0
        with self._store.local(self._store.path(folder, name), scratch) as here:
            if name.endswith(WHY):
                return self._scrub(folder, name, here)
            rows = self._rows(folder, name)
            try:
                _copy(here, rows, None)
                if not is_of_rows(name):
                    here.read_text(encoding="utf-8")
            except (OSError, pa.ArrowException, UnicodeDecodeError):
                self.unread.append(self._scope.sought.renamed(f"{folder}/{name}"))
                return 0
            listed = self._listed(name)
            if rows.left:
                self.left[folder] = self.left.get(folder, 0) + rows.left
            if self._scope.act and (rows.about or (listed and listed.rows is None)):
                self._put_in_place(folder, name, here, scratch / "new")
            return rows.about

    def _put_in_place(self, folder: str, name: str, here: Path, new: Path) -> None:
        """Swap a file; its manifest does not know its rows while that goes on, lest a kill make the two disagree."""
        self._tell(name, None, None)
        kept = _copy(here, self._rows(folder, name), new)
        with self._store.create(name, folder) as target, new.open("rb") as written:
            shutil.copyfileobj(written, target)
        self._tell(name, kept, new.stat().st_size)

    def _tell(self, name: str, rows: int | None, size: int | None) -> None:
        for folder, manifest in list(self._manifests.values()):
            if name in [file.name for file in manifest.files]:
                files = [replace(f, rows=rows, size=size) if f.name == name else f for f in manifest.files]
                self._commit(folder, replace(manifest, files=files))

    def _listed(self, name: str) -> RawFile | None:
        """A file as its manifest tells of it."""
        files = (file for _, manifest in self._manifests.values() for file in manifest.files)
        return next((file for file in files if file.name == name), None)

    def _rows(self, folder: str, name: str) -> RawRows:
        listed, archived = self._listed(name), folder.removeprefix("archive/")
        if not listed and (stranger := self._stranger(name, archived if archived != folder else None)):
            return stranger
        resource = listed.resource if listed else archived if archived != folder else resource_of(name, self._tables)
        return RawRows(self._scope.subject, self._scope.sought, self._tables.get(resource or ""))

    def _stranger(self, name: str, archived: str | None) -> RawRows | None:
        """The rows of a file of another program, where the source makes them of its lines."""
        file = RawFile(archived or resource_of(name, self._foreign.types) or "", name)
        tables, sought = self._foreign.is_of(file), self._scope.sought
        if not tables:
            return None
        is_named = sought.renamed(name) != name
        return RowsOfOthers(
            self._scope.subject, sought, tables, lambda table, line: self._foreign.told(table, file, line), is_named
        )

    @cached_property
    def _foreign(self) -> Strangers:
        root, spec = self._scope.environment.root, self._scope.spec
        return Strangers(root, spec, build.unasked(root, spec))

    def _scrub(self, folder: str, name: str, here: Path) -> int:
        """Overwrite the value where the reason for a rejection quotes it."""
        text = here.read_text(encoding="utf-8", errors="replace")
        if not self._scope.sought.stands_in(text):
            return 0
        if self._scope.act:
            with self._store.create(name, folder) as file:
                file.write(json.dumps(self._scope.sought.scrubbed_document(json.loads(text)), indent=2).encode())
        return 1

    def _rename(self, folder: str, name: str) -> None:
        new = self._scope.sought.renamed(name)
        if new != name and self._scope.act:
            self._store.rename(folder, name, new)

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A folder for copies; one that a kill leaves is removed by whatever comes next, see `resume.clear`."""
        home = self._scope.environment.state_dir / "scratch"
        home.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="raw-", dir=home) as folder:
            mine = Path(folder) / self._scope.spec.name
            mine.mkdir()
            yield mine


def _copy(file: Path, rows: RawRows, new: Path | None) -> int:
    """Read a file and write what is kept of it in the same form, unless it is only to be counted; the rows kept."""
    with file.open("rb") as start:
        magic = start.read(4)
    return _copy_tables(file, rows, new) if magic == b"PAR1" else _copy_lines(file, rows, new, _packing(magic))


def _copy_tables(file: Path, rows: RawRows, new: Path | None) -> int:
    kept = 0
    with pq.ParquetFile(file) as source:
        writer = pq.ParquetWriter(new, source.schema_arrow, compression="zstd") if new else None
        for batch in source.iter_batches(ROWS_AT_ONCE):
            table = rows.table(pa.Table.from_batches([batch]))
            kept += table.num_rows
            if writer:
                writer.write_table(table)
        if writer:
            writer.close()
    return kept


def _copy_lines(file: Path, rows: RawRows, new: Path | None, packing: str | None) -> int:
    kept, target = 0, str(new or os.devnull)
    with (
        pa.input_stream(str(file), compression=packing) as stream,
        pa.output_stream(target, compression=packing if new else None) as out,
    ):
        for line in io.BufferedReader(stream):
            text = line.strip(b"\r\n")
            left = (rows.line(text) if text else None) or b""
            kept += bool(left)
            out.write(left + b"\n")  # a line that goes stays as a blank one: quarantine tells of others by their number
    return kept


def _packing(magic: bytes) -> str | None:
    return next((name for name, begin in PACKED.items() if begin.match(magic)), None)
