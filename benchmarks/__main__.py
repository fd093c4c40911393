"""`python -m benchmarks`: measure the cases and tell; see `--help`."""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.case import Case, all_cases
from benchmarks.measure import REPOSITORY, ends_when_told
from benchmarks.page import case_lines, page
from benchmarks.results import comparable, document, joined
from benchmarks.rounds import Bench, Outcome

PUBLISHED = REPOSITORY / "docs" / "benchmarks.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when contenders disagree about the rows."""
    wanted = _parser().parse_args(arguments)
    ends_when_told()
    cases = [case for name, case in all_cases().items() if fnmatch.fnmatch(name, wanted.case)]
    if not cases:
        sys.exit(f"--case {wanted.case}: no such case; there are: {', '.join(all_cases())}")
    former = _published(wanted) if wanted.publish else {"cases": []}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=wanted.folder) as folder, Bench(Path(folder), _tell) as bench:
        found = document(list(_outcomes(bench, cases, wanted)), wanted.size, wanted.rounds)
    print("".join(line for case in found["cases"] for line in case_lines(case)))
    if wanted.json:
        wanted.json.write_text(_as_json(found))
    if wanted.publish:
        PUBLISHED.write_text(_as_json(joined(found, former)))
        PUBLISHED.with_suffix(".md").write_text(page(joined(found, former)))
    return 0 if all(case["parity"] for case in found["cases"]) else 1


def _published(wanted: argparse.Namespace) -> dict[str, Any]:
    """What stays of the page where not all is measured again; it was measured on the like of this machine."""
    former: dict[str, Any] = json.loads(PUBLISHED.read_text())
    if wanted.case == "*":
        return {"cases": []}
    if comparable(former) != comparable(document([], wanted.size, wanted.rounds)):
        sys.exit("--publish: the page was measured elsewhere, or with other versions; measure all, without --case")
    return former


def _outcomes(bench: Bench, cases: Sequence[Case], wanted: argparse.Namespace) -> Iterator[Outcome]:
    one_row_rounds = 1 if wanted.size == "small" else wanted.rounds
    for case in cases:
        for rows in case.rows.get(wanted.size, ()):
            yield bench.outcome(case, rows, wanted.rounds, one_row_rounds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size", choices=("small", "full"), default="small", help="small takes 3 minutes, full 40")
    parser.add_argument("--case", default="*", metavar="PATTERN", help="only cases whose name matches, e.g. 'flat*'")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender runs")
    parser.add_argument("--folder", type=Path, help="where scratch data goes; a temporary folder by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--publish", action="store_true", help="write docs/benchmarks.md; with --case, these cases")
    return parser


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _as_json(found: object) -> str:
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
