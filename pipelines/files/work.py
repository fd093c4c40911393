"""Which files are to be moved: those that rows of a resource name and no receipt has, as one query on the warehouse."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from sqlglot import exp

from pipelines.environment import Environment
from pipelines.files.declared import Move
from pipelines.order import Order
from pipelines.queries import parse
from pipelines.warehouse import Warehouse, open_warehouse
from pipelines.window import Window

PAGE_ROWS, KEYS = 1000, 50_000  # of a page
DUE, DISCOVERED, AWAITED, STORED = "due", "discovered", "awaited", "stored"  # states beside those of a failure's row
WAITING, GIVEN_UP = "waiting", "given_up"
PRIOR = ("attempts", "first_seen_at", "first_error", "quarantine_key")
Row = dict[str, Any]


@dataclass(frozen=True)
class Prior:
    """What became of a file in earlier runs."""

    attempts: int
    first_seen_at: datetime
    first_error: str
    quarantine_key: str | None


@dataclass(frozen=True)
class Wanted:
    """Which files an order is about, at a moment."""

    order: Order
    window: Window
    now: datetime

    @property
    def is_whole(self) -> bool:
        """Whether it is about every file that is due."""
        order = self.order
        return not (self.window or order.only or order.failed or order.skip_failed or order.next_files)


class Work:
    """Rows whose files are to be moved, in a nameless file: no connection is held while they are."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.rows, self.taken = file, 0, set[int]()
        """`taken`: hashes of the keys that the objects of other files have."""

    def add(self, page: list[Row]) -> None:
        """Take in a page."""
        self.rows += len(page)
        pickle.dump(page, self._file)

    def __iter__(self) -> Iterator[tuple[Row, Prior | None]]:
        self._file.seek(0)
        left = self.rows
        while left:
            page: list[Row] = pickle.load(self._file)
            left -= len(page)
            yield from map(_parted, page)


class Tables:
    """The items, receipts and failures of a resource, as far as the warehouse has them."""

    def __init__(self, warehouse: Warehouse, move: Move) -> None:
        self._warehouse, self._move, self._there = warehouse, move, warehouse.tables()
        self._id = _quoted(move.files.identity)
        self._items, self._receipts, self._failures = map(_quoted, (move.table, move.block.table, move.block.failures))
        self._has_items, self._has_receipts, self._has_failures = (
            table in self._there for table in (move.table, move.block.table, move.block.failures)
        )

    @property
    def are_loaded(self) -> bool:
        """Whether there is a table with items."""
        return self._has_items

    def due(self, wanted: Wanted, file: IO[bytes]) -> Work:
        """What is to be moved, the oldest first and what failed before last; the file is where it is kept."""
        work = Work(file)
        if self._has_items:
            for page in self._warehouse.pages(self._written(self._waiting(wanted)), PAGE_ROWS):
                work.add(page)
            work.taken = self._taken() if work.rows else set()
        return work

    def unrecorded(self) -> Iterator[Row]:
        """Every item without a receipt."""
        if self._has_items:
            sql = f"SELECT {_listed(self._item_columns())} FROM {self._ranked()} AS i WHERE {self._unrecorded('i')}"
            for page in self._warehouse.pages(self._written(sql), PAGE_ROWS):
                yield from page

    def named(self, names: Collection[str]) -> set[str]:
        """Which of some names items have."""
        if not names or not self._has_items:
            return set()
        columns = [_text(f"i.{column}") for column in self._naming()]
        rows = self._ask(f"SELECT {_listed(columns)} FROM {self._items} AS i WHERE {_any_in(columns, names)}")
        return {str(value) for row in rows for value in row} & set(names)

    def stored(self, names: Collection[str]) -> int:
        """How many of the items that have some names are stored."""
        if not names or not (self._has_items and self._has_receipts):
            return 0
        return self._count(f"{self._items} AS i WHERE {self._only(names)} AND NOT ({self._unrecorded('i')})")

    def recorded(self, ids: Collection[str]) -> set[str]:
        """Which of some items have a receipt."""
        if not ids or not self._has_receipts:
            return set()
        id = _text(f"r.{self._id}")
        where = f"{_any_in([id], ids)} AND {self._names_object}"
        return {str(row[0]) for row in self._ask(f"SELECT {id} FROM {self._receipts} AS r WHERE {where}")}

    def left_alone(self, wanted: Wanted) -> dict[str, int]:
        """How many failed files an order passes over, since they are not due or given up."""
        if wanted.order.only or wanted.order.failed:
            return {}
        given_up = "f.ignore_until IS NULL"
        rows = self._failed(given_up, f"NOT COALESCE(f.ignore_until <= {_moment(wanted.now)}, FALSE)")
        return {GIVEN_UP if row[0] else WAITING: int(row[1]) for row in rows}

    def states(self, now: datetime) -> list[Row]:
        """How many items there are by `state`: `files`, `http_status`, `error`."""
        if not self._has_items:
            return []
        stored = self._count(f"{self._items} AS i WHERE NOT ({self._unrecorded('i')})")
        failed = f"EXISTS (SELECT 1 FROM {self._failures} AS f WHERE f.{self._id} = i.{self._id})"
        fresh = f"{self._unrecorded('i')} AND NOT {failed if self._has_failures else 'FALSE'}"
        discovered = self._count(f"{self._items} AS i WHERE {fresh} AND {self._is_there}")
        awaited = self._count(f"{self._items} AS i WHERE {fresh}") - discovered
        state = f"CASE WHEN f.ignore_until <= {_moment(now)} THEN '{DUE}' ELSE f.status END"
        groups = [(STORED, None, None, stored), (DISCOVERED, None, None, discovered)]
        groups += [(AWAITED, None, None, awaited)] if awaited else []
        groups += self._failed(f"{state}, f.http_status, f.error")
        return [{"state": s, "files": int(files), "http_status": h, "error": e} for s, h, e, files in groups]

    def forgivable(self, ids: Collection[str]) -> int:
        """How many failed files there are, of those that are named or of all."""
        return self._count(self._failures_of(ids)) if self._has_failures else 0

    def forgive(self, ids: Collection[str], now: datetime) -> None:
        """Make failed files due, those that are named or all of them."""
        if self._has_failures:
            chosen = self._written(f"SELECT f.{self._id} FROM {self._failures_of(ids)}")
            moment = self._literal(_moment(now))
            self._change(
                f"UPDATE {{table}} SET status = 'transient', ignore_until = {moment} WHERE {{id}} IN ({chosen})"
            )

    def repaired(self) -> list[str]:
        """The objects in quarantine of files that are stored by now."""
        if not (self._has_failures and self._has_receipts):
            return []
        where = f"f.quarantine_key IS NOT NULL AND NOT {self._unrecorded('f')}"
        return [str(key) for (key,) in self._ask(f"SELECT f.quarantine_key FROM {self._failures} AS f WHERE {where}")]

    def drop_repaired(self, left: Collection[str]) -> None:
        """Delete the failures of files that are stored, save those whose objects are left in quarantine."""
        if self._has_failures and self._has_receipts:
            stored = f"SELECT f.{self._id} FROM {self._failures} AS f WHERE NOT {self._unrecorded('f')}"
            if left:
                stored += f" AND NOT COALESCE({_any_in(['f.quarantine_key'], left)}, FALSE)"
            self._change(f"DELETE FROM {{table}} WHERE {{id}} IN ({self._written(stored)})")

    def _failures_of(self, ids: Collection[str]) -> str:
        """The failures of files that are not stored, of those that are named or of all."""
        mine = [self._unrecorded("f")]
        if ids:
            mine.append(f"f.{self._id} IN (SELECT i.{self._id} FROM {self._items} AS i WHERE {self._only(ids)})")
        return f"{self._failures} AS f WHERE {' AND '.join(mine)}"

    def _taken(self) -> set[int]:
        """Hashes of the keys that receipts name."""
        key = self._move.files.named.key
        if not self._has_receipts or key not in self._there[self._move.block.table]:
            return set()
        sql = f"SELECT r.{_quoted(key)} AS taken FROM {self._receipts} AS r WHERE {self._names_object}"
        return {hash(row["taken"]) for page in self._warehouse.pages(self._written(sql), KEYS) for row in page}

    def _waiting(self, wanted: Wanted) -> str:
        """The rows to move, each with what became of its file before."""
        columns = self._item_columns()
        columns += [f"{f'f.{name}' if self._has_failures else 'NULL'} AS etl__{name}" for name in PRIOR]
        failures = f"LEFT JOIN {self._failures} AS f ON f.{self._id} = i.{self._id}" if self._has_failures else ""
        order = [*(["COALESCE(f.attempts, 0)"] if self._has_failures else []), *self._oldest_first(), f"i.{self._id}"]
        return (
            f"SELECT {_listed(columns)} FROM {self._ranked()} AS i {failures} "
            f"WHERE {' AND '.join(self._conditions(wanted))} ORDER BY {_listed(order)}"
        )

    def _conditions(self, wanted: Wanted) -> Iterator[str]:
        order, when = wanted.order, self._move.files.when
        yield self._unrecorded("i")
        yield self._is_there
        yield self._state_condition(order, wanted.now)
        if order.only:
            yield self._only(order.only)
        if when and wanted.window.since:
            yield f"i.{_quoted(when)} >= {_moment(wanted.window.since)}"
        if when and wanted.window.until:
            yield f"i.{_quoted(when)} < {_moment(wanted.window.until)}"

    def _state_condition(self, order: Order, now: datetime) -> str:
        """Which failed files take part: those that are due; with `--failed` they alone, whatever their next try."""
        if not self._has_failures:
            return "FALSE" if order.failed else "TRUE"
        if order.failed:
            return f"f.{self._id} IS NOT NULL"
        if order.skip_failed:
            return f"f.{self._id} IS NULL"
        return "TRUE" if order.only else f"(f.{self._id} IS NULL OR f.ignore_until <= {_moment(now)})"

    def _unrecorded(self, table: str) -> str:
        """The condition for rows of a table that have no receipt, by their identity or what else tells files apart."""
        if not self._has_receipts:
            return "TRUE"
        both = set(self._there[self._move.block.table]) & set(self._there.get(self._move.table, ()))
        same = [column for column in self._move.files.same if column in both and table == "i"]
        named, id = self._names_object, self._id
        others = [f"r.{name} = {table}.{name} AND ({named} OR r.{id} <> {table}.{id})" for name in map(_quoted, same)]
        has = [f"r.{id} = {table}.{id} AND {named}", *others]  # a row that lost its object gets its own back
        return " AND ".join(f"NOT EXISTS (SELECT 1 FROM {self._receipts} AS r WHERE {each})" for each in has)

    def _failed(self, groups: str, condition: str = "TRUE") -> list[tuple[Any, ...]]:
        """Failed files by some values, with how many they are."""
        if not self._has_failures:
            return []
        where = f"{self._unrecorded('f')} AND {condition}"
        sql = f"SELECT {groups}, count(*) FROM {self._failures} AS f WHERE {where} GROUP BY {groups} ORDER BY {groups}"
        return self._ask(sql)

    def _only(self, names: Collection[str]) -> str:
        return _any_in([_text(f"i.{column}") for column in self._naming()], names)

    def _naming(self) -> list[str]:
        """The columns by whose values an item is found."""
        there = self._there[self._move.table]
        return [self._id, *(_quoted(name) for name in self._move.files.names if name in there)]

    def _oldest_first(self) -> list[str]:
        return [f"i.{_quoted(self._move.files.when)} NULLS LAST"] if self._move.files.when else []

    @property
    def _is_there(self) -> str:
        """The condition for rows that have a file by now."""
        there = self._move.files.there
        return f"COALESCE(i.{_quoted(there)}, FALSE)" if there else "TRUE"

    @property
    def _names_object(self) -> str:
        """The condition for rows of receipts that are some; others may write rows without an object."""
        key = self._move.files.named.key
        return f"r.{_quoted(key)} IS NOT NULL" if key in self._there[self._move.block.table] else "TRUE"

    def _item_columns(self) -> list[str]:
        there = [column for column in self._there[self._move.table] if not column.startswith("_dlt_")]
        return [f"i.{_quoted(column)}" for column in (*there, *self._move.files.ranks)]

    def _ranked(self) -> str:
        """The items, each with its place among others of all of them."""
        ranks = [
            f"CASE WHEN a.{_quoted(of)} IS NOT NULL THEN ROW_NUMBER() OVER (PARTITION BY a.{_quoted(of)} ORDER BY "
            f"{_listed(f'a.{_quoted(name)} NULLS LAST' for name in order)}, a.{self._id}) END AS {_quoted(rank)}"
            for rank, (of, order) in self._move.files.ranks.items()
        ]
        return f"(SELECT {_listed(['a.*', *ranks])} FROM {self._items} AS a)" if ranks else self._items

    def _count(self, rest: str) -> int:
        return int(self._ask(f"SELECT count(*) AS files FROM {rest}")[0][0])

    def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self._warehouse.ask(self._written(sql))

    def _change(self, statement: str) -> None:
        """Run a statement on the failures; it has room for `{table}` and the `{id}` of a file, before any text."""
        table = self._warehouse.sql(self._warehouse.named(self._move.block.failures))
        column = self._warehouse.sql(exp.column(self._move.files.identity, quoted=True))
        self._warehouse.ask(statement.replace("{table}", table, 1).replace("{id}", column, 1))

    def _written(self, sql: str) -> str:
        """A query in the words of the warehouse, its tables named in full."""
        return parse(sql).written(self._warehouse.kind, lambda reference: self._warehouse.named(reference.table))

    def _literal(self, text: str) -> str:
        return self._warehouse.sql(exp.maybe_parse(text, dialect="duckdb"))


@contextmanager
def tables_of(environment: Environment, dataset: str, move: Move) -> Iterator[Tables]:
    """The tables of a resource, for as long as the warehouse is open."""
    with open_warehouse(environment, dataset) as warehouse:
        yield Tables(warehouse, move)


def _parted(row: Row) -> tuple[Row, Prior | None]:
    """A row as its table has it, and what became of its file before."""
    attempts, first_seen_at, first_error, quarantine_key = (row.pop(f"etl__{name}") for name in PRIOR)
    return row, None if attempts is None else Prior(int(attempts), first_seen_at, first_error, quarantine_key)


def _any_in(columns: Collection[str], values: Collection[str]) -> str:
    listed = _listed(exp.Literal.string(value).sql("duckdb") for value in values)
    return f"({' OR '.join(f'{column} IN ({listed})' for column in columns)})"


def _text(column: str) -> str:
    return f"CAST({column} AS VARCHAR)"


def _moment(moment: datetime) -> str:
    return f"CAST('{moment.isoformat()}' AS TIMESTAMPTZ)"


def _quoted(name: str) -> str:
    return f'"{name}"'


def _listed(parts: Any) -> str:
    return ", ".join(parts)
