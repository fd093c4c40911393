"""`etl erase`: what stands in which order, under which lock."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dlt
from dlt.destinations.job_client_impl import SqlJobClientBase
from ulid import ULID

from pipelines import environment as environments
from pipelines.build import dataset_name
from pipelines.demo import asked, with_stand_in
from pipelines.environment import LANDING, Environment
from pipelines.erase import duckdb_file, engine_tables, remembered, sign_ins, traces
from pipelines.erase.asked_again import asked_again, exported, still_listed
from pipelines.erase.models import make_readers_anew, readers_of, still_holding
from pipelines.erase.raw_files import RawFiles
from pipelines.erase.receipt import Receipt
from pipelines.erase.scope import Counts, Scope
from pipelines.erase.sought import Sought, sought
from pipelines.erase.subjects import declaring
from pipelines.erase.tables import Tables
from pipelines.errors import EtlError, Exit
from pipelines.files.journal import is_unrecorded
from pipelines.keeping import count_anew
from pipelines.ledger import Ledger, open_ledger, read_ledger
from pipelines.lock import held
from pipelines.logs import LOGGER
from pipelines.order import Order, settle
from pipelines.printing import Printer, counted
from pipelines.resume import waits
from pipelines.specs.spec import Spec
from pipelines.state import remembered as as_stored
from pipelines.translate import told_of
from pipelines.working import synced


@dataclass
class SpecFound:
    """What was found in one spec, by place; what is left in rows about others; raw files that cannot be read.

    `tables` are the counts of rows in tables alone; `files` those that it was read from, also as `calls.csv:17`.
    """

    counts: Counts = field(default_factory=dict)
    tables: Counts = field(default_factory=dict)
    left: Counts = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


@dataclass
class Found:
    """What was found of the value, by spec, and what is left of it: in tables, and for the user to mend.

    `lists` are files of the user that rows came from and will come from again. `erasure` is the id of the receipt,
    where something was deleted from a warehouse; `models` are derived tables.
    """

    erasure: str | None = None
    counts: dict[str, Counts] = field(default_factory=dict)
    left: dict[str, Counts] = field(default_factory=dict)
    unread: dict[str, list[str]] = field(default_factory=dict)
    yours: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)

    def note(self, scope: Scope, spec: SpecFound) -> None:
        """Take in what was found of one spec, whose settings must be in force."""
        name = scope.spec.name
        self.counts[name], self.left[name], self.unread[name] = spec.counts, spec.left, spec.unread
        holding, unseen = still_listed(scope.environment, scope.sought, spec.files)
        told = asked_again(scope.environment, scope.spec, scope.sought)
        self.lists += holding
        self.yours += [line for line in (*told, *unseen) if line not in holding]

    @property
    def whole(self) -> bool:
        """Whether nothing of the value is left where the engine keeps things."""
        return not (any(self.left.values()) or any(self.unread.values()) or self.models or self.lists)

    def warnings(self) -> Iterator[str]:
        """What a person must see to."""
        for name, left in self.left.items():
            for column, count in left.items():
                rows = f"{counted(count, 'row')} about others"
                yield f"{name}: {column}: the value stands in {rows}; name the column in its subjects"
        for name, files in self.unread.items():
            for file in files:
                yield f"{name}: {file} cannot be read, so nobody can tell whether it holds the value; delete it"
        yield from self.models
        yield from self.lists
        for name in self.waiting:
            yield f"{name}: what waits to be loaded was not looked into; an erasure loads it first"
        yield from self.yours
        for name, counts in self.counts.items():
            if any(counts.values()):
                again = "what it still has comes back when a run reads it again: erase it there first"
                yield f"{name}: its upstream was asked to erase nothing; {again}"


def erase(
    root: Path, env: str, kind: str, value: str, names: Sequence[str], dry_run: bool, printer: Printer
) -> Exit:  # fmt: skip
    """Erase a value from every spec that declares its kind; PARTIAL when it stands where no spec says it may."""
    wanted = sought(kind, value)
    environment = environments.load(root, env)
    scopes = [Scope(environment, spec, subject, wanted, not dry_run) for spec, subject in declaring(root, kind, names)]
    with _discreet(wanted), asked(environment, with_stand_in([scope.spec for scope in scopes]), Order()) as order:
        _refuse_aliases(scopes, order)
        receipt = Receipt(str(ULID()), kind, environment)
        readers = readers_of(root, [scope.spec for scope in scopes])
        found = _look(scopes, order) if dry_run else _erase(environment, scopes, readers, receipt, order)
        found.yours += _exported(environment, readers, scopes)
    _tell(found, dry_run, printer)
    return Exit.OK if found.whole or dry_run else Exit.PARTIAL


def _refuse_aliases(scopes: Sequence[Scope], order: Order) -> None:
    """Refuse a value that is to be erased by another name first, before anything is."""
    for scope in (scope for scope in scopes if scope.subject.known_by):
        with told_of(scope.spec.name), _as_stored(scope) as (pipeline, _):
            settle(scope.environment, scope.spec, order, read_only=True)
            if pipeline:
                for schema in pipeline.schema_names:
                    with _client(pipeline, schema) as client:
                        Tables(scope, client).refuse_alias()


def _look(scopes: Sequence[Scope], order: Order) -> Found:
    """What an erasure would find; writes nothing and takes no lock."""
    found, told = Found(), Counter[tuple[str, str]]()
    for scope in scopes:
        name = scope.spec.name
        with told_of(name), _as_stored(scope) as (pipeline, ledger):
            settle(scope.environment, scope.spec, order, read_only=True)
            mine = _through(scope, pipeline, ledger)
            mine.counts = _untold(scope, mine, told)
            found.note(scope, mine)
            found.waiting += [name] if _has_unloaded(scope) else []
    with told_of("erase"), read_ledger(scopes[0].environment, "models") as ledger:
        found.models += still_holding(scopes[0], ledger) if ledger else []
    return found


def _untold(scope: Scope, spec: SpecFound, told: Counter[tuple[str, str]]) -> Counts:
    """What was found in a spec, without the rows of tables that another one fills as well and was told with."""
    dataset = scope.environment.dataset(dataset_name(scope.spec))
    left = {place: count - told[dataset, place] for place, count in spec.tables.items()}
    told |= Counter({(dataset, place): count for place, count in spec.tables.items()})
    return {place: count for place, count in {**spec.counts, **left}.items() if count > 0}


def _exported(environment: Environment, readers: Sequence[Spec], scopes: Sequence[Scope]) -> list[str]:
    """Exports of specs that hold the value only in their models."""
    told = {scope.spec.name for scope in scopes}
    others = {spec.name: spec for spec in readers if spec.name not in told}
    return [line for spec in others.values() for line in exported(environment, spec)]


def _erase(
    environment: Environment, scopes: Sequence[Scope], readers: Sequence[Spec], receipt: Receipt, order: Order
) -> Found:  # fmt: skip
    found = Found()
    for scope in scopes:
        with told_of(scope.spec.name):
            settle(environment, scope.spec, order)
            if _has_warehouse(environment) or _has_unloaded(scope):
                _erase_stored(scope, receipt, found)
            else:
                found.note(scope, _through(scope, None, None))
    if _has_warehouse(environment):
        make_readers_anew(environment, readers, receipt.id)
        with told_of("erase"), held(environment, "erase", receipt.id):
            with open_ledger(environment, create=False) as ledger:
                found.models += still_holding(scopes[0], ledger)
            _finish(environment, receipt)
        found.erasure = receipt.id if any(found.counts.values()) else None
    return found


def _erase_stored(scope: Scope, receipt: Receipt, found: Found) -> None:
    """Everything of one spec, with what waits to be loaded loaded first, since it may hold the value, too."""
    environment, spec = scope.environment, scope.spec
    with held(environment, spec.lock, receipt.id), open_ledger(environment) as ledger:
        _refuse_unrecorded(scope)
        receipt.begin(ledger)
        ledger.take_in(environment.spools(spec.name))
        pipeline = synced(environment, spec)
        mine = _through(scope, pipeline, ledger)
        receipt.note(ledger, spec.name, mine.counts)
        found.note(scope, mine)
        count_anew(environment, spec, ledger, receipt.id)
        pipeline.deactivate()
        shutil.rmtree(pipeline.working_dir)
        for left in (environment.state_dir / "scratch").glob("*.jsonl"):  # by a replay that was killed
            left.unlink(missing_ok=True)


def _refuse_unrecorded(scope: Scope) -> None:
    """Objects that a killed run has stored and not yet recorded are in no table: a later run records them."""
    if is_unrecorded(scope.environment, scope.spec.name):
        run = f"etl run {scope.spec.name} --env {scope.environment.name}"
        unknown = "files may be stored that no row names, as a run died or their store was away"
        raise EtlError(f"{scope.spec.name}: {unknown}; first {run}, with --failed if that is not enough")


def _finish(environment: Environment, receipt: Receipt) -> None:
    """Take what is deleted out of the blocks of a DuckDB file, too; whoever calls this holds it."""
    if environment.duckdb_file:
        duckdb_file.rewrite(environment.duckdb_file)
    receipt.end()


def _through(scope: Scope, pipeline: dlt.Pipeline | None, ledger: Ledger | None) -> SpecFound:
    """Every place of one spec; where the scope acts the value is gone from there now."""
    found = SpecFound()
    with ExitStack() as connections:
        clients = (
            [connections.enter_context(_client(pipeline, name)) for name in pipeline.schema_names] if pipeline else []
        )
        if LANDING in scope.environment.destinations():  # before the states, which manifests are compared with
            raw = RawFiles(scope)
            states = [remembered.sources(scope, client) for client in clients]
            found.counts |= raw.erase({name: state for sources in states for name, state in sources.items()})
            found.left, found.unread = raw.left, raw.unread
        found.files += engine_tables.places(scope, ledger) if ledger else []
        for client in clients:
            tables = Tables(scope, client)
            found.files += tables.files()
            found.tables |= tables.erase()
            found.counts |= {**found.tables, **remembered.erase(scope, client)}
            found.left |= tables.elsewhere()
    found.counts |= engine_tables.erase(scope, ledger) if ledger else {}
    found.counts |= {**sign_ins.erase(scope), **traces.erase(scope)}
    return found


@contextmanager
def _client(pipeline: dlt.Pipeline, schema: str) -> Iterator[SqlJobClientBase]:
    with pipeline.destination_client(schema) as client:
        assert isinstance(client, SqlJobClientBase)
        yield client


@contextmanager
def _as_stored(scope: Scope) -> Iterator[tuple[dlt.Pipeline | None, Ledger | None]]:
    """The pipeline and the ledger as they are, to look at."""
    with read_ledger(scope.environment, "runs") as ledger, as_stored(scope.environment, scope.spec) as pipeline:
        yield pipeline, ledger


def _has_warehouse(environment: Environment) -> bool:
    """Whether there is a warehouse; a DuckDB file is made by the first run."""
    return environment.duckdb_file is None or environment.duckdb_file.exists()


def _has_unloaded(scope: Scope) -> bool:
    spools = scope.environment.spools(scope.spec.name)
    return waits(scope.environment.state_dir, scope.spec.name) or any(spools.glob("*.jsonl"))


@contextmanager
def _discreet(wanted: Sought) -> Iterator[None]:
    """No error of a database or a file system may quote the value."""
    try:
        yield
    except EtlError as error:
        error.args = (wanted.scrubbed(str(error)),)
        raise error from None


def _tell(found: Found, dry_run: bool, printer: Printer) -> None:
    rows = [(spec, place, n) for spec, counts in found.counts.items() for place, n in counts.items()]
    printer.document(vars(found))
    if rows:
        printer.table(("spec", "place", "found" if dry_run else "erased"), rows)
        printer.lines([f"receipt {found.erasure}"] if found.erasure else [])
    else:
        printer.lines(["nothing found"])
    for line in found.warnings():
        LOGGER.warning(line)
