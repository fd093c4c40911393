"""The settings a source and a destination need, and where each was found; values are never shown."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import dlt
from dlt.common.configuration.utils import deserialize_value
from dlt.common.typing import extract_inner_type

from pipelines.build import factory, is_required, load_module, sign_in_of
from pipelines.configuration import setting
from pipelines.environment import WAREHOUSE, Environment, looks_secret
from pipelines.specs.spec import Spec
from pipelines.tokens.accounts import accounts
from pipelines.tokens.settings import Settings, sections_of

AUTH_FIELDS = {
    "bearer": ("token",),
    "api_key": ("api_key",),
    "http_basic": ("username", "password"),
    "oauth2_client_credentials": ("client_id", "client_secret"),
}
SCHEME_FIELDS = {
    "s3": ("aws_access_key_id", "aws_secret_access_key"),
    "gs": ("project_id", "client_email", "private_key"),
}
WAREHOUSE_FIELDS = {
    "postgres": ("username", "password", "host", "database"),
    "bigquery": ("project_id", "client_email", "private_key"),
}


@dataclass(frozen=True)
class Need:
    """One setting; `found` names the provider that holds it, or is None."""

    path: str
    secret: bool
    found: str | None

    @property
    def variable(self) -> str:
        return self.path.upper().replace(".", "__")

    def __str__(self) -> str:
        kind = "secret" if self.secret else "setting"
        return f"{kind} {self.path}: {f'found in {self.found}' if self.found else f'missing; set {self.variable}'}"


def of_source(environment: Environment, spec: Spec) -> list[Need]:
    """What a source must be given before it can run."""
    return list(_of_sign_in(environment, spec)) + [
        _need(("sources", spec.name, *sections), name, secret)
        for (*sections, name), secret in required(environment.root, spec)
    ]


def required(root: Path, spec: Spec) -> list[tuple[tuple[str, ...], bool]]:
    """The settings of a source that have no default, below its section, each with whether it is a secret."""
    if spec.rest is not None:
        return [(("credentials", name), True) for name in _auth_fields(spec.rest)]
    parameters = inspect.signature(factory(root, spec)).parameters.values()
    return [((each.name,), each.default is dlt.secrets.value) for each in parameters if is_required(each)]


def _of_sign_in(environment: Environment, spec: Spec) -> Iterator[Need]:
    """The app of those who sign in, and what their token is read with or from."""
    sign_in = sign_in_of(environment.root, spec)
    if sign_in is None:
        return
    section = ("sources", sign_in.name)
    yield from (_need(section, name, secret) for name, secret in sign_in.needs.items())
    if environment.tokens == "destination":
        yield _need(("engine",), "tokens_key", True)
    elif environment.tokens == "environment":
        for account in accounts(environment, spec, Settings(environment), sign_in.name):
            yield _of_account(sections_of(sign_in.name, account))


def _of_account(section: tuple[str, ...]) -> Need:
    """The token of an account: all that `etl auth export` prints, or what is as good."""
    alone = _need(section, "refresh_token", True, len(section))
    return alone if alone.found else _need(section, "token", True, len(section))


def of_destination(environment: Environment, name: str) -> list[Need]:
    """The credentials of one named destination."""
    table = environment.destinations()[name]
    if name == WAREHOUSE:
        fields = WAREHOUSE_FIELDS.get(environment.kind, ())
    else:
        fields = SCHEME_FIELDS.get(str(table["bucket_url"]).split("://")[0], ())
    whole = setting("credentials", ("destination", name)) if fields else None
    if whole is not None and isinstance(whole[0], str):
        return [Need(f"destination.{name}.credentials", True, whole[1])]
    return [_need(("destination", name, "credentials"), field, looks_secret(field, "")) for field in fields]


def estimate(root: Path, spec: Spec, state: dict[str, Any]) -> dict[str, int]:
    """The fewest requests per resource as the source's own `estimate` reckons them, or nothing."""
    function = getattr(load_module(root, "sources", spec.name), "estimate", None)
    if function is None:
        return {}
    hints = get_type_hints(function)
    given = {
        name: deserialize_value(name, found[0], _plain(hints.get(name, Any)))
        for name in list(inspect.signature(function).parameters)[1:]
        if (found := setting(name, ("sources", spec.name))) is not None
    }
    try:
        counts: dict[str, int] = function(state, **given)
    except TypeError:  # a required setting is missing; the plan says which
        return {}
    return counts


def _plain(hint: Any) -> Any:
    """`list` of `list[str] | None`: what dlt can coerce a setting to."""
    inner = extract_inner_type(hint)
    return get_origin(inner) or inner


def _auth_fields(rest: dict[str, Any]) -> Iterator[str]:
    auth = rest.get("client", {}).get("auth")
    kind = auth if isinstance(auth, str) else (auth or {}).get("type", "bearer" if auth else None)
    yield from AUTH_FIELDS.get(str(kind), ())


def _need(sections: tuple[str, ...], name: str, secret: bool, fewest: int = 1) -> Need:
    found = setting(name, sections, secret, fewest=fewest)
    return Need(".".join((*sections, name)), secret, found[1] if found else None)
