"""Read one YAML file into plain data and remember where every key and value stands.

The dialect is YAML with JSON's numbers and booleans: `NO`, `on`, `1:30`, `2024-01-01` and `007` stay text.
Tags, merge keys and null have no place here. Nothing in a file can raise: what is wrong becomes a problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pipelines.errors import Problem

Place = tuple[str | int, ...]
"""Where a value stands: keys and indices from the top, e.g. `("rest", "resources", 0, "name")`."""

MAX_BYTES = 256 * 1024
MAX_DEPTH = 64
MAX_VALUES = 20_000

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,999})")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?")
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = {"", "~", "null", "Null", "NULL"}
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_SIMPLE_KEY = re.compile(r"[^\W\d][\w-]*")


class Mark(NamedTuple):
    """A line and a column, both counted from 1."""

    line: int
    column: int


class Marks(NamedTuple):
    """Where the key and the value of one place stand; an item of a list has no key of its own."""

    key: Mark
    value: Mark


@dataclass(frozen=True)
class Document:
    """One file as data; `data` is None when nothing of it could be read."""

    file: str
    data: Any
    marks: dict[Place, Marks]
    problems: list[Problem]

    def problem(self, place: Place, message: str, at: str = "value") -> Problem:
        """A problem at the `key` or the `value` of a place; an absent place counts at its parent's key."""
        spot, part = place, at
        while spot and spot not in self.marks:
            spot, part = spot[:-1], "key"
        mark = getattr(self.marks[spot], part) if spot in self.marks else Mark(1, 1)
        return Problem(self.file, mark.line, mark.column, dotted(place), message)


def read(path: Path, shown: str) -> Document:
    """Read a file; `shown` is its name in messages."""
    try:
        text = _text(path)
    except _Unreadable as error:
        return Document(shown, None, {}, [Problem(shown, error.mark.line, error.mark.column, "", error.message)])
    return parse(text, shown)


def parse(text: str, shown: str) -> Document:
    """The same for a text that is already in memory."""
    try:
        _refuse_unprintable(text)
        top = _Composer(text).document()
        reader = _Flattener(shown)
        data = reader.flatten(top, (), top.mark)
    except _Unreadable as error:
        return Document(shown, None, {}, [Problem(shown, error.mark.line, error.mark.column, "", error.message)])
    return Document(shown, data, reader.marks, reader.problems)


def dotted(place: Place) -> str:
    """A place as text: `rest.resources[0].headers["User Agent"]`."""
    parts = [_step(step) for step in place]
    return "".join(parts).removeprefix(".")


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _SIMPLE_KEY.fullmatch(step) else f'["{shorten(step)}"]'


def leaves(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every value that is neither a mapping nor a list, with its place."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if pairs is None:
        yield place, value
        return
    for step, item in pairs:
        yield from leaves(item, (*place, step))


def shorten(text: str, length: int = 40) -> str:
    """A text on one line, cut where it is long."""
    line = "".join(c if c.isprintable() else "?" for c in text)
    return line if len(line) <= length else f"{line[: length - 1]}…"


class _Unreadable(Exception):
    """Nothing of the file can be used."""

    def __init__(self, message: str, mark: Mark = Mark(1, 1)) -> None:  # noqa: B008 – immutable
        super().__init__(message)
        self.message = message
        self.mark = mark


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except IsADirectoryError as error:
        raise _Unreadable("is a folder; a spec is a file") from error
    except OSError as error:
        raise _Unreadable(f"{error.strerror}; make it a readable file") from error
    if len(raw) > MAX_BYTES:
        raise _Unreadable(f"larger than {MAX_BYTES // 1024} KiB; a spec is a page or two")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        head = raw[: error.start].decode("utf-8-sig", errors="replace")
        raise _Unreadable("not UTF-8; save the file as UTF-8", _end_of(head)) from error


def _refuse_unprintable(text: str) -> None:
    found = _UNPRINTABLE.search(text)
    if found:
        mark = _end_of(text[: found.start()])
        raise _Unreadable(f"the character U+{ord(found.group()):04X} cannot stand here; remove it", mark)


def _end_of(text: str) -> Mark:
    return Mark(text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)


@dataclass
class _Node:
    """One value of the file before aliases are followed."""

    mark: Mark
    scalar: str | None = None
    plain: bool = False
    tag: str | None = None
    items: list[_Node] | None = None
    pairs: list[tuple[_Node, _Node]] | None = None
    complete: bool = field(default=False, compare=False)


class _Composer:
    """Events of the YAML parser into nodes; an alias is the very node it names."""

    def __init__(self, text: str) -> None:
        self._events = _events(text)
        self._anchors: dict[str, _Node] = {}

    def document(self) -> _Node:
        next(self._events)  # the stream starts
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            raise _Unreadable("is empty; a spec has at least name, about, and rest or python")
        top = self._node(next(self._events), 0)
        next(self._events)  # the document ends
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise _Unreadable("a second document starts here; one spec per file", _mark(event))
        return top

    def _node(self, event: Any, depth: int) -> _Node:
        if depth > MAX_DEPTH:
            raise _Unreadable(f"nested deeper than {MAX_DEPTH} levels; flatten it", _mark(event))
        if isinstance(event, yaml.AliasEvent):
            return self._named(event)
        node = _Node(_mark(event), tag=event.tag)
        if event.anchor:
            self._anchors[event.anchor] = node
        if isinstance(event, yaml.ScalarEvent):
            node.scalar, node.plain = event.value, event.implicit[0]
        elif isinstance(event, yaml.SequenceStartEvent):
            node.items = list(self._children(yaml.SequenceEndEvent, depth))
        else:
            children = list(self._children(yaml.MappingEndEvent, depth))
            node.pairs = list(zip(children[::2], children[1::2], strict=True))
        node.complete = True
        return node

    def _children(self, end: type[Any], depth: int) -> Iterator[_Node]:
        while not isinstance(event := next(self._events), end):
            yield self._node(event, depth + 1)

    def _named(self, event: Any) -> _Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            raise _Unreadable(f"*{event.anchor} names no anchor; quote a value that starts with *", _mark(event))
        if not node.complete:
            raise _Unreadable(f"*{event.anchor} stands inside its own anchor", _mark(event))
        return node


def _events(text: str) -> Iterator[Any]:
    """The parser's events; an error is told in the words of the Python parser, the same on every machine."""
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        raise _why_not_yaml(text, error) from error


def _why_not_yaml(text: str, error: yaml.YAMLError) -> _Unreadable:
    try:
        for _ in yaml.parse(text, Loader=yaml.SafeLoader):
            pass
    except yaml.YAMLError as plainer:
        error = plainer
    place = getattr(error, "problem_mark", None)
    mark = Mark(place.line + 1, place.column + 1) if place else Mark(1, 1)
    problem = str(getattr(error, "problem", None) or "cannot be read")
    return _Unreadable(_in_our_words(problem, str(getattr(error, "context", ""))), mark)


def _in_our_words(problem: str, context: str) -> str:
    if r"'\t'" in problem:
        return "a tab indents this line; use spaces"
    if "scanning an alias" in context:
        return "a value that starts with * must be quoted"
    return f"not YAML: {shorten(problem, 120)}"


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


class _Flattener:
    """Nodes into plain data, marks and problems."""

    def __init__(self, shown: str) -> None:
        self.marks: dict[Place, Marks] = {}
        self.problems: list[Problem] = []
        self._shown = shown
        self._count = 0

    def flatten(self, node: _Node, place: Place, key: Mark) -> Any:
        self._count += 1
        if self._count > MAX_VALUES or len(place) > MAX_DEPTH:
            raise _Unreadable("too many values or levels once its aliases are followed; write less", key)
        self.marks[place] = Marks(key, node.mark)
        if node.tag is not None:
            tag = shorten(node.tag.replace("tag:yaml.org,2002:", "!!"))
            self._complain(place, node.mark, f"the tag {tag} cannot stand here; remove it")
        if node.items is not None:
            return [self.flatten(item, (*place, i), item.mark) for i, item in enumerate(node.items)]
        if node.pairs is not None:
            return self._mapping(node.pairs, place)
        return self._scalar(node, place)

    def _mapping(self, pairs: list[tuple[_Node, _Node]], place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            name = self._key(key, place)
            if name is None:
                continue
            if name in found:
                line = self.marks[(*place, name)].key.line
                self._complain((*place, name), key.mark, f"said twice, first on line {line}; keep one")
                continue
            found[name] = self.flatten(value, (*place, name), key.mark)
        return {name: value for name, value in found.items() if value is not None}

    def _key(self, key: _Node, place: Place) -> str | None:
        name = key.scalar if key.scalar is not None and (not key.plain or _is_text(key.scalar)) else None
        if name is None or _UNSTORABLE.search(name):
            self._complain(place, key.mark, "a key must be text; quote it")
            return None
        if name == "<<" and key.plain:
            self._complain(place, key.mark, "merge keys (<<) are not read; write the keys out")
            return None
        return name

    def _scalar(self, node: _Node, place: Place) -> Any:
        text = node.scalar or ""
        if not node.plain:
            self._refuse_unstorable(text, place, node.mark)
            return text
        value = _plain_value(text)
        if value is None:
            self._complain(place, node.mark, "has no value; give it one, or leave the key out")
        return value

    def _refuse_unstorable(self, text: str, place: Place, mark: Mark) -> None:
        found = _UNSTORABLE.search(text)
        if found:
            self._complain(place, mark, f"the character U+{ord(found.group()):04X} cannot stand here; remove it")

    def _complain(self, place: Place, mark: Mark, message: str) -> None:
        self.problems.append(Problem(self._shown, mark.line, mark.column, dotted(place), message))


def _is_text(scalar: str) -> bool:
    return isinstance(_plain_value(scalar), str)


def _plain_value(text: str) -> Any:
    """The value of an unquoted scalar."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and any(c.isdigit() for c in text.split("e")[0].split("E")[0]):
        number = float(text)
        return number if abs(number) != float("inf") else text
    return text
