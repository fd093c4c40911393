"""Tokens in the settings of dlt, for machines that keep nothing: read, never written.

`sources.<name>.token` is what `etl auth export` prints; `sources.<name>.refresh_token` will do where that is all there
is. An account has a section of its own: `sources.<name>.<account>.token`,
where all but small letters and digits is written by its code.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from threading import RLock

from pipelines import configuration
from pipelines.environment import Environment
from pipelines.errors import SettingError
from pipelines.tokens.stores import Content, Place, Slot, end_of, named

KEYS = ("token", "refresh_token")
_BECAME: dict[tuple[str, str, str], Content] = {}  # what a token that is set has become in this process
_CHANGING = RLock()


class Settings:
    """The store of an environment that is given its tokens; a token that rotates is kept by this process only."""

    read_only = True
    label = "settings (read-only)"

    def __init__(self, environment: Environment) -> None:
        self._environment, self.warnings = environment, list[str]()

    def read(self, name: str, account: str) -> Content | None:
        content = given(name, account)
        return content and _BECAME.get((name, account, packed(content)), content)

    @contextmanager
    def exclusively(self, name: str, account: str) -> Iterator[Slot]:
        with _CHANGING:
            yield Place(self, name, account)

    def way_in(self, name: str, account: str) -> str:
        variable = variable_of(name, account)
        return (
            f"set {variable} to what etl auth export prints where somebody has signed in, in an environment whose "
            "tokens are kept in files or in the destination"
        )

    def accounts(self, name: str) -> list[str]:
        sections = {key.split("__")[0] for _, key in configuration.keys(("sources", name))}
        accounts = {account for section in sections if (account := _account(section)) not in (None, *KEYS)}
        return sorted(account for account in {"", *accounts} if _found(name, account))

    def ends(self) -> dict[tuple[str, str], datetime | None]:
        found = {}
        for name in sorted({key.split("__")[0] for _, key in configuration.keys(("sources",))}):
            for account in self.accounts(name):
                with suppress(SettingError):  # a `token` that is the argument of a source and none of ours
                    found[name, account] = end_of(self.read(name, account) or {})
        return found

    def prepare(self) -> None:
        raise SettingError(
            f'[{self._environment.name}] has tokens = "environment", which etl only reads; sign in with an --env that '
            "keeps tokens in files or in the destination, then: etl auth export"
        )

    def write(self, name: str, account: str, content: Content) -> None:
        """Remember a token while this process lives; say so when it was the last that works."""
        before = given(name, account) or {}
        _BECAME[name, account, packed(before)] = content
        if content.get("refresh_token") != before.get("refresh_token"):
            warning = (
                f"{named(name, account)}: the upstream gave a new refresh token, and may refuse the one that is set; "
                f'[{self._environment.name}] cannot keep it: use tokens = "destination" or "file" and sign in again'
            )
            self.warnings += [] if warning in self.warnings else [warning]


def variable_of(name: str, account: str) -> str:
    """The variable that holds a token."""
    return "__".join((*sections_of(name, account), KEYS[0])).upper()


def packed(content: Content) -> str:
    """A token as one word that needs no quotes, in a shell, an `.env` file or a secret of GitHub."""
    return b64encode(json.dumps(content).encode()).decode()


def given(name: str, account: str) -> Content | None:
    """The token of an account as it is set; other stores begin with it where they keep none yet."""
    found = _found(name, account)
    if found is None:
        return None
    key, value = found
    return _unpacked(value, ".".join((*sections_of(name, account), key))) if key == "token" else {key: str(value)}


def _found(name: str, account: str) -> tuple[str, object] | None:
    """The key that holds an account's token, and what it holds."""
    sections = sections_of(name, account)
    told = ((key, configuration.setting(key, sections, secret=True, fewest=len(sections))) for key in KEYS)
    return next(((key, value[0]) for key, value in told if value is not None), None)


def _unpacked(value: object, where: str) -> Content:
    try:
        text = json.dumps(value, default=str) if isinstance(value, dict) else str(value).strip()  # TOML has moments
        content = json.loads(text if text.startswith("{") else b64decode(text))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise SettingError(f"{where}: not a token; set it to what etl auth export prints")
    return content


def sections_of(name: str, account: str) -> tuple[str, ...]:
    """Where an account's settings stand; no two share a place, in a variable's capitals neither: `a_2eb` is `a.b`."""
    section = re.sub(r"[^a-z0-9]", lambda other: f"_{ord(other[0]):02x}", account)
    return ("sources", name, *([section] if section else []))


def _account(section: str) -> str | None:
    """The account whose settings stand there; None for a section that is no account's."""
    account = re.sub("_([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), section)
    return account if sections_of("", account)[2:] == (section,) else None
