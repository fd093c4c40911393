"""One process from its start to its end: wall, CPU seconds and peak memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread, Timer

REPOSITORY = Path(__file__).resolve().parents[1]
LONGEST_SECONDS = 1200
TAIL = 2000


class DidNotFinish(Exception):
    """A measured process failed or took too long; the message ends with what it said."""


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds, CPU seconds (user and system, its children too) and MB at its peak.

    Its children's memory counts as far as /proc tells of it, which is looked at every 20 ms.
    """

    wall: float
    cpu: float
    peak: float


def ends_when_told() -> None:
    """Have `kill` end this process as Ctrl+C does: with what it measures and with what it serves."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def cost_of(command: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None) -> Cost:
    """Run a command in a folder; DidNotFinish when it ends with anything but 0."""
    log = folder / "log.txt"
    with log.open("wb") as out:
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **(variables or {})}, stdout=out, stderr=out)
        patience = Timer(LONGEST_SECONDS, process.kill)
        patience.start()
        together = _Together(process.pid)
        together.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.monotonic() - started
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            patience.cancel()
            together.ended.set()
            together.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise DidNotFinish(f"ended with {process.returncode}: {log.read_text(errors='replace')[-TAIL:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, max(usage.ru_maxrss / 1024, together.peak))


class _Together(Thread):
    """Looks at the memory of a process and its children, pages that they share counted for each, until it has ended."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak, self.ended, self._pid = 0.0, Event(), pid

    def run(self) -> None:
        while not self.ended.wait(0.02):
            with suppress(OSError, ValueError):  # gone in between
                self.peak = max(self.peak, sum(map(_resident, [self._pid, *_children(self._pid)])))


def _children(pid: int) -> list[int]:
    """Those that run the same program, as workers do: neither a peer that it waits for nor a copy of itself."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return [child for child in children if _program(child) == _program(pid) and _command(child) != _command(pid)]


def _program(pid: int) -> str:
    return str(Path(f"/proc/{pid}/exe").readlink())


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _resident(pid: int) -> float:
    """MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def python(module: str, *arguments: str) -> list[str]:
    """A module of this repository as a command."""
    return [sys.executable, "-m", module, *arguments]


def quiet(folder: Path) -> dict[str, str]:
    """The environment of every measured process: dlt keeps its state here and calls nobody."""
    return {
        "PYTHONPATH": str(REPOSITORY),
        "DLT_DATA_DIR": str(folder / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
