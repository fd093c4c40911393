"""A SELECT in DuckDB's dialect: which tables it reads, and the same in the words of another warehouse."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import ErrorLevel, exp
from sqlglot.errors import ParseError, SqlglotError, UnsupportedError
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers
from sqlglot.optimizer.scope import traverse_scope

WRITTEN_IN = "duckdb"
TRUTH = (exp.Predicate, exp.Connector)  # the operators that say yes or no
READS_FILES = re.compile(r"read_\w+|\w+_scan|glob|sniff_csv|parquet_\w+|query|query_table|st_read\w*", re.I)
BELOW_A_DAY = ("HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND")


class NotSql(Exception):
    """A text is no SELECT; with the line and the column where it stops being one."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


@dataclass(frozen=True)
class Reference:
    """A table that a query reads: `dataset` is empty where its own is meant."""

    dataset: str
    table: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.dataset}.{self.table}" if self.dataset else self.table


class Query:
    """A SELECT; its names are in lower case where they are not quoted."""

    def __init__(self, select: exp.Query) -> None:
        self._select = select
        self.references = [_reference(table) for table in _tables(select)]
        self._unsayable: dict[str, str] = {}

    @property
    def columns(self) -> list[str] | None:
        """The columns it gives; None where a star hides them."""
        return None if self._select.is_star else [given.alias_or_name for given in self._select.selects]

    @property
    def nameless(self) -> exp.Expr | None:
        """The first column that has no name of its own, which each warehouse would call otherwise."""
        named = (exp.Column, exp.Alias, exp.Star)
        return next((given for given in self._select.selects if not isinstance(given, named)), None)

    def unsayable(self, kind: str) -> str:
        """Why a kind of warehouse cannot say it; empty where it can."""
        if kind not in self._unsayable:
            try:
                self.written(kind, lambda reference: exp.to_table(reference.table))
                self._unsayable[kind] = ""
            except NotSql as wrong:
                self._unsayable[kind] = wrong.message
        return self._unsayable[kind]

    def written(self, kind: str, name: Callable[[Reference], exp.Table]) -> str:
        """The query for a kind of warehouse, with each table named in full; NotSql where the kind cannot say it."""
        select = self._select.copy()
        for table in list(_tables(select)):
            table.set("alias", table.args.get("alias") or exp.TableAlias(this=table.this))
            for part, full in name(_reference(table)).args.items():
                table.set(part, full)
        if kind == "bigquery":
            _by_timestamps(select)
        try:
            return select.sql(kind, identify=True, comments=False, unsupported_level=ErrorLevel.RAISE)
        except UnsupportedError as error:
            raise NotSql(f"cannot be said in the SQL of {kind}: {str(error).splitlines()[0]}") from error


@lru_cache(maxsize=1024)
def parse(text: str) -> Query:
    """The one SELECT that a text holds; of a text that is read again, the same."""
    with _told():
        statements = [statement for statement in sqlglot.parse(text, read=WRITTEN_IN) if statement is not None]
        if len(statements) != 1 or not isinstance(statements[0], exp.Query) or not statements[0].selects:
            raise NotSql("expected one SELECT and nothing else")
        _refuse_files(statements[0])
        return Query(normalize_identifiers(statements[0], dialect=WRITTEN_IN))


def condition(text: str) -> exp.Expr:
    """A condition, as it may stand after WHERE."""
    with _told():
        read = exp.condition(text, dialect=WRITTEN_IN)
        said = read.unnest()
        if isinstance(said, exp.Literal | exp.Alias) or (isinstance(said, exp.Binary) and not isinstance(said, TRUTH)):
            raise NotSql("is no condition: it is neither true nor false")
        if any(found.find_ancestor(exp.Query) is None for found in read.find_all(exp.AggFunc, exp.Window)):
            raise NotSql("is judged row by row, so it cannot count or sum; write a query in a file, as sql:")
        _refuse_files(read)
        return normalize_identifiers(read, dialect=WRITTEN_IN)


def _refuse_files(read: exp.Expr) -> None:
    """Refuse what reads other things than tables: files of the machine, buckets, a query in a text."""
    for function in read.find_all(exp.Func):
        name = function.name if isinstance(function, exp.Anonymous) else function.sql_name()
        if READS_FILES.fullmatch(name):
            raise NotSql(f"{name.lower()}: reads what is no table; load it with a spec of its own, and name its table")


@contextmanager
def _told() -> Iterator[None]:
    """What sqlglot cannot read, in one line."""
    try:
        yield
    except ParseError as error:
        said = error.errors[0] if error.errors else {}
        near = f" at {said['highlight']!r}" if said.get("highlight") else ""
        raise NotSql(f"not SQL: expected something else{near}", said.get("line") or 1, said.get("col") or 1) from error
    except SqlglotError as error:
        raise NotSql(f"not SQL: {str(error).splitlines()[0]}") from error


def _by_timestamps(select: exp.Query) -> None:
    """Let hours and less between two times be counted by TIMESTAMP_DIFF: DATE_DIFF knows days alone."""
    for counted in list(select.find_all(exp.DateDiff)):
        if counted.text("unit").upper() in BELOW_A_DAY:
            counted.replace(exp.TimestampDiff(**counted.args))


def _tables(select: exp.Query) -> Iterator[exp.Table]:
    """Every table it reads, a name of a WITH left out unless it stands for a table there, too."""
    seen: set[int] = set()
    for scope in traverse_scope(select):
        for source in scope.sources.values():
            if isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier) and id(source) not in seen:
                seen.add(id(source))
                yield source


def _reference(table: exp.Table) -> Reference:
    at = table.this.meta
    return Reference(table.db, table.name, at.get("line", 1), at.get("col", 1) - len(table.name) + 1)
