"""What the older program has kept of the recordings it fetched: `state/processed.sqlite`, audio in folders of runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sources.kit.errors import BadSetting
from sources.kit.files import Kept

VERSION = "1"
FETCHED = """
SELECT spinoco_recording_id, recording_id, size_bytes FROM recordings
WHERE status = 'downloaded' ORDER BY spinoco_recording_id
"""


def kept(records: Path) -> Iterator[Kept]:
    """The recordings it says it fetched; their files are called after the GUID, or `_pNN` in its first versions."""
    try:
        with closing(sqlite3.connect(f"{records.resolve().as_uri()}?mode=ro", uri=True)) as state:
            _check(records, state)
            for guid, recording_id, size in state.execute(FETCHED):
                yield Kept(guid, tuple(dict.fromkeys((f"{guid}.ogg", f"{recording_id}.ogg"))), size)
    except sqlite3.Error as error:
        raise BadSetting(
            f"spinoco: {records.name}: {error}; give the older program's state/processed.sqlite"
        ) from error


def _check(records: Path, state: sqlite3.Connection) -> None:
    found = state.execute("SELECT value FROM schema_meta WHERE key = 'schema_version'").fetchone()
    if found is None or str(found[0]) != VERSION:
        what = f"version {found[0]}" if found else "no version"
        raise BadSetting(f"spinoco: {records.name}: has {what}; this program knows version {VERSION} of its records")
