"""`etl check`: ask the checks of specs now, without a lock, and show the rows that break them."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from pipelines import environment as environments
from pipelines import promises
from pipelines.build import dataset_name
from pipelines.checks.judge import Checked, Judge
from pipelines.environment import Environment
from pipelines.errors import Exit, UsageError, did_you_mean
from pipelines.ledger import read_ledger
from pipelines.printing import Printer
from pipelines.promises import Promises
from pipelines.specs.spec import Spec
from pipelines.translate import told_of
from pipelines.warehouse import open_warehouse

WIDTH = 160  # characters of a line of a row
LONGEST = 40  # of a value
Found = list[tuple[Checked, list[dict[str, Any]]]]


def check(root: Path, env: str, chosen: Sequence[Spec], select: Sequence[str], rows: int, printer: Printer) -> Exit:
    """Print how each check comes out, with up to `rows` of the rows that break it; nothing is written."""
    if rows < 0:
        raise UsageError(f"--rows {rows}: must be at least 0")
    environment = environments.load(root, env)
    if environment.duckdb_file and not environment.duckdb_file.exists():
        raise UsageError(
            f"{environment.duckdb_file.name}: is not there yet; load something first: etl run NAME --env {env}"
        )
    asked = _chosen([promises.read(root, spec) for spec in chosen], select, env)
    found = {each.spec.name: _judged(environment, each, rows) for each in asked}
    for each in asked:
        printer.lines(_lines(each, env, found[each.spec.name]))
    printer.document([_document(environment, each.spec, found[each.spec.name]) for each in asked])
    failed = any(result.failed for results in found.values() for result, _ in results)
    return Exit.CHECKS if failed else Exit.OK


def _chosen(asked: list[Promises], select: Sequence[str], env: str) -> list[Promises]:
    """Those checks whose names the patterns match."""
    titles = [check.title for each in asked for check in each.checks]
    for pattern in select:
        if not fnmatch.filter(titles, pattern):
            near = did_you_mean(pattern, titles)
            raise UsageError(f"--select {pattern}: no check is named so{near}; see: etl check --env {env}")
    wanted = [each.only(lambda check: any(fnmatch.fnmatch(check.title, p) for p in select or ["*"])) for each in asked]
    return [each for each in wanted if each.checks or not select]


def _judged(environment: Environment, asked: Promises, limit: int) -> Found:
    spec, dataset = asked.spec, environment.dataset(dataset_name(asked.spec))
    with told_of(spec.name, environment.name), read_ledger(environment, "checks") as ledger:
        counts = ledger.last_counts(spec.name, dataset) if ledger else {}
        with open_warehouse(environment, dataset) as warehouse:
            return list(Judge(warehouse, asked, counts).shown(limit))


def _lines(asked: Promises, env: str, results: Found) -> list[str]:
    name = asked.spec.name
    if not results:
        return [f"{name}: no checks; write some under checks: in specs/{name}.yaml"]
    out = []
    for (result, rows), check in zip(results, asked.checks, strict=True):
        out.append(result.line(name, env))
        first = [*asked.keys.get(check.table, []), *check.columns] if check.columns else []
        out += [f"        {_row(row, first)}" for row in rows]
    return out


def _row(row: dict[str, Any], first: Sequence[str]) -> str:
    """A row as a line: the columns that matter, then others as far as there is room."""
    ahead = {name: row[name] for name in dict.fromkeys(first) if name in row}
    others = {name: value for name, value in row.items() if name not in ahead and value is not None}
    shown = [f"{name}={_value(value)}" for name, value in {**ahead, **others}.items()]
    ends = list(accumulate(len(text) + 2 for text in shown))
    count = max(len(ahead), sum(end <= WIDTH for end in ends))
    return "  ".join([*shown[:count], *(["…"] if count < len(shown) else [])])


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _document(environment: Environment, spec: Spec, results: Found) -> dict[str, Any]:
    return {
        "spec": spec.name,
        "environment": environment.name,
        "dataset": environment.dataset(dataset_name(spec)),
        "checks": [{**result.as_dict(), "rows": rows} for result, rows in results],
    }
