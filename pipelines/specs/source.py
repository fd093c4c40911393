"""Whether `sources/<name>.py` holds what its spec names; the module is read, never run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.errors import Problem, did_you_mean
from pipelines.specs.messages import expected, one_of
from pipelines.specs.yaml_marks import Document, Place, leaves

FOLDER = "sources"
_STEPS = ("filter", "map", "yield_map")
_DECORATORS = ("dlt.source", "source")
_SECRET_TYPES = ("TSecretValue", "TSecretStrValue")
_PLAIN_TYPES: dict[str, tuple[Any, str]] = {
    "str": (str, "text"),
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
    "list": (list, "a list"),
    "dict": (dict, "a mapping"),
    "None": (type(None), "nothing"),
}
_LISTS = ("list", "List", "Sequence", "Iterable", "Collection")
_MAPPINGS = ("dict", "Dict", "Mapping")


@dataclass(frozen=True)
class Module:
    """The names a source module offers, as far as its text tells."""

    functions: dict[str, ast.FunctionDef]
    imported: frozenset[str]
    siblings: dict[str, str]
    """Names taken from a module of the same folder, with that module."""
    replaced: dict[str, str]
    """Arguments that the source does not take, with what to do instead."""


class _NotPython(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def problems(root: Path, name: str, document: Document) -> list[Problem]:
    """What a spec names and its source module lacks."""
    try:
        of_source = _python if "python" in document.data else _functions
        return [*of_source(root, name, document), *_movers(root, name, document)]
    except _NotPython as error:
        return [error.problem]


def named_functions(rest: Any) -> Iterator[tuple[Place, str]]:
    """The public functions that a config under `rest:` names, with their places in it."""
    for place, value in leaves(rest):
        keys = [step for step in place if isinstance(step, str)]
        if isinstance(value, str) and _takes_function(keys, value):
            yield place, value


def _takes_function(keys: list[str], value: str) -> bool:
    if len(keys) < 2 or keys[0] not in ("resources", "resource_defaults") or {"json", "data"} & set(keys):
        return False
    if keys[-1] in _STEPS:
        return keys[-2] == "processing_steps"
    if keys[-1] == "convert":
        return keys[-2] == "incremental" or keys[-3:-2] == ["params"]
    return keys[-1] == "response_actions" or (keys[-2:] == ["response_actions", "action"] and value != "ignore")


def _functions(root: Path, name: str, document: Document) -> Iterator[Problem]:
    named = list(named_functions(document.data.get("rest")))
    module = _module(root, name) if named else None
    for place, function in named:
        if module is None:
            message = f"there is no {FOLDER}/{name}.py; write it with a public function {function}"
            yield document.problem(("rest", *place), message)
        elif function not in module.functions and function not in module.imported:
            near = did_you_mean(function, [f for f in module.functions if not f.startswith("_")])
            yield document.problem(("rest", *place), f"{FOLDER}/{name}.py has no public function of that name{near}")


def _movers(root: Path, name: str, document: Document) -> Iterator[Problem]:
    """The functions that say which files to move."""
    named = dict(_named_movers(document))
    module = _module(root, name) if named else None
    for place, function in named.items():
        if module is None:
            message = f"there is no {FOLDER}/{name}.py; write it with a public function {function}"
            yield document.problem(place, message)
        elif function not in module.functions and function not in module.imported:
            near = did_you_mean(function, [f for f in module.functions if not f.startswith("_")])
            yield document.problem(place, f"{FOLDER}/{name}.py has no public function of that name{near}")


def _named_movers(document: Document) -> Iterator[tuple[Place, str]]:
    resources = document.data.get("resources")
    for resource, hints in resources.items() if isinstance(resources, dict) else ():
        files = hints.get("files") if isinstance(hints, dict) else None
        if isinstance(files, dict) and isinstance(files.get("by"), str):
            yield ("resources", resource, "files", "by"), files["by"]


def _python(root: Path, name: str, document: Document) -> Iterator[Problem]:
    module = _module(root, name)
    if module is None:
        yield document.problem(("python",), f"there is no {FOLDER}/{name}.py; write it, or use rest:", "key")
        return
    function = _source(root, name, module)
    if function is None:
        message = f"{FOLDER}/{name}.py has no @dlt.source function named {name}; name it as the spec"
        yield document.problem(("python",), message, "key")
    elif isinstance(document.data["python"], dict):
        movers = [_function(root, name, module, mover) for _, mover in _named_movers(document)]
        signatures = [mover.args for mover in movers if mover is not None]
        yield from _arguments([function.args, *signatures], module.replaced, document)


def _arguments(signatures: list[ast.arguments], replaced: dict[str, str], document: Document) -> Iterator[Problem]:
    """What `python:` gives and no function takes: neither the source nor one that says which files to move."""
    taken = [argument for each in signatures for argument in (*each.posonlyargs, *each.args, *each.kwonlyargs)]
    known = {argument.arg: argument.annotation for argument in taken}
    for argument, value in document.data["python"].items():
        place: Place = ("python", argument)
        if argument not in known and signatures[0].kwarg is None:
            near = did_you_mean(argument, list(known))
            message = f"the source has no such argument{near}; it takes: {', '.join(known) or 'none'}"
            if argument in replaced:
                message = f"the source has no such argument; {replaced[argument]}"
            yield document.problem(place, message, "key")
        for inside, message in _misfits(known.get(argument), value):
            yield document.problem((*place, *inside), message)


def _function(root: Path, name: str, module: Module, function: str) -> ast.FunctionDef | None:
    """A function of a source, here or in the module of the folder it is taken from."""
    if function in module.functions or function not in module.siblings:
        return module.functions.get(function)
    path = root / FOLDER / name / f"{module.siblings[function]}.py"
    return _read(root, path).functions.get(function) if path.is_file() else None


def _source(root: Path, name: str, module: Module) -> ast.FunctionDef | None:
    """The `@dlt.source` function."""
    function = _function(root, name, module, name)
    decorated = function is not None and any(_called(d) in _DECORATORS for d in function.decorator_list)
    return function if decorated else None


def _called(decorator: ast.expr) -> str:
    return ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)


def _module(root: Path, name: str) -> Module | None:
    folder = root / FOLDER
    paths = (folder / f"{name}.py", folder / name / "__init__.py")
    return next((_read(root, path) for path in paths if path.is_file()), None)


def _read(root: Path, path: Path) -> Module:
    shown = path.relative_to(root).as_posix()
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        problem = Problem(shown, error.lineno or 1, error.offset or 1, "", f"not Python: {error.msg}")
        raise _NotPython(problem) from error
    except (ValueError, OSError) as error:
        raise _NotPython(Problem(shown, 1, 1, "", "cannot be read; save it as UTF-8 text")) from error


@lru_cache(maxsize=32)
def _parsed(text: str) -> Module:
    tree = ast.parse(text)
    imports = [statement for statement in tree.body if isinstance(statement, ast.ImportFrom)]
    siblings = {
        alias.asname or alias.name: module
        for statement in imports
        if (module := _sibling(statement))
        for alias in statement.names
    }
    return Module(
        {s.name: s for s in tree.body if isinstance(s, ast.FunctionDef)},
        frozenset(alias.asname or alias.name for statement in imports for alias in statement.names),
        siblings,
        _replaced(tree),
    )


def _sibling(statement: ast.ImportFrom) -> str | None:
    """The module that a statement imports from, where it is `.name` or `sources.<source>.name`."""
    if statement.level == 1:
        return statement.module
    found = re.fullmatch(rf"{FOLDER}\.\w+\.(\w+)", statement.module or "")
    return found[1] if found and found[0].split(".")[1] != "kit" else None


def _replaced(tree: ast.Module) -> dict[str, str]:
    """The literal `REPLACED`, if there is one."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and [ast.unparse(name) for name in statement.targets] == ["REPLACED"]:
            found: dict[str, str] = ast.literal_eval(statement.value)
            return found
    return {}


def _misfits(annotation: ast.expr | None, value: Any) -> list[tuple[Place, str]]:
    """Where a value does not fit a simple annotation; what the annotation leaves open fits."""
    if annotation is None:
        return []
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return _misfits(ast.parse(annotation.value, mode="eval").body, value)
    branches = _branches(annotation)
    if len(branches) > 1:
        return _misfits_all(branches, value)
    if isinstance(annotation, ast.Subscript):
        return _misfits_inside(_name(annotation.value), annotation.slice, value)
    return _misfits_plain(_name(annotation), value)


def _branches(annotation: ast.expr) -> list[ast.expr]:
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return [*_branches(annotation.left), *_branches(annotation.right)]
    if isinstance(annotation, ast.Subscript) and _name(annotation.value) == "Optional":
        return [annotation.slice, ast.Constant(None)]
    if isinstance(annotation, ast.Subscript) and _name(annotation.value) == "Union":
        return list(annotation.slice.elts) if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
    return [annotation]


def _misfits_all(branches: list[ast.expr], value: Any) -> list[tuple[Place, str]]:
    """No branch fits: the one that came furthest tells why."""
    found = [_misfits(branch, value) for branch in branches if not _is_none(branch)]
    if not all(found):
        return []
    deepest = max(found, key=lambda misfits: len(misfits[0][0]))
    if deepest[0][0]:
        return deepest
    words = [message.removeprefix("expected ").split(", got")[0] for misfits in found for _, message in misfits]
    return [((), expected(" or ".join(words), value))]


def _is_none(annotation: ast.expr) -> bool:
    return isinstance(annotation, ast.Constant) and annotation.value is None


def _misfits_inside(name: str, inner: ast.expr, value: Any) -> list[tuple[Place, str]]:
    if name in _LISTS:
        wrong = _misfits_plain("list", value)
        return wrong or [((i, *at), m) for i, item in enumerate(value) for at, m in _misfits(inner, item)]
    if name in _MAPPINGS:
        values = inner.elts[1] if isinstance(inner, ast.Tuple) and len(inner.elts) == 2 else None
        wrong = _misfits_plain("dict", value)
        return wrong or [((key, *at), m) for key, item in value.items() for at, m in _misfits(values, item)]
    if name == "Literal":
        words = [
            e.value for e in (inner.elts if isinstance(inner, ast.Tuple) else [inner]) if isinstance(e, ast.Constant)
        ]
        return [] if value in words else [((), one_of([str(w) for w in words], value))]
    return []


def _misfits_plain(name: str, value: Any) -> list[tuple[Place, str]]:
    if name in _SECRET_TYPES:
        return [((), "secrets have no place in a spec; put it in .dlt/secrets.toml")]
    if name not in _PLAIN_TYPES:
        return []
    kind, words = _PLAIN_TYPES[name]
    fits = isinstance(value, kind) and (name == "bool" or not isinstance(value, bool))
    return [] if fits else [((), expected(words, value))]


def _name(annotation: ast.expr) -> str:
    """The last word of a name, so that `typing.Sequence` reads `Sequence`."""
    return ast.unparse(annotation).rsplit(".", 1)[-1] if isinstance(annotation, ast.Name | ast.Attribute) else ""
