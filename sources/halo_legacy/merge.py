"""Several inputs as one: which of them speaks for each match, asset and name, and how many of its rows that are.

* A match, an asset, a medal: the first input that has it. A match's skill: the input that knows most persons' (none: it
  is left out). Its events: the input that has most. A name: the time it was seen last. It stands in the history of
  each owner of an input who played.
* A sum of a match (MatchCache, Parquet) counts where no input has the match itself.

Only keys are held; payloads are read, and become rows, some matches at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

import orjson

from sources.halo_legacy import legacy, medals, sums
from sources.halo_legacy.inputs import Input, opened
from sources.halo_legacy.legacy import ALIASES, CACHE, EVENTS, KINDS, SKILL, STATS, Found, Keys
from sources.kit import notices
from sources.kit.errors import Unreadable
from sources.kit.halo.assets import asset_row
from sources.kit.halo.films import event_rows
from sources.kit.halo.matches import listed_row, match_rows
from sources.kit.halo.shape import Row, Rows
from sources.kit.halo.skill import skill_rows
from sources.kit.halo.tables import SKILL as SKILL_TABLES
from sources.kit.halo.tables import STATS as STATS_TABLES

FILLS: dict[str, tuple[str, ...]] = {
    STATS: (*(table.name for table in STATS_TABLES), "match_history", "match_payloads"),
    SKILL: (*(table.name for table in SKILL_TABLES), "match_payloads"),
    EVENTS: ("highlight_events", "aliases", "match_payloads"),
    **dict.fromkeys(KINDS, ("assets",)),
    CACHE: sums.TABLES,
    sums.PARQUET: sums.TABLES,
    ALIASES: ("aliases",),
    sums.JSON: ("aliases",),
    medals.JSON: ("medals", "medal_labels"),
}
SUMS, NAMES = (CACHE, sums.PARQUET), (ALIASES, sums.JSON)
AT_ONCE = 100
KEPT = 2  # readings of so many pieces: the resources go through them side by side


def filled_by(table: str) -> list[str]:
    """The tables of inputs, or their kinds, that have rows for a table."""
    return [found for found, tables in FILLS.items() if table in tables]


@dataclass
class Part:
    """One table of one input, and what of it is taken."""

    input: Input
    table: str
    keys: Keys
    owners: frozenset[str] = frozenset()
    taken: list[Found] = field(default_factory=list)
    empty: int = 0

    @property
    def counts(self) -> Row:
        """What became of each of its rows; `repeated` are those another row speaks for."""
        taken, refused = sum(found.rows for found in self.taken), len(self.keys.keyless)
        return {
            "input_sha256": self.input.sha256,
            "input_table": self.table,
            "input": self.input.name,
            "owners": " ".join(sorted(self.owners)) or None,
            "total": self.keys.rows,
            "taken": taken,
            "repeated": self.keys.rows - taken - self.empty - refused,
            "empty": self.empty,
            "rejected": refused,
        }


@dataclass(frozen=True)
class Piece:
    """Some rows of a part that are read together."""

    part: Part
    number: int
    found: Sequence[Found]
    keyless: Sequence[int]


class Merge:
    """All inputs of a run."""

    def __init__(self, inputs: Sequence[Input], language: str) -> None:
        self._inputs, self._language = inputs, language
        self._read: dict[tuple[int, int], Rows] = {}
        self._failures: list[Row] = []
        self._owners: set[str] = set()

    @cached_property
    def parts(self) -> list[Part]:
        """The tables of all inputs that can be read, and what is taken of each."""
        parts = list(chain.from_iterable(map(self._surveyed, self._inputs)))
        for group in ((STATS,), (SKILL,), (EVENTS,), *((kind,) for kind in KINDS), NAMES, (medals.JSON,)):
            _choose([part for part in parts if part.table in group])
        whole = {found.key[0] for part in parts if part.table == STATS for found in part.taken}
        _choose([part for part in parts if part.table in SUMS], whole)
        return parts

    def pieces(self, table: str) -> Iterator[Piece]:
        """What is to be read for a table of ours."""
        for part in self.parts:
            if table in FILLS[part.table]:
                for number, start in enumerate(range(0, max(len(part.taken), 1), AT_ONCE)):
                    keyless = part.keys.keyless if start == 0 else ()
                    yield Piece(part, number, part.taken[start : start + AT_ONCE], keyless)

    def rows(self, piece: Piece) -> Rows:
        """The rows of a piece, by table of ours."""
        name = (id(piece.part), piece.number)
        if name not in self._read:
            self._read = dict([*self._read.items()][1 - KEPT :]) | {name: self._made(piece)}
        return self._read[name]

    def told(self) -> list[Row]:
        """A notice for each input that cannot be read, once."""
        _ = self.parts
        failures, self._failures = self._failures, []
        return failures

    def _surveyed(self, each: Input) -> list[Part]:
        try:
            if each.kind == "parquet":
                return [Part(each, sums.PARQUET, sums.keys(sums.of_parquet(each)))]
            if each.kind == "json":
                told = sums.document(each)
                if medals.are_in(told):
                    return [Part(each, medals.JSON, medals.keys(told))]
                return [Part(each, sums.JSON, sums.name_keys(sums.of_names(told)))]
            with opened(each) as database:
                there = legacy.tables(database)
                owners = frozenset(legacy.owners(database, each.name))
                self._owners |= owners
                parts = [Part(each, table, legacy.keys(database, table), owners)
                         for table in (STATS, SKILL, EVENTS, *KINDS) if table in there]  # fmt: skip
                for table, keys in ((CACHE, sums.keys), (ALIASES, sums.name_keys)):
                    if table in there:
                        parts.append(Part(each, table, keys(legacy.whole_rows(database, table)), owners))
            if not parts:
                raise Unreadable(
                    f"has none of the tables {', '.join((*legacy.KEYS, EVENTS, CACHE, ALIASES))}; leave it out"
                )
            return parts
        except Unreadable as problem:
            self._failures.append(notices.failed(each.name, str(problem)))
            return []

    def _made(self, piece: Piece) -> Rows:
        table, made = piece.part.table, {name: list[Row]() for name in FILLS[piece.part.table]}
        if table == sums.PARQUET:
            _add(made, _chosen(sums.of_parquet(piece.part.input), piece, sums.rows))
        elif table == sums.JSON:
            _add(made, _chosen(sums.of_names(sums.document(piece.part.input)), piece, sums.name_rows))
        elif table == medals.JSON:
            told = sums.document(piece.part.input)
            _add(made, [medals.rows(told, [one.row for one in piece.found])])
            where = f"{piece.part.input.name}:{table}"
            refused = ((place, told[table][place]) for place in piece.keyless)
            made[table] += [notices.rejected(one, "has no nameId", f"{where}:{place}") for place, one in refused]
        else:
            with opened(piece.part.input) as database:
                if table in (CACHE, ALIASES):
                    of = sums.rows if table == CACHE else sums.name_rows
                    _add(made, _chosen(legacy.whole_rows(database, table), piece, of))
                elif table == EVENTS:
                    for found in piece.found:
                        events = map(orjson.loads, legacy.events(database, found.key[0]))
                        _add(made, [event_rows(found.key[0], events), _kept(found.key[0], "film", None)])
                else:
                    by_row = {found.row: found.key for found in piece.found}
                    bodies = legacy.bodies(database, table, [*by_row])
                    _add(made, (self._of_body(table, by_row[row], body) for row, body in bodies))
                if table not in (CACHE, ALIASES):
                    made[FILLS[table][0]] += list(_refused(database, piece))
        return made

    def _of_body(self, table: str, key: legacy.Key, body: str) -> Rows:
        payload = orjson.loads(body)
        if table == STATS:
            listed = [row for xuid in sorted(self._owners) if (row := listed_row(payload, xuid))]
            return match_rows(payload) | {"match_history": listed} | _kept(key[0], "stats", body)
        if table == SKILL:
            return skill_rows(key[0], payload) | _kept(key[0], "skill", body)
        return {"assets": [asset_row(KINDS[table], payload, self._language)]}


def _choose(parts: Sequence[Part], others_have: set[str] | None = None) -> None:
    """Take each key where most is known of it, first come first served, unless others have its match."""
    best: dict[legacy.Key, Found] = {}
    for found in chain.from_iterable(part.keys.found for part in parts):
        known = best.setdefault(found.key, found)
        if found.worth > known.worth:
            best[found.key] = found
    for part in parts:
        part.taken = [found for found in part.keys.found if found.worth and best[found.key] is found]
        part.taken = [found for found in part.taken if found.key[0] not in (others_have or ())]
        part.empty = sum(found.rows for found in part.keys.found if not found.worth)


def _chosen(numbered: Iterator[tuple[int, Row]], piece: Piece, rows: Any) -> Iterator[Rows]:
    """The rows of those that are taken, and of those without a key, which are rejected where they are made."""
    wanted = {*(found.row for found in piece.found), *piece.keyless}
    where = f"{piece.part.input.name}:{piece.part.table}"
    return (rows(row, f"{where}:{number}") for number, row in numbered if number in wanted)


def _refused(database: Any, piece: Piece) -> Iterator[Row]:
    where = f"{piece.part.input.name}:{piece.part.table}"
    for number, body in legacy.bodies(database, piece.part.table, piece.keyless):
        yield notices.rejected({"text": body}, "is no JSON, or lacks its id", f"{where}:{number}")


def _kept(match_id: str, part: str, body: str | None) -> Rows:
    """That a part of a match is there, with the answer where the input has it: of a film it has but the events."""
    row: Row = {"match_id": match_id, "part": part, "source": "legacy"}
    return {"match_payloads": [row if body is None else {**row, "payload": body}]}


def _add(made: Rows, more: Any) -> None:
    for rows in more:
        for table, found in rows.items():
            made[table] += found
