"""The dialect of YAML a spec is written in, and where everything stands in the file."""

from __future__ import annotations

import os
import string
from itertools import pairwise

import pytest
import yaml

from pipelines.specs import yaml_marks
from pipelines.specs.yaml_marks import Mark, Marks


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("1:30", "1:30"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("007", "007"),
        ("+49155", "+49155"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("0o17", "0o17"),
        ("0", 0),
        ("-17", -17),
        ("2.50", 2.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e999", "1e999"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        (".", "."),
        ("-", "-"),
        ("e5", "e5"),
        ("1.2.3", "1.2.3"),
        ("9" * 30, int("9" * 30)),
        ("9" * 5000, "9" * 5000),
        ("'1'", "1"),
        ('"true"', "true"),
        ('"\\x1f"', "\x1f"),
        ("=", "="),
    ],
)
def test_scalars(text, value):
    document = yaml_marks.parse(f"a: {text}\n" if text != "-" else 'a: "-"\n', "x.yaml")
    assert document.problems == []
    assert document.data == {"a": value}
    assert type(document.data["a"]) is type(value)


@pytest.mark.parametrize("key", ["on", "NO", "yes", "1:30", "2024-01-01", "'1'", '"true"', "'<<'"])
def test_keys_that_are_text(key):
    document = yaml_marks.parse(f"{key}: 1\n", "x.yaml")
    assert document.problems == []
    assert list(document.data) == [key.strip("'\"")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: is empty; a spec has at least name, about, and rest or python"),
        ("a: 1\n---\nb: 2\n", "2:1: a second document starts here; one spec per file"),
        ("a:\n\tb: 1\n", "2:1: a tab indents this line; use spaces"),
        ("a: b: c\n", "1:5: not YAML: mapping values are not allowed here"),
        ("a: [1, 2\nb: 3\n", "2:2: not YAML: expected ',' or ']', but got ':'"),
        ("a: 'x\n", "2:1: not YAML: found unexpected end of stream"),
        ("a: *b\n", "1:4: *b names no anchor; quote a value that starts with *"),
        ("a: * *\n", "1:5: a value that starts with * must be quoted"),
        ("a: &b [*b]\n", "1:8: *b stands inside its own anchor"),
        ("a: 1\nb: 2\na: 3\n", "3:1: a: said twice, first on line 1; keep one"),
        ("a: {b: 1, b: 1}\n", "1:11: a.b: said twice, first on line 1; keep one"),
        ("a:\n", "1:3: a: has no value; give it one, or leave the key out"),
        ("a: [~]\n", "1:5: a[0]: has no value; give it one, or leave the key out"),
        ("1: x\n", "1:1: a key must be text; quote it"),
        ("true: x\n", "1:1: a key must be text; quote it"),
        ("? [a]\n: x\n", "1:3: a key must be text; quote it"),
        ("a: {~: x}\n", "1:5: a: a key must be text; quote it"),
        ("a: &b {c: 1}\nd: {<<: *b}\n", "2:5: d: merge keys (<<) are not read; write the keys out"),
        (
            "a: !!python/object:os.system x\n",
            "1:4: a: the tag !!python/object:os.system cannot stand here; remove it",
        ),
        ("a: !env X\n", "1:4: a: the tag !env cannot stand here; remove it"),
        ("a: \x00\n", "1:4: the character U+0000 cannot stand here; remove it"),
        ("a: 1\nb: \x1b[0m\n", "2:4: the character U+001B cannot stand here; remove it"),
        ('a: "\\0"\n', "1:4: a: the character U+0000 cannot stand here; remove it"),
        ("[" * 100, "1:66: nested deeper than 64 levels; flatten it"),
        ("{a: " * 10_000, "1:258: nested deeper than 64 levels; flatten it"),
    ],
)
def test_what_is_no_spec(text, problem):
    assert [str(found) for found in yaml_marks.parse(text, "x.yaml").problems] == [f"x.yaml:{problem}"]


def test_without_libyaml_the_messages_are_the_same(monkeypatch):
    texts = [
        "a:\n\tb: 1\n",
        "a: b: c\n",
        "a: 'x\n",
        "a: * *\n",
        "a: [1, 2\nb: 3\n",
        'a: "\\q"\n',
        "a: 1\n",
        "@: 1\n",
    ]
    fast = [yaml_marks.parse(text, "x") for text in texts]
    monkeypatch.setattr(yaml_marks, "_LOADER", yaml.SafeLoader)
    assert [yaml_marks.parse(text, "x") for text in texts] == fast


def test_aliases_are_followed_but_not_for_ever():
    assert yaml_marks.parse("a: &x {b: [1]}\nc: *x\n", "x").data == {"a": {"b": [1]}, "c": {"b": [1]}}
    letters = string.ascii_lowercase[:9]
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in pairwise(letters)
    )
    [problem] = yaml_marks.parse(bomb, "x").problems
    assert problem.message == "too many values or levels once its aliases are followed; write less"


def test_marks_count_from_one():
    text = "# a comment\na: 1\nb:\n  - c: x\n    d: [y, z]\n"
    assert yaml_marks.parse(text, "x").marks == {
        (): Marks(Mark(2, 1), Mark(2, 1)),
        ("a",): Marks(Mark(2, 1), Mark(2, 4)),
        ("b",): Marks(Mark(3, 1), Mark(4, 3)),
        ("b", 0): Marks(Mark(4, 5), Mark(4, 5)),
        ("b", 0, "c"): Marks(Mark(4, 5), Mark(4, 8)),
        ("b", 0, "d"): Marks(Mark(5, 5), Mark(5, 8)),
        ("b", 0, "d", 0): Marks(Mark(5, 9), Mark(5, 9)),
        ("b", 0, "d", 1): Marks(Mark(5, 12), Mark(5, 12)),
    }


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ((), ""),
        (("rest", "resources", 1, "primary_key"), "rest.resources[1].primary_key"),
        (("headers", "User Agent"), 'headers["User Agent"]'),
        (("headers", "X-Key"), "headers.X-Key"),
        (("a.b", "1"), '["a.b"]["1"]'),
        (("a\x1b\n",), '["a??"]'),
        (("x" * 60 + " ",), '["' + "x" * 39 + '…"]'),
    ],
)
def test_places_as_text(place, text):
    assert yaml_marks.dotted(place) == text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a: é\n".encode("latin-1"), "1:4: not UTF-8; save the file as UTF-8"),
        ("a: 1\n".encode("utf-16"), "1:1: not UTF-8; save the file as UTF-8"),
        (b"a: 1\nbc: \xff\n", "2:5: not UTF-8; save the file as UTF-8"),
        (b"a: " + b"x" * 300_000, "1:1: larger than 256 KiB; a spec is a page or two"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, content, problem):
    path = tmp_path / "a b.yaml"
    path.write_bytes(content)
    document = yaml_marks.read(path, "specs/x.yaml")
    assert document.data is None
    assert [str(found) for found in document.problems] == [f"specs/x.yaml:{problem}"]


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert yaml_marks.read(tmp_path / "x.yaml", "x").data == {"a": 1}


def test_a_folder_and_a_missing_file(tmp_path):
    assert str(yaml_marks.read(tmp_path, "x").problems[0]) == "x:1:1: is a folder; a spec is a file"
    missing = yaml_marks.read(tmp_path / "nowhere.yaml", "x").problems[0]
    assert str(missing) == f"x:1:1: {os.strerror(2)}; make it a readable file"
