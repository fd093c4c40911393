"""Matches of Halo Infinite that older programs kept, into the tables of `spnkr`.

Docs:   https://github.com/OpenSpartan/openspartan-workshop (whose schema LevelUp's databases have, too)
Inputs: SQLite databases (MatchStats, PlayerMatchStats, HighlightEvents, Maps, Playlists, PlaylistMapModePairs,
        GameVariants, XuidAliases, MatchCache), Parquet files of `match_facts`, JSON files of names by xuid or of the
        game's medals (`medals/metadata.json`). They are only read; a database that a program still writes is read
        from a copy.
Cursor: the SHA-256 of each input, per table. What was read to its end is not read again, whatever it is called.

Inputs overlap: `merge` says which of them speaks for a match. `legacy_imports` has what became of each row of each
table of each input. No extension of any database is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

import dlt
from dlt.common.schema.typing import TTableSchemaColumns
from dlt.extract import DltResource

from sources.halo_legacy.inputs import inputs
from sources.halo_legacy.known import Known, seen_names, whole_matches
from sources.halo_legacy.merge import SUMS, Merge, Piece, filled_by
from sources.kit.errors import BadSetting
from sources.kit.halo.shape import Row
from sources.kit.halo.tables import TABLES, Table
from sources.kit.resources import Resource
from sources.kit.tables import table_itself

IMPORTS: TTableSchemaColumns = {
    "input_sha256": {"data_type": "text", "nullable": False},
    "input_table": {"data_type": "text", "nullable": False, "description": "as the input calls it"},
    "input": {"data_type": "text", "description": "the name of the file when it was read first"},
    "owners": {"data_type": "text", "description": "XUIDs of those whose database it is, as far as it tells"},
    "total": {"data_type": "bigint", "description": "rows in the input: the sum of the four that follow"},
    "taken": {"data_type": "bigint", "description": "rows that became rows of ours"},
    "repeated": {"data_type": "bigint", "description": "rows for which another row speaks, of this or another input"},
    "empty": {"data_type": "bigint", "description": "rows that know nothing: a skill of nobody, a blank name"},
    "rejected": {"data_type": "bigint", "description": "rows without a key, or no JSON: in quarantine"},
}

CURSOR = "SHA-256 of each input"
RESOURCES = {
    "legacy_imports": Resource("every table of files", CURSOR),
    **{name: Resource(f"{', '.join(filled_by(name))} of files", CURSOR, of.about) for name, of in TABLES.items()},
}


@dlt.source(name="halo_legacy", section="halo_legacy", max_table_nesting=0)
def halo_legacy(files: list[str] = dlt.config.value, language: str = "en-US") -> Iterable[DltResource]:
    """The tables of matches, and `legacy_imports`; `files` are paths of files, or of a folder of Parquet.

    `language` is that in which the inputs have the names of maps and playlists.
    """
    if not files:
        raise BadSetting("halo_legacy.files: names no file; use e.g. --with files=a.db,b.db")
    merge = _Merged(files, language)
    return [*(_resource(table, merge) for table in TABLES.values()), legacy_imports(merge)]


class _Merged:
    """The inputs, looked at when the first resource asks."""

    def __init__(self, files: list[str], language: str) -> None:
        self._files, self._language = files, language
        self._merge: Merge | None = None

    def get(self) -> Merge:
        """All inputs as one."""
        if self._merge is None:
            self._merge = Merge(inputs(self._files), self._language)
        return self._merge


def _resource(table: Table, merge: _Merged) -> DltResource:
    return dlt.resource(
        _rows, name=table.name, primary_key=table.key, columns=table.columns, write_disposition="merge"
    )(table.name, merge)


@dlt.resource(primary_key=("input_sha256", "input_table"), columns=IMPORTS, write_disposition="merge")
def legacy_imports(merge: _Merged) -> Iterator[Any]:
    """What became of the rows of each table of each input: the reconciliation."""
    every, done = merge.get(), _done()
    yield every.told()
    yield [part.counts for part in every.parts if part.input.sha256 not in done]
    _remember(every)


def _rows(table: str, merge: _Merged) -> Iterator[Any]:
    """The rows of a table, out of the inputs that it has not had yet."""
    every, done = merge.get(), _done()
    yield from table_itself()
    pieces = [piece for piece in every.pieces(table) if piece.part.input.sha256 not in done]
    yield every.told()
    if pieces:
        news = _unseen() if table == "aliases" else _of_matches(table)
        for piece in pieces:
            yield news(piece, every.rows(piece)[table])
    _remember(every)


def _of_matches(table: str) -> Callable[[Piece, list[Row]], list[Row]]:
    """What tells the rows that the warehouse lacks; a sum counts where it lacks the match."""
    known, whole = Known(table), whole_matches()

    def news(piece: Piece, rows: list[Row]) -> list[Row]:
        if piece.part.table in SUMS:
            return [row for row in rows if row.get("match_id") not in whole]
        return known.lacking(rows)

    return news


def _unseen() -> Callable[[Piece, list[Row]], list[Row]]:
    """What tells the names that were not known, or are seen later than before; when they were seen first stays."""
    seen = seen_names()
    return lambda _, rows: [row for row in rows if _is_news(row, seen)]


def _is_news(row: Row, seen: dict[tuple[str, str, str], tuple[Any, Any]]) -> bool:
    before = seen.get((row.get("xuid", ""), row.get("gamertag", ""), row.get("source", "")))
    if before is None:
        return True
    first, last = before
    later = row.get("seen_at") and (last is None or datetime.fromisoformat(row["seen_at"]) > last)
    if later and first is not None:
        row["first_seen_at"] = min(first, datetime.fromisoformat(row["first_seen_at"])).isoformat()
    return bool(later)


def _done() -> set[str]:
    return set(dlt.current.resource_state().get("inputs", []))


def _remember(merge: Merge) -> None:
    read = {part.input.sha256 for part in merge.parts}
    dlt.current.resource_state()["inputs"] = sorted(_done() | read)
