"""The Extended Streaming History that Spotify sends on request: a folder, or the zip file as it came.

Its files are told by their names, in any folder (`Streaming_History_Audio_2019-2021_3.json`, once `endsong_3.json`).
A file that was loaded is known by its content and not loaded again; one that cannot be read is tried next time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError

import orjson

from sources.kit import notices
from sources.kit.errors import BadSetting
from sources.spotify.tables import UNKNOWN, Row
from sources.spotify.upstream import Memory

NAME = re.compile(r"(Streaming_History_.*|endsong_\d+|endvideo_?\d*)\.json")
URIS = ("spotify_track_uri", "spotify_episode_uri", "audiobook_chapter_uri", "audiobook_uri")
ROWS_AT_ONCE = 5000
NO_LIST = "is no list of plays; ask Spotify for the extended streaming history, not the account data"

File = tuple[str, Callable[[], bytes]]


def plays(path: str, account: str, memory: Memory) -> Iterator[Any]:
    """The plays of every file that is not known yet, and a notice for each that cannot be read."""
    done = memory.setdefault("files", {})
    with _files(path) as files:
        for name, read in files:
            try:
                content = read()
                digest = sha256(content).hexdigest()
                if digest in done:
                    continue
                rows = iter(_listed(content))
            except (OSError, ValueError, RuntimeError, BadZipFile, ZlibError) as problem:  # Runtime: it is encrypted
                yield notices.failed(name, f"cannot be read: {problem}; take it out of the export again")
                continue
            while some := list(islice(rows, ROWS_AT_ONCE)):
                yield [told(play, account, name) for play in some]
            done[digest] = name


def told(play: Any, account: str, name: str) -> Row:
    """A play of the export as a row; what is none goes to quarantine with its file."""
    if not isinstance(play, dict):
        return notices.rejected({"value": play}, "is no play", name)
    uri = next((play[key] for key in URIS if play.get(key)), UNKNOWN)
    return {"account": account, "item_uri": uri, **play, "started_at": _started(play), "source_file": name}


def _started(play: Row) -> str | None:
    try:
        ended = datetime.fromisoformat(play["ts"])
        return (ended - timedelta(milliseconds=play["ms_played"])).isoformat().replace("+00:00", "Z")
    except (KeyError, TypeError, ValueError, OverflowError):
        return None  # what is wrong with the play is said of the columns themselves


def _listed(content: bytes) -> list[Any]:
    found = orjson.loads(content)
    if not isinstance(found, list):
        raise ValueError(NO_LIST)
    return found


@contextmanager
def _files(path: str) -> Iterator[list[File]]:
    """The files of an export by name; BadSetting when there is none."""
    place = Path(path).expanduser()
    if place.is_dir():
        files = [file for file in sorted(place.rglob("*.json")) if NAME.fullmatch(file.name)]
        yield _some([(file.relative_to(place).as_posix(), file.read_bytes) for file in files], path)
        return
    try:
        with ZipFile(place) as archive:
            names = [name for name in sorted(archive.namelist()) if NAME.fullmatch(name.rpartition("/")[2])]
            yield _some([(name, _reader(archive, name)) for name in names], path)
    except (FileNotFoundError, BadZipFile) as problem:
        what = "does not exist" if isinstance(problem, FileNotFoundError) else "is no folder and no zip file"
        raise BadSetting(f"spotify.history_path: {path} {what}; name the export as Spotify sent it") from problem


def _reader(archive: ZipFile, name: str) -> Callable[[], bytes]:
    return lambda: archive.read(name)


def _some(files: list[File], path: str) -> list[File]:
    if not files:
        expected = "no Streaming_History_*.json in it; name the extended streaming history"
        raise BadSetting(f"spotify.history_path: {path}: {expected}")
    return files
