"""`etl demo`: every spec against the sandbox, and where to look afterwards; and environments that only ask that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import commands
from pipelines import environment as environments
from pipelines.environment import Environment
from pipelines.errors import Exit, UsageError
from pipelines.ledger import Ledger, open_ledger
from pipelines.logs import LOGGER
from pipelines.order import Order
from pipelines.printing import Printer
from pipelines.specs import spec as specs

if TYPE_CHECKING:
    from sandbox.exchange import World


def demo(root: Path, env: str, seed: int, records: int) -> Exit:
    """Serve the sandbox, run all specs, print rows per table and a query for each."""
    from sandbox.server import World

    environment = environments.load(root, env)
    everything = specs.load_all(root)
    chosen = with_stand_in(everything)
    missing = [spec.name for spec in everything if spec not in chosen]
    if missing:
        LOGGER.warning(f"left out, for want of a stand-in in sandbox/: {', '.join(missing)}")
    with sandboxed(environment, chosen, World(seed=seed, records=records)) as settings:
        code = commands.run(root, env, chosen, Order(overrides=settings), Printer("text"))
    _epilogue(environment, chosen)
    return code


@contextmanager
def asked(environment: Environment, chosen: Sequence[specs.Spec], order: Order) -> Iterator[Order]:
    """The order with the sandbox in the place of every upstream, where the environment says so."""
    if order.overrides or not environment.is_sandbox:
        yield order
        return
    with sandboxed(environment, chosen) as settings:
        yield replace(order, overrides=settings)


def with_stand_in(chosen: Sequence[specs.Spec]) -> list[specs.Spec]:
    """The specs that the sandbox can stand in for."""
    from sandbox.server import names

    known = names()
    return [spec for spec in chosen if spec.name in known]


@contextmanager
def sandboxed(
    environment: Environment, chosen: Sequence[specs.Spec], world: World | None = None
) -> Iterator[dict[str, Any]]:
    """The settings that point specs at a sandbox, which runs as long as the block does."""
    from sandbox.server import Sandbox, names

    lonely = [spec.name for spec in chosen if spec.name not in names()]
    if lonely:
        raise UsageError(
            f"{', '.join(lonely)}: no stand-in in sandbox/, and [{environment.name}] has sandbox = true; write one, or "
            "choose another --env"
        )
    files = environment.state_dir / "sandbox"
    files.mkdir(parents=True, exist_ok=True)
    with Sandbox(world, folder=files) as sandbox:
        yield sandbox.settings(*(spec.name for spec in chosen))


def clock(environment: Environment) -> datetime:
    """What time it is where runs of an environment ask."""
    if not environment.is_sandbox:
        return datetime.now(UTC)
    from sandbox.server import World

    return World().now


def _epilogue(environment: Environment, chosen: list[specs.Spec]) -> None:
    """Rows per table, counted in the warehouse, and the SQL that shows them."""
    printer = Printer("text")
    with open_ledger(environment) as ledger:
        rows = [
            (f"{dataset}.{table}", f"{count:,}", f"SELECT * FROM {dataset}.{table} LIMIT 5;")
            for spec in chosen
            for dataset, table, count in _tables(ledger, environment.dataset(spec.dataset or spec.name))
        ]
    printer.lines([""])
    printer.table(("table", "rows", "look at it"), rows)
    if environment.duckdb_file:
        file = environment.duckdb_file
        shown = file.relative_to(environment.root) if file.is_relative_to(environment.root) else file
        printer.lines(["", f"The data is made up by the sandbox and lies in {shown}. Open it with:"])
        printer.lines(
            [f"  .venv/bin/python -c \"import duckdb; duckdb.connect('{shown}').sql('{rows[0][2]}').show()\""]
            if rows
            else []
        )
    printer.lines(["", "What next, before a first run on the real thing (README.md):"])
    printer.lines([f"  .venv/bin/etl {command}" for command in _next(environment, chosen)])


def _next(environment: Environment, chosen: list[specs.Spec]) -> list[str]:
    """Commands that go on from here: what has run, and for the first spec what it promises and its tables as files."""
    words = ["status", *(f"{verb} {spec.name}" for spec in chosen[:1] for verb in ("check", "export"))]
    return [f"{command} --env {environment.name}" for command in words]


def _tables(ledger: Ledger, dataset: str) -> list[tuple[str, str, int]]:
    sql = (
        "SELECT table_name FROM information_schema.tables WHERE table_schema = %s "
        "AND table_name NOT LIKE '\\_dlt%%' ESCAPE '\\' ORDER BY table_name"
    )
    names = [row[0] for row in ledger.execute(sql, dataset)]
    return [(dataset, name, ledger.execute(f'SELECT count(*) FROM {dataset}."{name}"')[0][0]) for name in names]
