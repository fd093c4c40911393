"""Which tasks a run reads: what has changed since the last one, and calls whose recordings were not there yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import dlt

from sources.spinoco.known import Known
from sources.spinoco.syncing import Tagged
from sources.spinoco.tables import Row, is_number, is_waited_for, milliseconds, recordings_of
from sources.spinoco.upstream import Page, Upstream

MOST_PAGES = 16  # of a batch: they grow, so that a long reading asks the destination seldom and a short one early
DAY = timedelta(days=1)  # what is later than that was not told in milliseconds, or by a clock that is wrong
MILLISECOND = timedelta(milliseconds=1)

Memory = dict[str, Any]


@dataclass
class Reading:
    """The tasks of one run, from `since` on and before `until` by their last update."""

    upstream: Upstream
    since: datetime | None
    until: datetime | None
    overlap: timedelta
    patience: timedelta
    tagged: Tagged | None = None
    known: Known = field(default_factory=Known)

    def batches(self) -> Iterator[list[Any]]:
        """Tasks in order of their last update, then those looked at again; what is no task comes as it is.

        The cursor is that of the resource which reads: it moves over a batch once the batch is taken.
        """
        memory: Memory = dlt.current.resource_state()
        again = memory.pop("again", {})
        if self.tagged:
            yield from map(self._looked_up, self.tagged.batches(again))
            return
        memory.setdefault("waiting", {})
        seen: set[str] = set()
        for pages in _growing(self.upstream.pages(self._start(memory))):
            found = [task for page in pages for task in page.tasks]
            tasks = [task for task in found if not self._is_late(task)]
            news = [task for task in _once(tasks) if _is_news(task, memory)]
            yield self._looked_up(news)
            again = {guid: changed for guid, changed in again.items() if guid not in _guids(news)}
            seen |= _guids(tasks)
            self._move_on(memory, tasks, pages[-1].sent_at)
            if len(tasks) < len(found):
                break
        yield from self._looked_at_again(memory["waiting"], seen, pages[-1].sent_at)
        for guid, changed in again.items():
            yield self._looked_up(self._found(guid, changed))

    def come_again(self, task: Row) -> None:
        """Have the resource which reads get a task in the next run, too."""
        for changed in _changes([task]):
            dlt.current.resource_state().setdefault("again", {})[task["id"]] = changed

    def _found(self, guid: str, changed: int) -> list[Row]:
        """A task that had this last update, if it still has."""
        return [task for task in self.upstream.first_page(changed).tasks if is_task(task) and task["id"] == guid]

    def _start(self, memory: Memory) -> int:
        since = milliseconds(self.since) if self.since else 0
        if "last_update" not in memory:
            return since
        return max(since, int(memory["last_update"]) - self.overlap // MILLISECOND, 0)

    def _is_late(self, task: Any) -> bool:
        """Whether it is behind the window."""
        return self.until is not None and any(changed >= milliseconds(self.until) for changed in _changes([task]))

    def _looked_up(self, tasks: list[Any]) -> list[Any]:
        self.known.look_up(sorted(_guids(tasks)))
        return tasks

    def _move_on(self, memory: Memory, tasks: list[Any], now: datetime) -> None:
        """Remember how far it was read, what stands where the next run begins, and whom to look at again."""
        past = [changed for changed in _changes(tasks) if changed <= milliseconds(now + DAY)]
        last = max([int(memory.get("last_update", 0)), *past])
        recent = memory.get("recent", {}) | {t["id"]: t["lastUpdate"] for t in tasks if is_task(t) and _changes([t])}
        begin = last - self.overlap // MILLISECOND
        memory["last_update"] = last
        memory["recent"] = {guid: changed for guid, changed in recent.items() if changed >= begin}
        for task in filter(is_task, tasks):
            self._wait_for(memory["waiting"], task, now)

    def _wait_for(self, waiting: Memory, task: Row, now: datetime) -> None:
        """Keep in mind a call one of whose recordings is not there yet, unless it has not been there for long."""
        young = any(milliseconds(now - self.patience) <= changed for changed in _changes([task]))
        if young and is_waited_for(task):
            waiting[task["id"]] = {"at": task["lastUpdate"], "asked": milliseconds(now), "missing": _missing(task)}
        else:
            waiting.pop(task["id"], None)

    def _looked_at_again(self, waiting: Memory, seen: set[str], now: datetime) -> Iterator[list[Any]]:
        """Calls whose recordings have come or gone though nothing says that they changed."""
        met: dict[str, Row] = {}
        for guid, entry in sorted(waiting.items(), key=lambda item: int(item[1]["at"])):
            if guid in seen or not _is_due(entry, milliseconds(now)):
                continue
            if guid not in met:
                met |= {task["id"]: task for task in self.upstream.first_page(entry["at"]).tasks if is_task(task)}
            task = met.get(guid, {})
            if task and _missing(task) != entry["missing"]:
                yield self._looked_up([task])
            self._wait_for(waiting, {"id": guid, "lastUpdate": entry["at"], **task}, now)


def is_task(task: Any) -> bool:
    """Whether it is an object with an id."""
    return isinstance(task, dict) and isinstance(task.get("id"), str)


def _is_news(task: Any, memory: Memory) -> bool:
    """Whether it is not just as it was when it was read last."""
    if not is_task(task) or _changes([task]) != [memory.get("recent", {}).get(task["id"])]:
        return True
    return bool(_missing(task) != memory["waiting"].get(task["id"], {}).get("missing", []))


def _growing(pages: Iterator[Page]) -> Iterator[list[Page]]:
    """One page, then two, four … at once."""
    size, batch = 1, list[Page]()
    for page in pages:
        batch.append(page)
        if len(batch) == size:
            yield batch
            size, batch = min(2 * size, MOST_PAGES), []
    if batch:
        yield batch


def _once(tasks: list[Any]) -> list[Any]:
    """Each task as it came last, and what is none."""
    last = {task["id"]: task for task in tasks if is_task(task)}
    return [*last.values(), *(task for task in tasks if not is_task(task))]


def _guids(tasks: list[Any]) -> set[str]:
    return {task["id"] for task in tasks if is_task(task)}


def _changes(tasks: list[Any]) -> list[int]:
    """The last updates of tasks, as far as they can be read."""
    return [int(task["lastUpdate"]) for task in tasks if is_task(task) and is_number(task.get("lastUpdate"))]


def _missing(task: Row) -> list[str]:
    return [guid for guid, told in recordings_of(task).items() if told.get("available") is not True]


def _is_due(entry: Memory, now: int) -> bool:
    """Whether it has been left alone for half as long as it had been waited for when it was asked for last."""
    return bool(now - entry["asked"] >= (entry["asked"] - entry["at"]) / 2)
