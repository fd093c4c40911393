"""Where rows in quarantine would stand in a coverage: their account, and their day, month or item."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from dlt.common.normalizers.naming import NamingConvention

from pipelines.coverage.accounts import ALL
from pipelines.coverage.declared import Declared
from pipelines.coverage.units import name_of
from pipelines.ledger import Quarantined
from pipelines.rejects import decoded
from pipelines.specs.types import Items
from pipelines.window import in_reach, moment_of

Place = tuple[str, str]  # account and unit; an empty unit where the row does not tell


def places(
    each: Declared, row: Quarantined, accounts: Sequence[str], naming: NamingConvention, zone: str
) -> Iterator[Place]:
    """Where a row would stand; for every account without a unit, where it tells no account."""
    payload = decoded(row.payload)
    unit = _unit(each, _value(payload, each.column.name, naming), zone)
    if accounts == ALL:
        yield "", unit
        return
    told = {str(_value(payload, column.name, naming)).lower() for column in each.accounts}
    named = [account for account in accounts if account in told]
    yield from ((account, unit) for account in named)
    yield from ((account, "") for account in accounts if not named)


def _unit(each: Declared, value: Any, zone: str) -> str:
    if isinstance(each.coverage, Items):
        return "" if value is None else str(value)
    moment = moment_of(value, zone)
    if moment is None or not in_reach(moment):
        return ""
    return name_of(each.coverage.by, moment.astimezone(ZoneInfo(zone)).date())


def _value(row: Any, column: str, naming: NamingConvention) -> Any:
    """The value that a row, as it was read, has for a column of its table."""
    for key, value in row.items() if isinstance(row, dict) else ():
        name = naming.normalize_path(key) if key.strip() else key
        if name == column:
            return value
        inside = column.removeprefix(f"{name}{naming.PATH_SEPARATOR}")
        if inside != column and (found := _value(value, inside, naming)) is not None:
            return found
    return None
