"""Cells to typed rows: the two schemas, the rules of each column and the reasons of what is refused."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.kit.delimited import Batch
from sources.kit.errors import Unreadable
from sources.kit.notices import KEY, rejected
from sources.recordings import rows as module
from sources.recordings.rows import Page, instants, integers, numbers, recognise, typed

UTC_ZONE, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")
URL = "https://vault.example.test/vr/PR_67ee516e-053d-412a-41f2-a76ee9ff1dcc.mp3"


def page(header: list[str], *rows: list[str], zone: ZoneInfo = UTC_ZONE):
    """(rows, refused, odd) of the records on lines 2, 3, …"""
    batch = Batch.of(len(header), list(range(2, 2 + len(rows))), [list(row) for row in rows], [])
    table, refused, odd = typed(Page("calls.csv", recognise(header), batch, zone))
    assert table.schema.equals(module.READ)
    return table.to_pylist(), refused, odd


def one(**cells: str):
    """(row, reason) of a single flat record; one of both is None."""
    cells = {"url": URL} | cells
    rows, refused, _ = page(list(cells), list(cells.values()))
    return (rows[0] if rows else None), (refused[0]["reason"] if refused else None)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "grouped", "ignored"),
    [
        (["URL"], False, []),
        ([" Location ", "PHONE"], False, []),
        (["location", "url", "recordings_row_id"], False, []),
        (["phone", "Recording_URLs", "first_call_time", "last_call_time"], True, []),
        (["url", "agent", ""], False, ["agent", "(column 3)"]),
        (["url", "recording_urls"], True, ["url"]),
        (["url", "first_call_time"], False, ["first_call_time"]),
    ],
)
def test_recognise(header: list[str], grouped: bool, ignored: list[str]) -> None:
    layout = recognise(header)
    assert (layout.grouped, layout.ignored) == (grouped, ignored)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            ["phone", "link"],
            "CSV schema not recognised: needs location, url or recording_urls; found phone, link",
        ),
        (["url", "phone", "URL "], "names a column twice: url; keep one of each"),
        (["x" * 1000], "found x{400}…$"),
    ],
)
def test_what_is_no_list(header: list[str], message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        recognise(header)


def test_a_flat_row_with_everything() -> None:
    header = ["recording_id", "location", "phone", "campaign_name", "duration_seconds", "started", "stopped"]
    cells = [
        "ef2b",
        f" {URL} ",
        " +49150 ",
        "Campaign A",
        "65.223",
        "2025-06-03T07:58:00.803Z",
        "2025-06-03T07:59:06.026Z",
    ]
    rows, refused, odd = page([*header, "recordings_row_id"], [*cells, "100000"])
    assert rows == [
        {
            "recording_id": "ef2b",
            "url": URL,
            "phone": "+49150",
            "campaign_name": "Campaign A",
            "duration_seconds": 65.223,
            "started": utc(2025, 6, 3, 7, 58, 0, 803000),
            "stopped": utc(2025, 6, 3, 7, 59, 6, 26000),
            "source_row_id": 100000,
            "source_file": "calls.csv",
            "source_line": 2,
        }
    ]
    assert (refused, odd) == ([], {})


def test_a_flat_row_with_nothing_but_its_url() -> None:
    row, _ = one()
    assert row is not None
    assert {name for name, value in row.items() if value is not None} == {"url", "source_file", "source_line"}


@pytest.mark.parametrize("phone", ["+4915000000001", "004915", "0151 234-5", "anonymous", "(030) 1"])
def test_a_phone_stays_as_it_is_written(phone: str) -> None:
    row, _ = one(phone=phone)
    assert row is not None
    assert row["phone"] == phone


@pytest.mark.parametrize(
    ("location", "url", "expected"),
    [
        ("https://a.test/1", "https://b.test/2", "https://a.test/1"),
        ("", "https://b.test/2", "https://b.test/2"),
    ],
)
def test_location_wins_where_it_is_filled(location: str, url: str, expected: str) -> None:
    row, _ = one(location=location, url=url)
    assert row is not None
    assert row["url"] == expected


TIMES = {"started": "2025-06-03T07:58:00Z", "stopped": "2025-06-03T07:59:06.026Z"}


@pytest.mark.parametrize(
    ("cells", "seconds"),
    [
        (TIMES, 66.026),
        (TIMES | {"duration_seconds": "12"}, 12.0),
        ({"duration_seconds": "0.434"}, 0.434),
        ({"duration_seconds": "1e2"}, 100.0),
        ({"started": TIMES["started"]}, None),
        ({"started": TIMES["started"], "stopped": TIMES["started"]}, 0.0),
    ],
)
def test_a_duration_that_is_missing_comes_from_the_times(cells: dict[str, str], seconds: float | None) -> None:
    row, _ = one(**cells)
    assert row is not None
    assert row["duration_seconds"] == seconds


NO_SECONDS = "is no number of seconds from 0 up, such as 65.223"


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"url": ""}, "url is empty"),
        ({"location": " ", "url": ""}, "location is empty"),
        ({"url": "SKIPPED: no audio"}, "url 'SKIPPED: no audio' is no http(s) address"),
        ({"url": "ftp://a.test/1.mp3"}, "url 'ftp://a.test/1.mp3' is no http(s) address"),
        ({"url": "https://a.test/1.mp3 2.mp3"}, "url 'https://a.test/1.mp3 2.mp3' is no http(s) address"),
        ({"url": "https:///1.mp3"}, "url 'https:///1.mp3' is no http(s) address"),
        (
            {"url": "https://a.test/1\nhttps://a.test/2"},
            r"url 'https://a.test/1\nhttps://a.test/2' is no http(s) address",
        ),
        ({"duration_seconds": "65,223"}, f"duration_seconds '65,223' {NO_SECONDS}"),
        ({"duration_seconds": "-1"}, f"duration_seconds '-1' {NO_SECONDS}"),
        ({"duration_seconds": "nan"}, f"duration_seconds 'nan' {NO_SECONDS}"),
        ({"duration_seconds": "inf"}, f"duration_seconds 'inf' {NO_SECONDS}"),
        ({"duration_seconds": "1e999"}, f"duration_seconds '1e999' {NO_SECONDS}"),
        ({"duration_seconds": "1_0"}, f"duration_seconds '1_0' {NO_SECONDS}"),
        ({"started": "03.06.2025 07:58"}, "started '03.06.2025 07:58' is no ISO 8601 date and time"),
        ({"started": "2025-06-03"}, "started '2025-06-03' is no ISO 8601 date and time"),
        ({"started": "2025-02-30T00:00:00Z"}, "started '2025-02-30T00:00:00Z' is no ISO 8601 date and time"),
        ({"stopped": "0000-01-01 00:00:00"}, "stopped '0000-01-01 00:00:00' is no ISO 8601 date and time"),
        ({"stopped": "x" * 100}, f"stopped '{'x' * 80}…' is no ISO 8601 date and time"),
        (
            {"started": TIMES["stopped"], "stopped": TIMES["started"]},
            "stopped '2025-06-03T07:58:00Z' is before started",
        ),
        ({"url": "", "duration_seconds": "x"}, f"url is empty; duration_seconds 'x' {NO_SECONDS}"),
    ],
)
def test_a_row_that_is_refused_says_why(cells: dict[str, str], reason: str) -> None:
    assert one(**cells) == (None, reason)


def test_one_bad_row_costs_only_itself_and_keeps_its_cells_and_line() -> None:
    rows, refused, _ = page(
        ["URL", "Duration_Seconds", "agent"],
        [URL, "1", "x"],
        ["https://a.test/2", " abc", "y"],
        [URL, "3", "z"],
    )
    assert [row["duration_seconds"] for row in rows] == [1.0, 3.0]
    cells = {"url": "https://a.test/2", "duration_seconds": " abc", "agent": "y"}
    assert refused == [rejected(cells, f"duration_seconds 'abc' {NO_SECONDS}", "calls.csv:3")]
    assert refused[0][KEY] == "rejected"


@pytest.mark.parametrize(
    ("text", "number", "odd"),
    [
        ("7", 7, []),
        ("7.0", 7, []),
        ("-7", -7, []),
        ("9223372036854775807", 2**63 - 1, []),
        ("9223372036854775808", None, [2]),
        ("ef2b8324", None, [2]),
        ("7.5", None, [2]),
        ("", None, []),
    ],
)
def test_a_row_id_that_is_no_number_is_noted(text: str, number: int | None, odd: list[int]) -> None:
    rows, refused, oddities = page(["url", "recordings_row_id"], [URL, text])
    assert (rows[0]["source_row_id"], refused) == (number, [])
    assert oddities == ({module.ODD_ROW_ID: odd} if odd else {})


def test_a_group_is_a_row_for_each_url() -> None:
    header = [
        "phone",
        "campaign_name",
        "total_recordings",
        "first_call_time",
        "last_call_time",
        "recording_urls",
    ]
    times = ["2025-06-03 08:08:02.175", "2025-07-11 09:24:43.388"]
    rows, refused, odd = page(
        header,
        ["+49150", "A", "2", *times, f"{URL}\r\n\n https://a.test/call.mp3 \n"],
        ["+49151", "", "2", *times, "https://a.test/3.mp3\nSKIPPED"],
        ["+49152", "A", "1", *times, " "],
    )
    named = [(row["recording_id"], row["url"], row["phone"], row["campaign_name"], row["source_line"]) for row in rows]
    assert named == [
        ("PR_67ee516e-053d-412a-41f2-a76ee9ff1dcc", URL, "+49150", "A", 2),
        (None, "https://a.test/call.mp3", "+49150", "A", 2),
        (None, "https://a.test/3.mp3", "+49151", None, 3),
    ]
    assert {row[name] for row in rows for name in ("started", "stopped", "duration_seconds", "source_row_id")} == {None}
    assert [(notice["row"]["recording_urls"], notice["reason"], notice["where"]) for notice in refused] == [
        ("SKIPPED", "recording_urls: 'SKIPPED' is no http(s) address", "calls.csv:3"),
        (" ", "recording_urls is empty", "calls.csv:4"),
    ]
    assert odd == {}


ONE, TWO = "https://a.test/1.mp3", "https://a.test/2.mp3?b=c,d;e|f"


@pytest.mark.parametrize(
    ("total", "cell", "urls", "reason"),
    [
        *[("2", part.join((ONE, TWO)), [ONE, TWO], None) for part in ("\n", "; ", ";", ", ", ",", " | ", "\t", "  ")],
        ("", f"{ONE}; {TWO}", [ONE, TWO], None),
        ("2.0", f"{ONE};\n{TWO};", [ONE, TWO], None),
        ("2", f"{ONE}{TWO}", [], "total_recordings '2' is not the number of URLs in recording_urls, 1"),
        ("many", ONE, [], "total_recordings 'many' is not the number of URLs in recording_urls, 1"),
        ("1", f"{ONE} gone", [], f"recording_urls: '{ONE} gone' is no http(s) address"),
    ],
)
def test_the_urls_of_a_group_are_counted_and_taken_apart(total, cell, urls, reason) -> None:
    rows, refused, odd = page(["total_recordings", "recording_urls"], [total, cell])
    assert ([row["url"] for row in rows], odd) == (urls, {})
    assert [(notice["reason"], notice["where"]) for notice in refused] == ([(reason, "calls.csv:2")] if reason else [])


PARIS = ZoneInfo("Europe/Paris")
AUTUMN, SPRING, SUMMER = "2025-10-26", "2025-03-30", "2025-06-03"
BACKWARDS = "is before started"


@pytest.mark.parametrize(
    ("day", "started", "stopped", "seconds"),
    [
        (AUTUMN, "02:30:00", "02:10:00", 40 * 60),
        (AUTUMN, "02:30:00.5", "02:10", 40 * 60 - 0.5),
        (AUTUMN, "02:10:00", "02:30:00", 20 * 60),
        (AUTUMN, "03:30:00", "02:10:00", None),
        (SPRING, "03:40:00", "02:30:00", None),
        (SUMMER, "02:30:00", "02:10:00", None),
    ],
)
def test_a_call_may_end_in_the_hour_that_occurs_twice(day, started, stopped, seconds) -> None:
    cells = [URL, f"{day} {started}", f"{day} {stopped}"]
    others = [URL, f"{day} 12:00:00", f"{day} 12:01:00"], [URL, "", f"{day} 12:01:00"], [URL, "", ""]
    rows, refused, _ = page(["url", "started", "stopped"], cells, *others, zone=PARIS)
    assert [row["duration_seconds"] for row in rows] == [*([seconds] if seconds else []), 60, None, None]
    assert [BACKWARDS in notice["reason"] for notice in refused] == ([] if seconds else [True])


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2025-06-03T07:58:00.803Z", BERLIN, utc(2025, 6, 3, 7, 58, 0, 803000)),
        ("2025-06-03T09:58:00.803+02:00", UTC_ZONE, utc(2025, 6, 3, 7, 58, 0, 803000)),
        ("2025-06-03 09:58:00.803 +0200", UTC_ZONE, utc(2025, 6, 3, 7, 58, 0, 803000)),
        ("2025-06-03 02:28:00-05:30", UTC_ZONE, utc(2025, 6, 3, 7, 58)),
        ("2025-06-03 09:58+02", UTC_ZONE, utc(2025, 6, 3, 7, 58)),
        ("2025-06-03 07:58:00.803", UTC_ZONE, utc(2025, 6, 3, 7, 58, 0, 803000)),
        ("2025-06-03 09:58:00", BERLIN, utc(2025, 6, 3, 7, 58)),  # summer
        ("2025-01-03 08:58:00", BERLIN, utc(2025, 1, 3, 7, 58)),  # winter
        ("2025-10-26 02:30:00", BERLIN, utc(2025, 10, 26, 0, 30)),  # occurs twice: the first
        ("2025-03-30 02:30:00", BERLIN, utc(2025, 3, 30, 1, 30)),  # skipped: as if it were 03:30
        ("2025-06-03 07:58:00.1234567", UTC_ZONE, utc(2025, 6, 3, 7, 58, 0, 123456)),
        ("2025-06-03 07:58:00,5", UTC_ZONE, utc(2025, 6, 3, 7, 58, 0, 500000)),
        ("2024-02-29T23:59:59.999999Z", UTC_ZONE, utc(2024, 2, 29, 23, 59, 59, 999999)),
        ("2025-02-29T00:00:00Z", UTC_ZONE, None),
        ("2025-06-03T24:00:00Z", UTC_ZONE, None),
        ("2025-06-03T23:59:60Z", UTC_ZONE, None),
        ("2025-06-03T07:58:00+25:00", UTC_ZONE, None),
        ("1748937480", UTC_ZONE, None),
        ("٢٠٢٥-06-03 07:58:00", UTC_ZONE, None),
    ],
)
def test_instants(text: str, zone: ZoneInfo, expected: datetime | None) -> None:
    assert instants(pa.array([text]), zone).to_pylist() == [expected]
    beside_others = pa.array(["2025-01-01T00:00:00Z", text, None, "2025-01-01 00:00:00.5", "no time"])
    assert instants(beside_others, zone)[1].as_py() == expected


@given(
    moments=st.lists(st.datetimes(datetime(1901, 1, 1), datetime(2037, 1, 1)), min_size=1),
    zone=st.sampled_from([UTC_ZONE, BERLIN, ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")]),
    precision=st.sampled_from(["seconds", "milliseconds", "microseconds"]),
    suffix=st.sampled_from(["", "Z", "+02:00", "-09:30"]),
)
def test_the_fast_way_reads_times_as_python_does(moments, zone, precision, suffix) -> None:
    texts = [moment.isoformat(timespec=precision) + suffix for moment in moments]
    read = [datetime.fromisoformat(text) for text in texts]
    expected = [(moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC) for moment in read]
    assert instants(pa.array(texts), zone).to_pylist() == expected


@given(st.lists(st.floats(0, 1e14).map(lambda number: f"{number:.6f}"), min_size=1))
def test_the_fast_way_reads_numbers_as_python_does(texts: list[str]) -> None:
    assert numbers(pa.array(texts)).to_pylist() == [float(text) for text in texts]


@given(st.lists(st.integers(0, 10**18 - 1).map(str), min_size=1))
def test_the_fast_way_reads_integers_as_python_does(texts: list[str]) -> None:
    assert integers(pa.array(texts)).to_pylist() == [int(text) for text in texts]


@given(st.lists(st.text(max_size=12), min_size=1))
def test_any_text_is_a_time_a_number_or_null(texts: list[str]) -> None:
    column = pa.array(texts)
    assert len(instants(column, BERLIN)) == len(numbers(column)) == len(integers(column)) == len(texts)
