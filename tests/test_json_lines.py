"""JSONL files become pages of raw lines: what is no part of a line, what is no line, and what cannot be read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest

from sources.kit import json_lines
from sources.kit.json_lines import Lines
from sources.kit.json_lines import json_lines as pages_of
from tests.test_bad_input import SPEC, module, run

Told = list[Any]
LONG = b'{"a": "' + b"x" * 90 + b'"}'


def told(path: Path, content: bytes) -> Told:
    """What comes out of a file: lines by their places, and notices as tuples."""
    path.write_bytes(content)
    found: Told = []
    for page in pages_of(path):
        if isinstance(page, Lines):
            assert [orjson.dumps(fragment) for fragment in page] == page.lines
            found += zip(page.places, page.lines, strict=True)
        else:
            found += [tuple(told for key, told in each.items() if key not in ("unit", "part")) for each in page]
    return found


def lines(*texts: bytes, first: int = 1) -> Told:
    return [(f"a.jsonl:{number}", text) for number, text in enumerate(texts, first)]


FILES: dict[str, tuple[bytes, Told]] = {
    "nothing": (b"", []),
    "blank lines only": (b"\n \n\r\n\t", []),
    "one line": (b'{"a": 1}\n', lines(b'{"a": 1}')),
    "no end": (b'{"a": 1}\n{"a": 2}', lines(b'{"a": 1}', b'{"a": 2}')),
    "blank lines": (b'\n{"a": 1}\n\n \n{"a": 2}\n\n', [("a.jsonl:2", b'{"a": 1}'), ("a.jsonl:5", b'{"a": 2}')]),
    "carriage returns": (b'{"a": 1}\r\n\r\n{"a": 2}\r\n', [("a.jsonl:1", b'{"a": 1}'), ("a.jsonl:3", b'{"a": 2}')]),
    "a mark": (b'\xef\xbb\xbf{"a": 1}\n', lines(b'{"a": 1}')),
    "a mark further on": (b"{}\n\xef\xbb\xbf{}\n", lines(b"{}", b"\xef\xbb\xbf{}")),
    "what is no JSON": (b"{\n\xff\n", lines(b"{", b"\xff")),
    "UTF-16": ('{"a": 1}\n'.encode("utf-16"), [("failed", "a.jsonl", "is UTF-16; save it as UTF-8")]),
    "UTF-16, the other way": ('\ufeff{}\n'.encode("utf-16-be"), [("failed", "a.jsonl", "is UTF-16; save it as UTF-8")]),
    "UTF-32": ('{"a": 1}\n'.encode("utf-32"), [("failed", "a.jsonl", "is UTF-32; save it as UTF-8")]),
    "UTF-32, the other way": ('\ufeff{}\n'.encode("utf-32-be"), [("failed", "a.jsonl", "is UTF-32; save it as UTF-8")]),
    "blanks that JSON has not": (b"\x0c{}\x0b\n\x0b\n\t {} \r\n", [
        ("a.jsonl:1", b"\x0c{}\x0b"), ("a.jsonl:2", b"\x0b"), ("a.jsonl:3", b"{}"),
    ]),
    "many lines": (b'{"a": 1}\n' * 50, lines(*[b'{"a": 1}'] * 50)),
    "lines as long as they may be": (LONG[:64] + b"\n" + LONG[:64], lines(LONG[:64], LONG[:64])),
    "too long a line": (b"{}\n" + LONG + b"\n{}\n", [
        ("a.jsonl:1", b"{}"),
        ("rejected", {"text": '{"a": "xx'}, "is a line of more than 64 bytes; write one record per line", "a.jsonl:2"),
        ("a.jsonl:3", b"{}"),
    ]),
    "a record at the start of too long a line": (b'{"a": 1}' + b" " * 80 + b"rubbish\n{}\n", [
        ("rejected", {"text": '{"a": 1} '}, "is a line of more than 64 bytes; write one record per line", "a.jsonl:1"),
        ("a.jsonl:2", b"{}"),
    ]),
    "blanks at the start of too long a line": (b" " * 9 + LONG[:60] + b'"}\n', [
        ("rejected", {"text": " " * 9}, "is a line of more than 64 bytes; write one record per line", "a.jsonl:1"),
    ]),
    "nothing but blanks in too long a line": (b" " * 80, [
        ("rejected", {"text": " " * 9}, "is a line of more than 64 bytes; write one record per line", "a.jsonl:1"),
    ]),
    "too long a last line": (LONG * 9, [
        ("rejected", {"text": '{"a": "xx'}, "is a line of more than 64 bytes; write one record per line", "a.jsonl:1"),
    ]),
}  # fmt: skip


@pytest.fixture(params=[7, 64, 1000])
def small_blocks(request, monkeypatch) -> None:
    monkeypatch.setattr(json_lines, "BLOCK", request.param)
    monkeypatch.setattr(json_lines, "LONGEST_LINE", 64)
    monkeypatch.setattr(json_lines, "KEPT_TEXT", 9)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("content", "expected"), FILES.values(), ids=FILES)
def test_what_becomes_of_a_file(content, expected, tmp_path):
    assert sorted(told(tmp_path / "a.jsonl", content), key=str) == sorted(expected, key=str)


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(("ending", "packed"), [(".gz", gzip.compress), (".zst", zstd)])
def test_packed_files_are_read_as_they_are_unpacked(ending, packed, tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "BLOCK", 100)
    path, content = tmp_path / f"a.jsonl{ending}", b"".join(b'{"a": %d}\n' % number for number in range(5000))
    whole = told(path, packed(content))
    assert [line for _, line in whole] == content.splitlines()
    *before, last = told(path, packed(content)[:-9])
    assert before == whole[: len(before)]
    assert last[:2] == ("failed", f"a.jsonl{ending}")
    assert last[2].startswith("cannot be read: Truncated compressed stream")
    assert told(path, packed(content[:9]) + packed(content[9:])) == whole
    assert told(path, b"{}\n")[0][:2] == ("failed", f"a.jsonl{ending}")


def in_frames(content: bytes) -> bytes:
    """zstd as pzstd writes it, with a frame before it that is to be skipped."""
    return b"\x50\x2a\x4d\x18\x04\0\0\0 etc" + zstd(content)


PACKED = b"".join(b'{"a": %d}\n' % number for number in range(50))


@pytest.mark.parametrize("packed", [gzip.compress, zstd, in_frames])
@pytest.mark.parametrize("name", ["a.jsonl", "A.JSONL.GZ", "A.JSONL.Zst", "a.jsonl.gz", "a.jsonl.zst", "a.b"])
def test_a_packed_file_may_have_any_name(name, packed, tmp_path):
    assert [line for _, line in told(tmp_path / name, packed(PACKED))] == PACKED.splitlines()


@pytest.mark.parametrize("content", [b"", PACKED, PACKED[:1], b"\n"])
@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "A.JSONL.GZ"])
def test_what_is_named_as_packed_and_is_not_fails(name, content, tmp_path):
    kind = "zstd" if name.endswith("zst") else "gzip"
    assert told(tmp_path / name, content) == [
        ("failed", name, f"is no {kind} file, though its name says so; send it again or rename it")
    ]


@pytest.mark.parametrize("name", ["none.jsonl", "folder"])
def test_a_file_that_cannot_be_opened_fails_alone(name, tmp_path):
    (tmp_path / "folder").mkdir()
    [[notice]] = pages_of(tmp_path / name, "the list")
    assert (notice["_etl_notice"], notice["item"]) == ("failed", "the list")
    assert notice["reason"].startswith("cannot be read: ")


SOURCE = '''\
"""A file of lines."""

from pathlib import Path

import dlt

from sources.kit.json_lines import json_lines


@dlt.source(name="toy", section="toy")
def toy():
    return dlt.resource(
        json_lines(Path({path!r})), name="things", primary_key="id", write_disposition="merge",
        columns={{"id": {{"data_type": "bigint"}}, "n": {{"data_type": "bool"}}}},
    )
'''


def test_a_run_says_of_what_it_sets_aside_in_which_line_it_stood(workspace, tmp_path):
    made = workspace()
    made.write("specs/toy.yaml", SPEC)
    module(made, SOURCE.format(path=str(tmp_path / "a.jsonl")))
    good = [json.dumps({"id": number, "n": True, "l": [{"x": number}]}).encode() for number in range(6000)]
    content = [*good[:10], b"", b"{", *good[10:5000], b'{"id": 7000, "n": "x"}', b'{"id": null}\r', *good[5000:]]
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n".join(content))
    assert run(made, "toy", "--run-id", "one").code == 3
    assert made.query("SELECT count(*), count(DISTINCT id), sum(id) FROM toy.things") == [(6000, 6000, 17997000)]
    assert made.query("SELECT count(*) FROM toy.things__l") == [(6000,)]
    assert sorted(made.query("SELECT place, payload FROM _etl.quarantine")) == [
        ("a.jsonl:12", "{"),
        ("a.jsonl:5003", '{"id":7000,"n":"x"}'),
        ("a.jsonl:5004", '{"id":null}'),
    ]
    taken = json.loads((made.root / "runs/one/metrics.json").read_text())["gears"]
    assert taken["arrow"]["records"] == 6000 - taken["rows"]["records"]
