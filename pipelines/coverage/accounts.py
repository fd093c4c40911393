"""The accounts whose days a table should have: those that the source is told to read."""

from __future__ import annotations

import inspect
from pathlib import Path

from dlt.common.configuration.utils import deserialize_value

from pipelines import build
from pipelines.configuration import setting
from pipelines.errors import SettingError
from pipelines.specs.spec import Spec
from pipelines.specs.types import Coverage, Periods

ALL = [""]  # the one account of a table that does not tell accounts apart


def accounts_of(root: Path, spec: Spec, coverage: Coverage) -> list[str]:
    """The accounts in the argument that a coverage names, in lower case; its settings must be in force."""
    if not isinstance(coverage, Periods) or not coverage.per:
        return ALL
    argument = coverage.per.argument
    found = setting(argument, ("sources", spec.name))
    given = found[0] if found else _default(root, spec, argument)
    if given in (None, "", []):
        path = f"sources.{spec.name}.{argument}"
        raise SettingError(f"{path}: is missing; set {path.upper().replace('.', '__')}, or name some in the spec")
    accounts = deserialize_value(argument, given, list) if takes_list(root, spec, argument) else [given]
    return list(dict.fromkeys(str(account).strip().lower() for account in accounts))


def takes_list(root: Path, spec: Spec, argument: str) -> bool:
    """Whether an argument of the source names several at once."""
    return "list" in build.arguments(root, spec).get(argument, "")


def _default(root: Path, spec: Spec, argument: str) -> object:
    default = inspect.signature(build.factory(root, spec)).parameters[argument].default
    return default if isinstance(default, (list, str)) else None
