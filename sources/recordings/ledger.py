"""What is known of every URL, on disk: rows of the destination and rows just read become changed rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from sources.recordings.rows import READ

SCHEMA = READ.insert(2, pa.field("url_sha1", pa.string(), nullable=False))
KEY = "url"  # while rows are here; its SHA-1, which is longer to compute than to do without, is added at the end
PLACE = ("source_file", "source_line")
DATA = tuple(name for name in READ.names if name not in (KEY, *PLACE))
ROWS_AT_ONCE = 250_000
ROWS_PER_TABLE = 50_000
MEMORY = "1GB"

TYPES = {"string": "VARCHAR", "double": "DOUBLE", "int64": "BIGINT", "timestamp[us, tz=UTC]": "TIMESTAMPTZ"}
COLUMNS = ", ".join(f"{field.name} {TYPES[str(field.type)]}" for field in READ)


def _each(template: str, names: tuple[str, ...] = DATA, between: str = ", ") -> str:
    return between.join(template.replace("{}", name) for name in names)


# A row belongs to the file that named its URL first. Of that file the last value counts, over what is known;
# other files only fill what is still empty, the earlier ones first. arg_max and arg_min pass over nulls.
CHANGED = f"""
SELECT {_each("merged.{}", tuple(READ.names))} FROM merged
WHERE {_each("merged.{} IS DISTINCT FROM before.{}", (*DATA, "source_file"), " OR ")}
"""
# Most rows of a list that is read again are as they were: those are left out before anything is merged.
NEWS = f"""
CREATE TABLE news AS
SELECT fresh.* FROM fresh ANTI JOIN repeated USING ({KEY}) LEFT JOIN known USING ({KEY})
WHERE known.{KEY} IS NULL OR {_each("fresh.{} IS DISTINCT FROM known.{}", (*DATA, "source_file"), " OR ")}
"""
REPEATED = f"CREATE TABLE repeated AS SELECT {KEY} FROM fresh GROUP BY {KEY} HAVING count(*) > 1"
MERGE_SINGLE = f"""
INSERT INTO changed
WITH single AS (
    SELECT * FROM news WHERE $part
), before AS (
    SELECT * FROM known WHERE $part
), merged AS (
    SELECT {KEY}, before.source_file <> single.source_file AS other_file,
        coalesce(before.source_file, single.source_file) AS source_file,
        if(other_file, before.source_line, single.source_line) AS source_line,
        {_each("coalesce(if(other_file, before.{}, single.{}), before.{}, single.{}) AS {}")},
        before
    FROM single LEFT JOIN before USING ({KEY})
)
{CHANGED}
"""
MERGE_REPEATED = f"""
INSERT INTO changed
WITH part AS (
    SELECT *, rowid AS position FROM fresh SEMI JOIN repeated USING ({KEY}) WHERE $part
), before AS (
    SELECT * FROM known WHERE $part
), owner AS (
    SELECT {KEY}, coalesce(any_value(before.source_file), arg_min(part.source_file, position)) AS source_file
    FROM part LEFT JOIN before USING ({KEY}) GROUP BY {KEY}
), own AS (
    SELECT {KEY}, max(source_line) AS source_line, {_each("arg_max({}, position) AS {}")}
    FROM part SEMI JOIN owner USING ({KEY}, source_file) GROUP BY {KEY}
), other AS (
    SELECT {KEY}, {_each("arg_min({}, position) AS {}")}
    FROM part ANTI JOIN owner USING ({KEY}, source_file) GROUP BY {KEY}
), merged AS (
    SELECT {KEY}, owner.source_file, coalesce(own.source_line, before.source_line) AS source_line,
        {_each("coalesce(own.{}, before.{}, other.{}) AS {}")},
        before
    FROM owner LEFT JOIN own USING ({KEY}) LEFT JOIN other USING ({KEY}) LEFT JOIN before USING ({KEY})
)
{CHANGED}
"""
REPEATS = f"""
SELECT source_file, sum(times - 1)::BIGINT FROM (
    SELECT source_file, count(*) AS times FROM fresh SEMI JOIN repeated USING ({KEY})
    GROUP BY source_file, {KEY} HAVING times > 1
) GROUP BY source_file ORDER BY source_file
"""


class Ledger:
    """A working database that spills to a folder, so that memory stays bounded whatever the lists hold."""

    def __init__(self, folder: Path) -> None:
        settings: dict[str, Any] = {"memory_limit": MEMORY, "temp_directory": str(folder / "spill")}
        self._database = duckdb.connect(config=settings)
        for table in ("known", "fresh", "changed"):
            self._database.execute(f"CREATE TABLE {table} ({COLUMNS})")

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """All rows added inside, or none of them when it ends with an error."""
        self._database.begin()
        try:
            yield
        except BaseException:
            self._database.rollback()
            raise
        self._database.commit()

    def remember(self, rows: pa.Table) -> None:
        """Rows that the destination has."""
        self._insert("known", rows)

    def add(self, rows: pa.Table) -> None:
        """Rows of a file, in its order."""
        self._insert("fresh", rows)

    def repeats(self) -> list[tuple[str, int]]:
        """The files that name a URL more than once, and how many of their rows are such repeats."""
        return self._database.execute(REPEATS).fetchall() if self._repeated else []

    def changes(self) -> Iterator[pa.Table]:
        """The rows that are new or not as they were, by file and line."""
        table = "fresh"
        if self._repeated or self._count("known"):
            self._merge()
            table = "changed"
        order = "source_file, source_line, url"
        found = self._database.execute(f"SELECT *, sha1(url) AS url_sha1 FROM {table} ORDER BY {order}")
        for batch in found.to_arrow_reader(ROWS_PER_TABLE):
            yield pa.Table.from_batches([batch]).select(SCHEMA.names).cast(SCHEMA)

    @cached_property
    def _repeated(self) -> int:
        """How many URLs occur more than once; to be asked when all files are read."""
        self._database.execute(REPEATED)
        return self._count("repeated")

    def _merge(self) -> None:
        self._database.execute(NEWS)
        self._in_parts(MERGE_SINGLE, self._count("news"))
        if self._repeated:
            self._in_parts(MERGE_REPEATED, self._count("fresh") + self._count("known"))

    def _in_parts(self, merge: str, rows: int) -> None:
        parts = 1 + rows // ROWS_AT_ONCE
        for part in range(parts):
            self._database.execute(merge.replace("$part", f"hash({KEY}) % {parts} = {part}"))

    def _insert(self, table: str, rows: pa.Table) -> None:
        self._database.register("page", rows)
        self._database.execute(f"INSERT INTO {table} BY NAME SELECT * FROM page")
        self._database.unregister("page")

    def _count(self, table: str) -> int:
        row: tuple[Any, ...] | None = self._database.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(row[0]) if row else 0
