"""dlt asks the same of the same types thousands of times a run; in the tests, which have thousands of runs, once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import dlt.common.configuration.specs.base_configuration as specs
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


def remember() -> None:
    """Have dlt remember what it learns of a type, wherever it asks."""
    known = {id(function): _remembered(function) for function in OF_TYPES}
    for module in [module for name, module in sys.modules.items() if name.startswith("dlt.common.")]:
        for name, value in list(vars(module).items()):
            if id(value) in known:
                setattr(module, name, known[id(value)])


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
