"""What a benchmark found, for a reader: `docs/benchmarks.md`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

INTRODUCTION = """\
# Benchmarks

<!-- written by `make bench args='--size full --publish'`, or with `--case`; as data: benchmarks.json -->

This engine, stock dlt as its tutorial writes it, stock dlt tuned (pages, parquet, no gzip) and the floor (what
DuckDB or Postgres takes by itself: `read_csv`, `read_json`, `COPY`), each a process of its own, taking turns.

Files go from an endpoint written in C to the same, beside rclone, curl with the AWS CLI and a plain loop; *engine*
is the mover there, without journal and receipts, and a row is a file.

* *wall*, *CPU* (user and system, children included) and *peak* memory are medians of {rounds} rounds, whole processes.
* *net* is the process less the same process on one row: what the data costs, without the start of Python and dlt.
* pandas, which only the environment of the tests has, is kept from every process.
* After each process its tables are asked for counts, sums and distinct values: *same rows* says that all left the same.

{machine}. {versions}.
"""
NOT_MEASURED = """
## What was not measured

* BigQuery: there is no server of it here; on a stand-in a figure would be the stand-in's.
* A network: upstreams and Postgres are on loopback, on the same cores as the process that is measured.
* Postgres's own CPU and memory: *CPU* and *peak* are the client's; its settings are those of the tests (no fsync).
* Stock dlt at the largest sizes: as its tutorial writes it, a million flat rows take minutes and gigabytes.
* Other engines (sling, ingestr, meltano): their current versions cannot be installed from a package index alone.
* Disk caches: every data set is warm, since its contenders read it in turn.
"""


def page(document: dict[str, Any]) -> str:
    """The whole page."""
    machine = document["machine"]
    described = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}"
    versions = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    introduction = INTRODUCTION.format(rounds=document["rounds"], machine=described, versions=versions)
    return introduction + "".join(line for case in document["cases"] for line in case_lines(case)) + NOT_MEASURED


def case_lines(case: dict[str, Any]) -> Iterator[str]:
    """One case at one size: its table and what became of its targets."""
    yield f"\n## {case['about']}: {case['rows']:,} rows\n\n"
    yield "| | wall s | CPU s | peak MB | net wall s | net CPU s | rows/s net |\n|---|---|---|---|---|---|---|\n"
    for name, figures in case["contenders"].items():
        yield _row(name, figures, case["rows"])
    yield f"\n{'Same rows.' if case['parity'] else '**Not the same rows.**'}"
    yield f" Measured on {case['measured_on']}; load {case['load']} at the end.\n"
    for target in case["targets"]:
        yield f"{_verdict(target)}\n"


def _row(name: str, figures: dict[str, Any], rows: int) -> str:
    if "failure" in figures:
        why = "is not installed" if figures["failure"].rstrip().endswith("is not installed") else "did not finish"
        return f"| {name} | {why} |\n"
    rate = f"{rows / figures['net_wall']:,.0f}" if figures["net_wall"] > 0 else "–"
    cells = (f"{figures[key]:.2f}" for key in ("wall", "cpu"))
    net = (f"{figures[key]:.2f}" for key in ("net_wall", "net_cpu"))
    return f"| {name} | {' | '.join(cells)} | {figures['peak']:,.0f} | {' | '.join(net)} | {rate} |\n"


def _verdict(target: dict[str, Any]) -> str:
    if target["met"] is None:
        return f"* {target['target']}: too few rows to tell"
    measured = f"{target['ratio']:.3g} ×" if target["ratio"] is not None else f"{target['measured']:.2f}"
    return f"* {target['target']}: {measured}, {'met' if target['met'] else '**missed**'}"
