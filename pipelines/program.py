"""How the program starts, fails and ends: whatever happens becomes one line on stderr and one exit code."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

if TYPE_CHECKING:
    from pipelines.errors import EtlError

GLOBAL_FLAGS = ("--debug", "--version")
GLOBAL_OPTIONS = ("--root", "--log-format", "--log-level")


class Session:
    """The options that stand before every command."""

    root: Path | None = None
    debug = False


session = Session()


def main(grammar: Callable[[], TyperGroup], arguments: Sequence[str] | None) -> None:
    """Run a command, and turn what goes wrong into one line and an exit code."""
    from pipelines.errors import terminate
    from pipelines.logs import tolerate

    tolerate(sys.stdout)
    tolerate(sys.stderr)
    session.root, session.debug = None, False
    try:
        signal.signal(signal.SIGTERM, terminate)
        with _seldom_collected():
            code = _obey(grammar(), hoist(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        code = _hang_up()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 the last line of defence: one line, one exit code
        code = _complain(error)
    exec("")  # else Python ends itself by a Ctrl-C that once passed through the exec of a text, caught or not
    sys.exit(code)


def hoist(arguments: Sequence[str]) -> list[str]:
    """Global options stand wherever a person types them; the parser wants them first."""
    first: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            return [*first, *rest, word, *words]
        if word in GLOBAL_FLAGS or word.startswith(tuple(f"{o}=" for o in GLOBAL_OPTIONS)):
            first.append(word)
        elif word in GLOBAL_OPTIONS:
            first += [word, *([value] if (value := next(words, None)) is not None else [])]
        else:
            rest.append(word)
    return first + rest


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Python looks for cycles less often: imports and pages of rows leave few, and looking costs up to a third."""
    usual = gc.get_threshold()
    gc.set_threshold(50_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _obey(parser: TyperGroup, command: list[str]) -> int:
    """Run a command; its exit code. The parser's own way to run it makes a silent 130 of every signal."""
    try:
        with parser.make_context("etl", command) as context:
            parser.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0


def _hang_up() -> int:
    """The reader of stdout has gone, as in `etl list | head -1`: say nothing, not even while Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _complain(error: BaseException) -> int:
    """Print an error as its message alone, as GitHub annotations under Actions, and with a trace for --debug."""
    from pipelines import logs
    from pipelines.errors import SpecError

    if session.debug:
        logs.trace(error)
    known = _understood(error)
    logs.complain(str(known))
    if isinstance(known, SpecError):
        from pipelines.commands import annotate

        annotate(known.problems)
    return int(known.exit)


def _understood(error: BaseException) -> EtlError:
    """Our error for any other; what the parser of the command line says is put into one line, help stays as it is."""
    from pipelines.errors import EtlError, Help, UsageError
    from pipelines.translate import translate

    if isinstance(error, EtlError):
        return error
    if not isinstance(error, TyperException):
        return translate(error, "etl")
    said = error.format_message()
    if "\n" in said:
        return Help(said)
    command = getattr(getattr(error, "ctx", None), "command_path", "etl")
    return UsageError(f"{command}: {said[0].lower()}{said[1:].rstrip('.')}; see {command} --help")
