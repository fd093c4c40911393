"""Calls that the vendor keeps under a tag: `POST /task/sync/`, as its own connector uses it.

The vendor remembers under the tag what it has handed out, whether or not that was loaded: what a run that died had
been given comes again only under another tag. `POST /task/query`, which is read without a tag, has no such hole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dlt

from sources.kit import notices
from sources.kit.errors import BadSetting
from sources.spinoco.tables import milliseconds
from sources.spinoco.upstream import Row, Upstream

LONGEST_TAG = 64  # bytes
SKILL = re.compile(r".{1,4}")
HASHTAG = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}(:.*)?", re.I)
NAMES = "{{due_date|yyyy}}/{{due_date|MM}}/{{due_date|dd}}/{{due_date|yyyyMMddHHmmss}}-{{task_id}}"  # the connector's
NO_SKILL = "is no skill; use its id of 1 to 4 characters"
NO_HASHTAG = "is no hashtag; use its id, a UUID of type 1, and perhaps :value"
READERS = ("calls", "call_recordings", "transcripts")
AT_ONCE = 50

Filters = dict[str, list[str] | None]


@dataclass
class Tagged:
    """The calls kept under a tag that pass its filters; who reads one takes it from a list of its own."""

    upstream: Upstream
    query: Row
    _handed_out: bool = field(default=False, init=False)

    def batches(self, again: Iterable[str]) -> Iterator[list[Any]]:
        """Tasks that the resource which reads has not been given or wants again, and notices about those gone."""
        owed: dict[str, list[str]] = dlt.current.source_state().setdefault("owed", {})
        if not self._handed_out:
            self._handed_out = True
            for guid in self._guids():
                for reader in READERS:
                    owed.setdefault(reader, []).append(guid)
        mine = owed.setdefault(dlt.current.resource_name(), [])
        mine += again
        while mine:
            yield [self._task(guid) for guid in mine[:AT_ONCE]]
            del mine[:AT_ONCE]

    def _guids(self) -> Iterator[str]:
        for page in self.upstream.synced_pages(self.query):
            yield from (str(told["taskId"]) for told in page.tasks if isinstance(told, dict) and "taskId" in told)

    def _task(self, guid: str) -> Row:
        found = self.upstream.task(guid)
        return found or notices.failed(guid, "the vendor names it under the tag and does not have it (404)")


def tagged(upstream: Upstream, tag: str | None, since: datetime | None, filters: Filters) -> Tagged | None:
    """The calls kept under a tag, if there is one; BadSetting for what the vendor would drop without a word.

    It heeds `since` and the filters when the tag is new.
    """
    given = {name: values or [] for name, values in filters.items()}
    if tag is None:
        if any(given.values()):
            raise BadSetting("spinoco: skills_… and hash_tags_… narrow what is kept under a tag; give tag, e.g. etl")
        return None
    if not 0 < len(tag.encode()) <= LONGEST_TAG:
        raise BadSetting(f"spinoco: tag: has {len(tag.encode())} bytes; use 1 to {LONGEST_TAG}")
    for name, values in given.items():
        _check(name, values)
    start = {"startFrom": str(milliseconds(since))} if since else {}
    query = {"tag": tag, "get": ["Recordings"], "delete": [], "fileNameTemplate": NAMES, **start, **given}
    return Tagged(upstream, query)


def _check(name: str, values: list[str]) -> None:
    form, what = (SKILL, NO_SKILL) if name.startswith("skills") else (HASHTAG, NO_HASHTAG)
    for value in values:
        if not form.fullmatch(value):
            raise BadSetting(f"spinoco: {name}: {value!r} {what}")
