"""What one fetch left: its files, what it found empty, and the cursor after it; and the names of raw files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from dlt.common.json import custom_pua_decode_nested
from dlt.common.json import json as dlt_json

from pipelines.errors import EtlError

SCHEMA = "etl.landing.v1"
ENDING = ".manifest.json"
ROWS = (".jsonl.zst", ".jsonl.gz", ".jsonl", ".parquet")
MINUTE = "%Y_%m_%d_%H_%M"
BEGIN = re.compile(r"(\d{4})_(\d\d)_(\d\d)(?:_(\d\d)_(\d\d))?(?=_)")
NUMBER = re.compile(r"\.\d+$")  # of a file whose name was taken
ULID = r"[0-7][0-9A-HJKMNP-TV-Z]{25}"
State = dict[str, Any]
Refresh = Literal["drop_sources", "drop_resources"]  # what of the tables is dropped and read again


@dataclass(frozen=True)
class RawFile:
    """One file of rows; `rows` and `size` (bytes) are unknown of one that nobody of us wrote.

    `resource`: of a stranger's file its type, which may fill other tables, or several.
    `typed`: values that JSON has not stand in it in dlt's encoding.
    """

    resource: str
    name: str
    rows: int | None = None
    size: int | None = None
    typed: bool = False


@dataclass(frozen=True)
class Manifest:
    """One fetch. `state` is the source's after it, None where the cursor was frozen; `begun` tells where it began.

    `begun` has a digest of the state of each resource, and under "" that of the source itself. `claims` are the rows of
    `_etl.coverage` that are due once it is loaded. `tables` are the resources whose table is to be there without rows.
    """

    name: str
    spec: str
    run_id: str
    fetched_at: str
    resources: list[str]
    files: list[RawFile]
    window: str | None = None
    limit: int | None = None
    refresh: Refresh | None = None
    state: State | None = None
    begun: dict[str, str] = field(default_factory=dict)
    claims: list[dict[str, Any]] = field(default_factory=list)
    version: str = ""
    tables: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others."""
        return (self.fetched_at, self.name)

    @property
    def note(self) -> str:
        """By what it is known to be loaded; another file of a stranger's name is not."""
        return f"{self.name} {self.run_id}" if self.is_foreign else self.name

    @property
    def is_foreign(self) -> bool:
        """Whether it stands for a file that no fetch of ours left."""
        return not self.name.endswith(ENDING)

    def as_text(self) -> str:
        content = {"schema": SCHEMA, **asdict(self)}
        told = {key: value for key, value in content.items() if value is not None}
        return json.dumps(json.loads(dlt_json.typed_dumps(told)), indent=2) + "\n"

    @classmethod
    def of_text(cls, name: str, text: bytes) -> Manifest:
        """The manifest of a file; EtlError where it is none."""
        try:
            content = custom_pua_decode_nested(json.loads(text))  # dlt keeps moments and the like apart from texts
            if content.pop("schema") != SCHEMA:
                raise EtlError(f"{name}: was written by a newer version; update etl and run again")
            content["files"] = [RawFile(**file) for file in content["files"]]
            return cls(**{**content, "name": name})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise EtlError(f"{name}: is no manifest of raw files; move it away and fetch again") from error

    def files_of(self, resource: str) -> list[RawFile]:
        """The files that a resource has its rows from; a stranger's has some for all that it fills."""
        return [file for file in self.files if self.is_foreign or file.resource == resource]

    @classmethod
    def foreign(cls, spec: str, file: RawFile, mark: str, resources: Sequence[str] = ()) -> Manifest:
        """What stands for a file that somebody put there; `mark` tells it from others of its name."""
        return cls(file.name, spec, mark, moment(file.name), list(resources) or [file.resource], [file])


def in_order(manifests: Iterable[Manifest]) -> list[Manifest]:
    """The oldest fetch first; of strangers' files of one name, which the archive has numbered, too."""
    return sorted(manifests, key=_place)


def digests(state: State, resources: Iterable[str]) -> dict[str, str]:
    """Where a fetch begins, or what a load would go on from: a digest per resource, and the source's under ""."""
    own = {key: value for key, value in state.items() if key != "resources"}
    entries = state.get("resources", {})
    return {"": _digest(own), **{name: _digest(entries.get(name, {})) for name in resources}}


def named(at: datetime, *parts: str) -> str:
    """`2026_01_31_09_05_chess_games_<run id>`."""
    return "_".join((at.astimezone(UTC).strftime(MINUTE), *parts))


def filed(resource: str) -> str:
    """A resource's name as a part of a path."""
    return resource.replace("/", "%2F")


def moment(name: str) -> str:
    """The moment that a file's name begins with, like `fetched_at`; before all others where it has none."""
    found = BEGIN.match(name)
    if not found:
        return ""
    year, month, day, hour, minute = (part or "00" for part in found.groups())
    return f"{year}-{month}-{day}T{hour}:{minute}"


def resource_of(name: str, known: Iterable[str]) -> str | None:
    """The resource that a file belongs to: the longest known name that its stem ends with, else that stands in it."""
    stem = NUMBER.sub("", f"_{stem_of(name)}")
    longest = sorted(known, key=len, reverse=True)
    ending = (resource for resource in longest if stem.endswith(f"_{resource}"))
    inside = (resource for resource in longest if f"_{resource}_" in stem)
    return next(ending, None) or next(inside, None)


def stem_of(name: str) -> str:
    """A file's name without its ending."""
    return next((name.removesuffix(ending) for ending in ROWS if name.endswith(ending)), name)


def was_cut_off(name: str, spec: str, runs: Collection[str] = ()) -> bool:
    """Whether a file without a manifest is one of a fetch of ours, which then died."""
    run = "|".join([ULID, *map(re.escape, runs)])
    ours = rf"\d{{4}}(?:_\d\d){{4}}_{re.escape(spec)}_.+_(?:{run})(?:\.\d+)?"
    return re.fullmatch(ours, stem_of(name)) is not None


def _place(manifest: Manifest) -> tuple[str, str, int]:
    stem = stem_of(manifest.name)
    number = NUMBER.search(stem)
    return manifest.fetched_at, NUMBER.sub("", stem), int(number[0][1:]) if number else 1


def _digest(value: Any) -> str:
    return hashlib.sha256(dlt_json.typed_dumps(value, sort_keys=True).encode()).hexdigest()[:16]
