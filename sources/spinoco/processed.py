"""The state of the older Spinoco program, `processed.sqlite`: which recordings it has downloaded."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sources.kit.errors import BadSetting
from sources.kit.files import Kept

VERSION = "1"
DOWNLOADED = """
SELECT spinoco_recording_id, recording_id, size_bytes FROM recordings WHERE status = 'downloaded'
ORDER BY recording_date_ms, spinoco_recording_id
"""


def kept(path: Path) -> Iterator[Kept]:
    """Its downloads; their files are called after the recording, by its number in the call or by its GUID."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as state:
            found = state.execute("SELECT value FROM schema_meta WHERE key = 'schema_version'").fetchone()
            if found is None or str(found[0]) != VERSION:
                raise BadSetting(
                    f"{path}: is of version {found and found[0]}, {VERSION} is known; look for another one"
                )
            rows = state.execute(DOWNLOADED).fetchall()
    except sqlite3.Error as wrong:
        raise BadSetting(f"{path}: is no processed.sqlite of Spinoco: {wrong}; name that file") from wrong
    for guid, number, size in rows:
        yield Kept(guid, tuple(dict.fromkeys(f"{name}.ogg" for name in (guid, number) if name)), size)
