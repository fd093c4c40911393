"""A multipart body as it arrives: its fields in memory, its file handed on piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MULTIPART = "multipart/form-data"
FILE = "chunk_file"
MOST_PARTS = 32
LONGEST_FIELD = 4096
ROOM = 65_536
"""For all of a body that is not the file: fields, boundaries, heads of parts."""


class Malformed(Exception):
    """A body that is no multipart form, or none that is meant here."""


class Sink(Protocol):
    """Takes the file."""

    def add(self, data: memoryview) -> None:
        """The next piece."""


class Form:
    """One body; `fields` and `has_file` say what has begun to arrive so far."""

    def __init__(self, content_type: str, sink: Sink) -> None:
        self.fields: dict[str, str] = {}
        self.has_file = False
        self._sink, self._ended, self._parts = sink, False, 0
        self._header, self._value = b"", b""
        self._disposition = ""
        self._name, self._field = "", bytearray()
        self._take: Callable[[memoryview], None] = self._ignore
        self._parser = _parser(content_type, self)

    def write(self, data: bytes) -> None:
        """The next piece of the body; Malformed when it cannot be one."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise Malformed(f"Malformed multipart body: {error}") from None

    def finish(self) -> None:
        """The body has ended; Malformed when something is missing."""
        if not self._ended:
            raise Malformed("Malformed multipart body: it ends before its last boundary")

    def on_part_begin(self) -> None:
        """A part begins."""
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise Malformed(f"Malformed multipart body: more than {MOST_PARTS} parts")
        self._disposition, self._field = "", bytearray()

    def on_header_begin(self) -> None:
        """A line of its head begins."""
        self._header, self._value = b"", b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        """Some of its name."""
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        """Some of its value."""
        self._value += data[start:end]

    def on_header_end(self) -> None:
        """The line is over."""
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value.decode("latin-1")

    def on_headers_finished(self) -> None:
        """The head is over: is it the file, or a field?"""
        _, options = _options(self._disposition)
        if b"name" not in options:
            raise Malformed("Malformed multipart body: a part has no name")
        self._name = options[b"name"].decode("utf-8", "replace")
        is_file = b"filename" in options
        if is_file and self._name == FILE:
            if self.has_file:
                raise Malformed(f"Malformed multipart body: {FILE} comes twice")
            self.has_file, self._take = True, self._sink.add
        else:
            self._take = self._ignore if is_file else self._add

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Some of its content."""
        self._take(memoryview(data)[start:end])

    def on_part_end(self) -> None:
        """The part is over."""
        if self._take == self._add:
            self.fields[self._name] = self._field.decode("utf-8", "replace")

    def on_end(self) -> None:
        """The last boundary."""
        self._ended = True

    def _add(self, data: memoryview) -> None:
        self._field += data
        if len(self._field) > LONGEST_FIELD:
            raise Malformed(f"Malformed multipart body: a field is longer than {LONGEST_FIELD} bytes")

    def _ignore(self, data: memoryview) -> None:
        """What nobody asked for."""


def is_form(content_type: str) -> bool:
    """Whether a body says it is a multipart form."""
    return content_type.lower().lstrip().startswith(MULTIPART)


@lru_cache(256)
def _options(disposition: str) -> tuple[bytes, dict[bytes, bytes]]:
    """What a part says it is; recorders say the same of every chunk."""
    return parse_options_header(disposition)


def _parser(content_type: str, form: Form) -> MultipartParser:
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise Malformed("Missing boundary in multipart.")
    names = (
        "on_part_begin", "on_header_begin", "on_header_field", "on_header_value", "on_header_end",
        "on_headers_finished", "on_part_data", "on_part_end", "on_end",
    )  # fmt: skip
    try:
        return MultipartParser(boundary, cast("MultipartCallbacks", {name: getattr(form, name) for name in names}))
    except FormParserError as error:
        raise Malformed(f"Malformed multipart body: {error}") from None
