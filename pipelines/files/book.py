"""The receipts of a resource: what they say of their objects, and what is set right in them without moving a file."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlglot import exp

from pipelines.files.declared import Move
from pipelines.files.stores import QUARANTINE
from pipelines.queries import parse
from pipelines.warehouse import Warehouse
from sources.kit.files import FileItem, Files

Row = dict[str, Any]
AT_ONCE = 500  # rows of one statement
PAGE_ROWS = 5000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Receipt:
    """An object as its row has it."""

    id: str
    key: str
    bytes: int | None
    sha256: str | None
    etag: str | None


@dataclass(frozen=True)
class Chosen:
    """Which receipts a command is about; all of them where it says nothing."""

    only: tuple[str, ...] = ()
    prefix: str | None = None
    since: datetime | None = None

    def __bool__(self) -> bool:
        return bool(self.only or self.prefix or self.since)


class Book:
    """The tables of receipts and failures of a resource."""

    def __init__(self, warehouse: Warehouse, move: Move) -> None:
        self._warehouse, self._move = warehouse, move
        self._named, self._identity = move.files.named, move.files.identity
        self._there = warehouse.tables()
        self._columns = self._there.get(move.block.table, [])

    @property
    def files(self) -> Files:
        """What the source says of them."""
        return self._move.files

    @property
    def is_there(self) -> bool:
        """Whether there is a table of receipts or of failures."""
        return not self._there.keys().isdisjoint({self._move.block.table, self._move.block.failures})

    def receipts(self, chosen: Chosen) -> list[Receipt]:
        """Those that name an object, by its key."""
        if self._named.key not in self._columns:
            return []
        etag, _, inside = self._named.etag.partition(".")
        told = [self._named.key, self._named.bytes, self._named.sha256, etag]
        columns = [self._text(self._identity), *(f'"{name}"' if name in self._columns else "NULL" for name in told)]
        starts = self._starts(self._named.key, chosen.prefix)
        where = [f'"{self._named.key}" IS NOT NULL', *self._among(self._move.block.table, chosen), *starts]
        where += self._since(self._named.stored_at, chosen)
        rows = self._ask(
            f'SELECT {", ".join(columns)} FROM "{self._move.block.table}" WHERE {" AND ".join(where)} '
            f'ORDER BY "{self._named.key}"'
        )
        return [Receipt(id, key, size, sha256, _inside(etag, inside)) for id, key, size, sha256, etag in rows]

    def naming(self, keys: Sequence[str], passing: Collection[str] = ()) -> Iterator[tuple[str, str]]:
        """Id and key of each row that names one of some objects, but those of tables that are passed over."""
        columns = {self._move.block.table: self._named.key, self._move.block.failures: "quarantine_key"}
        for table, column in columns.items():
            if table not in passing and column in self._there.get(table, []):
                told = f'SELECT {self._text(self._identity)}, "{column}" FROM "{table}"'
                for some in parts(keys):
                    for id, key in self._ask(f'{told} WHERE "{column}" IN ({_list(some)})'):
                        yield str(id), key

    def rows(self, table: str | None = None, dataset: str | None = None) -> Iterator[dict[str, Any]]:
        """The rows of a table of receipts, this one or another, as far as they have columns that this one has."""
        table = table or self._move.block.table
        there = self._warehouse.tables(dataset).get(table, [])
        columns = [self._column(name) for name in there if name in self._move.files.columns]
        if columns:
            place = self._warehouse.sql(self._warehouse.named(table, dataset))
            for page in self._warehouse.pages(f"SELECT {', '.join(columns)} FROM {place}", PAGE_ROWS):
                yield from page

    def rename(self, identities: Mapping[str, str]) -> None:
        """Give rows another identity."""
        for some in parts(list(identities)):
            values = self._by_id({id: self._literal(identities[id]) for id in some})
            self._change(f"UPDATE {{table}} SET {self._column(self._identity)} = {values} WHERE {{named}}", some)

    def failed(self, chosen: Chosen) -> list[tuple[str, str | None]]:
        """Files that are not stored, with the objects of those in quarantine."""
        table = self._move.block.failures
        if "quarantine_key" not in self._there.get(table, []):
            return []
        within = f"{QUARANTINE}/{chosen.prefix}" if chosen.prefix else None
        where = ["TRUE", *self._among(table, chosen), *self._starts("quarantine_key", within)]
        where += self._since("first_seen_at", chosen)
        id = self._text(self._identity)
        rows = self._ask(f'SELECT {id}, quarantine_key FROM "{table}" WHERE {" AND ".join(where)} ORDER BY {id}')
        return [(str(row[0]), row[1]) for row in rows]

    def unknown(self, only: Sequence[str]) -> list[str]:
        """The names by which there is neither a receipt nor a failure."""
        known: set[str] = set()
        for table in (self._move.block.table, self._move.block.failures) if only else ():
            for name, is_of_items in self._naming(table) if table in self._there else ():
                text, place, where = self._text(name), table, ""
                if is_of_items:
                    place, where = self._move.table, f' AND {self._id} IN (SELECT {self._id} FROM "{table}")'
                told = f'SELECT DISTINCT {text} FROM "{place}" WHERE {text} IN ({_list(only)}){where}'
                known |= {str(row[0]) for row in self._ask(told)}
        return [name for name in only if name not in known]

    def reopen(self, ids: Sequence[str]) -> None:
        """Let files be moved again; a row stays, as others may refer to it, where it may be without an object."""
        change, key = f"UPDATE {{table}} SET {self._column(self._named.key)} = NULL", self._named.key
        if not self.files.columns.get(key, {}).get("nullable", True):
            change = "DELETE FROM {table}"
        for some in parts(ids):
            self._change(f"{change} WHERE {{named}}", some)

    def complete(self, hashes: Mapping[str, tuple[int, str]]) -> None:
        """Write down the size and the hash of objects whose rows lack them."""
        for some in parts(list(hashes)):
            sizes = self._by_id({id: str(hashes[id][0]) for id in some})
            texts = self._by_id({id: self._literal(hashes[id][1]) for id in some})
            values = f"{self._column(self._named.bytes)} = {sizes}, {self._column(self._named.sha256)} = {texts}"
            self._change(f"UPDATE {{table}} SET {values} WHERE {{named}}", some)

    def released(self, ids: Sequence[str]) -> set[str]:
        """Those that are deleted at their source."""
        release = self._move.files.release
        if release is None or release.column not in self._columns:
            return set()
        sql = (
            f'SELECT {self._text(self._identity)} FROM "{self._move.block.table}" WHERE "{release.column}" IS NOT NULL'
        )
        return {str(id) for (id,) in self._ask(sql)} & set(ids)

    def mark_now(self, column: str, ids: Sequence[str]) -> None:
        """Write the time into a column of some rows."""
        for some in parts(ids):
            self._change(f"UPDATE {{table}} SET {self._column(column)} = CURRENT_TIMESTAMP WHERE {{named}}", some)

    def remove(self, ids: Sequence[str]) -> None:
        """Delete the rows of some files, and those of their failures."""
        for some in parts(ids):
            for table in (self._move.block.table, self._move.block.failures):
                if table in self._there:
                    self._change("DELETE FROM {table} WHERE {named}", some, table)

    def items(self, ids: Sequence[str]) -> dict[str, FileItem]:
        """Those that rows of the resource name, by their ids as text, so that a run can move them."""
        there = [name for name in self._there.get(self._move.table, []) if not name.startswith("_dlt_")]
        columns = ", ".join(f'"{name}"' for name in there)
        rows: list[dict[str, Any]] = []
        for some in parts(ids) if there else ():
            found = self._ask(f'SELECT {columns} FROM "{self._move.table}" WHERE {self._in(some)}')
            rows += [dict(zip(there, row, strict=True)) for row in found]
        return {str(item.id): item for item in self.files.items(rows)}

    def _among(self, table: str, chosen: Chosen) -> Iterator[str]:
        """The condition for the files that are named."""
        if chosen.only:
            conditions = []
            for name, is_of_items in self._naming(table):
                where = f"{self._text(name)} IN ({_list(chosen.only)})"
                items = f'{self._id} IN (SELECT {self._id} FROM "{self._move.table}" WHERE {where})'
                conditions.append(items if is_of_items else where)
            yield f"({' OR '.join(conditions)})"

    def _naming(self, table: str) -> Iterator[tuple[str, bool]]:
        """The columns by whose values rows of a table are found, and whether the resource's rows alone have them."""
        items = self._there.get(self._move.table, [])
        for name in (self._identity, *self._move.files.names):
            if name in self._there[table]:
                yield name, False
            elif name in items and self._identity in items:
                yield name, True

    @property
    def _id(self) -> str:
        return self._text(self._identity)

    @staticmethod
    def _starts(column: str, prefix: str | None) -> Iterator[str]:
        if prefix:
            yield f'STARTS_WITH("{column}", {_quoted(prefix)})'

    @staticmethod
    def _since(column: str, chosen: Chosen) -> Iterator[str]:
        if chosen.since:
            yield f"\"{column}\" >= CAST('{chosen.since.isoformat()}' AS TIMESTAMPTZ)"

    def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        named = parse(sql).written(self._warehouse.kind, lambda reference: self._warehouse.named(reference.table))
        return self._warehouse.ask(named)

    def _change(self, statement: str, ids: Sequence[str], table: str | None = None) -> None:
        """Run a statement that has room for the table and for the condition that names some files."""
        place = self._warehouse.sql(self._warehouse.named(table or self._move.block.table))
        condition = f"{self._text_here()} IN ({', '.join(map(self._literal, ids))})"
        self._warehouse.ask(statement.replace("{table}", place).replace("{named}", condition))

    def _by_id(self, values: Mapping[str, str]) -> str:
        """An expression with a value for each of some files."""
        cases = " ".join(f"WHEN {self._literal(id)} THEN {value}" for id, value in values.items())
        return f"CASE {self._text_here()} {cases} END"

    def _in(self, ids: Sequence[str]) -> str:
        return f"{self._text(self._identity)} IN ({_list(ids)})"

    def _text(self, column: str) -> str:
        return f'CAST("{column}" AS VARCHAR)'

    def _text_here(self) -> str:
        """The column that names a file, as text in the words of the warehouse."""
        return self._warehouse.sql(exp.cast(exp.column(self._identity, quoted=True), "text"))

    def _column(self, name: str) -> str:
        return self._warehouse.sql(exp.column(name, quoted=True))

    def _literal(self, text: str) -> str:
        return exp.Literal.string(text).sql(self._warehouse.kind)


def _inside(value: Any, key: str) -> str | None:
    """A text, or the one at a key of a JSON document."""
    if key and value is not None:
        value = (json.loads(value) if isinstance(value, str) else value).get(key)
    return None if value is None else str(value)


def _quoted(text: str) -> str:
    return exp.Literal.string(text).sql("duckdb")


def _list(texts: Sequence[str]) -> str:
    return ", ".join(map(_quoted, texts))


def parts(rows: Sequence[T]) -> Iterator[list[T]]:
    """So many as one statement takes."""
    rest = iter(rows)
    while some := list(islice(rest, AT_ONCE)):
        yield some
