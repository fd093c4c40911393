"""Two thousand broken specs: every one gets problems or passes, none gets a traceback."""

from __future__ import annotations

import copy
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.errors import SpecError
from pipelines.specs import spec

ROOT = Path(__file__).resolve().parents[1]
TEXTS = {path.stem: path.read_bytes() for path in sorted((ROOT / "specs").glob("*.yaml"))}
CASES, CHUNKS = 2000, 4

ODD = [
    *(None, True, False, 0, -1, 10**30, 1.5, "", " ", "x", "NO", "ignore", "{", "{x}", "{resources.a.b}"),
    *("$.[", "\n", "\u202e", "é" * 300, "🦆", "\x85", "resources", "merge", "append", "scd2", "2024-01-01"),
    *("http://u:p@x/", [], [[]], [None], {}, {"": {}}, {"type": "resolve"}, {"type": []}, {"type": "offset"}),
    *({"strategy": {}}, ["a", 1]),
]
WORDS = [
    *(
        b"\t",
        b"\0",
        b"\xff",
        b": ",
        b"- ",
        b"*x",
        b"&x ",
        b"!!str ",
        b"<<: ",
        b"---\n",
        b"...\n",
        b"%YAML 9\n",
    ),
    *(b"? ", b"|", b">", b"'", b'"', b"{", b"}", b"[", b"]", b"#", b"\r", b"\xc2\x85", b"\xed\xa0\x80", b"@"),
    *(b"\xef\xbb\xbf", b"\n\n", b"    ", b"null", b"=", b"`", b"\xe2\x80\xa8", b'"\\ud800"', b'"\\0"'),
    *(b"1e999", b"[" * 70, b"{a: " * 70),
]


def bytes_flipped(text: bytes, rng: random.Random) -> bytes:
    broken = bytearray(text)
    for _ in range(rng.randint(1, 4)):
        broken[rng.randrange(len(broken))] = rng.randrange(256)
    return bytes(broken)


def word_put_in(text: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(WORDS) + text[at:]


def cut_short(text: bytes, rng: random.Random) -> bytes:
    return text[: rng.randrange(len(text))]


def lines_shuffled(text: bytes, rng: random.Random) -> bytes:
    lines = text.splitlines(keepends=True)
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[i], lines[j] = lines[j], rng.choice([lines[i], lines[j], b" " + lines[i]])
    return b"".join(lines)


def value_replaced(text: bytes, rng: random.Random) -> bytes:
    data, (holder, key) = chosen(text, rng)
    holder[key] = copy.deepcopy(rng.choice(ODD))
    return dumped(data)


def key_renamed(text: bytes, rng: random.Random) -> bytes:
    data, (holder, key) = chosen(text, rng)
    if isinstance(holder, dict):
        name = rng.choice([str(key)[:-1], str(key) + "x", 5, True, None, "type", "name", "\u202e", "a.b", ""])
        holder[name] = holder.pop(key)
    return dumped(data)


def value_dropped(text: bytes, rng: random.Random) -> bytes:
    data, (holder, key) = chosen(text, rng)
    del holder[key]
    return dumped(data)


def value_moved(text: bytes, rng: random.Random) -> bytes:
    data, (holder, key) = chosen(text, rng)
    other, (_, _) = chosen(rng.choice(list(TEXTS.values())), rng)
    holder[key] = rng.choice([other, [holder[key]], {"x": holder[key]}, {"type": holder[key]}, str(holder[key])])
    return dumped(data)


def wrapped_deep(text: bytes, rng: random.Random) -> bytes:
    data, (holder, key) = chosen(text, rng)
    for _ in range(rng.choice([1, 5, 62, 80])):
        holder[key] = rng.choice([[holder[key]], {"a": holder[key]}])
    return dumped(data)


def places(data: Any) -> list[tuple[Any, Any]]:
    keys = list(data) if isinstance(data, dict) else list(range(len(data))) if isinstance(data, list) else []
    return [place for key in keys for place in [(data, key), *places(data[key])]]


def chosen(text: bytes, rng: random.Random) -> tuple[Any, tuple[Any, Any]]:
    data = yaml.load(text, Loader=LOADER)
    return data, rng.choice(places(data))


def dumped(data: Any) -> bytes:
    return yaml.dump(data, Dumper=DUMPER, sort_keys=False, allow_unicode=True).encode("utf-8", "surrogatepass")


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
MUTATIONS = [
    *(bytes_flipped, word_put_in, cut_short, lines_shuffled),
    *(value_replaced, key_renamed, value_dropped, value_moved, wrapped_deep),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "sources", tmp_path / "sources", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "specs").mkdir()
    return tmp_path


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_broken_spec_gets_problems(root: Path, chunk: int) -> None:
    refused = 0
    for case in range(chunk, CASES, CHUNKS):
        rng = random.Random(case)
        name = rng.choice(list(TEXTS))
        broken = TEXTS[name]
        for _ in range(rng.choice([1, 1, 2])):
            broken = once(broken, rng)
        (root / "specs" / f"{name}.yaml").write_bytes(broken)
        problems = spec.validate(root, [name])
        refused += bool(problems)
        for problem in problems:
            assert_legible(problem, name)
        if problems:
            assert isinstance(SpecError(problems), SpecError)
        else:
            assert spec.load(root, name).name == name
    assert refused > CASES / CHUNKS / 2, "the mutations break too little to show anything"


def once(text: bytes, rng: random.Random) -> bytes:
    mutate = rng.choice(MUTATIONS)
    try:
        return mutate(text, rng)
    except (yaml.YAMLError, IndexError, ValueError, TypeError):
        return word_put_in(text, rng)  # an earlier mutation left nothing to take apart


def assert_legible(problem: spec.Problem, name: str) -> None:
    assert problem.file in (f"specs/{name}.yaml", f"sources/{name}.py")
    assert problem.line >= 1
    assert problem.column >= 1
    assert problem.message
    text = str(problem)
    assert text.isprintable(), text
    assert len(text) < 1000
    assert problem.annotation().startswith("::error file=")
