"""Which accounts of a system there are: those that a spec asks for, and those whose sign-in is kept."""

from __future__ import annotations

from dlt.common.configuration.utils import deserialize_value

from pipelines.build import arguments
from pipelines.configuration import setting
from pipelines.environment import Environment
from pipelines.specs.spec import Spec
from pipelines.tokens.stores import Store


def accounts(environment: Environment, spec: Spec, store: Store, system: str) -> list[str]:
    """The accounts by name, or the unnamed one; the settings of the spec must be in force."""
    return sorted({*_asked_for(environment, spec), *store.accounts(system)}) or [""]


def _asked_for(environment: Environment, spec: Spec) -> list[str]:
    """What a source that reads several accounts takes as `accounts`."""
    takes_them = "accounts" in arguments(environment.root, spec)
    found = setting("accounts", ("sources", spec.name)) if takes_them else None
    return list(deserialize_value("accounts", found[0], list)) if found else []
