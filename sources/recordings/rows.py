"""Cells to typed rows: the two schemas of a list, the rules for each column, and why a row is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from sources.kit import cells, notices
from sources.kit.cells import INSTANT, instants
from sources.kit.delimited import Batch, refuse_repeated
from sources.kit.errors import Unreadable

READ = pa.schema(
    [
        pa.field("recording_id", pa.string()),
        pa.field("url", pa.string(), nullable=False),
        pa.field("phone", pa.string()),
        pa.field("campaign_name", pa.string()),
        pa.field("duration_seconds", pa.float64()),
        pa.field("started", INSTANT),
        pa.field("stopped", INSTANT),
        pa.field("source_row_id", pa.int64()),
        pa.field("source_file", pa.string(), nullable=False),
        pa.field("source_line", pa.int64(), nullable=False),
    ]
)
FLAT = (
    "recording_id",
    "location",
    "url",
    "phone",
    "campaign_name",
    "duration_seconds",
    "started",
    "stopped",
    "recordings_row_id",
)
GROUPED = (
    "phone",
    "campaign_name",
    "total_recordings",
    "first_call_time",
    "last_call_time",
    "recording_urls",
)

WEB_ADDRESS = r"^(?i:https?)://[^/?#\x00-\x20\x7f][^\x00-\x20\x7f]*$"
BETWEEN_URLS = re.compile(r"[\r\n]+|[\s;,|]+(?=https?://)", re.I)
AROUND_URLS = " \t;,|"
VENDOR_ID = re.compile(r"/(PR_[^./]+)")
LONGEST_LIST = 400

ODD_ROW_ID = "recordings_row_id is no whole number and is left empty"

Notice = dict[str, Any]


class Layout(NamedTuple):
    """The normalised column names of one file and which of the two schemas they are."""

    names: tuple[str, ...]
    grouped: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of its schema, whether the file has them or not."""
        return GROUPED if self.grouped else FLAT

    @property
    def ignored(self) -> list[str]:
        """The columns that its schema does not have."""
        return [name for name in self.names if name not in self.columns]


class Fault(NamedTuple):
    """Which rows of a page break a rule, in which column, and what to say."""

    rows: pa.BooleanArray
    column: str
    what: str


class Page:
    """Some records of one file as text columns: trimmed, null where a cell is empty or a column missing."""

    def __init__(self, file: str, layout: Layout, batch: Batch, zone: ZoneInfo) -> None:
        self.file = file
        self.layout = layout
        self.zone = zone
        self.lines = batch.lines
        self._batch = batch
        self._columns = {name: self._column(name) for name in layout.columns}

    def __len__(self) -> int:
        return len(self._batch)

    def text(self, name: str) -> pa.StringArray:
        """One column of the schema."""
        return self._columns[name]

    def refused(self, number: int, reason: str, **instead: str) -> Notice:
        """One row that is not loaded, as it stands in the file but for the cells given."""
        row = dict(zip(self.layout.names, self._batch.row(number), strict=True)) | instead
        return notices.rejected(row, reason, f"{self.file}:{self._batch.line(number)}")

    def _column(self, name: str) -> pa.StringArray:
        if name not in self.layout.names:
            return pa.nulls(len(self), pa.string())
        trimmed = pc.utf8_trim_whitespace(self._batch.cells[self.layout.names.index(name)])
        return pc.if_else(pc.equal(trimmed, ""), None, trimmed)


class Rows(NamedTuple):
    """What became of a page: typed rows, refused rows, and the lines of oddities that leave a row whole."""

    table: pa.Table
    refused: list[Notice]
    odd: dict[str, list[int]]


def recognise(header: Sequence[str]) -> Layout:
    """The layout that a header line declares; Unreadable when it is neither or names a column twice."""
    names = tuple(cell.strip().lower() or f"(column {n})" for n, cell in enumerate(header, 1))
    refuse_repeated(names)
    if not {"location", "url", "recording_urls"} & set(names):
        raise Unreadable(
            "CSV schema not recognised: needs location, url or recording_urls; "
            f"found {notices.shortened(', '.join(names), LONGEST_LIST)}"
        )
    return Layout(names, grouped="recording_urls" in names)


def typed(page: Page) -> Rows:
    """The rows of a page under its schema."""
    return _grouped(page) if page.layout.grouped else _flat(page)


def numbers(text: pa.StringArray) -> pa.DoubleArray:
    """Finite numbers from 0 up, null where the text is none."""
    return pc.if_else(pc.starts_with(text, "-"), None, cells.doubles(text))


def integers(text: pa.StringArray) -> pa.Int64Array:
    """Whole numbers of 64 bits, null where the text is none; `7.0` counts as 7."""
    return cells.integers(pc.replace_substring_regex(text, r"\.0*$", ""))


def _flat(page: Page) -> Rows:
    url = pc.coalesce(page.text("location"), page.text("url"))
    started = instants(page.text("started"), page.zone)
    stopped = _stopped(page, started)
    duration = numbers(page.text("duration_seconds"))
    row_id = integers(page.text("recordings_row_id"))
    faults = [
        _unless(pc.is_valid(url), "location" if "location" in page.layout.names else "url", "is empty"),
        _unless(pc.match_substring_regex(url, WEB_ADDRESS), "url", "is no http(s) address"),
        _lost(page, "duration_seconds", duration, "is no number of seconds from 0 up, such as 65.223"),
        _lost(page, "started", started, "is no ISO 8601 date and time"),
        _lost(page, "stopped", stopped, "is no ISO 8601 date and time"),
        Fault(pc.fill_null(pc.less(stopped, started), False), "stopped", "is before started"),
    ]
    odd = _lost(page, "recordings_row_id", row_id, "").rows
    table = pa.table(
        {
            "recording_id": page.text("recording_id"),
            "url": pc.fill_null(url, ""),
            "phone": page.text("phone"),
            "campaign_name": page.text("campaign_name"),
            "duration_seconds": pc.coalesce(duration, _seconds_between(started, stopped)),
            "started": started,
            "stopped": stopped,
            "source_row_id": row_id,
            "source_file": pa.repeat(page.file, len(page)),
            "source_line": page.lines,
        },
        schema=READ,
    )
    return Rows(*_parted(page, table, faults), _odd(ODD_ROW_ID, _lines(page, odd)))


def _stopped(page: Page, started: pa.TimestampArray) -> pa.TimestampArray:
    """When calls ended; one that seems to end before it started may have ended when the hour came again."""
    text = page.text("stopped")
    stopped = instants(text, page.zone)
    backwards = pc.fill_null(pc.less(stopped, started), False)
    if not pc.any(backwards).as_py():
        return stopped
    again = instants(text, page.zone, fold=1)
    return pc.if_else(pc.and_kleene(backwards, pc.greater_equal(again, started)), again, stopped)


def _grouped(page: Page) -> Rows:
    """One row per URL of the cell; the times of a group are no recording's, so no row has them."""
    rows: list[dict[str, Any]] = []
    refused: list[Notice] = []
    columns = (page.text(name).to_pylist() for name in ("phone", "campaign_name", "recording_urls", "total_recordings"))
    totals = integers(page.text("total_recordings")).to_pylist()
    for number, (phone, campaign, cell, total) in enumerate(zip(*columns, strict=True)):
        urls = _urls(cell or "")
        if not urls:
            refused.append(page.refused(number, "recording_urls is empty"))
            continue
        if total is not None and totals[number] != len(urls):
            counted = f"is not the number of URLs in recording_urls, {len(urls)}"
            refused.append(page.refused(number, f"total_recordings {notices.quoted(total)} {counted}"))
            continue
        for url in urls:
            if re.match(WEB_ADDRESS, url):
                rows.append(_group_row(page, number, url, phone, campaign))
            else:
                reason = f"recording_urls: {notices.quoted(url)} is no http(s) address"
                refused.append(page.refused(number, reason, recording_urls=url))
    return Rows(pa.Table.from_pylist(rows, schema=READ), refused, {})


def _urls(cell: str) -> list[str]:
    """The lines of a cell, and the URLs that stand in one line with a mark or a blank between them."""
    parts = (part.strip(AROUND_URLS) for part in BETWEEN_URLS.split(cell))
    return [part for part in parts if part]


def _group_row(page: Page, number: int, url: str, phone: str | None, campaign: str | None) -> dict[str, Any]:
    vendor_id = VENDOR_ID.search(url)
    return {
        "recording_id": vendor_id.group(1) if vendor_id else None,
        "url": url,
        "phone": phone,
        "campaign_name": campaign,
        "source_file": page.file,
        "source_line": page.lines[number].as_py(),
    }


def _parted(page: Page, table: pa.Table, faults: Sequence[Fault]) -> tuple[pa.Table, list[Notice]]:
    """The rows without fault, and a notice with every reason for each of the others."""
    reasons: dict[int, list[str]] = {}
    for fault in faults:
        for number in _numbers_of(fault.rows):
            reasons.setdefault(number, []).append(_reason(page, fault, number))
    if not reasons:
        return table, []
    good = pa.array([number not in reasons for number in range(len(table))])
    return table.filter(good), [page.refused(number, "; ".join(reasons[number])) for number in sorted(reasons)]


def _reason(page: Page, fault: Fault, number: int) -> str:
    value = page.text(fault.column)[number].as_py()
    return f"{fault.column} {notices.quoted(value)} {fault.what}" if value else f"{fault.column} {fault.what}"


def _unless(holds: pa.BooleanArray, column: str, what: str) -> Fault:
    return Fault(pc.invert(pc.fill_null(holds, True)), column, what)


def _lost(page: Page, column: str, parsed: pa.Array, what: str) -> Fault:
    """The rows whose text did not survive its parsing."""
    return Fault(pc.and_(pc.is_valid(page.text(column)), pc.is_null(parsed)), column, what)


def _odd(what: str, lines: list[int]) -> dict[str, list[int]]:
    return {what: lines} if lines else {}


def _numbers_of(rows: pa.BooleanArray) -> list[int]:
    return list(pc.indices_nonzero(rows).to_pylist())


def _lines(page: Page, rows: pa.BooleanArray) -> list[int]:
    return list(page.lines.filter(rows).to_pylist())


def _seconds_between(started: pa.TimestampArray, stopped: pa.TimestampArray) -> pa.DoubleArray:
    microseconds = pc.cast(pc.subtract(stopped, started), pa.int64())
    return pc.divide(pc.cast(microseconds, pa.float64()), 1e6)
