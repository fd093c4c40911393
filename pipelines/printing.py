"""stdout: lines for people or one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from pipelines.logs import is_utf_8

NOTHING = "-"


def counted(count: int, noun: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class Printer:
    """Prints data on stdout in the form the command was asked for."""

    def __init__(self, form: str) -> None:
        self.json = form == "json"

    def lines(self, lines: Iterable[str]) -> None:
        """Lines for a person; nothing when JSON was asked for."""
        if not self.json:
            for line in lines:
                sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    def document(self, content: Any) -> None:
        """One JSON document; nothing when lines were asked for."""
        if self.json:
            text = json.dumps(content, indent=2, ensure_ascii=not is_utf_8(sys.stdout), default=str)
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Columns aligned by width."""
        text = [[NOTHING if cell in (None, "") else str(cell) for cell in row] for row in [header, *rows]]
        widths = [max(len(row[i]) for row in text) for i in range(len(header))]
        self.lines(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in text
        )
