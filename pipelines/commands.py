"""The commands that read specs and run them; each returns an exit code."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import environment as environments
from pipelines.errors import EtlError, Exit, Locked, Problem, SpecError, UsageError, under_github, worst
from pipelines.logs import LOGGER, trace
from pipelines.printing import Printer, counted
from pipelines.specs import spec as specs_

if TYPE_CHECKING:
    from pipelines.ledger import RunRow
    from pipelines.order import Order
    from pipelines.report import Report

UNITS = {"s": 1, "m": 60, "h": 3600}


def specs(root: Path, names: Sequence[str], everything: bool, select: Sequence[str] = ()) -> list[specs_.Spec]:
    """The specs a command names, each once, or all of them; of several those that have what is selected."""
    if everything and names:
        raise UsageError("--all: leave it out, or leave out the names")
    if not everything and not names and not select:
        raise UsageError(f"name a spec, or give --all; known: {', '.join(specs_.names(root))}")
    if not specs_.names(root):
        raise UsageError("specs/: there are no specs; write one with: etl new NAME")
    chosen = _named(root, names) if everything or names else _owners(root, select)
    problems = [p for spec in chosen for p in (*specs_.check_rest(spec), *specs_.check_source(root, spec))]
    problems = problems or _across(root, chosen)
    if problems:
        raise SpecError(problems)
    if select:
        from pipelines.selection import having_any, refuse_models, refuse_of_others

        refuse_models(root, chosen, select)
        if len(chosen) > 1:
            return having_any(root, chosen, select)
        refuse_of_others(root, chosen[0], specs_.load_each(root)[0], select)
    return chosen


def _named(root: Path, names: Sequence[str]) -> list[specs_.Spec]:
    """The specs of these names, or all."""
    return [specs_.load(root, name) for name in dict.fromkeys(names)] if names else specs_.load_all(root)


def _owners(root: Path, select: Sequence[str]) -> list[specs_.Spec]:
    """The specs that have what is selected; one that is wrong stands in nobody's way."""
    from pipelines.selection import owners

    return owners(root, specs_.load_each(root)[0], select)


def order(*, wait: str | None = None, values: Sequence[str] | None = None, **given: Any) -> Order:
    """What the command line asked, checked for what cannot be meant."""
    from pipelines.order import Order

    for name in ("select", "exclude", "only"):
        given[name] = tuple(given.get(name) or ())
    return Order(wait_seconds=seconds(wait), values=tuple(values or ()), **given)


def begin(root: Path, env: str, since: str | None, days: int | None) -> str | None:
    """`--since`, or the day that was `--days` ago where the environment's runs ask."""
    from pipelines.demo import clock

    if days is None:
        return since
    if days < 0 or since is not None:
        raise UsageError(f"--days {days}: give 0 or more, and no --since beside it")
    return (clock(environments.load(root, env)) - timedelta(days=days)).date().isoformat()


def seconds(text: str | None) -> float:
    """`90s`, `10m`, `1h` or plain seconds."""
    if text is None:
        return 0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if not found:
        raise UsageError(f"--wait {text}: write a time such as 90s, 10m or 1h")
    return float(found[1]) * UNITS.get(found[2], 1)


def confirm(root: Path, env: str, what: str | bool, yes: bool, always: bool = False) -> None:
    """Ask before a destructive act where the environment is protected, or always; CI says --yes."""
    if not what or yes or not (always or environments.load(root, env).protected):
        return
    question = f"{what} in environment {env!r}"
    if not sys.stdin.isatty():
        raise UsageError(f"{question}: add --yes to confirm")
    sys.stderr.write(f"{question}. Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError(f"{question}: not confirmed, nothing was done")


def run(
    root: Path, env: str, chosen: Sequence[specs_.Spec], order: Order, printer: Printer, debug: bool = False,
    metrics_file: Path | None = None,
) -> Exit:  # fmt: skip
    """Run specs and print each report as it ends; `metrics_file` then holds the metrics of all."""
    from pipelines.demo import asked
    from pipelines.order import by_spec, retry_command
    from pipelines.progress import shown
    from pipelines.run import run_all
    from pipelines.telling.telling import telling

    environment = environments.load(root, env)
    orders = by_spec(order, root, chosen)
    retry = {spec.name: retry_command(spec, environment, orders[spec.name]) for spec in chosen}
    reports = []
    settings = asked(environment, chosen, order)
    with settings as order, telling(environment, metrics_file, retry) as told, shown() as show:
        for report in run_all(environment, chosen, order, show):
            show.clear()
            reports.append(report)
            told(report)
            printer.lines(report.lines())
            _log(report)
            if debug and report.cause:
                trace(report.cause)
    printer.document([report.as_dict() for report in reports])
    return worst([report.exit for report in reports if report.exit is not None])


def _log(report: Report) -> None:
    """A finished run in the log."""
    about = {"fields": {"run_id": report.run_id, "pipeline": report.spec, "env": report.environment}}
    for step, seconds in report.seconds.items():
        LOGGER.debug(f"{report.spec}: {step} took {seconds:.2f} s", extra=about)
    for warning in report.warnings:
        LOGGER.warning(warning, extra=about)
    LOGGER.info(report.verdict(), extra=about)
    if report.error:
        LOGGER.error(report.error, extra=about)


def waiting(root: Path, env: str, chosen: Sequence[specs_.Spec], order: Order, printer: Printer) -> Exit:
    """Say which raw files an ingest would load, and which it would reject."""
    from pipelines.landing.ingest import listed
    from pipelines.order import by_spec
    from pipelines.translate import told_of

    environment = environments.load(root, env)
    orders, found, refused = by_spec(order, root, chosen), [], []
    for spec in chosen:
        with told_of(spec.name):
            files, rejected = listed(environment, spec, orders[spec.name])
        found += [{"spec": spec.name, **vars(file)} for file in files]
        refused += [{"spec": spec.name, "name": name, "rejected": reason} for name, reason in rejected.items()]
    printer.document([*found, *refused])
    rows = [(each["spec"], each["resource"], each["rows"], each["size"], each["name"]) for each in found]
    if rows:
        printer.table(("spec", "resource", "rows", "bytes", "file"), rows)
    printer.lines(f"{each['spec']}: {each['name']} would be rejected: {each['rejected']}" for each in refused)
    printer.lines([] if found or refused else ["nothing waits"])
    return Exit.OK


def plan(root: Path, env: str, chosen: Sequence[specs_.Spec], order: Order, printer: Printer) -> Exit:
    """Say what a run would do."""
    from pipelines.demo import asked
    from pipelines.order import by_spec, check
    from pipelines.plan import Plan, plan_of

    check(order, chosen)
    environment = environments.load(root, env)
    with asked(environment, chosen, order) as order:
        orders = by_spec(order, root, chosen)
        plans: list[Plan] = [plan_of(environment, spec, orders[spec.name]) for spec in chosen]
    for each in plans:
        printer.lines(each.lines())
    printer.document([each.as_dict() for each in plans])
    return worst([lists.exit for each in plans for lists in each.lists])


def validate(root: Path, names: Sequence[str], printer: Printer) -> Exit:
    """Check specs and the environments they run in, all mistakes at once."""
    from pipelines import promises
    from pipelines.build import resource_names

    chosen = list(names) or specs_.names(root)
    problems = specs_.validate(root, chosen, lambda spec: resource_names(root, spec))
    problems = problems or _across(root, [specs_.load(root, name) for name in chosen])
    problems += [] if names else promises.strays(root)
    printer.document([vars(problem) for problem in problems])
    printer.lines(str(problem) for problem in problems)
    annotate(problems)
    if not problems:
        printer.lines([f"{counted(len(chosen), 'valid spec')}: {', '.join(chosen)}"])
    return Exit.USAGE if problems else Exit.OK


def _across(root: Path, chosen: Sequence[specs_.Spec]) -> list[Problem]:
    """What holds between a spec and its source, and between specs."""
    from pipelines import promises
    from pipelines.coverage import declared
    from pipelines.erase import subjects
    from pipelines.files import declared as files

    of_one = (problem for spec in chosen for of in (files, declared, subjects) for problem in of.problems(root, spec))
    return [*_astray(root, chosen), *_shared_tables(root, chosen), *of_one] or promises.problems(root, chosen)


def _astray(root: Path, chosen: Sequence[specs_.Spec]) -> Iterator[Problem]:
    """Specs that load into the tables of one that is not there, or has another dataset."""
    from pipelines.build import dataset_name

    datasets = {spec.name: dataset_name(spec) for spec in specs_.load_each(root)[0]}
    for spec in chosen:
        if spec.into and datasets.get(spec.into) != dataset_name(spec):
            named = f"say dataset: {datasets[spec.into]}" if spec.into in datasets else "name a spec that is there"
            yield spec.problem(("into",), f"no spec '{spec.into}' loads into {dataset_name(spec)}; {named}")


def _shared_tables(root: Path, chosen: Sequence[specs_.Spec]) -> Iterator[Problem]:
    """Tables that two specs of one dataset would write; which ones a spec writes is asked only where it shares."""
    from pipelines.build import dataset_name, tables_of
    from pipelines.specs.tables import clashes

    datasets = {dataset_name(spec): [s for s in chosen if dataset_name(s) == dataset_name(spec)] for spec in chosen}
    for dataset, sharing in datasets.items():
        written = [(spec, entry) for spec in sharing if len(sharing) > 1 for entry in tables_of(root, spec)]
        for first, second, table in clashes([entry for _, entry in written]):
            spec, other = written[second][0], written[first][0]
            if spec is not other and spec.name != other.into and other.name != spec.into:
                message = f"{spec.name} and {other.name} would both write {dataset}.{table}; give one another dataset"
                yield spec.problem(("dataset",) if spec.dataset else ("name",), message)


def annotate(problems: Iterable[Problem]) -> None:
    """Mistakes as GitHub shows them beside the code; on stderr, where a workflow reads them, too."""
    for problem in problems if under_github() else ():
        sys.stderr.write(f"{problem.annotation()}\n")


def schema(root: Path, write: bool, check: bool) -> Exit:
    """Print, write or check the JSON Schema and the reference page."""
    import json

    from pipelines.specs import schema as schemas

    if write and check:
        raise UsageError("--write and --check: give one of them")
    if write:
        schemas.write(root)
    elif check and schemas.is_stale(root):
        raise EtlError("a schema, docs/spec.md or docs/sources.md is stale; run etl schema --write")
    elif not check:
        sys.stdout.write(json.dumps(schemas.json_schema(), indent=2) + "\n")
    return Exit.OK


def status(root: Path, env: str, name: str | None, printer: Printer) -> Exit:
    """Show the latest runs, from the destination, and warn of sign-ins that end soon."""
    from pipelines.landing.waiting import told
    from pipelines.tokens.auth import warn_of_ends

    if name is not None and name not in specs_.names(root):
        specs_.load(root, name)
    environment = environments.load(root, env)
    runs = _history(environment, name)
    printer.document([vars(run) for run in runs])
    header = ("started", "spec", "mode", "status", "exit", "rows", "rejected", "failed", "run", "message")
    rows = [
        (f"{r.started_at:%Y-%m-%d %H:%M:%S}", r.spec, r.mode, r.status, r.exit_code, r.rows_loaded, r.rows_rejected,
         r.items_failed, r.run_id, r.message)
        for r in runs
    ]  # fmt: skip
    printer.table(header, rows) if rows else printer.lines([f"no runs in {env!r} yet; try: etl run NAME --env {env}"])
    for spec in [name] if name else specs_.names(root):
        printer.lines(told(environment, spec))
    warn_of_ends(environment)
    return Exit.OK


def _history(environment: environments.Environment, name: str | None) -> list[RunRow]:
    """The latest runs; from this machine's folders while somebody writes to the DuckDB file that knows them all."""
    from pipelines.ledger import read_ledger
    from pipelines.trace import local_runs
    from pipelines.translate import told_of

    try:
        with told_of("status"), read_ledger(environment, "runs") as ledger:
            return ledger.history(name) if ledger else []
    except Locked as busy:
        runs = local_runs(environment, name)
        if not runs:
            raise
        LOGGER.warning(f"{busy}; these are the runs of this machine")
        return runs
