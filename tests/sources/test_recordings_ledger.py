"""Known and fresh rows become changed rows: the SQL against the rules told row by row."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.recordings import ledger as module
from sources.recordings.ledger import DATA, SCHEMA, Ledger
from sources.recordings.rows import READ

COMPARED = ("url", "phone", "source_row_id", "source_file")


def row(url: str, file: str, line: int, phone: str | None, number: int | None) -> dict[str, object]:
    return {"url": url, "source_file": file, "source_line": line, "phone": phone, "source_row_id": number}


def changes(folder: Path, known: list[dict], *files: list[dict]) -> list[dict]:
    """The rows that come out, given rows of the destination and of files read in this order."""
    with Ledger(folder) as ledger:
        ledger.remember(pa.Table.from_pylist(known, READ))
        for rows in files:
            with ledger.at_once():
                ledger.add(pa.Table.from_pylist(rows, READ))
        tables = list(ledger.changes())
    assert all(table.schema.equals(SCHEMA) for table in tables)
    return [found for table in tables for found in table.to_pylist()]


def told(known: list[dict], files: list[list[dict]]) -> dict[str, dict]:
    """The same by the letter of the rules: own values win when filled, foreign ones fill what is empty."""
    before = {found["url"]: {name: found[name] for name in COMPARED} for found in known}
    now = {url: dict(found) for url, found in before.items()}
    for fresh in (fresh for rows in files for fresh in rows):
        mine = now.setdefault(fresh["url"], {name: fresh[name] for name in COMPARED})
        own = mine["source_file"] == fresh["source_file"]
        for name in ("phone", "source_row_id"):
            if fresh[name] is not None and (own or mine[name] is None):
                mine[name] = fresh[name]
    return {url: found for url, found in now.items() if before.get(url) != found}


rows_of_a_file = st.lists(
    st.tuples(
        st.sampled_from(["https://a.test/1", "https://a.test/2", "https://a.test/3"]),
        st.sampled_from([None, "+49", "0151"]),
        st.sampled_from([None, 1, 2]),
    ),
    max_size=4,
)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), rows_of_a_file), max_size=4),
    st.lists(st.tuples(st.sampled_from("abc"), rows_of_a_file), max_size=3),
    st.sampled_from([1, 250_000]),
)
def test_merging_as_it_is_told(tmp_path: Path, earlier, later, rows_at_once) -> None:
    def rows(files):
        return [
            [row(url, name, line, phone, number) for line, (url, phone, number) in enumerate(cells, 2)]
            for name, cells in files
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS_AT_ONCE", rows_at_once)
        known = changes(tmp_path, [], *rows(earlier))
        assert {found["url"]: {name: found[name] for name in COMPARED} for found in known} == told([], rows(earlier))
        after = changes(tmp_path, known, *rows(later))
    assert {found["url"]: {name: found[name] for name in COMPARED} for found in after} == told(known, rows(later))


def test_a_second_reading_of_the_same_changes_nothing(tmp_path: Path) -> None:
    file = [row("https://a.test/1", "a", 2, "+49", 1), row("https://a.test/1", "a", 3, None, 2)]
    known = changes(tmp_path, [], file)
    assert [(found["phone"], found["source_row_id"], found["source_line"]) for found in known] == [("+49", 2, 3)]
    assert changes(tmp_path, known, file) == []


def test_a_row_that_only_moved_to_another_line_is_as_it_was(tmp_path: Path) -> None:
    known = changes(tmp_path, [], [row("https://a.test/1", "a", 2, "+49", 1)])
    assert changes(tmp_path, known, [row("https://a.test/1", "a", 900, "+49", 1)]) == []


def test_each_column_is_merged_and_compared(tmp_path: Path) -> None:
    values = {
        "recording_id": "r",
        "phone": "+49",
        "campaign_name": "c",
        "duration_seconds": 1.5,
        "source_row_id": 7,
    }
    times = {"started": 1_000_000, "stopped": 2_000_000}
    whole = row("https://a.test/1", "a", 2, None, None) | values | times
    bare = row("https://a.test/1", "a", 2, None, None)
    assert set(DATA) == {*values, *times}
    known = changes(tmp_path, [], [whole])
    assert {name: known[0][name] for name in values} == values
    assert known[0]["url_sha1"] == hashlib.sha1(b"https://a.test/1").hexdigest()
    for name in (*values, *times):
        partly = changes(tmp_path, [], [whole | {name: None}])
        assert [found[name] for found in partly] == [None]
        assert [found[name] for found in changes(tmp_path, partly, [whole])] == [known[0][name]]
        assert [found[name] for found in changes(tmp_path, partly, [whole | {"source_file": "b"}])] == [known[0][name]]
    assert changes(tmp_path, known, [bare]) == []


def test_a_file_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        with pytest.raises(OSError, match="gone"):
            _fail(ledger)
        assert list(ledger.changes()) == []


def _fail(ledger: Ledger) -> None:
    with ledger.at_once():
        ledger.add(pa.Table.from_pylist([row("https://a.test/1", "a", 2, None, None)], READ))
        raise OSError("gone")


def test_repeats_are_counted_by_file(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        for file, urls in (("b", "1123"), ("a", "12"), ("c", "4444")):
            rows = [row(f"https://a.test/{url}", file, line, None, None) for line, url in enumerate(urls)]
            ledger.add(pa.Table.from_pylist(rows, READ))
        assert ledger.repeats() == [("b", 1), ("c", 3)]


def test_changes_come_by_file_and_line(tmp_path: Path) -> None:
    rows = [row(f"https://a.test/{n}", "ab"[n % 2], 1000 - n, None, None) for n in range(500)]
    for known in ([], changes(tmp_path, [], [row("https://a.test/0", "a", 9, "+49", None)])):
        found = [(change["source_file"], change["source_line"]) for change in changes(tmp_path, known, rows)]
        assert found == sorted(found)
        assert len(found) == 500 - len(known)
