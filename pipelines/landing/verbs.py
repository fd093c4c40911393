"""What each command does while the lock of its spec is held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pipelines.environment import LANDING, Environment
from pipelines.landing.fetch import fetch
from pipelines.landing.ingest import ingest
from pipelines.landing.rebuild import rebuild
from pipelines.landing.store import Store
from pipelines.load import Load
from pipelines.order import Order

Verb = Callable[[Load, Store], None]
VERBS: dict[str, Verb] = {"fetch": fetch, "ingest": ingest, "rebuild": rebuild}


def perform(load: Load) -> None:
    """Do what was ordered: a run, through raw files where the environment keeps them, or one of its steps."""
    environment, name, verb = load.environment, load.spec.name, load.order.verb
    if verb in VERBS:
        VERBS[verb](load, _store(load))
    elif environment.keeps_raw:
        store = _store(load)
        ingest(load, store)
        fetch(load, store)
        ingest(load, store)
    else:
        if LANDING in environment.destinations() and load.ledger.fetches(name, environment.name):
            _ingest_first(load, _store(load))
        load.run()


def _store(load: Load) -> Store:
    """Where the raw files of a run lie, which its report says."""
    store = Store(load.environment, load.spec.name, load.order.to)
    load.report.raw_home = store.home
    return store


def _ingest_first(load: Load, store: Store) -> None:
    """Load what waits before a run without raw files, which the ledger takes for nothing else meanwhile."""
    waits = bool(store.names())
    if waits:
        load.report.mode = f"ingest+{load.order.manner}"  # unless it will have rows of its own
        load.ledger.tell(load.report.row())
    ingest(load.ordered(replace(load.order, select=(), exclude=())), store)
    if waits:
        load.ledger.tell(replace(load.report.row(), mode=load.order.manner))


def mode(environment: Environment, order: Order) -> str:
    """What `_etl.runs` calls a run; one that loads rows no raw file holds has the mode of its order."""
    if order.verb != "run":
        return order.verb
    return "fetch+ingest" if environment.keeps_raw else order.manner
