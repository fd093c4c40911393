"""Checks as queries: the rows that break one, or the value that it judges."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from sqlglot import exp

from pipelines.queries import Query, condition
from pipelines.specs.checks import Accepted, Check, Fresh, NotNull, Range, Relationship, RowCount, Unique

TIMES = "times"  # how often a value that should be unique is there
LOOKED_UP = "looked_up"  # the other table of a relationship, which may be the same one


def failing(check: NotNull | Unique | Relationship | Accepted | Range) -> Query:
    """The rows that break a check; of `unique` the values, each with how often it is there."""
    columns = [_column(name, check.table) for name in check.columns]
    match check:
        case NotNull():
            rows = _rows(check).where(_any([column.is_(exp.null()) for column in columns]))
        case Unique():
            rows = _rows(check, *columns, exp.alias_(exp.Count(this=exp.Star()), TIMES, quoted=True))
            rows = rows.where(*(column.is_(exp.null()).not_() for column in columns))
            rows = rows.group_by(*columns).having(exp.GT(this=exp.Count(this=exp.Star()), expression=_literal(1)))
        case Relationship():
            table, key = check.to.split(".")
            other = exp.alias_(_table(table), LOOKED_UP, quoted=True, table=True)
            found = exp.select(_literal(1)).from_(other).where(_column(key, LOOKED_UP).eq(columns[0]))
            rows = _rows(check).where(columns[0].is_(exp.null()).not_(), exp.Exists(this=found).not_())
        case Accepted():
            rows = _rows(check).where(columns[0].isin(*map(_literal, check.values)).not_())
        case Range():
            bounds = [(exp.LT, check.min), (exp.GT, check.max)]
            outside = [beyond(this=columns[0], expression=_literal(end)) for beyond, end in bounds if end is not None]
            rows = _rows(check).where(_any(outside))
    return Query(rows)


def measured(check: RowCount | Fresh) -> Query:
    """The one value that a check judges: how many rows there are, or the newest time."""
    value = exp.Count(this=exp.Star()) if isinstance(check, RowCount) else exp.Max(this=_column(check.columns[0]))
    return Query(_rows(check, exp.alias_(value, "value", quoted=True)))


def _rows(check: Check, *wanted: exp.Expr) -> exp.Select:
    rows = exp.select(*(wanted or [exp.Star()])).from_(_table(check.table))
    where = getattr(check, "where", None)
    return rows.where(condition(where)) if where else rows


def _table(name: str) -> exp.Table:
    return exp.Table(this=exp.to_identifier(name, quoted=True))


def _column(name: str, table: str | None = None) -> exp.Column:
    return exp.column(name, table=table, quoted=True)


def _literal(value: Any) -> exp.Expr:
    return exp.convert(value)


def _any(conditions: Sequence[exp.Expr]) -> exp.Expr:
    return reduce(lambda one, other: exp.or_(one, other), conditions)
