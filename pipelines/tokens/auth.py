"""`etl auth`: sign in, see who is signed in, and hand a sign-in to another machine."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

from ulid import ULID

from pipelines import environment as environments
from pipelines.build import sign_in_of
from pipelines.configuration import setting
from pipelines.demo import asked
from pipelines.environment import Environment
from pipelines.errors import EtlError, Exit, UsageError
from pipelines.lock import held, holder_of
from pipelines.logs import LOGGER
from pipelines.order import Order, settle
from pipelines.printing import Printer
from pipelines.specs import spec as specs
from pipelines.specs.spec import Spec
from pipelines.tokens.accounts import accounts, asked_for, standings
from pipelines.tokens.settings import packed, sections_of, variable_of
from pipelines.tokens.stores import Standing, Store, is_near, named, remaining, standing, store_of
from pipelines.tokens.terminal import Terminal
from pipelines.translate import told_of

RUN_SECONDS = 3600.0


def login(root: Path, env: str, name: str, account: str, browser: bool) -> Exit:
    """Let a person sign in, and keep what the upstream gives them."""
    environment = environments.load(root, env)
    with told_of(name):
        spec = specs.load(root, name)
        store, sign_in = _named(environment, spec, account, Order())
        known = asked_for(environment, spec)
        _refuse_nobody(spec, known, account)
        account = account or _only("login", spec, known)
        with _alone(environment, name):
            store.prepare()
        token = sign_in.login(Terminal(browser, sections_of(sign_in.name, account)))
        with _when_runs_end(environment, name), _kit().exclusively(sign_in.name, account) as kept:
            kept.write(token)
            now = standing(store, sign_in.name, account)
    Printer("text").lines([f"{named(sign_in.name, account)}: {now}; kept in {store.label}"])
    return Exit.OK


def status(root: Path, env: str, name: str | None, account: str, printer: Printer) -> Exit:
    """Print how every account stands; SIGN_IN when a person must sign in to one of them."""
    environment = environments.load(root, env)
    chosen = [name] if name else specs.names(root)
    found = [one for each in chosen for one in _standings(environment, each, account)]
    if name and not found:
        raise UsageError(_nobody(environment, name))
    printer.document([vars(one) for one in found])
    rows = [
        (one.name, one.account, one, one.kept_in, _minute(one.token_ends), _minute(one.sign_in_ends)) for one in found
    ]
    header = ("system", "account", "state", "kept in", "token ends", "sign-in ends")
    printer.table(header, rows) if rows else printer.lines(["no spec needs anyone to sign in"])
    return Exit.OK if all(one.signed_in for one in found) else Exit.SIGN_IN


def export(root: Path, env: str, name: str, account: str, yes: bool, printer: Printer) -> Exit:
    """Print the settings with which another machine is signed in; the one command that shows a token."""
    if sys.stdout.isatty() and not yes:
        raise UsageError(f"auth export {name}: would show a secret on the screen; send it elsewhere, or add --yes")
    environment, spec = environments.load(root, env), specs.load(root, name)
    with told_of(name), asked(environment, [spec], Order()) as order:
        store, sign_in = _named(environment, spec, account, order, read_only=True)
        known = [] if account else accounts(environment, spec, store, sign_in.name)
        account = account or _only("export", spec, known)
        content = store.read(sign_in.name, account)
        if content is None:
            raise _kit().sign_in_needed(sign_in.name, account, "nobody has signed in")
        keys = {**sign_in.needs, **getattr(sign_in, "takes", {})}
        app = {f"SOURCES__{sign_in.name}__{key}".upper(): setting(key, ("sources", sign_in.name)) for key in keys}
    settings = {variable: found[0] for variable, found in app.items() if found}
    settings[variable_of(sign_in.name, account)] = packed(content)
    LOGGER.warning(
        f"{named(sign_in.name, account)}: what follows is as good as a password. Where tokens rotate, two machines "
        'with this one shut each other out; sign in for each, or use tokens = "destination"'
    )
    printer.lines(f"{variable}={value}" for variable, value in settings.items())
    printer.document(settings)
    return Exit.OK


def warn_of_ends(environment: Environment) -> None:
    """Say in the log which sign-ins end soon; the configuration must be active."""
    try:
        with told_of("sign-ins"):
            ends = (store := store_of(environment)).ends()
    except EtlError as error:
        LOGGER.warning(str(error))
        return
    for (name, account), end in ends.items():
        if end and is_near(end):
            LOGGER.warning(f"{named(name, account)}: the sign-in {remaining(end)}; {store.way_in(name, account)}")


def _standings(environment: Environment, name: str, account: str) -> list[Standing]:
    spec = specs.load(environment.root, name)
    with told_of(name), asked(environment, [spec], Order()) as order:
        store = settle(environment, spec, order, read_only=True)
        return standings(environment, spec, store, _kit().checked(account))


def _named(
    environment: Environment, spec: Spec, account: str, order: Order, read_only: bool = False
) -> tuple[Store, Any]:
    """The store with the settings of a spec in force, and how people sign in there."""
    store = settle(environment, spec, order, read_only)
    sign_in = sign_in_of(environment.root, spec)
    if sign_in is None:
        raise UsageError(_nobody(environment, spec.name))
    _kit().checked(account)
    return store, sign_in


def _refuse_nobody(spec: Spec, known: Sequence[str], account: str) -> None:
    """Let nobody sign in to an account that no run would read."""
    if account and known and account not in known:
        raise UsageError(
            f"auth login {spec.name}: --account {account}: is none of its accounts: {', '.join(known)}; add it to "
            f"accounts in specs/{spec.name}.yaml first"
        )


def _only(verb: str, spec: Spec, known: Sequence[str]) -> str:
    """The account that is meant where none is named: the only one, or the unnamed one of a spec that names none."""
    if len(known) > 1 and "" not in known:
        raise UsageError(f"auth {verb} {spec.name}: is of no account; name one with --account: {', '.join(known)}")
    return known[0] if len(known) == 1 else ""


def _nobody(environment: Environment, name: str) -> str:
    """What to say of a spec that nobody signs in to."""
    others = [spec.name for spec in specs.load_each(environment.root)[0] if sign_in_of(environment.root, spec)]
    return f"{name}: needs no sign-in; " + (f"these do: {', '.join(others)}" if others else "no spec does")


def _alone(environment: Environment, name: str, wait_seconds: float = 0) -> AbstractContextManager[object]:
    """What writes into a DuckDB file is alone there; else a token has a lock of its own."""
    in_file = environment.tokens == "destination" and environment.duckdb_file
    return held(environment, name, str(ULID()), wait_seconds) if in_file else nullcontext()


def _when_runs_end(environment: Environment, name: str) -> AbstractContextManager[object]:
    """Alone, however long a run goes on that began meanwhile: nobody should have to sign in twice."""
    file = environment.duckdb_file
    holder = holder_of(file) if file and environment.tokens == "destination" else None
    if holder:
        LOGGER.warning(f"{name}: held by {holder}; the sign-in is kept as soon as that has ended, wait for it")
    return _alone(environment, name, RUN_SECONDS)


def _kit() -> Any:
    return importlib.import_module("sources.kit.tokens")


def _minute(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""
