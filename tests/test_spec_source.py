"""Whether the module of a Python spec holds what the spec names, told from its text alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.specs import spec

NO_SECRET = "secrets have no place in a spec; put it in [sources.x] of .dlt/secrets.toml"
NO_SOURCE = "3:1: python: sources/x.py has no @dlt.source function named x; name it as the spec"
SOURCE = """
import dlt
from typing import Any, Literal, Mapping, Optional, Sequence, Union

raise SystemExit("a check must not run the module")

@dlt.source(section="x")
def x(
    text: str = "a",
    whole: int = 1,
    number: float = 1.0,
    flag: bool = False,
    words: list[str] = dlt.config.value,
    counts: Optional[Sequence[int]] = None,
    either: str | list[str] = "a",
    union: Union[int, bool] = 1,
    maybe: "str | None" = None,
    by_name: dict[str, int] = {},
    table: Mapping[str, Any] = {},
    choice: Literal["a", "b"] = "a",
    secret: dlt.TSecretStrValue = dlt.secrets.value,
    odd: Path | datetime = None,
    bare=None,
    *,
    only: int = 1,
) -> object: ...
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("specs", "sources"):
        (tmp_path / folder).mkdir()
    (tmp_path / "sources" / "x.py").write_text(SOURCE)
    return tmp_path


def wrong(root: Path, arguments: str) -> list[str]:
    (root / "specs" / "x.yaml").write_text(f"name: x\nabout: x\npython: {arguments}\n")
    return [str(problem).removeprefix("specs/x.yaml:") for problem in spec.validate(root)]


@pytest.mark.parametrize(
    "arguments",
    [
        "{}",
        "{text: a, whole: 1, number: 1.5, flag: true, only: 3}",
        "{number: 2}",
        "{words: [a, b], counts: [1, 2]}",
        "{either: a}",
        "{either: [a]}",
        "{union: true}",
        "{maybe: a}",
        "{by_name: {a: 1}, table: {a: [1], b: x}}",
        "{choice: b}",
        "{odd: 5, bare: [1]}",
    ],
)
def test_arguments_that_fit(root, arguments):
    assert wrong(root, arguments) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{text: false}", "3:16: python.text: expected text, got the boolean false; quote it"),
        ("{text: 5}", "3:16: python.text: expected text, got the number 5; quote it"),
        ("{whole: '5'}", "3:17: python.whole: expected a whole number, got text; write it without quotes"),
        ("{whole: true}", "3:17: python.whole: expected a whole number, got the boolean true"),
        ("{whole: 1.5}", "3:17: python.whole: expected a whole number, got the number 1.5"),
        ("{number: a}", "3:18: python.number: expected a number, got text; write it without quotes"),
        (
            "{flag: NO}",
            "3:16: python.flag: expected true or false, got text; write true or false, without quotes",
        ),
        ("{words: a}", "3:17: python.words: expected a list, got text"),
        ("{words: [a, 5]}", "3:21: python.words[1]: expected text, got the number 5; quote it"),
        (
            "{counts: [a]}",
            "3:19: python.counts[0]: expected a whole number, got text; write it without quotes",
        ),
        ("{either: 5}", "3:18: python.either: expected text or a list, got the number 5"),
        ("{either: [a, true]}", "3:22: python.either[1]: expected text, got the boolean true; quote it"),
        ("{maybe: 5}", "3:17: python.maybe: expected text, got the number 5; quote it"),
        (
            "{by_name: {a: x}}",
            "3:23: python.by_name.a: expected a whole number, got text; write it without quotes",
        ),
        ("{table: [a]}", "3:17: python.table: expected a mapping, got a list"),
        ("{choice: c}", "3:18: python.choice: expected one of: a, b"),
        ("{secret: abc}", f"3:10: python.secret: {NO_SECRET}"),
    ],
)
def test_arguments_that_do_not_fit(root, arguments, message):
    assert wrong(root, arguments) == [message]


def test_an_unknown_argument(root):
    [message] = wrong(root, "{txt: a}")
    assert message.startswith(
        "3:10: python.txt: the source has no such argument (did you mean 'text'?); it takes: text, whole, "
    )


def test_a_secret_by_its_annotation(root):
    (root / "sources" / "x.py").write_text("import dlt\n@dlt.source\ndef x(pin: dlt.TSecretStrValue): ...\n")
    assert wrong(root, "{pin: '1234'}") == [
        "3:15: python.pin: secrets have no place in a spec; put it in .dlt/secrets.toml"
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "def x(): ...\n",
            NO_SOURCE,
        ),
        (
            "import dlt\n@dlt.source\ndef y(): ...\n",
            NO_SOURCE,
        ),
        (
            "import dlt\n@dlt.resource\ndef x(): ...\n",
            NO_SOURCE,
        ),
        ("def x(:\n", "sources/x.py:1:7: not Python: invalid syntax"),
        ("é = 1", "sources/x.py:1:1: cannot be read; save it as UTF-8 text"),
    ],
)
def test_a_module_without_the_source(root, source, message):
    (root / "sources" / "x.py").write_text(source, encoding="latin-1")
    assert wrong(root, "{}") == [message]


def test_a_missing_module(root):
    (root / "sources" / "x.py").unlink()
    assert wrong(root, "{}") == ["3:1: python: there is no sources/x.py; write it, or use rest:"]


@pytest.mark.parametrize(
    ("init", "expected"),
    [
        ("from .reading import x\n", []),
        ("import dlt\n@dlt.source\ndef x(a: str): ...\n", []),
        (
            "from .elsewhere import x\n",
            [NO_SOURCE],
        ),
    ],
)
def test_a_folder_as_a_module(root, init, expected):
    (root / "sources" / "x.py").unlink()
    folder = root / "sources" / "x"
    folder.mkdir()
    (folder / "__init__.py").write_text(init)
    (folder / "reading.py").write_text("from dlt import source\n@source\ndef x(a: str): ...\n")
    assert wrong(root, "{a: b}") == expected


def test_the_mistakes_of_envelope_and_source_come_together(root):
    (root / "specs" / "x.yaml").write_text("name: x\nabuot: x\npython: {txt: a, whole: a}\n")
    assert [problem.path for problem in spec.validate(root, ["x"])] == [
        "about",
        "abuot",
        "python.txt",
        "python.whole",
    ]
