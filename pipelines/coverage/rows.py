"""How many rows a table has of each day or item, asked of the table itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from dlt.common.destination.exceptions import DestinationUndefinedEntity

from pipelines.coverage.declared import Column, Declared
from pipelines.coverage.units import Span
from pipelines.ledger import TYPES, Ledger


class Tables:
    """The tables of one dataset, over the ledger's connection; one that is not there yet has no rows."""

    def __init__(self, ledger: Ledger, dataset: str, kind: str, zone: str) -> None:
        self._ledger, self._dataset, self._kind, self._zone = ledger, dataset, kind, zone

    def by_day(self, declared: Declared, span: Span, accounts: Collection[str]) -> Counter[tuple[str, date]]:
        """Rows by account and by day of the zone; the days at both ends may be counted in part."""
        counted: Counter[tuple[str, date]] = Counter()
        if not declared.accounts:
            for day, rows in self._days(declared.column, span):
                counted["", day] += rows
        for column in declared.accounts if accounts else ():
            for day, rows, account in self._days(declared.column, span, column, accounts):
                counted[str(account).lower(), day] += rows
        return counted

    def by_item(self, column: Column) -> Counter[str]:
        """Rows by the name of their item."""
        sql = f"SELECT {self._text(column)}, count(*) FROM {{}} WHERE {self._escaped(column)} IS NOT NULL GROUP BY 1"
        return Counter({str(item): rows for item, rows in self._ask(column.table, sql)})

    def _days(
        self, column: Column, span: Span, account: Column | None = None, accounts: Collection[str] = ()
    ) -> list[Any]:
        """Day and rows of each day that has any; with a column of accounts for each of those that are meant."""
        name, (since, until) = self._escaped(column), self._bounds(column, span)
        inside = f"{name} >= %s AND {name} {'<=' if column.is_date else '<'} %s"
        select = f"SELECT {self._day(column)}, count(*)"
        if account is None:
            return self._ask(column.table, f"{select} FROM {{}} WHERE {inside} GROUP BY 1", since, until)
        whose, holes = self._text(account), ", ".join(["%s"] * len(accounts))
        # in capitals too: of a Greek name the small letters are others to Python than to a warehouse; and those made
        # by Python, since a Postgres with the locale C knows capitals of A to Z only
        meant = f"(lower({whose}) IN ({holes}) OR upper({whose}) IN ({holes}))"
        sql = f"{select}, {whose} FROM {{}} WHERE {inside} AND {meant} GROUP BY 1, 3"
        return self._ask(column.table, sql, since, until, *accounts, *(account.upper() for account in accounts))

    def _bounds(self, column: Column, span: Span) -> tuple[Any, Any]:
        """The span in the form of a column's values; those without a zone are in the spec's."""
        if column.has_zone and not column.is_date:
            return span.since, span.until
        local = [moment.astimezone(ZoneInfo(self._zone)).replace(tzinfo=None) for moment in (span.since, span.until)]
        return (local[0].date(), local[1].date()) if column.is_date else (local[0], local[1])

    def _day(self, column: Column) -> str:
        """The day of a row in SQL, in the spec's zone."""
        name = self._escaped(column)
        if column.is_date:
            return name
        if not column.has_zone:
            return f"CAST({name} AS DATE)"
        in_zone = f"DATE({name}, '{self._zone}')"
        return in_zone if self._kind == "bigquery" else f"CAST({name} AT TIME ZONE '{self._zone}' AS DATE)"

    def _text(self, column: Column) -> str:
        return f"CAST({self._escaped(column)} AS {TYPES[self._kind]['text']})"

    def _escaped(self, column: Column) -> str:
        return self._ledger.client.escape_column_name(column.name)

    def _ask(self, table: str, sql: str, *values: Any) -> list[Any]:
        with self._ledger.client.with_alternative_dataset_name(self._dataset) as client:
            try:
                return [*(client.execute_sql(sql.format(client.make_qualified_table_name(table)), *values) or [])]
            except DestinationUndefinedEntity:
                return []
