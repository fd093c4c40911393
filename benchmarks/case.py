"""What a benchmark is: a case, its contenders, and the figures it must show."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ENGINE, RAW, STOCK, TUNED, FLOOR = "engine", "engine, raw lines", "stock dlt", "stock dlt tuned", "floor"
Measure = Literal["wall", "cpu", "peak"]
Size = Literal["small", "full"]
Rows = Mapping[Size, tuple[int, ...]]


@dataclass(frozen=True)
class Work:
    """One process to measure: its own folder, the data set it reads, and the server beside it, if any."""

    folder: Path
    data: Path
    server: str = ""

    @property
    def warehouse(self) -> Path:
        """The DuckDB file that a contender fills."""
        return self.folder / "warehouse.duckdb"

    @property
    def facts(self) -> Path:
        """The file for what it left behind."""
        return self.folder / "facts.txt"

    @property
    def note(self) -> Path:
        """The file for what it has to say besides, if anything."""
        return self.folder / "note.txt"


@dataclass(frozen=True)
class Contender:
    """One way to do the work, in a process of its own; `before` leaves what it starts from and is not measured."""

    run: Callable[[Work], None]
    before: Callable[[Work], None] | None = None
    up_to: int | None = None  # rows; it takes no part at larger sizes
    at_least: int = 0  # nor at smaller ones


@dataclass(frozen=True)
class Target:
    """A figure to show: `of`, the engine, takes at most `times` what `other` takes, and `plus` (seconds or MB) more.

    Wall and CPU seconds are net, peak memory is that of the process and its workers. Without `other`, `plus` is all.
    """

    measure: Measure
    times: float
    other: str
    plus: float = 0.0
    of: str = ENGINE

    def __str__(self) -> str:
        what = f"{self.of}: {'peak' if self.measure == 'peak' else f'net {self.measure}'}"
        unit = "MB" if self.measure == "peak" else "s"
        if not self.other:
            return f"{what} at most {self.plus:g} {unit}"
        if self.times < 1 / 1.5:
            return f"{what} at most 1/{1 / self.times:.0f} of {self.other}"
        more = f" + {self.plus:g} {unit}" if self.plus else ""
        return f"{what} at most {self.times:g} × {self.other}{more}"

    @classmethod
    def at_most(cls, measure: Measure, amount: float) -> Target:
        """A figure that stands by itself."""
        return cls(measure, 0, "", amount)


@dataclass(frozen=True)
class Case:
    """One measure: the data set by its number of rows, who takes part, and what all of them must leave behind."""

    name: str
    about: str
    write: Callable[[Path, int], None]
    contenders: Mapping[str, Contender]
    facts: str | Callable[[Work], list[tuple[Any, ...]]]  # a query, or a question, that all must leave the same answer
    rows: Rows
    targets: tuple[Target, ...] = ()
    postgres: bool = False
    serve: Callable[[Path], AbstractContextManager[str]] | None = None

    def taking_part(self, rows: int) -> dict[str, Contender]:
        """Who runs at this size."""
        parts = self.contenders.items()
        return {name: c for name, c in parts if c.at_least <= rows and (c.up_to is None or rows <= c.up_to)}


def all_cases() -> dict[str, Case]:
    """Every case of `benchmarks.cases`, by name, in the order of the files."""
    from benchmarks import cases

    modules = [importlib.import_module(f"{cases.__name__}.{m.name}") for m in pkgutil.iter_modules(cases.__path__)]
    return {case.name: case for module in modules for case in module.CASES}
