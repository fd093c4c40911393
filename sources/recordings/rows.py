"""Cells to typed rows: the two schemas of a list, the rules for each column, and why a row is refused."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from sources.kit import notices
from sources.recordings.files import Unreadable
from sources.recordings.text import Batch

INSTANT = pa.timestamp("us", "UTC")
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

WEB_ADDRESS = r"^(?i:https?)://[^\s/?#\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
VENDOR_ID = re.compile(r"/(PR_[^./]+)")
DAY_AND_TIME = r"[12]\d{3}-\d\d-\d\d[T ]\d\d:\d\d"
# What Arrow reads exactly as Python does, at many times the speed; the rest goes value by value.
PLAIN_LOCAL = rf"^{DAY_AND_TIME}:\d\d(\.\d{{1,6}})?$"
PLAIN_INSTANT = rf"^{DAY_AND_TIME}:\d\d(\.\d{{1,6}})?(Z|[+-](0\d|1[0-4]):[0-5]\d)$"
PLAIN_NUMBER = r"^\d{1,15}(\.\d{1,12})?$"
PLAIN_INTEGER = r"^\d{1,18}$"
ANY_INSTANT = re.compile(rf"{DAY_AND_TIME}(:\d\d([.,]\d{{1,9}})?)?( ?(Z|[+-]\d\d(:?\d\d)?))?", re.ASCII)
ANY_NUMBER = re.compile(r"\+?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
ANY_INTEGER = re.compile(r"(-?\d{1,19})(\.0*)?", re.ASCII)
LONGEST_QUOTE = 80
LONGEST_LIST = 400

ODD_ROW_ID = "recordings_row_id is no whole number and is left empty"
ODD_TOTAL = "total_recordings is not the number of URLs in the cell"

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
        self._rows = batch.rows
        self._columns = {name: self._column(name) for name in layout.columns}

    def __len__(self) -> int:
        return len(self._rows)

    def text(self, name: str) -> pa.StringArray:
        """One column of the schema."""
        return self._columns[name]

    def refused(self, number: int, reason: str, **instead: str) -> Notice:
        """One row that is not loaded, as it stands in the file but for the cells given."""
        row = dict(zip(self.layout.names, self._rows[number], strict=True)) | instead
        return notices.rejected(row, reason, f"{self.file}:{self.lines[number]}")

    def _column(self, name: str) -> pa.StringArray:
        if name not in self.layout.names:
            return pa.nulls(len(self), pa.string())
        place = self.layout.names.index(name)
        trimmed = pc.utf8_trim_whitespace(pa.array([row[place] for row in self._rows], pa.string()))
        return pc.if_else(pc.equal(trimmed, ""), None, trimmed)


class Rows(NamedTuple):
    """What became of a page: typed rows, refused rows, and the lines of oddities that leave a row whole."""

    table: pa.Table
    refused: list[Notice]
    odd: dict[str, list[int]]


def recognise(header: Sequence[str]) -> Layout:
    """The layout that a header line declares; Unreadable when it is neither or names a column twice."""
    names = tuple(cell.strip().lower() or f"(column {n})" for n, cell in enumerate(header, 1))
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise Unreadable(f"names a column twice: {', '.join(twice)}; keep one of each")
    if not {"location", "url", "recording_urls"} & set(names):
        raise Unreadable(
            "CSV schema not recognised: needs location, url or recording_urls; "
            f"found {_shortened(', '.join(names), LONGEST_LIST)}"
        )
    return Layout(names, grouped="recording_urls" in names)


def typed(page: Page) -> Rows:
    """The rows of a page under its schema."""
    return _grouped(page) if page.layout.grouped else _flat(page)


def instants(text: pa.StringArray, zone: ZoneInfo) -> pa.TimestampArray:
    """Times in UTC, null where the text is none.

    A time without an offset is local to `zone`: of the two readings of an hour that occurs twice the first is
    taken, and a time that the clock skipped moves forward by the gap (02:30 becomes 03:30).
    """
    try:
        if _all_match(text, PLAIN_INSTANT):
            return pc.cast(text, INSTANT)
        if _all_match(text, PLAIN_LOCAL):
            local = pc.cast(text, pa.timestamp("us"))
            known = pc.assume_timezone(local, timezone=zone.key, ambiguous="earliest", nonexistent="raise")
            return pc.cast(known, INSTANT)
    except pa.ArrowInvalid:
        pass  # a 30th of February, or a time that the clock skipped: Python looks at each
    return pa.array([_instant(value, zone) for value in text.to_pylist()], INSTANT)


def numbers(text: pa.StringArray) -> pa.DoubleArray:
    """Finite numbers from 0 up, null where the text is none."""
    if _all_match(text, PLAIN_NUMBER):
        return pc.cast(text, pa.float64())
    return pa.array([_number(value) for value in text.to_pylist()], pa.float64())


def integers(text: pa.StringArray) -> pa.Int64Array:
    """Whole numbers of 64 bits, null where the text is none; `7.0` counts as 7."""
    if _all_match(text, PLAIN_INTEGER):
        return pc.cast(text, pa.int64())
    return pa.array([_integer(value) for value in text.to_pylist()], pa.int64())


def _flat(page: Page) -> Rows:
    url = pc.coalesce(page.text("location"), page.text("url"))
    started = instants(page.text("started"), page.zone)
    stopped = instants(page.text("stopped"), page.zone)
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
            "source_line": pa.array(page.lines, pa.int64()),
        },
        schema=READ,
    )
    return Rows(*_parted(page, table, faults), _odd(ODD_ROW_ID, _lines(page, odd)))


def _grouped(page: Page) -> Rows:
    """One row per URL of the cell; the times of a group are no recording's, so no row has them."""
    rows: list[dict[str, Any]] = []
    refused: list[Notice] = []
    odd: list[int] = []
    columns = (page.text(name).to_pylist() for name in ("phone", "campaign_name", "recording_urls", "total_recordings"))
    for number, (phone, campaign, cell, total) in enumerate(zip(*columns, strict=True)):
        urls = [url.strip() for url in re.split(r"[\r\n]+", cell or "") if url.strip()]
        if not urls:
            refused.append(page.refused(number, "recording_urls is empty"))
        if total is not None and _integer(total) != len(urls):
            odd.append(page.lines[number])
        for url in urls:
            if re.match(WEB_ADDRESS, url):
                rows.append(_group_row(page, number, url, phone, campaign))
            else:
                reason = f"recording_urls: {_quoted(url)} is no http(s) address"
                refused.append(page.refused(number, reason, recording_urls=url))
    return Rows(pa.Table.from_pylist(rows, schema=READ), refused, _odd(ODD_TOTAL, odd))


def _group_row(page: Page, number: int, url: str, phone: str | None, campaign: str | None) -> dict[str, Any]:
    vendor_id = VENDOR_ID.search(url)
    return {
        "recording_id": vendor_id.group(1) if vendor_id else None,
        "url": url,
        "phone": phone,
        "campaign_name": campaign,
        "source_file": page.file,
        "source_line": page.lines[number],
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
    return f"{fault.column} {_quoted(value)} {fault.what}" if value else f"{fault.column} {fault.what}"


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
    return [page.lines[number] for number in _numbers_of(rows)]


def _seconds_between(started: pa.TimestampArray, stopped: pa.TimestampArray) -> pa.DoubleArray:
    microseconds = pc.cast(pc.subtract(stopped, started), pa.int64())
    return pc.divide(pc.cast(microseconds, pa.float64()), 1e6)


def _all_match(text: pa.StringArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(text, pattern), min_count=0).as_py())


def _instant(value: str | None, zone: ZoneInfo) -> datetime | None:
    if value is None or not ANY_INSTANT.fullmatch(value):
        return None
    day, _, time = value.partition(value[10])
    try:
        parsed = datetime.fromisoformat(f"{day}T{time.replace(' ', '')}")
    except ValueError:
        return None
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)
    return aware.astimezone(UTC)


def _number(value: str | None) -> float | None:
    if value is None or not ANY_NUMBER.fullmatch(value):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _integer(value: str | None) -> int | None:
    match = ANY_INTEGER.fullmatch(value or "")
    number = int(match.group(1)) if match else None
    return number if number is not None and -(2**63) <= number < 2**63 else None


def _quoted(value: str) -> str:
    return repr(_shortened(value, LONGEST_QUOTE))


def _shortened(value: str, length: int) -> str:
    return value if len(value) <= length else f"{value[:length]}…"
