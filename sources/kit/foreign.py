"""Files that another program fetched, as a source can read them: which tables they fill, and what a line becomes.

A source that can has a public function `foreign`, which takes arguments as the source does and returns `Foreign`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One line of a file: what it says, its number from 1 on, the type of the file and its name without an ending.

    `at` is the minute that the name begins with, `2026-03-20T08:00` for `2026_03_20_08_00`, or empty.
    """

    content: Row
    number: int
    type: str
    file: str
    at: str

    @property
    def first_name(self) -> str:
        """The name before an archive that had one like it gave it a number."""
        return re.sub(r"\.\d+$", "", self.file)


@dataclass(frozen=True)
class Foreign:
    """How to read them.

    `rows` gives the rows (and notices) that a line is to a table. Where it gives the notice `failed`, the file is put
    aside with that reason. `tables` are those that a type of file fills; of a type that it does not name, the table of
    that name. `fault` says why a file with such a line cannot be read, whatever is loaded; nothing where it can.
    `is_empty`: whether a line that is no row of any table tells of no data. Types that are `first` are loaded before
    the others beside them, which need them.
    """

    rows: Callable[[str, Line], Iterable[Row]]
    tables: Mapping[str, tuple[str, ...]]
    fault: Callable[[Line], str] = lambda _: ""
    is_empty: Callable[[Line], bool] = lambda _: False
    first: tuple[str, ...] = ()


def owner(accounts: Sequence[str], line: Line) -> str:
    """The account that a line names, or the name of its file behind the type, or the only one; else nothing."""
    behind = {f"_{line.type}_{account}": account for account in accounts}
    behind |= {f"_{line.type}": accounts[0]} if len(accounts) == 1 else {}
    names = (line.file, line.first_name)
    named = (account for name in names for ending, account in behind.items() if f"_{name}".endswith(ending))
    return str(line.content.get("account") or next(named, ""))


def ownerless(accounts: Sequence[str], line: Line) -> str:
    """Why a line is of nobody; nothing where it is of somebody."""
    if owner(accounts, line):
        return ""
    endings = " or ".join(f"_{account}" for account in accounts)
    return f"does not say whose it is; let its name end with {endings}, and put it into landing again"
