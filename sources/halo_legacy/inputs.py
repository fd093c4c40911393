"""The files that are brought over: what each is, and how it is opened without leaving a trace beside it."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import orjson

from sources.kit.errors import BadSetting, Unreadable
from sources.kit.halo.shape import Row

SQLITE, PARQUET = b"SQLite format 3\x00", b"PAR1"
UNFINISHED = ("-wal", "-journal")  # what a program that still has the database open, or was killed, keeps beside it
BLOCK = 1 << 20


@dataclass(frozen=True)
class Input:
    """One file; it is known by its bytes, wherever it lies and whatever it is called."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def kind(self) -> str:
        """`database`, `parquet` or `json`."""
        with self.path.open("rb") as file:
            start = file.read(len(SQLITE))
        return "database" if start == SQLITE else "parquet" if start.startswith(PARQUET) else "json"

    @cached_property
    def sha256(self) -> str:
        """Of what it holds, and of what of it is still to be written into it."""
        found = hashlib.sha256()
        for path in (self.path, *self.unfinished):
            with path.open("rb") as file:
                while block := file.read(BLOCK):
                    found.update(block)
        return found.hexdigest()

    @property
    def unfinished(self) -> list[Path]:
        """The files beside a database without which it is not whole."""
        beside = [self.path.with_name(f"{self.path.name}{end}") for end in UNFINISHED]
        return [path for path in beside if path.is_file() and path.stat().st_size]


def inputs(paths: list[str]) -> list[Input]:
    """The files that are named, and those of Parquet below a folder; BadSetting where one is not there."""
    found = [file for path in paths for file in _below(Path(path).expanduser())]
    return [Input(path) for path in dict.fromkeys(found)]


@contextmanager
def opened(database: Input) -> Iterator[sqlite3.Connection]:
    """A database to read. Neither it nor what lies beside it is touched: one that is not whole is read from a copy."""
    with tempfile.TemporaryDirectory(prefix="halo-legacy-") as folder:
        path = database.path
        if database.unfinished:
            path = Path(folder) / database.name
            for each in (database.path, *database.unfinished):
                shutil.copy(each, folder)
        how = "mode=rw" if database.unfinished else "mode=ro&immutable=1"
        try:
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True)) as connection:
                connection.text_factory = partial(str, encoding="utf-8", errors="replace")
                connection.create_function("is_json", 1, _is_json, deterministic=True)
                yield connection
        except sqlite3.Error as wrong:
            raise Unreadable(f"is no whole SQLite database: {wrong}; take it from a backup") from wrong


def in_json(row: Mapping[str, Any]) -> Row:
    """A row of a file or table as JSON has it; what has no place there as text."""
    return {name: _in_json(value) for name, value in row.items()}


def _in_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.isoformat() if isinstance(value, date | time) else value


def _is_json(body: bytes | None) -> bool:
    try:
        orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        return False
    return True


def _below(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise BadSetting(f"halo_legacy.files: there is no {path}; name files or folders: --with files=a.db,b.db")
    if path.is_file():
        yield path
        return
    parquet = sorted(path.rglob("*.parquet"))
    if not parquet:
        raise BadSetting(f"halo_legacy.files: no Parquet file is below {path}; name databases one by one")
    yield from parquet
