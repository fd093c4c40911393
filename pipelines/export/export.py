"""`etl export`: write the tables of a spec beside their place, then put them there; only reads the warehouse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines import environment as environments
from pipelines.errors import Exit, UsageError, did_you_mean
from pipelines.export.files import FORMATS, written
from pipelines.export.place import Exported, Place, opened
from pipelines.export.snapshot import Snapshot, snapshot
from pipelines.export.sqlite import SQLITE, write_database
from pipelines.order import Order, settle
from pipelines.printing import Printer
from pipelines.specs import spec as specs
from pipelines.translate import told_of


def export(
    root: Path, env: str, name: str, tables: Sequence[str], form: str, partition_by: Sequence[str], to: str | None,
    printer: Printer,
) -> Exit:  # fmt: skip
    """Export the tables that are named, or all that hold data, and report them."""
    environment, spec = environments.load(root, env), specs.load(root, name)
    partition_by = [*dict.fromkeys(partition_by)]
    if form == SQLITE and partition_by:
        raise UsageError(f"--partition-by: {SQLITE} is one file; leave it out, or choose {' or '.join(FORMATS)}")
    with told_of(name, env):
        settle(environment, spec, Order(), read_only=True)
        with snapshot(environment, spec) as source:
            chosen = source.chosen(tables)
            _check_columns(source, chosen, partition_by)
            with opened(environment, name, to) as place:
                done = list(_written(source, place, chosen, form, partition_by))
                place.put(done)
    _report(name, place.shown, form, done, printer)
    return Exit.OK


def _written(
    source: Snapshot, place: Place, chosen: Sequence[str], form: str, partition_by: Sequence[str]
) -> Iterator[Exported]:
    if form == SQLITE:
        yield from write_database(source, place, chosen)
    else:
        for table in chosen:
            yield written(source, place, table, form, partition_by)


def _check_columns(source: Snapshot, chosen: Sequence[str], partition_by: Sequence[str]) -> None:
    """Refuse to partition by what a table has not, or by what makes no name of a folder."""
    for table in chosen if partition_by else ():
        columns = source.columns(table)
        for column in partition_by:
            if column not in columns:
                near = did_you_mean(column, list(columns))
                raise UsageError(f"--partition-by {column}: {table} has no such column{near}; name the tables that do")
            if columns[column]["data_type"] in ("json", "binary", "double"):
                raise UsageError(
                    f"--partition-by {column}: {table} has {columns[column]['data_type']} there; choose another column"
                )
        if len(columns) == len(partition_by):
            raise UsageError(f"--partition-by {','.join(partition_by)}: {table} has no other column; leave one out")


def _report(name: str, shown: str, form: str, done: Sequence[Exported], printer: Printer) -> None:
    told: list[dict[str, Any]] = [
        {"table": each.table, "rows": each.rows, "bytes": each.size, "files": sorted(each.files)} for each in done
    ]
    printer.document({"spec": name, "to": shown, "format": form, "tables": told})
    rows = [
        (f"{name}.{each.table}", f"{each.rows:,}", f"{each.size:,}" if each.size else None, len(each.files))
        for each in done
    ]
    printer.table(("table", "rows", "bytes", "files"), rows)
    printer.lines([f"{name}: exported to {shown}"])
