"""Bytes to cells: encodings, delimiters, lines and broken records of a list."""

import codecs
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.kit import delimited as module
from sources.kit.delimited import Records, delimiter_of, encoding_of, plain_cells
from sources.kit.errors import Unreadable

HEADER = "url,phone,campaign_name\n"


def read(path: Path, content: str | bytes, delimiter: str | None = None):
    """(header, {line: cells}, [(line, reason, text)]) of a list."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with path.open(encoding=encoding_of(path, None), newline="") as stream:
        records = Records(stream, delimiter)
        batches = list(records.batches())
    whole = {batch.line(number): batch.row(number) for batch in batches for number in range(len(batch))}
    return records.header, whole, [tuple(broken) for batch in batches for broken in batch.broken]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"url,campaign_name\nh,plain\n", "utf-8"),
        ("url\nMünchen €\n".encode(), "utf-8"),
        ("url\nMünchen €\n".encode("utf-8-sig"), "utf-8-sig"),
        (codecs.BOM_UTF16_LE + "url\nMünchen €\n".encode("utf-16-le"), "utf-16"),
        (codecs.BOM_UTF16_BE + "url\nMünchen €\n".encode("utf-16-be"), "utf-16"),
        ("url\nMünchen €\n".encode("utf-16-le"), "utf-16-le"),
        ("url\nMünchen €\n".encode("utf-16-be"), "utf-16-be"),
        (b"url\nM\xfcnchen\n", "cp1252"),
        (b"url\nM\xfcnchen \x80\n", "cp1252"),
        (b"url\nM\xfcnchen \x81\n", "latin-1"),  # CP1252 has no 0x81
        (b"url\ncaf\xe9", "cp1252"),  # looks like the start of a UTF-8 character that was cut off
        (b"url\n" + b"a" * (3 << 20) + b"\xfc\n", "cp1252"),  # only the fourth MiB tells
        (b"url\n" + b"a" * ((1 << 20) - 5) + "ü".encode() + b"\n", "utf-8"),  # a character across two chunks
        (b"", "utf-8"),
    ],
)
def test_encoding_of(tmp_path: Path, content: bytes, encoding: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    assert encoding_of(path, None) == encoding


@pytest.mark.parametrize(
    ("content", "wanted", "message"),
    [
        (b"url\nM\xfcnchen\n", "utf-8", "is not utf-8 text throughout; save it as UTF-8 or set encoding"),
        (codecs.BOM_UTF8 + b"url\nM\xfcnchen\n", None, "is not utf-8-sig text throughout"),
        (codecs.BOM_UTF16_LE + b"u\0r\0l\0\n\0\0\xd8a\0", None, "is not utf-16 text throughout"),
        ("url\nMünchen, Köln".encode()[:-3], None, "ends in the middle of a character: the file was cut"),
        (
            codecs.BOM_UTF16_LE + "url\nabc".encode("utf-16-le")[:-1],
            None,
            "ends in the middle of a character",
        ),
    ],
)
def test_what_is_not_text(tmp_path: Path, content: bytes, wanted: str | None, message: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=message):
        encoding_of(path, wanted)


def test_the_encoding_asked_for_is_used(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"url\n\xe0\n")
    assert encoding_of(path, "cp1250") == "cp1250"


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [
        ("url,phone\n", ","),
        ("url;phone;a,b\n", ";"),
        ("url\tphone\n", "\t"),
        ("url|phone\n", "|"),
        ('"url,a,b,c";phone\n', ";"),
        ('url;"a cell, that, goes, on\n', ";"),
        ("url\n", ","),
    ],
)
def test_delimiter_of(header: str, delimiter: str) -> None:
    assert delimiter_of(header) == delimiter


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("first", "given", "delimiter"),
    [
        ("sep=;\n", None, ";"),
        ('"SEP=|"\r\n', None, "|"),
        ("\nsep=\t\n\n", None, "\t"),
        ("sep=~\n", None, "~"),
        ("sep=;\n", ",", ","),  # the setting knows better
    ],
)
def test_a_first_line_that_only_names_the_delimiter_is_no_header(tmp_path, encoding, first, given, delimiter) -> None:
    content = first + f"url{delimiter}phone\nh{delimiter}+49\n"
    header, whole, broken = read(tmp_path / "list.csv", content.encode(encoding), given)
    assert header == ["url", "phone"]
    assert (whole, broken) == ({first.count("\n") + 2: ["h", "+49"]}, [])


def test_a_delimiter_and_nothing_else_is_an_empty_list(tmp_path) -> None:
    with pytest.raises(Unreadable, match="is empty"):
        read(tmp_path / "list.csv", "sep=;\n")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_encoding_with_every_delimiter_and_line_end(
    tmp_path: Path, encoding: str, delimiter: str, end: str
) -> None:
    lines = [
        ["url", "campaign_name", "phone"],
        ["h", '"Köln, ""A"";|\t"', "+49"],
        ["i", f'"two{end}lines"', "0"],
    ]
    content = end.join(delimiter.join(line) for line in [*lines, ["j", "last", "1"]])
    header, whole, broken = read(tmp_path / "list.csv", content.encode(encoding))
    assert header == ["url", "campaign_name", "phone"]
    assert whole == {
        2: ["h", 'Köln, "A";|\t', "+49"],
        3: ["i", f"two{end}lines", "0"],
        5: ["j", "last", "1"],
    }
    assert broken == []


@pytest.mark.parametrize(
    ("content", "whole", "broken"),
    [
        ("h,1,a\n\n\ni,2,b\n", [2, 5], []),
        ("h,1\ni,2,b\n", [3], [(2, "h,1\n", "has 2 cells where the header has 3")]),
        ("h,1,a,x\n", [], [(2, "h,1,a,x\n", "has 4 cells where the header has 3")]),
        ("i,2,b\n\0\0\0", [2], [(3, "\u2400\u2400\u2400", "holds NUL bytes")]),
        ("h,1,a\0\ni,2,b\n", [3], [(2, "h,1,a\u2400\n", "holds NUL bytes")]),
        ('h,1,"a\nb\nc"\ni,2\nj,3,d\n', [2, 6], [(5, "i,2\n", "has 2 cells")]),
        ('h,1,"a" b\ni,2,b\n', [3], [(2, 'h,1,"a" b\n', "has a quote inside a quoted cell")]),
        ('h,1,a\ni,2,"b\nc,3,d\n', [2], [(3, 'i,2,"b\nc,3,d\n', "ends in the middle of a quoted cell")]),
        ('h,1,5" pipe\n', [2], []),
    ],
)
def test_broken_records_and_their_lines(tmp_path: Path, content: str, whole: list[int], broken: list) -> None:
    _, found, refused = read(tmp_path / "list.csv", HEADER + content)
    assert list(found) == whole
    assert [(line, text) for line, text, _ in refused] == [(line, text) for line, text, _ in broken]
    for (_, _, reason), (_, _, expected) in zip(refused, broken, strict=True):
        assert reason.startswith(expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("\ufeff", "is empty"),
        ('url,"phone', "its header ends in the middle of a quoted cell"),
        ("url,ph\0one\n", "its header holds NUL bytes"),
        ("x" * (2 << 20), "has a first line of more than a million characters"),
    ],
)
def test_no_list_at_all(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        read(tmp_path / "list.csv", content)


def test_blank_lines_before_the_header_count_as_lines(tmp_path: Path) -> None:
    header, whole, _ = read(tmp_path / "list.csv", "\n \n" + HEADER + "h,1,a\n")
    assert (header, list(whole)) == (["url", "phone", "campaign_name"], [4])


def test_a_delimiter_asked_for_wins(tmp_path: Path) -> None:
    header, _, _ = read(tmp_path / "list.csv", "url,phone;x\n", delimiter=";")
    assert header == ["url,phone", "x"]


def test_a_cell_of_a_megabyte(tmp_path: Path) -> None:
    cell = "c" * (1 << 20)
    _, whole, broken = read(tmp_path / "list.csv", f"{HEADER}h,1,{cell}\n")
    assert (whole, broken) == ({2: ["h", "1", cell]}, [])


def test_a_quote_that_never_closes_costs_a_bounded_part_of_the_file(tmp_path: Path) -> None:
    line = f"h,1,{'c' * 100_000}\n"
    _, whole, broken = read(tmp_path / "list.csv", HEADER + 'h,1,"c\n' + line * 100 + "i,2,last\n")
    assert [(record[0], len(record[1])) for record in broken] == [(2, module.KEPT_TEXT)]
    assert broken[0][2].startswith("holds a cell of more than 8388608 characters")
    assert list(whole) == list(range(min(whole), 104))
    assert whole[103] == ["i", "2", "last"]


def test_batches_end_by_number_and_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list.csv"
    odd = 'h,0,5" pipe\n'
    path.write_text(HEADER + odd + "".join(f"h,{n},a\n" for n in range(449)))

    def sizes() -> list[int]:
        with path.open(newline="") as stream:
            return [len(batch) for batch in Records(stream, None).batches()]

    assert sizes() == [450]
    monkeypatch.setattr(module, "RECORDS_AT_ONCE", 200)
    assert sizes() == [200, 200, 50]
    monkeypatch.setattr(module, "CHARACTERS_AT_ONCE", 300)
    assert sizes() == [100, 100, 100, 100, 50]
    monkeypatch.undo()
    monkeypatch.setattr(module, "BLOCK_CHARACTERS", len(odd))
    assert sizes()[:2] == [100, 2]


cells = st.text(st.sampled_from('ab ,;"\n\r\0ü\u2028\ufeff'), max_size=4)
written = st.one_of(cells.map(lambda cell: '"' + cell.replace('"', '""') + '"'), cells)
lines = st.lists(st.lists(written, min_size=1, max_size=4).map(",".join), max_size=6)


@settings(max_examples=300)
@given(lines, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.sampled_from([1, 9, 4 << 20]))
def test_blocks_are_read_as_records_are(tmp_path: Path, lines: list[str], end: str, last: bool, block: int) -> None:
    content = HEADER + end.join(lines) + (end if last else "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_CHARACTERS", block)
        by_blocks = read(tmp_path / "list.csv", content)
        patch.setattr(module, "plain_cells", lambda *_: None)
        assert by_blocks == read(tmp_path / "list.csv", content)


@pytest.mark.parametrize(
    ("block", "cells"),
    [
        ("a,b\nc,\n", [["a", "c"], ["b", ""]]),
        ("a,b\r\nc,d", [["a", "c"], ["b", "d"]]),
        ('"a","b, c"\n"",d\n', [["a", ""], ["b, c", "d"]]),
        ("NULL, nan \n-,+1\n", [["NULL", "-"], [" nan ", "+1"]]),
        ("a,b\n\nc,d\n", None),
        ("a,b\nc\n", None),
        ("a,b\n c,d,e\n", None),
        ("a,b\rc,d\r", None),
        ("a,b\0\n", None),
        ('"a ""b""",c\n', None),
        ('5" pipe,c\n', None),
        ('"a\nb",c\n', None),
        ('"a,"b",c"\n', None),
        ('"a" ,b\n', None),
        ('a, "b"\n', None),
        ("\ufeffa,b\n", None),
    ],
)
def test_what_is_plain(block: str, cells: list[list[str]] | None) -> None:
    found = plain_cells(block, 2, ",")
    assert (found and [column.to_pylist() for column in found]) == cells
