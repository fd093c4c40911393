"""dlt asks the same of the same types thousands of times a run; in the tests, which have thousands of runs, once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, wraps
from typing import Any
from weakref import WeakKeyDictionary

import dlt.common.configuration.specs.base_configuration as specs
import dlt.common.configuration.utils as utils
import dlt.common.jsonpath as jsonpath
import dlt.common.typing as types

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
_fields_of: Callable[[Any], dict[str, Any]] = specs.BaseConfiguration.get_resolvable_fields.__func__  # type: ignore[attr-defined]


def remember() -> None:
    """Have dlt remember what it learns of a type, a class of settings or a path, wherever it asks."""
    known = {id(function): _remembered(function) for function in OF_TYPES}
    known |= {id(utils.log_traces): _untold, id(jsonpath.compile_path): _compiled}
    specs.BaseConfiguration.get_resolvable_fields = classmethod(_fields)  # type: ignore[method-assign]
    specs.BaseConfiguration.__len__ = _length  # type: ignore[method-assign]
    for module in [module for name, module in sys.modules.items() if name.startswith("dlt.")]:
        for name, value in list(vars(module).items()):
            if id(value) in known:
                setattr(module, name, known[id(value)])


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
