"""Every error the program raises on purpose; the exit code stands on the class.

EtlError             1  the run failed
├── UsageError       2  the command or its arguments are wrong
│   ├── Help         2  no command was named
│   ├── SpecError    2  a spec is wrong; carries one Problem per mistake
│   └── SettingError 2  destinations.toml, a config file or a secret is wrong or missing
├── Partial          3  some rows or items were left out
├── ChecksFailed     4  the data is loaded and does not hold what the spec promises
├── TryLater         5  the upstream or the destination asks for time
├── SignInNeeded     6  a person must sign in
└── Locked           7  another run holds the destination
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from unicodedata import category

BREAKS = "\u2028\u2029"


class Exit(IntEnum):
    """The exit codes, an API frozen by a test."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    CHECKS = 4
    TEMPORARY = 5
    SIGN_IN = 6
    LOCKED = 7
    INTERRUPTED = 130
    TERMINATED = 143


STATUS = {
    Exit.OK: "ok",
    Exit.FAILED: "failed",
    Exit.USAGE: "failed",
    Exit.PARTIAL: "partial",
    Exit.CHECKS: "checks_failed",
    Exit.TEMPORARY: "try_later",
    Exit.SIGN_IN: "sign_in",
    Exit.LOCKED: "locked",
    Exit.INTERRUPTED: "interrupted",
    Exit.TERMINATED: "interrupted",
}
WORST_FIRST = (
    Exit.INTERRUPTED,
    Exit.TERMINATED,
    Exit.FAILED,
    Exit.USAGE,
    Exit.SIGN_IN,
    Exit.TEMPORARY,
    Exit.LOCKED,
    Exit.CHECKS,
    Exit.PARTIAL,
    Exit.OK,
)


def worst(codes: Sequence[Exit]) -> Exit:
    """One exit code for several specs: the first in the documented order that occurred."""
    return min(codes, key=WORST_FIRST.index, default=Exit.OK)


class EtlError(Exception):
    """The run failed; the message is *where: what; what to do*, on one line whatever it quotes."""

    exit = Exit.FAILED

    def __init__(self, message: str) -> None:
        super().__init__(in_one_line(without_secrets(message)))


class UsageError(EtlError):
    """The command or its arguments are wrong."""

    exit = Exit.USAGE


@dataclass(frozen=True)
class Problem:
    """One mistake in a file, where it stands and what to do about it."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        path = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}:{self.column}: {path}{self.message}"

    def annotation(self) -> str:
        """The same as a GitHub Actions workflow command."""
        text = f"{self.path}: {self.message}" if self.path else self.message
        return annotation("error", text, file=self.file, line=self.line, col=self.column)


class SpecError(UsageError):
    """A spec is wrong; `problems` holds every mistake that was found, in file order, each on its line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems, key=lambda p: (p.file, p.line, p.column))

    def __str__(self) -> str:
        return "\n".join(in_one_line(str(problem)) for problem in self.problems)


class Help(UsageError):
    """No command was named; the message is the help, as long as it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


class SettingError(UsageError):
    """destinations.toml, a config file or a secret is wrong or missing."""


class Partial(EtlError):
    """Some rows or items were left out; the rest is loaded."""

    exit = Exit.PARTIAL


class ChecksFailed(EtlError):
    """The data is loaded and does not hold what the spec promises."""

    exit = Exit.CHECKS


class TryLater(EtlError):
    """The upstream or the destination asks for time."""

    exit = Exit.TEMPORARY


class SignInNeeded(EtlError):
    """A person must sign in."""

    exit = Exit.SIGN_IN


class Locked(EtlError):
    """Another run holds the destination."""

    exit = Exit.LOCKED


class Terminated(KeyboardInterrupt):
    """SIGTERM; a KeyboardInterrupt, so that it ends whatever Ctrl-C ends."""


def terminate(number: int, frame: object) -> None:
    """The handler of SIGTERM."""
    raise Terminated


def without_secrets(text: str) -> str:
    """A text without the secrets that a source has met, if one was loaded at all."""
    met = sys.modules.get("sources.kit.secrets")
    return str(met.without_secrets(text)) if met else text


def in_one_line(text: str) -> str:
    """A text with whatever would break its line, or steer a terminal, written as an escape."""
    return "".join(c.encode("unicode_escape").decode() if category(c)[0] == "C" or c in BREAKS else c for c in text)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """` (did you mean 'x'?)`, or nothing when no known word is near."""
    import difflib

    near = difflib.get_close_matches(word.lower(), [k.lower() for k in known], n=1, cutoff=0.6)
    match = next((k for k in known if near and k.lower() == near[0]), None)
    return f" (did you mean '{match}'?)" if match else ""


def annotation(level: str, text: str, **properties: object) -> str:
    """A workflow command of GitHub Actions: `::error file=…,line=…::text`, escaped as its runner reads it."""
    told = ",".join(f"{name}={_escaped(str(value), ',:')}" for name, value in properties.items())
    return f"::{level}{' ' if told else ''}{told}::{_escaped(text)}"


def _escaped(text: str, also: str = "") -> str:
    for character in f"%\r\n{also}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def under_github() -> bool:
    """Whether messages should also be written as GitHub annotations."""
    return os.environ.get("GITHUB_ACTIONS") == "true"
