"""Where settings come from: dlt's configuration providers, in the order the design names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import ConfigValueCannotBeCoercedException
from dlt.common.configuration.providers import EnvironProvider, environ
from dlt.common.configuration.providers.doc import CustomLoaderDocProvider
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs.config_providers_context import ConfigProvidersContainer
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.configuration.utils import deserialize_value
from dlt.common.destination.reference import Destination

from pipelines import dot_env, familiar
from pipelines.environment import (
    FILE,
    SETTINGS_DIR,
    WAREHOUSE,
    Environment,
    problem,
    read_toml,
    refuse_secrets,
)  # fmt: skip
from pipelines.errors import SettingError, SpecError, did_you_mean

DEFAULTS: dict[str, Any] = {
    "runtime": {"dlthub_telemetry": False, "log_level": "CRITICAL"},
    "data_writer": {"disable_compression": True},
    "sources": {"_receipts": {"data_writer": {"buffer_max_items": 500}}},  # of a run that has many transfers in memory
    "normalize": {"parquet_normalizer": {"add_dlt_load_id": True}},
    "pipelines": {"enable_runtime_trace": False},  # dlt's trace keeps the words of an error, whatever they repeat
}
# Parquet that this machine reads again is not packed, which takes longer than it saves; BigQuery's crosses a network.
READ_HERE = {"duckdb", "postgres"}
OURS = {kind: f"pipelines.{kind}.{kind}" for kind in ("duckdb", "postgres", "bigquery")}
SANDBOX = "the sandbox"  # where it stands in for upstreams, it says where it is
SECRETS_FILE = "secrets.toml"
NOT_IN_GIT = (SECRETS_FILE, familiar.DATABASE_URL, "_…")
WHERE = ("host", "database", "username", "password")
IN_ANY_ORDER = {"preserve_insertion_order": False}  # DuckDB: rows have no order, and keeping one takes a fifth more CPU


class Variables(EnvironProvider):
    """The process environment, without names that have no section: a stray `BASE_URL` is not ours."""

    values: Mapping[str, str] = os.environ

    def __init__(self) -> None:
        self._secret_files = Path(environ.SECRET_STORAGE_PATH % "").is_dir()

    def get_value(self, key: str, hint: type[Any], pipeline_name: str | None, *sections: str) -> tuple[Any, str]:
        name = self.get_key_name(key, pipeline_name or "", *sections)
        if not sections:
            return None, name
        for short in familiar.of_a_source(key, sections):
            if self.values.get(short) and name not in self.values:
                value = self.values[short]
                return [value] if key in familiar.ONE_OF_SEVERAL else value, short
        if not self._secret_files:  # super asks whether it may be secret, thousands of times a run
            return self.values.get(name), name
        return super().get_value(key, hint, pipeline_name or "", *sections)


class DotEnv(Variables):
    """The same from `.env`."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values, self._secret_files = values, False

    @property
    def name(self) -> str:
        return dot_env.FILE

    @property
    def is_empty(self) -> bool:
        return not self.values


class Document(CustomLoaderDocProvider):
    """A tree of settings; dlt asks it thousands of times a run, mostly for what is not there."""

    def __init__(self, name: str, content: dict[str, Any], secrets: bool = True) -> None:
        super().__init__(name, lambda: content, supports_secrets=secrets, locations=[name])

    def get_value(self, key: str, hint: type[Any], pipeline_name: str | None, *sections: str) -> tuple[Any, str]:
        path = (pipeline_name, *sections, key) if pipeline_name else (*sections, key)
        node: Any = self._config_doc
        for step in path:
            node = node.get(step) if isinstance(node, dict) else None
            if node is None:
                break
        return node, ".".join(path)


def activate(
    environment: Environment,
    overrides: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
    read_only: bool = False,
    sandbox: dict[str, Any] | None = None,
) -> None:
    """Make dlt look settings up for this environment; `overrides` come first, then `sandbox`, `spec` comes last.

    `read_only` opens a DuckDB file so that others may read it at the same time.
    """
    context = Container()[PluggableRunContext]
    context.providers = ConfigProvidersContainer(
        providers(environment, overrides or {}, spec or {}, read_only, sandbox)
    )
    context.initialize_runtime()
    _check(environment, *(spec or {}).get("sources", {}))


def providers(
    environment: Environment,
    overrides: dict[str, Any],
    spec: dict[str, Any],
    read_only: bool,
    sandbox: dict[str, Any] | None = None,
) -> list[ConfigProvider]:
    """Command line > the sandbox > variables > .env > secrets > config > destinations.toml > spec > defaults.

    Empty ones are left out.
    """
    name, in_file = environment.name, dot_env.variables(environment.root)
    variables = {**in_file, **os.environ}
    said = [
        Document("command line", overrides),
        Document(SANDBOX, sandbox or {}),
        Variables(),
        DotEnv(in_file),
        _secrets(environment, f"{name}.{SECRETS_FILE}"),
        _secrets(environment, SECRETS_FILE),
        _config(environment, f"{name}.config.toml"),
        _config(environment, "config.toml"),
    ]
    layers = [
        *said,
        Document(familiar.DATABASE_URL, {} if _warehouse_said(said) else familiar.database(environment, variables)),
        Document(familiar.PROJECT, familiar.project(environment, variables)),
        Document("BACKBLAZE_B2_…", familiar.bucket(environment, variables)),
        Document(FILE, _destinations(environment, read_only)),
        Document("AWS_…", familiar.fallback(environment, variables)),
        Document("spec", spec if any(spec.get("sources", {}).values()) else {}, secrets=False),
        Document("defaults", _defaults(environment.kind)),
    ]
    return [layer for layer in layers if not layer.is_empty]


def _warehouse_said(providers: Sequence[ConfigProvider]) -> bool:
    """Whether somebody says where or as whom the warehouse is, in this program's own words."""
    section = ("destination", WAREHOUSE)
    whole = setting("credentials", section, among=providers, fewest=len(section))
    parts = (setting(key, (*section, "credentials"), among=providers, fewest=3) for key in WHERE)
    return (whole is not None and isinstance(whole[0], str)) or any(part is not None for part in parts)


def only_committed() -> None:
    """Look settings up in what stands in git alone: neither in variables nor among secrets."""
    container = Container()[PluggableRunContext].providers
    kept = [p for p in container.providers if not isinstance(p, Variables) and not p.name.endswith(NOT_IN_GIT)]
    container.providers = kept


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`."""
    tree: dict[str, Any] = {}
    for dotted, value in values.items():
        *sections, key = dotted.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[key] = value
    return tree


def setting(
    key: str,
    sections: Sequence[str],
    secret: bool = False,
    among: Sequence[ConfigProvider] | None = None,
    fewest: int = 1,
) -> tuple[Any, str] | None:
    """A value and the provider that holds it, or None; probes every provider like dlt does, or those given.

    `fewest` is how many of the sections there must be at least.
    """
    for provider in Container()[PluggableRunContext].providers.providers if among is None else among:
        if secret and not provider.supports_secrets:
            continue
        for depth in range(len(sections), fewest - 1, -1):
            value, _ = provider.get_value(key, str, "", *sections[:depth])
            if value is not None:
                return value, provider.name
    return None


def every(key: str, sections: Sequence[str]) -> Iterator[tuple[Any, str, str]]:
    """Each value of a setting, with the provider that holds it and what it is called there."""
    for provider in Container()[PluggableRunContext].providers.providers:
        for depth in range(len(sections), 0, -1):
            value, called = provider.get_value(key, str, "", *sections[:depth])
            if value is not None:
                yield value, provider.name, called


def wants_columnar() -> bool:
    """The setting `engine.columnar`: whether JSON is normalised by columns; true where nobody says otherwise."""
    found = setting("columnar", ("engine",))
    if found is None:
        return True
    try:
        return deserialize_value("engine.columnar", found[0], bool)
    except ConfigValueCannotBeCoercedException as error:
        message = f"{found[1]}: engine.columnar: {found[0]!r} is neither true nor false; write one of them"
        raise SettingError(message) from error


def refuse_unknown_keys(sections: Sequence[str], known: Sequence[str]) -> None:
    """Stop at the first key of a section that nothing reads, wherever it is set."""
    for place, key in keys(sections):
        if key not in known:
            raise SettingError(
                f"{place}: {'.'.join((*sections, key))}: unknown setting{did_you_mean(key, known)}; "
                f"it has: {', '.join(known)}"
            )


def keys(sections: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The keys of a section, each with the provider or the variable that holds it; of variables with what is below."""
    prefix = "__".join((*sections, "")).upper()
    for provider in Container()[PluggableRunContext].providers.providers:
        for variable in provider.values if isinstance(provider, Variables) else ():
            if variable.startswith(prefix):
                yield variable, variable.removeprefix(prefix).lower()
        table, _ = provider.get_value(sections[-1], dict, "", *sections[:-1])
        yield from ((provider.name, key) for key in (table if isinstance(table, dict) else ()))


def _check(environment: Environment, *names: str) -> None:
    """Refuse what dlt would pass over in silence, or take beside what the environment says."""
    problems = [
        problem(environment.root, (environment.name, name, key), f"unknown key{did_you_mean(key, known)}")
        for name, table in environment.destinations().items()
        for known in [_known_keys(_type(table))]
        for key in table
        if key not in known
    ]
    if problems:
        raise SpecError(problems)
    wants_columnar()
    layout = setting("dataset_name_layout", ("pipelines", *names))
    if layout and layout[1] != FILE:
        raise SettingError(
            f"{layout[1]}: pipelines.dataset_name_layout: the layout of names stands in {FILE}; write it there as "
            f"dataset_name_layout of [{environment.name}]"
        )
    ways = [("credentials", "destination", WAREHOUSE), ("database", "destination", WAREHOUSE, "credentials")]
    for key, *sections in ways if environment.duckdb_file else ():
        file = setting(key, sections)
        if file and file[1] != FILE:
            raise SettingError(
                f"{file[1]}: {'.'.join([*sections, key])}: a DuckDB file is named in {FILE}; name it there"
            )


def _known_keys(destination_type: str) -> list[str]:
    destination = Destination.from_reference(destination_type)
    assert destination is not None
    return list(destination.spec.get_resolvable_fields())


def _type(table: dict[str, Any]) -> str:
    """The destination dlt is to use: ours over its warehouses, its own for the rest."""
    kind = str(table["destination_type"])
    return OURS.get(kind, kind)


def _defaults(kind: str) -> dict[str, Any]:
    if kind not in READ_HERE:
        return DEFAULTS
    return {**DEFAULTS, "data_writer": {**DEFAULTS["data_writer"], "compression": "none"}}


def _secrets(environment: Environment, file: str) -> ConfigProvider:
    shown = f"{SETTINGS_DIR}/{file}"
    return Document(shown, read_toml(environment.root / SETTINGS_DIR / file, shown))


def _config(environment: Environment, file: str) -> ConfigProvider:
    """A config file; dlt calls a whole `credentials` table secret, so ours may hold its harmless half."""
    shown = f"{SETTINGS_DIR}/{file}"
    content = read_toml(environment.root / SETTINGS_DIR / file, shown)
    refuse_secrets(content, shown)
    return Document(shown, content)


def _destinations(environment: Environment, read_only: bool) -> dict[str, Any]:
    tables = environment.destinations()
    if environment.duckdb_file:
        tables[WAREHOUSE]["credentials"] = {
            "database": str(environment.duckdb_file),
            "read_only": read_only,
            "global_config": IN_ANY_ORDER,
        }
    return {
        "destination": {name: {**table, "destination_type": _type(table)} for name, table in tables.items()},
        "pipelines": {"dataset_name_layout": environment.layout},
    }
