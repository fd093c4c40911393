"""What may stand under `rest:`: dlt's `RESTAPIConfig`, read off its own types, less what YAML cannot say.

Where dlt wants a callable, a spec names a public function of `sources/<name>.py`; `bind` puts it in.
"""

from __future__ import annotations

import collections.abc
import copy
import inspect
import operator
from collections.abc import Callable
from functools import cache, lru_cache, reduce
from types import GenericAlias, ModuleType
from typing import Annotated, Any, Literal, Optional, Union, get_args, get_origin, get_type_hints

from dlt.common import jsonpath
from dlt.common.schema.typing import TAnySchemaColumns, TSchemaContract, TWriteDispositionConfig
from dlt.common.typing import TColumnNames
from dlt.sources.rest_api.config_setup import AUTH_MAP, PAGINATOR_MAP
from dlt.sources.rest_api.typing import (
    Endpoint,
    IncrementalParamConfig,
    PageNumberPaginatorConfig,
    PaginatorTypeConfig,
    ResolveParamConfig,
    ResponseActionDict,
    RESTAPIConfig,
)
from jsonpath_ng import JSONPath
from jsonpath_ng.exceptions import JSONPathError
from pydantic import Discriminator, Field, Tag, WithJsonSchema, create_model
from typing_extensions import is_typeddict

from pipelines.errors import UsageError
from pipelines.specs.messages import BOOLEAN, LIST, MAPPING, NUMBER, TEXT, Strict, by_kind, kind_of
from pipelines.specs.rest_words import describe
from pipelines.specs.source import named_functions
from pipelines.specs.types import (
    NAME,
    Column,
    ColumnNames,
    Filled,
    SchemaContract,
    Text,
    Url,
    WriteDisposition,
    matching,
)
from pipelines.specs.yaml_marks import shorten

_SECRETS = {"token", "api_key", "password", "client_secret", "access_token"}
_LEFT_OUT = {("HttpBasicAuthConfig", "username")}  # dlt takes it only together with the password
_DEPRECATED = {"json_response"}
_REQUIRED = {
    ("ClientConfig", "base_url"),
    ("EndpointResource", "name"),
    ("IncrementalConfig", "cursor_path"),
    ("IncrementalParamConfig", "cursor_path"),
    ("BearerTokenAuthConfig", "type"),
    ("TTableReferenceInline", "columns"),
    ("TTableReferenceInline", "referenced_table"),
    ("TTableReferenceInline", "referenced_columns"),
}


def _why_no_path(path: str) -> str | None:
    try:
        _compiled(path)
    except (JSONPathError, ValueError) as error:
        return f"expected a JSON path such as data.items or $.next: {shorten(str(error), 80)}"
    return None


@lru_cache(maxsize=1024)
def _compiled(path: str) -> Any:
    return jsonpath.compile_path(path)


JsonPath = Annotated[str, Text(_why_no_path)]
FunctionName = Annotated[str, matching(NAME, "the name of a public function of the source", 100)]
_FUNCTIONS = {"filter", "map", "yield_map", "convert"}
_FORMS: dict[str, Any] = {
    **dict.fromkeys(_FUNCTIONS, FunctionName),
    "action": Annotated[
        Annotated[FunctionName, Tag(TEXT)] | Annotated[list[FunctionName], Tag(LIST)], by_kind(TEXT, LIST)
    ],
    "status_code": Annotated[int, Field(ge=100, le=599)],
    "base_url": Url,
    "access_token_url": Url,
    "cursor_path": JsonPath,
    "field": JsonPath,
}
_SHARED = (  # hints that `resources:` of a spec knows too: one form for both
    (TWriteDispositionConfig, WriteDisposition),
    (TColumnNames, ColumnNames),
    (TAnySchemaColumns, dict[Filled, Column]),
    (TSchemaContract, SchemaContract),
)
_SCALARS: dict[Any, str] = {str: TEXT, bool: BOOLEAN, int: NUMBER, float: NUMBER}
_TYPES = {
    "ResolveParamConfig": ("resolve",),
    "IncrementalParamConfig": ("incremental",),
    "PaginatorTypeConfig": ("auto", "single_page"),
}


@cache
def model() -> type[Strict]:
    """The model of `rest:`; built once per process."""
    return _model(RESTAPIConfig)


def bind(config: dict[str, Any], module: ModuleType | None) -> dict[str, Any]:
    """The config with the functions it names put in; UsageError when the module lacks one."""

    def look_up(name: str) -> Any:
        function = None if name.startswith("_") else getattr(module, name, None)
        if not callable(function):
            where = module.__name__.replace(".", "/") + ".py" if module else "rest: there is no source module"
            raise UsageError(f"{where}: no public function {name}; write it, or correct the spec")
        return function

    return with_functions(config, look_up)


def with_functions(config: dict[str, Any], look_up: Callable[[str], Any]) -> dict[str, Any]:
    """The config with each function name replaced by what `look_up` says."""
    bound = copy.deepcopy(config)
    for place, name in list(named_functions(bound)):
        holder: Any = bound
        for step in place[:-1]:
            holder = holder[step]
        holder[place[-1]] = look_up(name)
    return bound


def unsigned(value: Any) -> Any:
    """The config without `auth`, which would ask for secrets."""
    if isinstance(value, dict):
        return {key: unsigned(item) for key, item in value.items() if key != "auth"}
    return [unsigned(item) for item in value] if isinstance(value, list) else value


# dlt's types into models


@cache
def _model(typed: Any) -> type[Strict]:
    fields: dict[str, Any] = {}
    for key, hint in get_type_hints(typed).items():
        form = None if _is_left_out(typed.__name__, key) else _form(typed.__name__, key, hint)
        if form is not None:
            name = f"{key}_" if hasattr(Strict, key) else key
            fields[name] = _field(form, key, describe(typed.__name__, key), _is_required(typed, key))
    made: type[Strict] = create_model(typed.__name__, __base__=Strict, __module__=__name__, **fields)
    return made


def _is_left_out(owner: str, key: str) -> bool:
    return ("Auth" in owner and key in _SECRETS) or (owner, key) in _LEFT_OUT


def _is_required(typed: Any, key: str) -> bool:
    owner = typed.__name__
    return key in typed.__required_keys__ or (owner, key) in _REQUIRED or key in _arguments_needed(owner)


def _field(form: Any, key: str, words: str, required: bool) -> tuple[Any, Any]:
    if required:
        return form, Field(alias=key, description=words)
    return Optional[form], Field(None, alias=key, description=words)  # noqa: UP045 – made at run time


def _form(owner: str, key: str, hint: Any) -> Any:
    """The model's type of one key; None where YAML cannot say it."""
    if key == "type":
        return Literal[_type_names(owner)]
    if key == "params":
        bound = [_model(ResolveParamConfig), _model(IncrementalParamConfig)]
        return GenericAlias(dict, (str, _by_kind_or_plain(_by_type(bound))))
    if key == "response_actions":
        return GenericAlias(list, (_by_kind({TEXT: FunctionName, MAPPING: _model(ResponseActionDict)}),))
    if owner == "EndpointResourceBase" and key == "endpoint":
        return _model(Endpoint)  # dlt takes a bare path for a resource, not for the defaults
    if key == "resources":
        return Annotated[_said(hint), Field(min_length=1)]
    return _FORMS.get(key) or _said(hint)


def _said(hint: Any) -> Any:
    """What YAML can say of one of dlt's types; None for classes and functions."""
    members = _members(hint)
    ours = next((ours for theirs, ours in _SHARED if set(_members(theirs)) == set(members)), None)
    if ours or Any in members:
        return ours or Any
    branches = _branches(members)
    return _by_kind(branches) if branches else None


def _members(hint: Any) -> list[Any]:
    """The branches of a union, but for functions, classes and None."""
    if get_origin(hint) is Union:
        return [member for branch in get_args(hint) for member in _members(branch)]
    return [] if hint is type(None) or get_origin(hint) in (collections.abc.Callable, type) else [hint]


def _branches(members: list[Any]) -> dict[str, Any]:
    """The types YAML can say, by kind of value."""
    found: dict[str, Any] = {}
    for member in members:
        kind, form = _branch(member)
        if kind:
            found.setdefault(kind, form)
    typed = [member for member in members if is_typeddict(member)]
    if PageNumberPaginatorConfig in typed:
        typed.append(PaginatorTypeConfig)  # dlt takes those without options as a mapping too
    mappings = [_model(member) for member in typed]
    if mappings:
        found[MAPPING] = _by_type(mappings)
    if JSONPath in members:
        found[TEXT] = JsonPath
    return found


def _branch(member: Any) -> tuple[str, Any]:
    origin, inner = get_origin(member), get_args(member)
    if member in _SCALARS:
        return _SCALARS[member], member
    if origin is Literal:
        return TEXT, Literal[_usable(inner)]
    if origin is dict:
        return MAPPING, GenericAlias(dict, (str, _said(inner[1])))
    if origin in (list, collections.abc.Sequence):
        return LIST, GenericAlias(list, (_said(inner[0]),))
    return "", None


def _by_kind(branches: dict[str, Any]) -> Any:
    if len(branches) == 1:
        return next(iter(branches.values()))
    tagged = [Annotated[form, Tag(kind)] for kind, form in branches.items()]
    return Annotated[reduce(operator.or_, tagged), by_kind(*branches)]


def _by_type(models: list[Any]) -> Any:
    """One of several mappings, told apart by their `type`."""
    either = reduce(operator.or_, models)
    return Annotated[either, Field(discriminator="type")] if len(models) > 1 else either


def _by_kind_or_plain(mapping: Any) -> Any:
    """A plain value, or a mapping that must be one of those dlt knows."""
    plain = Annotated[Any, WithJsonSchema({"type": ["string", "number", "boolean", "array"]}), Tag(TEXT)]
    return Annotated[
        Annotated[mapping, Tag(MAPPING)] | plain,
        Discriminator(lambda value: MAPPING if kind_of(value) == MAPPING else TEXT),
    ]


def _usable(names: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a literal that stand alone: not the deprecated, nor paginators that need an argument."""
    return tuple(name for name in names if name not in _DEPRECATED and not _needed(PAGINATOR_MAP.get(name)))


def _type_names(owner: str) -> tuple[str, ...]:
    """The names that stand as `type` in one of dlt's mappings."""
    known = {**PAGINATOR_MAP, **AUTH_MAP}
    return _TYPES.get(owner) or tuple(
        n for n, made in known.items() if made and _config_of(made) == owner.lower() and n not in _DEPRECATED
    )


def _config_of(made: type) -> str:
    return f"{made.__name__}config".lower()


def _arguments_needed(owner: str) -> set[str]:
    made = next((c for c in PAGINATOR_MAP.values() if c and _config_of(c) == owner.lower()), None)
    return _needed(made)


def _needed(made: type | None) -> set[str]:
    """The arguments a class cannot be made without."""
    if made is None:
        return set()
    parameters = list(inspect.signature(made.__init__).parameters.values())[1:]  # type: ignore[misc]
    return {p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD}
