"""What a benchmark found, as data: figures, versions and the machine without its name."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.case import Target
from benchmarks.rounds import Outcome, Tally

PACKAGES = ("dlt", "duckdb", "pyarrow", "adbc-driver-postgresql", "psycopg2-binary", "orjson", "pycurl")
SMALLEST_SECONDS = 0.25  # a floor below this says nothing about a ratio


def document(outcomes: Sequence[Outcome], size: str, rounds: int) -> dict[str, Any]:
    """Everything a reader needs to judge the figures."""
    return {
        "size": size,
        "rounds": rounds,
        "machine": machine(),
        "versions": {"python": sys.version.split()[0], **{name: version(name) for name in PACKAGES}},
        "cases": [_case(outcome) for outcome in outcomes],
    }


def joined(document: dict[str, Any], former: dict[str, Any]) -> dict[str, Any]:
    """The figures of a document, and of a former one for what was not measured again; each says when it was."""
    again = {(case["name"], case["rows"]): case for case in document["cases"]}
    kept = [again.pop((case["name"], case["rows"]), case) for case in former["cases"]]
    return {**document, "cases": [*kept, *again.values()]}


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """What two documents must have in common to be joined."""
    return {key: document[key] for key in ("size", "rounds", "machine", "versions")}


def machine() -> dict[str, Any]:
    """What the figures depend on; nothing that names this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory / 2**30),
    }


def _processor() -> str:
    described = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in described if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _case(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.case.name,
        "about": outcome.case.about,
        "rows": outcome.rows,
        "measured_on": f"{outcome.at:%Y-%m-%d}",
        "load": outcome.load,
        "parity": outcome.parity,
        "contenders": {name: _contender(tally) for name, tally in outcome.tallies.items()},
        "targets": [judged for target in outcome.case.targets if (judged := judge(outcome, target))],
    }


def _contender(tally: Tally) -> dict[str, Any]:
    if tally.failure or not tally.whole:
        return {"failure": tally.failure}
    figures = {f"net_{m}": round(tally.net(m), 3) for m in ("wall", "cpu")}
    gross = {m: round(tally.gross(m), 3) for m in ("wall", "cpu", "peak")}
    walls = [round(cost.wall, 3) for cost in tally.whole]
    return {**gross, **figures, "walls": walls, "one_row_walls": [round(cost.wall, 3) for cost in tally.one_row]}


def judge(outcome: Outcome, target: Target) -> dict[str, Any] | None:
    """How a target came out; None where one of the two took no part or did not finish."""
    mine, theirs = outcome.tallies.get(target.of), outcome.tallies.get(target.other)
    if mine is None or not mine.whole or mine.failure:
        return None
    if target.other and (theirs is None or not theirs.whole or theirs.failure):
        return None
    measured = mine.net(target.measure)
    against = theirs.net(target.measure) if theirs else 0.0
    told = not theirs or target.measure == "peak" or min(1, target.times) * against >= SMALLEST_SECONDS
    return {
        "target": str(target),
        "measured": round(measured, 3),
        "against": round(against, 3),
        "ratio": round(measured / against, 3) if theirs and told else None,
        "met": measured <= target.times * against + target.plus if told else None,
    }
