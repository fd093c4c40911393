"""`etl doctor`: is this environment ready? One line per question, never a secret."""

from __future__ import annotations

import contextlib
import importlib.metadata
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pipelines import configuration, needs
from pipelines import environment as environments
from pipelines.demo import asked
from pipelines.environment import WAREHOUSE, Environment
from pipelines.errors import EtlError, Exit, Locked, TryLater
from pipelines.ledger import open_ledger
from pipelines.order import Order, settle
from pipelines.printing import Printer
from pipelines.specs import spec as specs
from pipelines.specs.spec import Spec
from pipelines.tokens.accounts import standings
from pipelines.tokens.stores import Standing, Store, is_near, named
from pipelines.translate import translate

ANSWER_SECONDS = 30.0
CLOCK_SECONDS = 60.0


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, whether it is well, and what was seen or what to do."""

    what: str
    ok: bool
    text: str

    def __str__(self) -> str:
        return f"{'OK  ' if self.ok else 'FAIL'}  {self.what}: {self.text}"


def examine(root: Path, env: str, printer: Printer) -> Exit:
    """Print every finding; FAILED when one of them is not well."""
    environment = environments.load(root, env)
    configuration.activate(environment, read_only=True)
    findings = [*_versions(), *_asked(environment), *_buckets(environment), *_settings(environment)]
    printer.document([vars(finding) for finding in findings])
    printer.lines(str(finding) for finding in findings)
    return Exit.OK if all(finding.ok for finding in findings) else Exit.FAILED


def _versions() -> Iterator[Finding]:
    """Every requirement of the program against what is installed."""
    python = importlib.metadata.metadata("etl")["Requires-Python"]
    import platform

    yield _in_range("python", platform.python_version(), SpecifierSet(python))
    for line in importlib.metadata.requires("etl") or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _installed(requirement)


def _installed(requirement: Requirement) -> Finding:
    try:
        installed = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(f"version of {requirement.name}", False, "is not installed; run make install")
    return _in_range(requirement.name, installed, requirement.specifier)


def _in_range(name: str, installed: str, wanted: SpecifierSet) -> Finding:
    ok = wanted.contains(installed, prereleases=True)
    return Finding(f"version of {name}", ok, installed if ok else f"{installed} is outside {wanted}; run make install")


def _asked(environment: Environment) -> Iterator[Finding]:
    """The warehouse answers, and its clock agrees with ours."""
    what = f"{WAREHOUSE} ({environment.kind})"
    with _noted(what) as failures:
        seen = _within(ANSWER_SECONDS, lambda: _warehouse_time(environment))
    if failures:
        yield failures[0]
        return
    yield Finding(what, True, "answers, and its folder can be written" if environment.duckdb_file else "answers")
    off = abs((datetime.now(UTC) - seen).total_seconds())
    text = (
        "agrees with this machine"
        if off < CLOCK_SECONDS
        else f"{off:.0f} s apart from {what}; set this machine's clock"
    )
    yield Finding("clock", off < CLOCK_SECONDS, text)


def _warehouse_time(environment: Environment) -> datetime:
    """The destination's clock; for a DuckDB file that of the disk it lies on."""
    file = environment.duckdb_file
    if file is None:
        with open_ledger(environment, create=False) as ledger:
            moment: datetime = ledger.execute("SELECT CURRENT_TIMESTAMP")[0][0]
            return moment
    file.parent.mkdir(parents=True, exist_ok=True)
    probe = file.with_name(f".etl-doctor-{uuid.uuid4().hex}")
    probe.touch()
    touched = datetime.fromtimestamp(probe.stat().st_mtime, UTC)
    probe.unlink()
    if file.exists():
        with open_ledger(environment, create=False) as ledger:
            ledger.execute("SELECT 1")
    return touched


def _buckets(environment: Environment) -> Iterator[Finding]:
    """Each filesystem destination takes a file and lets go of it."""
    for name in environment.buckets:
        url = configuration.setting("bucket_url", ("destination", name))
        what = f"{name} ({url[0] if url else name})"
        with _noted(what) as failures:
            _within(ANSWER_SECONDS, partial(_write_and_delete, name))
        yield failures[0] if failures else Finding(what, True, "a file can be written and deleted")


def _write_and_delete(name: str) -> None:
    from pipelines.buckets import opened

    filesystem, folder = opened(name)
    probe = f"{folder}/.etl-doctor-{uuid.uuid4().hex}"
    filesystem.pipe_file(probe, b"etl doctor")
    filesystem.rm_file(probe)


def _settings(environment: Environment) -> Iterator[Finding]:
    """Credentials of the destinations, required settings and sign-ins of every spec."""
    for name in environment.destinations():
        yield from (_need(need) for need in needs.of_destination(environment, name))
    for name in specs.names(environment.root):
        with _noted(name) as failures:
            spec = specs.load(environment.root, name)
            with asked(environment, [spec], Order()) as order:
                store = settle(environment, spec, order)
            wanted = needs.of_source(environment, spec)
        if failures:
            yield failures[0]
            continue
        yield from (_need(need) for need in wanted)
        yield from _sign_ins(environment, spec, store)


def _sign_ins(environment: Environment, spec: Spec, store: Store) -> Iterator[Finding]:
    """How the accounts of a spec stand; one that ends soon is well, and says what to do."""
    found: list[Standing] = []
    with _noted(f"sign-in of {spec.name}") as failures:
        found = standings(environment, spec, store)
    yield from failures
    for one in found:
        advice = "" if one.signed_in and not is_near(one.sign_in_ends) else f"; {store.way_in(one.name, one.account)}"
        yield Finding(f"sign-in of {named(one.name, one.account)}", one.signed_in, f"{one}{advice}")


def _need(need: needs.Need) -> Finding:
    kind = "secret" if need.secret else "setting"
    return Finding(
        f"{kind} {need.path}",
        need.found is not None,
        f"found in {need.found}" if need.found else f"missing; set {need.variable}",
    )


@contextlib.contextmanager
def _noted(what: str) -> Iterator[list[Finding]]:
    """Turn a failure inside into a finding."""
    failures: list[Finding] = []
    try:
        yield failures
    except Exception as error:  # noqa: BLE001 the translator decides what to say
        failure: EtlError = translate(error, what)
        in_use = isinstance(failure, Locked)  # by a run, so it is well
        failures.append(Finding(what, in_use, str(failure).removeprefix(f"{what}: ")))


def _within(seconds: float, work: Callable[[], Any]) -> Any:
    """Run something that may hang for minutes (BigQuery's client does) and stop waiting for it."""
    outcome: list[Any] = []
    errors: list[BaseException] = []

    def attempt() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 handed to the caller's thread
            errors.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TryLater(f"no answer in {seconds:.0f} s; check the network and the address")
    if errors:
        raise errors[0]
    return outcome[0]
