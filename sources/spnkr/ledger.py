"""What is known of each part of each match, so that a run asks for what is missing and for nothing else.

A part (`stats`, `skill`, `film`, or `names` of who played) of a match is pending, absent (not there within `PATIENCE`),
gone (410), unreadable by this version of the reader, or was read by runs, whose numbers are kept. Each table keeps the
numbers of the runs that it took part in: one that is enabled later, was left out of a run, or lost its raw file, lacks
what those read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

Memory = dict[str, Any]

PARTS = ("stats", "skill", "film", "names")
UNKNOWN, PENDING, ABSENT, GONE, UNREADABLE = "-", "p", "a", "g", "u"
PATIENCE = timedelta(days=3)  # within which a 404 says that something is not ready, not that it is not there
SHORT = 18  # characters of a match's id that are kept: 60 random bits


@dataclass(frozen=True)
class Match:
    """A match that somebody's history lists."""

    match_id: str
    ended: datetime | None
    has_playlist: bool
    players: tuple[str, ...] = ()

    def is_fresh(self, now: datetime) -> bool:
        """Whether what is not there may still come."""
        return self.ended is None or now - self.ended < PATIENCE

    def content(self) -> Memory:
        """The match as JSON."""
        ended = self.ended.isoformat() if self.ended else None
        return {"ended": ended, "has_playlist": self.has_playlist, "players": list(self.players)}

    @classmethod
    def of(cls, match_id: str, content: Memory) -> Match:
        """The match that `content` made."""
        ended = datetime.fromisoformat(content["ended"]) if content["ended"] else None
        return cls(match_id, ended, content["has_playlist"], tuple(content["players"]))


class Ledger:
    """The memory of a source; `tables` are those that run, with their own memories, by the part they are made of."""

    def __init__(self, memory: Memory, tables: Mapping[str, Mapping[str, Memory]], reader: str) -> None:
        self._memory, self._reader = memory, f"{UNREADABLE}{reader}"
        self._tables = {part: dict(tables.get(part, {})) for part in PARTS}
        self._known: dict[str, str] = memory.setdefault("matches", {})
        self._waiting: dict[str, Memory] = memory.setdefault("waiting", {})
        self._had: dict[tuple[str, str], bool] = {}
        self._run = memory.get("run", 0) + 1
        self._used = False

    @property
    def parts(self) -> list[str]:
        """The parts that some table of this run is made of."""
        return [part for part in PARTS if self._tables[part]]

    @property
    def is_level(self) -> bool:
        """Whether no table of this run lacks what others have."""
        fields = {
            (part, field)
            for entry in set(self._known.values())
            for part, field in zip(PARTS, entry.split(), strict=True)
        }
        return all(self._have(part, field) for part, field in fields if field not in (UNKNOWN, PENDING))

    def knows(self, match_id: str) -> bool:
        """Whether a match was ever asked about."""
        return match_id[:SHORT] in self._known

    def wanted(self, match_id: str) -> list[str]:
        """The parts of a match that tables of this run lack."""
        fields = zip(PARTS, self._fields(match_id), strict=True)
        return [part for part, field in fields if not self._have(part, field)]

    def waiting(self) -> Iterator[Match]:
        """Matches of which a part was asked for and was not there yet."""
        for match_id, content in self._waiting.items():
            if self.wanted(match_id):
                yield Match.of(match_id, content)

    def read(self, match: Match, part: str) -> None:
        """Note that a part is in the tables of this run."""
        field = self._fields(match.match_id)[PARTS.index(part)]
        runs = field.split(",") if field[0].isdigit() else []
        self._note(match, part, ",".join([*runs, str(self._run)]))

    def note(self, match: Match, part: str, status: str) -> bool:
        """Note that a part is pending, absent, gone or unreadable; whether that is news."""
        field = self._reader if status == UNREADABLE else status
        known = self._fields(match.match_id)[PARTS.index(part)]
        self._note(match, part, field)
        return known != field

    def close(self) -> None:
        """Let the tables of this run have what it has read."""
        if self._used:
            self._memory["run"] = self._run
            for memory in {id(m): m for tables in self._tables.values() for m in tables.values()}.values():
                _add(memory.setdefault("runs", []), self._run)

    def _note(self, match: Match, part: str, field: str) -> None:
        fields = self._fields(match.match_id)
        fields[PARTS.index(part)] = field
        self._known[match.match_id[:SHORT]] = " ".join(fields)
        self._used = self._used or field[0].isdigit()
        if PENDING in fields:
            self._waiting[match.match_id] = match.content()
        else:
            self._waiting.pop(match.match_id, None)

    def _fields(self, match_id: str) -> list[str]:
        entry = self._known.get(match_id[:SHORT])
        return entry.split() if entry else [UNKNOWN] * len(PARTS)

    def _have(self, part: str, field: str) -> bool:
        """Whether all tables of a part that run have what the field tells of."""
        if (part, field) not in self._had:
            final = field in (ABSENT, GONE, self._reader)
            self._had[part, field] = final or not self._tables[part] or self._took_part(part, field)
        return self._had[part, field]

    def _took_part(self, part: str, field: str) -> bool:
        if not field[0].isdigit():
            return False
        runs = [int(run) for run in field.split(",")]
        spans = [memory.get("runs", []) for memory in self._tables[part].values()]
        return self._run in runs or all(_meet(runs, of_table) for of_table in spans)


def _meet(runs: list[int], spans: list[list[int]]) -> bool:
    return any(first <= run <= last for run in runs for first, last in spans)


def _add(spans: list[list[int]], run: int) -> None:
    """Add a number to spans of numbers."""
    if spans and spans[-1][1] == run - 1:
        spans[-1][1] = run
    else:
        spans.append([run, run])
