"""A flat CSV file as typed Arrow tables: the types, what is refused and where, files that cannot be used."""

import threading
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.kit import cells, delimited
from sources.kit.flat import csv_tables
from sources.kit.notices import KEY, failed, rejected

COLUMNS = {"id": {"data_type": "bigint", "nullable": False}, "phone": {"data_type": "text"}}


def read(path: Path, content: str | bytes, columns=COLUMNS, **settings):
    """(rows, notices, schema) of a file called calls.csv."""
    file = path / "calls.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    items = list(csv_tables(file, columns, **settings))
    tables = [item for item in items if isinstance(item, pa.Table)]
    notices = [notice for item in items if isinstance(item, list) for notice in item]
    return [row for table in tables for row in table.to_pylist()], notices, tables[0].schema if tables else None


@pytest.mark.parametrize(
    ("data_type", "text", "value"),
    [
        ("text", "007", "007"),
        ("text", " +49 ", " +49 "),
        ("text", "", None),
        ("bigint", "7", 7),
        ("bigint", " +7 ", 7),
        ("bigint", "-9223372036854775808", -(2**63)),
        ("bigint", "9223372036854775808", "is no whole number"),
        ("bigint", "2.5", "is no whole number"),
        ("bigint", "2.0", "is no whole number"),
        ("bigint", "1e3", "is no whole number"),
        ("double", "2.5", 2.5),
        ("double", "-1e-3", -0.001),
        ("double", "", None),
        ("double", "2,5", "is no number"),
        ("double", "1e999", "is no number"),
        ("double", "nan", "is no number"),
        ("bool", "true", True),
        ("bool", "F", False),
        ("bool", "yes", "is neither true nor false"),
        ("date", "2024-02-29", date(2024, 2, 29)),
        ("date", "2025-02-29", "is no date"),
        ("date", "29.02.2024", "is no date"),
        ("timestamp", "2025-06-03T08:00:00+02:00", datetime(2025, 6, 3, 6, tzinfo=UTC)),
        ("timestamp", "2025-06-03 08:00", datetime(2025, 6, 3, 8, tzinfo=UTC)),
        ("timestamp", "soon", "is no ISO 8601 date and time"),
    ],
)
def test_a_value_is_read_exactly_or_refused(tmp_path: Path, data_type: str, text: str, value: object) -> None:
    columns = {"v": {"data_type": data_type}, "n": {"data_type": "bigint"}}
    for others in ("", 'x"y,1\n'):  # plain blocks and single records
        rows, notices, _ = read(tmp_path, f'v,n\n"{text}",7\n' + (others if data_type == "text" else ""), columns)
        if isinstance(value, str) and value.startswith("is "):
            assert rows == []
            assert [notice["reason"].startswith(f"v {text!r} {value}") for notice in notices] == [True]
        else:
            assert (rows[0], notices) == ({"v": value, "n": 7}, [])


def test_one_bad_row_costs_only_itself(tmp_path: Path) -> None:
    content = 'id,phone\n1,+49\n2.5,030\n,"a\nb"\n4,"x"y\n5,0\n'
    rows, notices, schema = read(tmp_path, content, name="in/calls.csv")
    assert rows == [{"id": 1, "phone": "+49"}, {"id": 5, "phone": "0"}]
    assert schema == pa.schema([("id", pa.int64()), ("phone", pa.string())])
    assert notices[:2] == [
        rejected({"id": "2.5", "phone": "030"}, "id '2.5' is no whole number", "in/calls.csv:3"),
        rejected({"id": "", "phone": "a\nb"}, "id is empty", "in/calls.csv:4"),
    ]
    assert [(n["where"], n["row"]) for n in notices[2:]] == [("in/calls.csv:6", {"text": '4,"x"y\n'})]


def test_a_row_with_several_faults_names_them_all(tmp_path: Path) -> None:
    columns = {"id": {"data_type": "bigint", "nullable": False}, "cost": {"data_type": "double"}}
    _, notices, _ = read(tmp_path, "id,cost\n,much\n", columns)
    assert [notice["reason"] for notice in notices] == ["id is empty; cost 'much' is no number such as -2.5"]


def test_what_is_not_declared_is_text(tmp_path: Path) -> None:
    rows, _, _ = read(tmp_path, "id, extra ,phone\n1,2.50,007\n")
    assert rows == [{"id": 1, "extra": "2.50", "phone": "007"}]


def test_a_column_without_a_name_is_kept_under_its_number(tmp_path: Path) -> None:
    rows, _, _ = read(tmp_path, "id, ,phone\n1,x,007\n")
    assert rows == [{"id": 1, "column_2": "x", "phone": "007"}]


def test_times_without_an_offset_are_local(tmp_path: Path) -> None:
    columns = {"at": {"data_type": "timestamp"}}
    rows, _, _ = read(tmp_path, "at\n2025-06-03 08:00:00\n", columns, zone=ZoneInfo("Europe/Berlin"))
    assert rows == [{"at": datetime(2025, 6, 3, 6, tzinfo=UTC)}]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty; send the list again, with a header line"),
        (b"id,phone,id\n", "names a column twice: id; keep one of each"),
        (b"phone,number\n1,2\n", "lacks the column id; found phone, number"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes, reason: str) -> None:
    assert read(tmp_path, content) == ([], [failed("calls.csv", reason)], None)


def test_a_file_that_is_away(tmp_path: Path) -> None:
    (item,) = csv_tables(tmp_path / "gone.csv", COLUMNS)
    assert [(notice[KEY], notice["item"]) for notice in item] == [("failed", "gone.csv")]


def test_a_type_that_no_text_has(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no way to read raw \(binary\)"):
        read(tmp_path, "raw\n", {"raw": {"data_type": "binary"}})


def test_tables_are_of_bounded_size_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK_CHARACTERS", 1000)
    path = tmp_path / "calls.csv"
    path.write_text("id,phone\n" + "".join(f"{n},{n:08}\n" for n in range(1000)))
    tables = list(csv_tables(path, COLUMNS))
    assert max(len(table) for table in tables) < 120
    assert [number for table in tables for number in table["id"].to_pylist()] == list(range(1000))


def test_a_reader_that_is_left_early_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK_CHARACTERS", 100)
    (tmp_path / "calls.csv").write_text("id,phone\n" + "1,007\n" * 1000)
    before = threading.active_count()
    tables = csv_tables(tmp_path / "calls.csv", COLUMNS)
    next(tables)
    assert threading.active_count() == before + 1
    tables.close()
    assert threading.active_count() == before


texts = st.text(st.sampled_from("0123456789+-.eETtZ: fru"), max_size=12) | st.sampled_from(
    ["2024-02-29", "2025-02-29", "1.5", "-0", "007", "9223372036854775808", "true", "1", "12345678901234567.5"]
)


@pytest.mark.parametrize("read_cells", [cells.integers, cells.doubles, cells.truths, cells.days])
@given(st.lists(texts, min_size=1, max_size=4))
def test_a_cell_reads_the_same_in_any_company(read_cells, values: list[str]) -> None:
    """Whether Arrow reads a column or Python its values."""
    alone = [read_cells(pa.array([value]))[0].as_py() for value in values]
    assert read_cells(pa.array(values)).to_pylist() == alone
    assert read_cells(pa.array([*values, "odd"])).to_pylist() == [*alone, None]
