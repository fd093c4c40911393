"""The value to erase, and what counts as an occurrence of it: it stands alone, not inside a longer word or number.

Phones are compared by their digits: without blanks, `+ . ( ) / -` and a leading 00. Devices are compared exactly,
accounts and players in upper or lower case. The same rule holds for cells, URLs, JSON and names of files.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

from pipelines.errors import UsageError

ERASED = "[erased]"
SHORTEST = 3
FEWEST_DIGITS = 6
_SPOKEN = " \u00a0.()/-"  # what people write between the digits of a phone number
_IN_NAMES = "A-Za-z0-9_\u00c0-\u1fff\u2c00-\ud7ff-"  # letters of any script, digits, _ and -
_ESCAPES = (r"\\[bfnrt]", "%[0-9A-Fa-f]{2}")  # a value may follow one of JSON or of a URL


@dataclass(frozen=True)
class Sought:
    """What is sought, as regular expressions; no representation of it shows the value."""

    kind: str
    core: str = field(repr=False)
    before: str = field(repr=False)
    escapes: tuple[str, ...] = field(repr=False)
    after: tuple[str, str] = field(repr=False)
    flags: str = ""

    @property
    def sql(self) -> str:
        """For the regular expressions of DuckDB, Postgres and BigQuery, which cannot look around."""
        before = "|".join(("^", f"[^{self.before}]", *self.escapes))
        return f"{self.flags}({before})({self.core})({self.after[0]})"

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        before = "|".join((f"(?<![{self.before}])", *(f"(?<={escape})" for escape in self.escapes)))
        return re.compile(f"{self.flags}(?:{before})(?:{self.core})(?!{self.after[1]})")

    def stands_in(self, text: str) -> bool:
        """Whether the value occurs in a text."""
        return self._pattern.search(text) is not None

    def renamed(self, name: str) -> str:
        """The name of a file without the value, which may stand between `_` and `-` there."""
        ends = "0-9" if self.kind == "phone" else "A-Za-z0-9"
        return re.sub(f"{self.flags}(?<![{ends}])(?:{self.core})(?![{ends}])", "erased", name)

    def scrubbed(self, text: str) -> str:
        """The text with each occurrence overwritten."""
        return self._pattern.sub(ERASED, text)

    def scrubbed_document(self, document: Any) -> Any:
        """A JSON document with each occurrence overwritten, in names, too; numbers that are the value become text."""
        match document:
            case dict():
                return {self.scrubbed(key): self.scrubbed_document(value) for key, value in document.items()}
            case list():
                return [self.scrubbed_document(value) for value in document]
            case str():
                return self.scrubbed(document)
            case int() if self.stands_in(str(document)):
                return ERASED
        return document


def sought(kind: str, value: str) -> Sought:
    """What is sought; `-` is read from stdin. UsageError where it is too short to tell one from another."""
    text = (sys.stdin.readline() if value == "-" else value).strip()
    return _phone(text) if kind == "phone" else _name(kind, text)


def _phone(text: str) -> Sought:
    digits = re.sub(f"[+{_SPOKEN}]", "", text).removeprefix("00")
    if not re.fullmatch(f"[0-9]{{{FEWEST_DIGITS},}}", digits):
        raise UsageError(f"--phone: expected a number of at least {FEWEST_DIGITS} digits, such as +33 6 12 34 56 78")
    core = "(?:00)?" + f"[{_SPOKEN}]*".join(digits)
    return Sought("phone", core, "0-9", ("%20",), ("$|[^0-9]", "[0-9]"))


def _name(kind: str, text: str) -> Sought:
    if len(text) < SHORTEST:
        raise UsageError(f"--{kind}: expected at least {SHORTEST} characters; a shorter one would match too much")
    spellings = dict.fromkeys((text, json.dumps(text)[1:-1], quote(text), quote(text, safe="")))
    before, after = _IN_NAMES, (f"$|[^{_IN_NAMES}]", f"[{_IN_NAMES}]")
    if "@" in text:  # an address may go on with a dot: me@example.org is not me@example.org.uk
        before, after = f".+{before}", (rf"$|[^.{_IN_NAMES}]|\.($|[^A-Za-z])", rf"[{_IN_NAMES}]|\.[A-Za-z]")
    core = "|".join(map(re.escape, spellings))
    if kind == "device":
        return Sought(kind, core, before, _ESCAPES, after, "")
    return Sought(kind, re.sub("[^\x00-\x7f]", _in_both_cases, core), before, _ESCAPES, after, "(?i)")


def _in_both_cases(letter: re.Match[str]) -> str:
    """To a Postgres with the locale C only A to Z have two cases."""
    cases = {letter[0], letter[0].lower(), letter[0].upper()}
    return f"[{''.join(sorted(case for case in cases if len(case) == 1))}]"
