"""Runs of the program as processes of their own, each of which may kill itself with SIGKILL at a chosen moment.

A run is forked from a server that has everything imported, so that it costs a fraction of a fresh start.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, wraps
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Literal, Self
from uuid import uuid4

from tests.workspace import Result, Workspace

PRELOADED = ["tests.killed", "tests.killed_imports", "pytest"]
STEPS = {"extract": "extract", "normalize": "normalize", "load": "load", "sync_destination": "sync"}
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}
SECONDS = 120
WAIT = 0
_ONE_ASKS = threading.Lock()  # a start asks after all other processes; of two that ask at once one gets a made-up 255


@dataclass(frozen=True)
class At:
    """The moment before or after the `nth` call of a function, named `module:Class.function`.

    With a pattern only calls count that have a text `among` what they are given.
    """

    function: str
    when: Literal["before", "after"] = "before"
    nth: int = 1
    among: str = ""

    def arm(self, act: Callable[[], None]) -> None:
        """Make the moment act."""
        _Counted(self, act).replace()

    def is_about(self, given: tuple[Any, ...]) -> bool:
        """Whether a call that is given these counts."""
        return not self.among or any(isinstance(text, str) and re.search(self.among, text) for text in given)

    def __str__(self) -> str:
        return f"{self.when} {self.function.split(':')[1]}" + (f" {self.nth}" if self.nth > 1 else "")


@dataclass(frozen=True)
class Step:
    """The moment before the `nth` change of a file, or statement to the destination, in a phase of a run."""

    phase: str
    nth: int

    def arm(self, act: Callable[[], None]) -> None:
        """Make the moment act."""
        _watch(lambda phase, seen: act() if (phase, seen) == (self.phase, self.nth) else None)

    def __str__(self) -> str:
        return f"{self.phase} {self.nth}"


Moment = At | Step


def start(workspace: Workspace, *words: str, moment: Moment | None = None, act: int = signal.SIGKILL) -> Run:
    """Start a command; at `moment` the process gets the signal `act`, or waits for `go_on` if that is WAIT."""
    return Run(workspace, words, moment, act)


def run(workspace: Workspace, *words: str) -> Result:
    """Run a command to its end."""
    return start(workspace, *words).ended()


def killed(workspace: Workspace, moment: Moment, *words: str) -> Result:
    """Run a command up to a moment; the test fails when it never comes."""
    result = start(workspace, *words, moment=moment).ended()
    assert result.code == -signal.SIGKILL, f"was not killed {moment}: {result}"
    return result


def steps(workspace: Workspace, *words: str) -> tuple[Result, Counter[str]]:
    """Run a command to its end; how many moments of `Step` it has, by phase."""
    return Run(workspace, words, counts=True).counted()


def until(condition: Callable[[], Any]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class Run:
    """A command in a process of its own."""

    def __init__(
        self, workspace: Workspace, words: tuple[str, ...], moment: Moment | None = None,
        act: int = signal.SIGKILL, counts: bool = False,
    ) -> None:  # fmt: skip
        self._files = workspace.root.parent / f"process {uuid4()}"
        self._files.mkdir()
        command = ["--root", str(workspace.root), *words]
        environment = {**os.environ, **workspace.variables}
        self.process: ForkServerProcess = _server().Process(
            target=_main, args=(command, environment, moment, act, str(self._files), counts)
        )
        with _ONE_ASKS:
            self.process.start()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def until(self, condition: Callable[[], Any]) -> None:
        """Wait until a condition holds while the command goes on."""
        until(lambda: condition() or wait([self.process.sentinel], 0))
        assert condition(), f"ended too early: {self.ended()}"

    def out(self) -> str:
        """What it has said on stdout so far."""
        file = self._files / "out"
        return file.read_text() if file.exists() else ""

    def until_waiting(self) -> Self:
        """Wait until the process has come to its moment and waits there."""
        self.until((self._files / "waits").exists)
        return self

    def go_on(self) -> Self:
        """Let it go on from there."""
        (self._files / "goes on").touch()
        return self

    def end(self) -> None:
        """Kill it if it still runs."""
        with _ONE_ASKS:
            self.process.kill()
        self._join()

    def ended(self) -> Result:
        """Wait for the end."""
        self._join()
        assert self.process.exitcode is not None, "does not end"
        out, err = ((self._files / name).read_text() for name in ("out", "err"))
        shutil.rmtree(self._files)
        return Result(self.process.exitcode, out, err)

    def counted(self) -> tuple[Result, Counter[str]]:
        """Wait for the end; the moments of `Step` it had."""
        self._join()
        found: Counter[str] = Counter(json.loads((self._files / "steps").read_text()))
        return self.ended(), found

    def _join(self) -> None:
        wait([self.process.sentinel], SECONDS)
        with _ONE_ASKS:
            self.process.join(0)


@cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _main(
    command: list[str], environment: dict[str, str], moment: Moment | None, act: int, files: str, counts: bool
) -> None:
    """The child: its own output, its own settings, then the program as `etl` starts it."""
    import cli

    os.environ.clear()
    os.environ.update(environment)
    for number, name in ((1, "out"), (2, "err")):
        opened = os.open(f"{files}/{name}", os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdout, sys.stderr = open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
    if moment:
        moment.arm(lambda: os.kill(os.getpid(), act) if act else _stand(Path(files)))
    elif counts:
        _count(Path(files) / "steps")
    cli.main(command)


def _stand(files: Path) -> None:
    (files / "waits").touch()
    until((files / "goes on").exists)


def _count(file: Path) -> None:
    from multiprocessing.util import Finalize

    seen: Counter[str] = Counter()
    _watch(lambda phase, _: seen.update([phase]))
    Finalize(None, lambda: file.write_text(json.dumps(seen.copy())), exitpriority=10)


class _Counted:
    """A function in the place of another, that acts at one of its calls."""

    def __init__(self, at: At, act: Callable[[], None]) -> None:
        self._at, self._act, self._calls = at, act, 0

    def replace(self) -> None:
        module, path = self._at.function.split(":")
        *owners, name = path.split(".")
        owner: Any = importlib.import_module(module)
        for each in owners:
            owner = getattr(owner, each)
        given = owner.__dict__[name] if isinstance(owner, type) else getattr(owner, name)
        function = given.__func__ if isinstance(given, staticmethod) else given
        wrapped = self._wrapped(function)
        setattr(owner, name, staticmethod(wrapped) if isinstance(given, staticmethod) else wrapped)

    def _wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def counted(*values: Any, **named: Any) -> Any:
            counts = self._at.is_about(values)
            self._calls += counts
            mine = counts and self._calls == self._at.nth
            if mine and self._at.when == "before":
                self._act()
            result = function(*values, **named)
            if mine and self._at.when == "after":
                self._act()
            return result

        return counted


def _watch(tell: Callable[[str, int], None]) -> None:
    """Call `tell` with the phase and its count of moments, at each of them."""
    phases, seen, lock = ["start"], Counter[str](), threading.RLock()

    def tick() -> None:
        with lock:
            seen[phases[-1]] += 1
            count = seen[phases[-1]]
        tell(phases[-1], count)

    def hook(event: str, values: tuple[Any, ...]) -> None:
        if event in CHANGES or (event == "open" and _writes(*values)):
            tick()

    for name, phase in STEPS.items():
        _enclose("dlt.pipeline.pipeline", f"Pipeline.{name}", lambda phase=phase: _within(phases, phase))
    for kind, client in (("duckdb", "DuckDbSqlClient"), ("postgres", "Psycopg2SqlClient")):
        for name in ("execute_sql", "commit_transaction"):
            _enclose(f"dlt.destinations.impl.{kind}.sql_client", f"{client}.{name}", lambda: _around(tick))
    _enclose("dlt.destinations.impl.postgres.postgres", "PostgresParquetCopyJob.run", lambda: _around(tick))
    sys.addaudithook(hook)


def _writes(path: Any, mode: Any, flags: Any) -> bool:
    return isinstance(path, str) and "__pycache__" not in path and bool(flags & (os.O_WRONLY | os.O_RDWR))


@contextlib.contextmanager
def _within(phases: list[str], phase: str) -> Iterator[None]:
    phases.append(phase)
    yield
    phases.append("end" if phase == "load" else phases[-2])


@contextlib.contextmanager
def _around(tick: Callable[[], None]) -> Iterator[None]:
    tick()
    yield
    tick()


def _enclose(module: str, path: str, context: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
    owner_name, name = path.split(".")
    owner = getattr(importlib.import_module(module), owner_name)
    function = getattr(owner, name)

    @wraps(function)
    def enclosed(*values: Any, **named: Any) -> Any:
        with context():
            return function(*values, **named)

    setattr(owner, name, enclosed)
