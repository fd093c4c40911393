"""Where the raw files of a spec lie: `landing/`, `archive/` and `rejected/` under the environment's landing."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import IO, Any

from ulid import ULID

from pipelines import buckets
from pipelines.environment import LANDING, Environment
from pipelines.errors import SettingError
from pipelines.landing.manifest import ENDING, ROWS, Manifest, RawFile, filed, in_order, stem_of

MANIFESTS = "_manifests"
PART = ".part"
REJECTED = "rejected"
WHY = ".error.json"
SIGN = ".landing"
SIGNED = "Tells these raw files from those of another landing; it goes where they go.\n"
BLOCK = 1 << 20
LONGEST = 255 - len(WHY) - len(".999")  # bytes of a rejected file's name; with its reason's ending 255
MOVES = {"file": ("mv", ""), "gs": ("gcloud storage mv", "gs://")}  # by protocol: the command, and how places begin


class Store:
    """The raw files of one spec. On a local folder a file is written beside its name; elsewhere it is there at once."""

    def __init__(self, environment: Environment, spec: str, url: str | None = None) -> None:
        if LANDING not in environment.destinations() and url is None:
            raise SettingError(
                f"destinations.toml: {environment.name} has no [{environment.name}.{LANDING}], where raw files would "
                "lie; add it with destination_type = 'filesystem' and bucket_url"
            )
        self.spec = spec
        self.filesystem, folder = buckets.at(environment, url) if url is not None else buckets.opened(LANDING)
        self.home = f"{folder}/{spec}"
        self.is_local = "file" in self._protocols

    @property
    def _protocols(self) -> tuple[str, ...]:
        protocol: Any = self.filesystem.protocol
        return (protocol,) if isinstance(protocol, str) else tuple(protocol)

    def path(self, folder: str, name: str) -> str:
        return f"{self.home}/{folder}/{name}"

    # -- writing

    @contextmanager
    def create(self, name: str, folder: str = LANDING) -> Iterator[IO[bytes]]:
        """A file of the landing, new or in place of one, which nobody sees before the block has ended well."""
        path = self.path(folder, name)
        if self.is_local:
            self.filesystem.makedirs(f"{self.home}/{folder}", exist_ok=True)
        file = self.filesystem.open(f"{path}{PART}" if self.is_local else path, "wb")
        try:
            yield file
        except BaseException:
            self._drop(file, path)
            raise
        file.close()
        if self.is_local:
            self._rename(f"{path}{PART}", path)

    def _drop(self, file: Any, path: str) -> None:
        if self.is_local:
            file.close()
            self.filesystem.rm_file(f"{path}{PART}")
        else:
            file.discard()
            file.closed = True

    def sweep(self, folder: str = LANDING) -> None:
        """Remove what somebody who died was writing."""
        for name in self._list(folder, "file") if self.is_local else ():
            if name.endswith(PART):
                self.filesystem.rm_file(self.path(folder, name))

    def size(self, name: str) -> int:
        """Bytes of a file of the landing."""
        return int(self.filesystem.size(self.path(LANDING, name)))

    def commit(self, manifest: Manifest, folder: str = LANDING) -> None:
        """Write a manifest, by which all its files are fetched."""
        with self.create(manifest.name, folder) as file:
            file.write(manifest.as_text().encode())

    # -- reading

    def names(self, folder: str = LANDING) -> list[str]:
        """The files of a folder, in the order of their names; what is being written has none yet."""
        names = self._list(folder, "file")
        return [name for name in names if not name.startswith(".") and not name.endswith(PART)]

    def folders(self, folder: str) -> list[str]:
        """The folders in a folder."""
        return self._list(folder, "directory")

    def _list(self, folder: str, kind: str) -> list[str]:
        place = f"{self.home}/{folder}"
        self.filesystem.invalidate_cache()
        try:
            found = self.filesystem.ls(place, detail=True)
        except FileNotFoundError:
            return []
        names = (entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in found if entry["type"] == kind)
        return sorted(name for name in names if name != place.rsplit("/", 1)[-1] or kind == "directory")

    def manifests(self, folder: str = LANDING, names: Sequence[str] | None = None) -> list[Manifest]:
        """The manifests of a folder, or of those in it, in the order of their fetches."""
        mine = [name for name in (self.names(folder) if names is None else names) if name.endswith(ENDING)]
        return in_order(Manifest.of_text(name, self.read(folder, name)) for name in mine)

    def read(self, folder: str, name: str) -> bytes:
        """A small file, whole."""
        content: bytes = self.filesystem.cat_file(self.path(folder, name))
        return content

    def modified(self, folder: str, name: str) -> datetime:
        """When a file was written."""
        moment: datetime = self.filesystem.modified(self.path(folder, name))
        return moment

    def mark(self, name: str) -> str:
        """What tells a file of the landing from another of its name, whoever touches or copies it."""
        with self.filesystem.open(self.path(LANDING, name), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @contextmanager
    def local(self, path: str, scratch: Path) -> Iterator[Path]:
        """A file as one of this machine."""
        if self.is_local:
            yield Path(path)
            return
        scratch.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="raw-", dir=scratch) as folder:
            copied = Path(folder) / path.rsplit("/", 1)[-1]
            self.filesystem.get_file(path, str(copied))
            yield copied

    def signs(self) -> list[str]:
        """What tells this landing from others: a file of its archive; several where archives were put together."""
        return [name for name in self.names("archive") if name.endswith(SIGN)]

    def signed(self) -> dict[str, str]:
        """The signs of this landing, which is given one where it has none, each with where it is."""
        place = f"{socket.gethostname()}:{self.home}" if self.is_local else self.home
        return dict.fromkeys(self.signs() or [self._sign()], place)

    def _sign(self) -> str:
        self.sweep("archive")
        name = f"{ULID()}{SIGN}"
        with self.create(name, "archive") as file:
            file.write(SIGNED.encode())
        return name

    # -- moving

    def is_archived(self, file: RawFile) -> bool:
        """Whether the archive has a file of the landing already."""
        path = self.path(f"archive/{filed(file.resource)}", file.name)
        return self.filesystem.exists(path) and self._are_same(path, self.path(LANDING, file.name))

    def archive(self, file: RawFile) -> str:
        """Put a file away that is loaded."""
        return self._move(file.name, f"archive/{filed(file.resource)}")

    def archive_manifest(self, manifest: Manifest) -> None:
        """Put a manifest away whose files are."""
        self._move(manifest.name, f"archive/{MANIFESTS}")

    def reject(self, name: str, reason: dict[str, Any], again: str | None = None) -> None:
        """Put a file aside that cannot be read, with the reason beside it.

        `again` is the environment in which a person loads it, once it is mended and lies in the landing again.
        """
        moved = self._move(name, REJECTED, new=_with_room(shown(name)))
        retry = {"retry_command": self._put_back(moved, again)} if again else {}
        told = {"file": shown(name), **reason, **retry, "rejected_at": datetime.now(UTC).isoformat(timespec="seconds")}
        self.filesystem.pipe_file(self.path(REJECTED, f"{moved}{WHY}"), json.dumps(told, indent=2).encode())

    def forget_reasons(self) -> None:
        """Delete the reasons for rejected files that a person has taken away, perhaps into the landing again."""
        names = set(self.names(REJECTED))
        for name in names:
            is_reason = name.endswith(WHY) and f"{name}{WHY}" not in names
            if is_reason and name.removesuffix(WHY) not in names:
                self.remove(REJECTED, name)

    def _put_back(self, name: str, environment: str) -> str:
        ingest = f"etl ingest {self.spec} --env {environment}"
        for protocol in MOVES.keys() & set(self._protocols):
            move, begin = MOVES[protocol]
            places = (quote(begin + self.path(folder, name)) for folder in (REJECTED, LANDING))
            return f"{move} {' '.join(places)} && {ingest}"
        return ingest

    def remove(self, folder: str, name: str) -> None:
        """Delete a file."""
        self.filesystem.rm_file(self.path(folder, name))

    def rename(self, folder: str, name: str, new: str) -> None:
        """Give a file another name, or one like it where that is taken."""
        self._move(name, folder, folder, new)

    def _move(self, name: str, folder: str, start: str = LANDING, new: str | None = None) -> str:
        """Move a file without ever replacing another; the name it then has."""
        source, wanted = self.path(start, name), new or name
        if self.is_local:
            self.filesystem.makedirs(f"{self.home}/{folder}", exist_ok=True)
        target, number = wanted, 1
        while self.filesystem.exists(path := self.path(folder, target)):
            if self._are_same(path, source):  # a move that was cut off after its copy
                self.filesystem.rm_file(source)
                return target
            number += 1
            target = _numbered(wanted, number)
        self._rename(source, path)
        return target

    def _rename(self, source: str, path: str) -> None:
        if self.is_local:
            self.filesystem.mv(source, path)
        else:
            self.filesystem.cp_file(source, path)
            self.filesystem.rm_file(source)

    def _are_same(self, one: str, other: str) -> bool:
        if self.filesystem.size(one) != self.filesystem.size(other):
            return False
        with self.filesystem.open(one, "rb") as first, self.filesystem.open(other, "rb") as second:
            while block := first.read(BLOCK):
                if block != second.read(BLOCK):
                    return False
        return True


def shown(name: str) -> str:
    """A file's name as a page can show it: what cannot be printed, bytes that are no text too, as Python writes it."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in name)


def _with_room(name: str) -> str:
    """A name to which a reason's ending can be added; what goes is its middle, not its time, type and own ending."""
    text, half = name.encode(), LONGEST // 2
    parts = [text] if len(text) <= LONGEST else [text[:half], text[-half:]]
    return "".join(part.decode(errors="ignore") for part in parts)


def _numbered(name: str, number: int) -> str:
    stem = stem_of(name)
    return f"{stem}.{number}{name.removeprefix(stem)}"


def is_of_rows(name: str) -> bool:
    """Whether a name is one of a file that could hold rows."""
    return name.endswith(ROWS)


def strangers(names: list[str], manifests: list[Manifest]) -> list[str]:
    """The files that no manifest names."""
    ours = {file.name for manifest in manifests for file in manifest.files}
    return [name for name in names if name not in ours and not name.endswith(ENDING)]
