"""The ids that calls and recordings were loaded with first: they stay, though what they were made of changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import dlt
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable

from sources.spinoco.tables import Row, call_id_of, recordings_of

CALLS, RECORDINGS = "calls", "call_recordings"
GUID = "spinoco_call_guid"


class Known:
    """What the destination knows of some calls; asked once for each batch of them, whichever resource comes first."""

    def __init__(self) -> None:
        self._asked: tuple[str, ...] | None = None
        self._calls: dict[str, str] = {}
        self._recordings: dict[str, dict[str, str]] = {}

    def look_up(self, guids: Sequence[str]) -> None:
        """Find the ids of these calls and of their recordings."""
        if tuple(guids) == self._asked:
            return
        self._asked, self._calls, self._recordings = tuple(guids), {}, {}
        for guid, call_id, recording, recording_id in _rows(
            RECORDINGS, guids, "call_id", "spinoco_recording_id", "recording_id"
        ):
            self._calls[guid] = call_id
            self._recordings.setdefault(guid, {})[recording] = recording_id
        self._calls.update(_rows(CALLS, guids, "call_id"))

    def call_id(self, task: Row) -> str | None:
        """The id of a call: the one it has, or one of its own."""
        return self._calls.get(task["id"]) or call_id_of(task)

    def recording_ids(self, task: Row) -> dict[str, str | None]:
        """The ids of a call's recordings: those they have, and for the others the numbers after those."""
        call_id, known = self.call_id(task), self._recordings.get(task["id"], {})
        last = max((int(one.rpartition("_p")[2]) for one in known.values()), default=0)
        fresh = [guid for guid in recordings_of(task) if guid not in known]
        numbered = {guid: call_id and f"{call_id}_p{last + place:02}" for place, guid in enumerate(fresh, 1)}
        return {**known, **numbered}


def _rows(table: str, guids: Sequence[str], *columns: str) -> Iterator[tuple[Any, ...]]:
    """Rows of the destination about these calls; none where this is no run, or the table is not there."""
    try:
        dlt.current.load_package_state()
    except CurrentLoadPackageStateNotAvailable:
        return
    if guids and table in dlt.current.source_schema().data_table_names(seen_data_only=True):
        found = dlt.current.pipeline().dataset().table(table).select(GUID, *columns).where(GUID, "in", list(guids))
        yield from found.fetchall()
