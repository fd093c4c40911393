"""A status line on a terminal; without one nothing is shown but logs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class Status:
    """Called with a text while a run goes on."""

    def __call__(self, text: str) -> None:
        """Show the text."""

    def clear(self) -> None:
        """Take it away before a report is printed."""


class Spinner(Status):
    """One line of rich on stderr."""

    def __init__(self) -> None:
        from rich.console import Console

        self._status = Console(stderr=True).status("", spinner="line")

    def __call__(self, text: str) -> None:
        from rich.markup import escape

        self._status.update(escape(text))
        self._status.start()

    def clear(self) -> None:
        self._status.stop()


@contextmanager
def shown() -> Iterator[Status]:
    """A spinner where stderr is a terminal."""
    status = Spinner() if sys.stderr.isatty() else Status()
    try:
        yield status
    finally:
        status.clear()
