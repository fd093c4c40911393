"""What dlt asks thousands of times a run is answered at once in the tests, which have thousands of runs.

Of the same type it asks the same again; and it looks for each setting, section by section, where none has its name.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache, wraps
from typing import Any
from weakref import WeakKeyDictionary

import dlt.common.configuration.resolve as resolve
import dlt.common.configuration.specs.base_configuration as specs
import dlt.common.configuration.utils as utils
import dlt.common.jsonpath as jsonpath
import dlt.common.typing as types
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

from pipelines import familiar
from pipelines.configuration import Document, Variables

OF_TYPES = (
    types.extract_inner_type,
    types.is_dict_generic_type,
    types.is_list_generic_type,
    types.is_literal_type,
    types.is_optional_type,
    types.is_subclass,
    types.is_typeddict,
    types.is_union_type,
    specs.extract_inner_hint,
    specs.is_hint_not_resolvable,
    specs.is_secret_hint,
    specs.is_valid_configspec_field,
)

_FIELDS: WeakKeyDictionary[type, dict[str, Any]] = WeakKeyDictionary()
_LENGTHS: WeakKeyDictionary[type, int] = WeakKeyDictionary()
_NAMES: WeakKeyDictionary[Document, set[str]] = WeakKeyDictionary()
_OTHERWISE_NAMED = {*familiar.OF_A_SIGN_IN, *familiar.ONE_OF_SEVERAL, familiar.TOKENSTORE}
_told = threading.local()
_value_of, _field_of = resolve._resolve_single_value, resolve._resolve_config_field
_fields_of: Callable[[Any], dict[str, Any]] = specs.BaseConfiguration.get_resolvable_fields.__func__  # type: ignore[attr-defined]


def remember() -> None:
    """Have dlt remember what it learns of a type, a class of settings or a path, wherever it asks."""
    known = {id(function): _remembered(function) for function in OF_TYPES}
    known |= {id(utils.log_traces): _untold, id(jsonpath.compile_path): _compiled}
    resolve._resolve_single_value, resolve._resolve_config_field = _value, _field
    specs.BaseConfiguration.get_resolvable_fields = classmethod(_fields)  # type: ignore[method-assign]
    specs.BaseConfiguration.__len__ = _length  # type: ignore[method-assign]
    for module in [module for name, module in sys.modules.items() if name.startswith("dlt.")]:
        for name, value in list(vars(module).items()):
            if id(value) in known:
                setattr(module, name, known[id(value)])


def _value(key: str, hint: Any, inner_hint: Any, *place: Any) -> tuple[Any, list[Any]]:
    """The value of a setting; of one that nobody names none, without telling where it was looked for."""
    told = getattr(_told, "wanted", False) or types.is_subclass(inner_hint, specs.BaseConfiguration)
    if told or any(_names(provider, key) for provider in Container()[PluggableRunContext].providers.providers):
        return _value_of(key, hint, inner_hint, *place)
    return None, []


def _field(key: str, hint: Any, default: Any, *place: Any) -> Any:
    """A setting of a class; of one that must not be missing it is told where it was looked for."""
    before = getattr(_told, "wanted", False)
    _told.wanted = default is None and not types.is_optional_type(hint)
    try:
        return _field_of(key, hint, default, *place)
    finally:
        _told.wanted = before


def _names(provider: ConfigProvider, key: str) -> bool:
    """Whether a provider may have a setting of this name, in some section."""
    if isinstance(provider, Variables):
        names = getattr(provider.values, "_data", None)  # of os.environ, which decodes them each time
        found = key.upper().encode() in b"\n".join(names) if names else key.upper() in "\n".join(provider.values)
        return found or provider._secret_files or key in _OTHERWISE_NAMED
    if isinstance(provider, Document):
        if provider not in _NAMES:
            _NAMES[provider] = set(_keys(provider._config_doc))
        return key in _NAMES[provider]
    return True


def _keys(tree: Any) -> Iterator[str]:
    for key, below in tree.items() if isinstance(tree, dict) else ():
        yield key
        yield from _keys(below)


def _fields(settings: type[specs.BaseConfiguration]) -> dict[str, Any]:
    """The fields of a class of settings."""
    if settings not in _FIELDS:
        _FIELDS[settings] = _fields_of(settings)
    return _FIELDS[settings].copy()


def _length(settings: specs.BaseConfiguration) -> int:
    """How many fields settings have, as asked by each `if settings`."""
    kind = type(settings)
    if kind not in _LENGTHS:
        _LENGTHS[kind] = sum(1 for _ in settings)
    return _LENGTHS[kind]


@cache
def _parsed(path: str) -> Any:
    return jsonpath._parse(path)


def _compiled(path: Any) -> Any:
    """A path, which nobody changes."""
    return _parsed(path) if isinstance(path, str) else path


def _untold(*found: Any) -> None:
    """What a setting was found to be goes into dlt's trace, which no run of ours keeps."""


def _remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that works out each answer once; types that are equal may differ, so identity tells them apart."""
    answers: dict[Any, tuple[Any, ...]] = {}

    @wraps(function)
    def asked(one: Any, *more: Any, **options: bool) -> Any:
        key = (id(one), *map(id, more), *options.items()) if more or options else id(one)
        if key not in answers:
            answers[key] = (function(one, *more, **options), one, more)  # what is kept keeps its id
        return answers[key][0]

    return asked
