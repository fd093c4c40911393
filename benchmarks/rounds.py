"""A case at one size: every contender in turn, several rounds, medians, and the same on one row to take off."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from benchmarks.case import Case, Measure, Work
from benchmarks.measure import Cost, DidNotFinish, cost_of, python, quiet

Tell = Callable[[str], None]


@dataclass
class Tally:
    """All that was measured of one contender: whole runs and runs on one row."""

    whole: list[Cost] = field(default_factory=list)
    one_row: list[Cost] = field(default_factory=list)
    facts: set[str] = field(default_factory=set)
    failure: str = ""

    def gross(self, measure: Measure) -> float:
        """The median over the rounds."""
        return _median(self.whole, measure)

    def net(self, measure: Measure) -> float:
        """The median less that of the process on one row; peak memory is not netted."""
        if measure == "peak":
            return self.gross(measure)
        return self.gross(measure) - _median(self.one_row, measure)


@dataclass(frozen=True)
class Outcome:
    """One case at one size."""

    case: Case
    rows: int
    tallies: dict[str, Tally]
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    load: float = field(default_factory=lambda: round(os.getloadavg()[0], 1))
    """Of the machine in the last minute, the contenders' own included."""

    @property
    def parity(self) -> bool:
        """Whether all that finished left the same behind."""
        return len({facts for tally in self.tallies.values() for facts in tally.facts}) == 1


class Bench:
    """A scratch folder with data sets, servers and prepared starting points."""

    def __init__(self, folder: Path, tell: Tell) -> None:
        self.folder, self.tell = folder, tell
        self._open = ExitStack()
        self._postgres: str | None = None
        self._prepared: dict[tuple[str, str, int], Path] = {}

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def outcome(self, case: Case, rows: int, rounds: int, one_row_rounds: int) -> Outcome:
        """Measure a case at one size, the contenders taking turns."""
        tallies = {name: Tally() for name in case.taking_part(rows)}
        for number in range(rounds):
            for name, tally in tallies.items():
                if number < one_row_rounds:
                    self._measure(case, name, 1, tally, tally.one_row)
                self._measure(case, name, rows, tally, tally.whole)
        self._forget(case)
        return Outcome(case, rows, tallies)

    def _measure(self, case: Case, name: str, rows: int, tally: Tally, into: list[Cost]) -> None:
        if tally.failure:
            return
        try:
            with self._work(case, name, rows) as work:
                cost = self._step(case, name, "run", work)
                note = f"; {work.note.read_text()}" if work.note.exists() else ""
                if rows > 1:
                    self._step(case, name, "facts", work)
                    tally.facts.add(work.facts.read_text())
        except DidNotFinish as failure:
            tally.failure = str(failure)
            self.tell(f"{case.name}, {rows:,} rows, {name}: {failure}")
        else:
            into.append(cost)
            self.tell(
                f"{case.name}, {rows:,} rows, {name}: {cost.wall:.2f} s, {cost.cpu:.2f} CPU s, {cost.peak:.0f} MB{note}"
            )

    @contextmanager
    def _work(self, case: Case, name: str, rows: int) -> Iterator[Work]:
        """What one process starts from, thrown away afterwards."""
        data = self._data(case, rows)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self.folder)))
            server = self._server(case, data, stack)
            if case.contenders[name].before:
                shutil.copytree(self._before(case, name, rows), folder, dirs_exist_ok=True, symlinks=True)
            yield Work(folder, data, server)

    def _before(self, case: Case, name: str, rows: int) -> Path:
        """The folder that a contender's `before` left, made once."""
        key = (case.name, name, rows)
        if key not in self._prepared:
            folder = self.folder / "before" / f"{case.name} {name} {rows}"
            folder.mkdir(parents=True)
            data = self._data(case, rows)
            with ExitStack() as stack:
                self._step(case, name, "before", Work(folder, data, self._server(case, data, stack)))
            self._prepared[key] = folder
        return self._prepared[key]

    def _step(self, case: Case, name: str, step: str, work: Work) -> Cost:
        """One step in a process of its own; this one stays small, for a new process counts the memory of its maker."""
        command = python("benchmarks.child", case.name, name, step, str(work.folder), str(work.data), work.server)
        return cost_of(command, work.folder, quiet(work.folder))

    def _data(self, case: Case, rows: int) -> Path:
        """The data set of a case, written once for all cases that share its writer."""
        folder = self.folder / "data" / f"{case.write.__module__}.{case.write.__name__} {rows}"
        if not folder.exists():
            folder.mkdir(parents=True)
            cost_of(
                python("benchmarks.child", case.name, "", "data", str(folder), str(rows), ""), folder, quiet(folder)
            )
        return folder

    def _server(self, case: Case, data: Path, stack: ExitStack) -> str:
        if case.serve:
            return stack.enter_context(case.serve(data))
        if case.postgres:
            from tests.postgres_server import database, postgres

            self._postgres = self._postgres or self._open.enter_context(postgres())
            return stack.enter_context(database(self._postgres))
        return ""

    def _forget(self, case: Case) -> None:
        """Starting points are large."""
        for key in [key for key in self._prepared if key[0] == case.name]:
            shutil.rmtree(self._prepared.pop(key))


def _median(costs: list[Cost], measure: Measure) -> float:
    amounts: list[float] = [getattr(cost, measure) for cost in costs]
    return median(amounts)
