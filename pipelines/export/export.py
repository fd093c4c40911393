"""`etl export`: write the tables of a spec beside their place, then put them there; only reads the warehouse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines import environment as environments
from pipelines.errors import Exit, UsageError, did_you_mean
from pipelines.export.files import FORMATS, written
from pipelines.export.partitions import MOST, Part
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
    parts = [Part.of(text) for text in dict.fromkeys(partition_by)]
    if form == SQLITE and parts:
        raise UsageError(f"--partition-by: {SQLITE} is one file; leave it out, or choose {' or '.join(FORMATS)}")
    with told_of(name, env):
        settle(environment, spec, Order(), read_only=True)
        with snapshot(environment, spec) as source:
            chosen = source.chosen(tables)
            _check_parts(source, chosen, parts)
            with opened(environment, name, to) as place:
                done = list(_written(source, place, chosen, form, parts))
                place.put(done)
    _report(name, place.shown, form, done, printer)
    return Exit.OK


def _written(
    source: Snapshot, place: Place, chosen: Sequence[str], form: str, parts: Sequence[Part]
) -> Iterator[Exported]:
    if form == SQLITE:
        yield from write_database(source, place, chosen)
    else:
        for table in chosen:
            yield written(source, place, table, form, parts)


def _check_parts(source: Snapshot, chosen: Sequence[str], parts: Sequence[Part]) -> None:
    """Refuse to partition by what a table has not, by what makes no name of a folder, or into too many folders."""
    for part in parts:
        fitting = [table for table in chosen if part.column in source.columns(table)]
        lacking = next((table for table in chosen if table not in fitting), None)
        if lacking:
            near = did_you_mean(part.column, list(source.columns(lacking)))
            advice = f"name those that do: {', '.join(fitting)}" if fitting else "name a column that all have"
            raise UsageError(f"--partition-by {part}: {lacking} has no such column{near}; {advice}")
        for table in chosen:
            _check_type(part, table, str(source.columns(table)[part.column].get("data_type")))
    for table in chosen if parts else ():
        _check_number(source, table, parts)
        if len({part.column for part in parts if not part.unit}) == len(source.columns(table)):
            raise UsageError(f"--partition-by {_listed(parts)}: {table} has no other column; leave one out")


def _check_type(part: Part, table: str, kind: str) -> None:
    if part.unit and kind not in ("timestamp", "date"):
        raise UsageError(f"--partition-by {part}: {table} has {kind} there, which has no {part.unit}s; leave that out")
    if kind in ("json", "binary", "double"):
        raise UsageError(f"--partition-by {part}: {table} has {kind} there; choose another column")


def _check_number(source: Snapshot, table: str, parts: Sequence[Part]) -> None:
    if source.count_parts(table, parts, MOST + 1) <= MOST:
        return
    times = [p.column for p in parts if not p.unit and source.columns(table)[p.column].get("data_type") == "timestamp"]
    instead = f"write {times[0]}:month or {times[0]}:day" if times else "choose another column"
    raise UsageError(f"--partition-by {_listed(parts)}: cuts {table} into more than {MOST:,} folders; {instead}")


def _listed(parts: Sequence[Part]) -> str:
    return ",".join(map(str, parts))


def _report(name: str, shown: str, form: str, done: Sequence[Exported], printer: Printer) -> None:
    total, is_one_file = sum(each.size for each in done), form == SQLITE
    told: list[dict[str, Any]] = [
        {"table": each.table, "rows": each.rows, "bytes": None if is_one_file else each.size,
         "files": sorted(each.files)} for each in done
    ]  # fmt: skip
    printer.document({"spec": name, "to": shown, "format": form, "bytes": total, "tables": told})
    rows = [
        (
            f"{name}.{each['table']}",
            f"{each['rows']:,}",
            f"{each['bytes']:,}" if each["bytes"] else None,
            len(each["files"]),
        )
        for each in told
    ]
    printer.table(("table", "rows", "bytes", "files"), rows)
    printer.lines([f"{name}: exported to {shown}" + (f" in one file of {total:,} bytes" if is_one_file else "")])
