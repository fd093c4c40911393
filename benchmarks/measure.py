"""One process from its start to its end: wall, CPU seconds and peak memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

REPOSITORY = Path(__file__).resolve().parents[1]
LONGEST_SECONDS = 1200
TAIL = 2000


class DidNotFinish(Exception):
    """A measured process failed or took too long; the message ends with what it said."""


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds, CPU seconds (user and system, its children too) and MB at its peak."""

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
        try:
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.monotonic() - started
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            patience.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise DidNotFinish(f"ended with {process.returncode}: {log.read_text(errors='replace')[-TAIL:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


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
