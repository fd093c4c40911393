"""Which accounts of a system there are: those that a spec asks for, and those whose sign-in is kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from dlt.common.configuration.utils import deserialize_value

from pipelines.build import arguments, sign_in_of
from pipelines.configuration import setting
from pipelines.environment import Environment
from pipelines.specs.spec import Spec
from pipelines.tokens.stores import SET, Standing, Store, is_near, named, standing


def accounts(environment: Environment, spec: Spec, store: Store, system: str) -> list[str]:
    """The accounts by name, or the unnamed one; the settings of the spec must be in force."""
    return sorted({*asked_for(environment, spec), *store.accounts(system)}) or [""]


def asked_for(environment: Environment, spec: Spec) -> list[str]:
    """What a source that reads several accounts takes as `accounts`."""
    takes_them = "accounts" in arguments(environment.root, spec)
    found = setting("accounts", ("sources", spec.name)) if takes_them else None
    return list(deserialize_value("accounts", found[0], list)) if found else []


def standings(environment: Environment, spec: Spec, store: Store, account: str = "") -> list[Standing]:
    """How the accounts of a spec stand, or the one that is named; none where nobody signs in."""
    sign_in = sign_in_of(environment.root, spec)
    if sign_in is None:
        return []
    chosen = [account] if account else accounts(environment, spec, store, sign_in.name)
    found = [standing(store, sign_in.name, one) for one in chosen]
    return [_pasted(one) if one.is_of_nobody and _is_pasted(spec, sign_in) else one for one in found]


def _is_pasted(spec: Spec, sign_in: Any) -> bool:
    """Whether settings hold tokens that a person took out of a browser, all that one signs requests with."""
    found = [setting(key, ("sources", spec.name), secret=True) for key in getattr(sign_in, "pasted", ())]
    return bool(found) and all(one and one[0] for one in found)


def _pasted(nobody: Standing) -> Standing:
    """Nobody knows when such tokens end."""
    return replace(nobody, kept_in=SET, signed_in=True)


def ending_soon(environment: Environment, spec: Spec, store: Store, since: datetime) -> list[str]:
    """The sign-ins of a spec that a person should make anew, each with how; a run `since` then tells of its own."""
    near = [one for one in standings(environment, spec, store) if is_near(one.sign_in_ends)]
    near = [one for one in near if one.refused_at is None or one.refused_at < since]
    return [f"{named(one.name, one.account)}: {one}; {store.way_in(one.name, one.account)}" for one in near]
