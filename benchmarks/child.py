"""The process that is measured, and its silent neighbours: `python -m benchmarks.child CASE CONTENDER STEP …`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.case import Case, Work, all_cases


class Absent(MetaPathFinder):
    """Finds nothing where pandas is, which no user's installation has, and which DuckDB imports where it is."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Stop whoever looks for it."""
        if name == "pandas":
            raise ModuleNotFoundError(name, name=name)


def main(name: str, contender: str, step: str, folder: str, data: str, server: str) -> None:
    """Do one step: write the `data` set of so many rows, let a contender `run`, or ask for the `facts` it left."""
    chosen = all_cases()[name]
    if step == "data":
        chosen.write(Path(folder), int(data))
        return
    work = Work(Path(folder), Path(data), server)
    if step == "facts":
        work.facts.write_text(str(_facts(chosen, work)))
        return
    sys.meta_path.insert(0, Absent())
    act = getattr(chosen.contenders[contender], step)
    act(work)


def _facts(case: Case, work: Work) -> list[tuple[Any, ...]]:
    if not isinstance(case.facts, str):
        return case.facts(work)
    if case.postgres:
        from benchmarks.floor import postgres_cursor

        with postgres_cursor(work) as cursor:
            cursor.execute(case.facts)
            return [tuple(str(value) for value in row) for row in cursor.fetchall()]
    import duckdb

    with duckdb.connect(str(work.warehouse), read_only=True) as warehouse:
        return [tuple(str(value) for value in row) for row in warehouse.execute(case.facts).fetchall()]


if __name__ == "__main__":
    main(*sys.argv[1:])
