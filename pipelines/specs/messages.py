"""What pydantic found wrong, as problems in our words: one per place, each with its line and a suggestion."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, ValidationError, ValidationInfo, model_validator
from pydantic_core import ErrorDetails

from pipelines.errors import Problem, did_you_mean
from pipelines.printing import counted
from pipelines.specs.yaml_marks import Document, Place

Model = TypeVar("Model", bound=BaseModel)

TEXT, LIST, MAPPING, NUMBER, BOOLEAN = "<text>", "<list>", "<mapping>", "<number>", "<boolean>"
_KINDS: dict[type, str] = {bool: BOOLEAN, int: NUMBER, float: NUMBER, str: TEXT, list: LIST, dict: MAPPING}
_WORDS = {TEXT: "text", LIST: "a list", MAPPING: "a mapping", NUMBER: "a number", BOOLEAN: "true or false"}

_EXPECTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "wrong_kind": "",
}


class Strict(BaseModel):
    """A mapping of a spec: no unknown key, no silent conversion, no change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _remember(cls, data: Any, info: ValidationInfo) -> Any:
        """Note which model reads which mapping, so that a message can say which keys it knows."""
        if isinstance(info.context, dict):
            info.context[id(data)] = cls
        return data

    @classmethod
    def keys(cls) -> list[str]:
        """The keys as a spec writes them."""
        return [field.alias or name for name, field in cls.model_fields.items()]


def kind_of(value: Any) -> str:
    """The kind of a YAML value: what tells the branches of an either-or apart."""
    return MAPPING if isinstance(value, BaseModel) else _KINDS.get(type(value), "")


def by_kind(*kinds: str) -> Discriminator:
    """Choose the branch of a union by the kind of the value, so that one place gives one message."""
    words = " or ".join(_WORDS[kind] for kind in kinds)
    return Discriminator(kind_of, custom_error_type="wrong_kind", custom_error_message=f"expected {words}")


def read_as(model: type[Model], document: Document, place: Place = ()) -> tuple[Model | None, list[Problem]]:
    """The part of a document at `place` as a model, or what is wrong with it."""
    data = document.data
    for step in place:
        data = data[step]
    seen: dict[int, type[Strict]] = {}
    try:
        return model.model_validate(data, context=seen), []
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=True)
        return None, [_problem(details, document, place, data, seen) for details in found]


def got(value: Any) -> str:
    """A value in words, without repeating a text that might be a secret."""
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}" if len(str(value)) < 20 else "a number"
    return {TEXT: "text", LIST: "a list", MAPPING: "a mapping"}.get(kind_of(value), "nothing")


def expected(words: str, value: Any) -> str:
    """`expected text, got the boolean false; quote it`."""
    remedy = ""
    if words == "text" and isinstance(value, bool | int | float):
        remedy = "; quote it"
    elif kind_of(value) == TEXT and words in ("true or false", "a number", "a whole number"):
        remedy = "; write it without quotes" if words != "true or false" else "; write true or false, without quotes"
    return f"expected {words}, got {got(value)}{remedy}"


def one_of(known: list[str], word: Any) -> str:
    """`expected one of: a, b (did you mean 'a'?)`."""
    near = did_you_mean(word, known) if isinstance(word, str) else f", got {got(word)}"
    return f"expected one of: {', '.join(known)}{near}"


def _problem(
    details: ErrorDetails, document: Document, under: Place, data: Any, seen: dict[int, type[Strict]]
) -> Problem:
    kind = details["type"]
    place, container = _place(details["loc"], data, kind == "missing")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        place = (*place, details["ctx"]["discriminator"].strip("'"))
    return document.problem((*under, *place), _message(details, place, container, seen), _part(kind))


def _part(kind: str) -> str:
    return "key" if kind in ("extra_forbidden", "missing", "bad_key") else "value"


def _place(loc: tuple[int | str, ...], data: Any, missing: bool) -> tuple[Place, Any]:
    """The place in the file without the branches pydantic took, and the mapping that holds it."""
    place: list[int | str] = []
    container, here = data, data
    for step in loc:
        inside = step in here if isinstance(here, dict) else isinstance(here, list) and isinstance(step, int)
        if inside:
            place.append(step)
            container, here = here, here[step]
    if missing:
        return (*place, loc[-1]), here
    return tuple(place), container


def _message(details: ErrorDetails, place: Place, container: Any, seen: dict[int, type[Strict]]) -> str:
    kind, value = details["type"], details["input"]
    if kind in ("missing", "union_tag_not_found"):
        return "missing; add it"
    if kind == "extra_forbidden":
        model = seen.get(id(container))
        return f"unknown key{did_you_mean(str(place[-1]), model.keys() if model else [])}"
    if kind == "literal_error":
        return one_of(_quoted(details["ctx"]["expected"]), value)
    if kind == "union_tag_invalid":
        return one_of(_quoted(details["ctx"]["expected_tags"]), details["ctx"]["tag"])
    if kind == "too_short":
        wanted, given = details["ctx"]["min_length"], details["ctx"]["actual_length"]
        return f"expected at least {counted(wanted, 'item')}, got {given}"
    if kind == "too_long":
        return f"expected at most {counted(details['ctx']['max_length'], 'item')}"
    if kind in _EXPECTED:
        return expected(_EXPECTED[kind] or details["msg"].removeprefix("expected "), value)
    return details["msg"].removeprefix("Input ")


def _quoted(words: str) -> list[str]:
    return re.findall(r"'([^']*)'", words)
