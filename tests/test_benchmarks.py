"""The harness of the benchmarks: what it measures, what it compares, what it says."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.case import ENGINE, FLOOR, STOCK, Case, Contender, Target, all_cases
from benchmarks.cases.files import RCLONE
from benchmarks.measure import REPOSITORY, Cost, DidNotFinish, cost_of
from benchmarks.page import page
from benchmarks.pages import serve
from benchmarks.results import comparable, document, joined, judge
from benchmarks.rounds import Bench, Outcome, Tally

CASES = all_cases()


def tally(wall: float, peak: float = 100, facts: str = "same", failure: str = "") -> Tally:
    """A contender that took so many seconds, one of them for a single row."""
    one = Cost(1, 1, 50)
    return Tally([Cost(wall + n, wall, peak) for n in (1, 2, 9)], [one] * 3, {facts}, failure)


def outcome(*targets: Target, **tallies: Tally) -> Outcome:
    """A case of 10 rows with the tallies given; `stock_dlt` is stock dlt."""
    named = {name.replace("_", " "): each for name, each in tallies.items()}
    contenders = dict.fromkeys(named, Contender(print))
    case = Case("toy", "a toy", print, contenders, "", {"small": (10,)}, targets)  # type: ignore[arg-type]
    return Outcome(case, 10, named)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_case_names_what_it_has(case: Case) -> None:
    named = {name for target in case.targets for name in (target.of, target.other) if name}
    assert {ENGINE, *named} <= set(case.contenders)
    assert "small" in case.rows
    assert all(case.taking_part(rows) for sizes in case.rows.values() for rows in sizes)
    assert {FLOOR, RCLONE} & set(case.contenders) or not any(target.other for target in case.targets)


def test_a_contender_stays_out_of_sizes_it_is_not_for() -> None:
    case = CASES["flat_duckdb"]
    assert STOCK in case.taking_part(300_000)
    assert STOCK not in case.taking_part(1_000_000)
    rest = CASES["rest"]
    assert STOCK in rest.taking_part(20_000)
    assert STOCK not in rest.taking_part(1_000)


def test_the_cost_of_a_process(tmp_path: Path) -> None:
    hoard = [sys.executable, "-c", "hoard = b'.' * (90 << 20)"]
    code = f"from benchmarks.measure import *; print(cost_of({hoard}, Path({str(tmp_path)!r})))"
    small = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    cost = eval(small.stdout, {"Cost": Cost})  # by a small process: one counts the memory of its maker
    assert 90 < cost.peak < 190
    assert cost.cpu > 0
    assert cost.wall > 0


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(DidNotFinish, match=r"ended with 1: (?s:.*)no such luck"):
        cost_of([sys.executable, "-c", "raise SystemExit('no such luck')"], tmp_path)


def test_what_is_measured_ends_with_the_benchmark(tmp_path: Path) -> None:
    waits = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(100)"
    command = [sys.executable, "-c", waits]
    code = f"from benchmarks.measure import *; ends_when_told(); cost_of({command}, Path({str(tmp_path)!r}))"
    with subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY) as benchmark:
        log = tmp_path / "log.txt"
        while benchmark.poll() is None and not (log.exists() and log.read_text().endswith("\n")):
            time.sleep(0.01)
        measured = int(log.read_text())
        benchmark.terminate()
        assert benchmark.wait(60) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(measured, 0)


def test_one_round_of_a_case(tmp_path: Path) -> None:
    case = CASES["flat_duckdb"]
    lines: list[str] = []
    with Bench(tmp_path, lines.append) as bench:
        found = bench.outcome(replace(case, contenders={FLOOR: case.contenders[FLOOR]}), 50, 1, 1)
    (floor,) = found.tallies.values()
    assert (len(floor.whole), len(floor.one_row), floor.failure, found.parity) == (1, 1, "", True)
    assert "'50', '1225'" in next(iter(floor.facts))
    assert [line.split(", floor")[0] for line in lines] == ["flat_duckdb, 1 rows", "flat_duckdb, 50 rows"]


def test_net_is_the_median_less_that_on_one_row() -> None:
    assert (tally(5).gross("wall"), tally(5).net("wall"), tally(5).net("cpu"), tally(5).net("peak")) == (7, 6, 4, 100)


@pytest.mark.parametrize(
    ("target", "ratio", "met"),
    [
        (Target("wall", 2, FLOOR), 2.5, False),
        (Target("wall", 3, FLOOR), 2.5, True),
        (Target("wall", 2, FLOOR, plus=5), 2.5, True),
        (Target("wall", 1 / 4, STOCK), 0.25, True),
        (Target("wall", 1 / 5, STOCK), 0.25, False),
        (Target("peak", 1.3, FLOOR, plus=200), 4, False),
        (Target("peak", 1.3, FLOOR, plus=300), 4, True),
        (Target.at_most("wall", 10), None, True),
        (Target.at_most("wall", 9), None, False),
        (Target("wall", 1, "nobody"), "left out", None),
        (Target("wall", 1, FLOOR, of="nobody"), "left out", None),
        (Target("wall", 10, FLOOR, of="stock dlt"), 10, True),
    ],
    ids=str,
)
def test_how_a_target_comes_out(target: Target, ratio: object, met: bool | None) -> None:
    found = outcome(target, engine=tally(9, peak=400), floor=tally(3), stock_dlt=tally(39))
    judged = judge(found, target)
    assert (judged["ratio"], judged["met"]) == (ratio, met) if judged else ratio == "left out"


@pytest.mark.parametrize(("target", "floor"), [(Target("wall", 2, FLOOR), -0.99), (Target("wall", 1 / 50, FLOOR), 9)])
def test_a_floor_too_small_to_tell_is_no_verdict(target: Target, floor: float) -> None:
    found = outcome(target, engine=tally(9), floor=tally(floor))
    assert (judge(found, target) or {})["met"] is None
    assert "too few rows to tell" in page(document([found], "small", 3))


def test_cases_measured_again_take_the_place_of_the_former() -> None:
    former, again = (
        document([replace(outcome(engine=tally(wall)), rows=rows) for rows, wall in figures], "full", 3)
        for figures in ([(10, 5), (20, 5)], [(20, 7), (30, 6)])
    )
    found = [(case["rows"], case["contenders"]["engine"]["net_wall"]) for case in joined(again, former)["cases"]]
    assert found == [(10, 6), (20, 8), (30, 7)]
    assert comparable(former) == comparable(document([], "full", 3)) != comparable(document([], "full", 2))


@pytest.mark.parametrize(("facts", "parity"), [("same", True), ("one row less", False)])
def test_all_must_leave_the_same_rows(facts: str, parity: bool) -> None:
    found = outcome(engine=tally(2, facts=facts), floor=tally(1))
    assert found.parity is parity
    assert ("**Not the same rows.**" in page(document([found], "small", 3))) is not parity


def test_the_page_tells_all_and_names_no_machine() -> None:
    failed, absent = Tally(failure="ended with 1"), Tally(failure="ended with 1: rclone is not installed\n")
    target = Target("wall", 1.5, FLOOR)
    tallies = {"engine": tally(8), "floor": tally(3), "stock_dlt": failed, RCLONE: absent}
    text = page(document([outcome(target, **tallies)], "full", 3))
    assert "| rclone | is not installed |" in text
    assert "| engine | 10.00 | 8.00 | 100 | 9.00 | 7.00 | 1 |" in text
    assert "| stock dlt | did not finish |" in text
    assert "engine: net wall at most 1.5 × floor: 2.25 ×, **missed**" in text
    assert "What was not measured" in text
    assert str(Path.home()) not in text


def test_pages_hold_every_record_once(tmp_path: Path) -> None:
    lines = tmp_path / "records.jsonl"
    lines.write_text("".join(f'{{"id": {number}}}\n' for number in range(250)))
    seen: list[int] = []
    with serve(lines, 0) as address:
        for number in (1, 2, 3):
            with urllib.request.urlopen(f"{address}/records?page={number}") as answer:
                body = json.load(answer)
            assert body["pages"] == 3
            seen += [record["id"] for record in body["records"]]
    assert seen == list(range(250))
