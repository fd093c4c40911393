"""A flat CSV file as Arrow tables of declared types; what does not fit is a rejection with file, line and reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from sources.kit import notices
from sources.kit.cells import days, doubles, instants, integers, truths
from sources.kit.delimited import Batch, Records, encoding_of, refuse_repeated
from sources.kit.errors import Unreadable

Columns: TypeAlias = Mapping[str, Mapping[str, Any]]
Item: TypeAlias = pa.Table | list[dict[str, Any]]

UTC = ZoneInfo("UTC")
READERS: dict[str, tuple[Callable[[pa.StringArray], pa.Array], str]] = {
    "bigint": (integers, "is no whole number"),
    "double": (doubles, "is no number such as -2.5"),
    "bool": (truths, "is neither true nor false"),
    "date": (days, "is no date such as 2025-06-03"),
}
NO_TIME = "is no ISO 8601 date and time"


def csv_tables(
    path: Path,
    columns: Columns,
    name: str | None = None,
    zone: ZoneInfo = UTC,
    delimiter: str | None = None,
    encoding: str | None = None,
) -> Iterator[Item]:
    """The rows of a CSV file with a header, in order and in tables of bounded size, and notices about the others.

    `columns` are dlt's hints by the header's names: `data_type` is text (also where none is given), bigint, double,
    bool, date or timestamp; `nullable: False` asks for a value in each row. An empty cell is null. A time without
    an offset is local to `zone`. `name` is what notices call the file. Encoding and delimiter tell themselves.
    """
    _refuse_unknown_types(columns)
    yield from _ahead(_items(path, columns, name or path.name, zone, delimiter, encoding))


def _ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, each read while the one before is stored: Arrow does most of either without Python's lock."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        following = reader.submit(next, items, None)
        while (item := following.result()) is not None:
            following = reader.submit(next, items, None)
            yield item


def _items(
    path: Path, columns: Columns, name: str, zone: ZoneInfo, delimiter: str | None, encoding: str | None
) -> Iterator[Item]:
    """The tables and notices of a file; what ends the reading is a notice, too."""
    try:
        with path.open(encoding=encoding_of(path, encoding), newline="") as stream:
            records = Records(stream, delimiter)
            header = _named(records.header, columns)
            for batch in records.batches():
                yield from _typed(batch, header, columns, name, zone)
    except Unreadable as problem:
        yield [notices.failed(name, str(problem))]
    except (OSError, UnicodeError) as problem:
        yield [notices.failed(name, f"cannot be read: {problem}; check the file and the rights to read it")]


def _refuse_unknown_types(columns: Columns) -> None:
    known = {"text", "timestamp", *READERS}
    unknown = [f"{name} ({kind})" for name, hints in columns.items() if (kind := _type_of(hints)) not in known]
    if unknown:
        raise ValueError(f"csv_tables: no way to read {', '.join(unknown)} from text; use one of {sorted(known)}")


def _named(cells: list[str], columns: Columns) -> list[str]:
    """The names of the header; Unreadable when one is missing or occurs twice."""
    header = [cell.strip() or f"column_{number}" for number, cell in enumerate(cells, 1)]
    refuse_repeated(header)
    missing = [name for name, hints in columns.items() if name not in header and not hints.get("nullable", True)]
    if missing:
        raise Unreadable(f"lacks the column {', '.join(missing)}; found {', '.join(header)}")
    return header


def _typed(batch: Batch, header: list[str], columns: Columns, name: str, zone: ZoneInfo) -> Iterator[Item]:
    """The rows of a batch that fit, and a notice for each of the others."""
    typed: dict[str, pa.Array] = {}
    reasons: dict[int, list[str]] = {}
    for column, text in zip(header, batch.cells, strict=True):
        typed[column], faults = _column(column, text, columns.get(column, {}), zone)
        for number, fault in faults:
            reasons.setdefault(number, []).append(fault)
    refused = [_rejected(batch, number, header, name, reasons[number]) for number in sorted(reasons)]
    refused += [notices.rejected({"text": b.text}, b.reason, f"{name}:{b.line}") for b in batch.broken]
    if refused:
        yield refused
    table = pa.table(typed)
    if reasons:
        table = table.filter(pa.array([number not in reasons for number in range(len(batch))], pa.bool_()))
    if len(table):
        yield table


def _column(
    name: str, text: pa.StringArray, hints: Mapping[str, Any], zone: ZoneInfo
) -> tuple[pa.Array, list[tuple[int, str]]]:
    """The cells of a column in their type, and the numbers of those that do not fit with what is wrong."""
    values, what = _read(text, _type_of(hints), zone)
    empty = pc.equal(text, "")
    misfits = pc.and_not(pc.is_null(values), empty)
    faults = [(number, f"{name} {notices.quoted(text[number].as_py())} {what}") for number in _numbers_of(misfits)]
    if not hints.get("nullable", True):
        faults += [(number, f"{name} is empty") for number in _numbers_of(empty)]
    return values, faults


def _read(text: pa.StringArray, data_type: str, zone: ZoneInfo) -> tuple[pa.Array, str]:
    """Cells in their type, null where they are empty or do not fit, and what to say of the latter."""
    filled = pc.if_else(pc.equal(text, ""), None, text)
    if data_type == "text":
        return filled, ""
    trimmed = pc.utf8_trim_whitespace(filled)
    if data_type == "timestamp":
        return instants(trimmed, zone), NO_TIME
    read, what = READERS[data_type]
    return read(trimmed), what


def _rejected(batch: Batch, number: int, header: list[str], name: str, reasons: list[str]) -> dict[str, Any]:
    row = dict(zip(header, batch.row(number), strict=True))
    return notices.rejected(row, "; ".join(reasons), f"{name}:{batch.line(number)}")


def _type_of(hints: Mapping[str, Any]) -> str:
    return str(hints.get("data_type", "text"))


def _numbers_of(rows: pa.BooleanArray) -> list[int]:
    return list(pc.indices_nonzero(rows).to_pylist())
