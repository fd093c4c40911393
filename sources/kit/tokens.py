"""Tokens of systems that people sign in to: what one is, and the store that the engine has put in place.

A source names a system and an account; where the engine keeps their token, it does not know. A module of `sources/`
whose system people sign in to says how in its `SIGN_IN`, by which `etl auth login` finds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from sources.kit.errors import BadSetting, SignInNeeded
from sources.kit.secrets import keep_out

RENEWAL_SECONDS = 60.0  # within which a renewal must have its answer: stores keep others out for twice as long
SOON = timedelta(seconds=60)  # before its end a token counts as ended: what is asked with it takes its time
ACCOUNT = re.compile(r"[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]{0,63}|")
HIDDEN_LENGTH = 16  # texts of `extra` from this length on may be keys, and are kept out of messages
Content = dict[str, Any]


@dataclass(frozen=True, repr=False)
class Token:
    """What an upstream gave one account; `extra` is what else it told, and what a source wants to keep.

    `expires_at` is the end of the access token, `refresh_expires_at` the moment from which on a person must sign in
    again; None where nobody told. `refused_at` is when the upstream said that it must be now.
    """

    access_token: str = ""
    refresh_token: str | None = None
    expires_at: datetime | None = None
    refresh_expires_at: datetime | None = None
    refused_at: datetime | None = None
    scope: str | None = None
    obtained_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    extra: Content = field(default_factory=dict)

    def __post_init__(self) -> None:
        keep_out(self.access_token, self.refresh_token, *_long_texts(self.extra))

    def __repr__(self) -> str:
        return "Token(…)"

    @property
    def has_ended(self) -> bool:
        """Whether the access token is of no use any more, or will soon be."""
        return not self.access_token or bool(self.expires_at and self.expires_at <= datetime.now(UTC) + SOON)

    def content(self) -> Content:
        """The token as JSON."""
        told = {one.name: getattr(self, one.name) for one in fields(self)}
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in told.items() if v not in (None, {})}

    @classmethod
    def of(cls, content: Content) -> Token:
        """The token that `content` made; TypeError or ValueError when it made none."""
        moments = ("expires_at", "refresh_expires_at", "refused_at", "obtained_at")
        told: Content = {k: _moment(v) if k in moments else v for k, v in content.items()}
        return cls(**told)


class Slot(Protocol):
    """Where one account's token is kept, while nobody else can change it."""

    def read(self) -> Content | None:
        """What is kept now."""

    def write(self, content: Content) -> None:
        """Keep this instead, all of it or nothing."""


class TokenStore(Protocol):
    """Where tokens are kept."""

    def read(self, name: str, account: str) -> Content | None:
        """What is kept of an account, `""` for the only one; None when nobody has signed in."""

    def exclusively(self, name: str, account: str) -> AbstractContextManager[Slot]:
        """Hold an account's place against every other thread and process."""

    def way_in(self, name: str, account: str) -> str:
        """What a person must do to sign in."""


class Person(Protocol):
    """Who signs in; `sections` is where dlt's configuration has what they would be asked for their account."""

    sections: tuple[str, ...]

    def visit(self, address: Callable[[str], str], redirect_uri: str, state: str) -> tuple[str, dict[str, str]]:
        """Let them open the address made for a redirect URI; that URI, and the query with which they came back."""

    def ask(self, question: str, secret: bool = False) -> str:
        """What they answer; a secret is not shown while it is typed."""


class SignIn(Protocol):
    """How people sign in to a system; `needs` are settings of `[sources.<name>]`, each with whether it is secret."""

    @property
    def name(self) -> str:
        """The spec whose section holds the settings, and under which the tokens are kept."""

    @property
    def needs(self) -> dict[str, bool]:
        """The settings without which nobody can sign in."""

    def login(self, person: Person) -> Token:
        """Let a person sign in."""


class Kept:
    """A slot of the store that holds a `Token`."""

    def __init__(self, slot: Slot, name: str) -> None:
        self._slot, self._name = slot, name

    def read(self) -> Token | None:
        """The token as it is now."""
        return _token(self._slot.read(), self._name)

    def write(self, token: Token) -> None:
        """Keep another one."""
        self._slot.write(token.content())


_store: TokenStore | None = None


def put_in_place(store: TokenStore) -> None:
    """Keep tokens there from now on; for the engine."""
    global _store
    _store = store


def read(name: str, account: str = "") -> Token | None:
    """The token of an account; None when nobody has signed in."""
    return _token(_in_place().read(name, checked(account)), name)


@contextmanager
def exclusively(name: str, account: str = "") -> Iterator[Kept]:
    """Read and change an account's token while nobody else can, in this process or another."""
    with _in_place().exclusively(name, checked(account)) as slot:
        yield Kept(slot, name)


def sign_in_needed(name: str, account: str, why: str) -> SignInNeeded:
    """The error that ends a run until a person has signed in."""
    whose = f"{name} ({account})" if account else name
    return SignInNeeded(f"{whose}: {why}; {_in_place().way_in(name, account)}")


def checked(account: str) -> str:
    """An account's name; BadSetting for one that could be no file's name."""
    if not ACCOUNT.fullmatch(account):
        raise BadSetting(f"account {account!r}: use letters, digits and _ . @ + - only, at most 64")
    return account


def _in_place() -> TokenStore:
    if _store is None:
        raise BadSetting("tokens: no store is in place; run the source by etl run")
    return _store


def _token(content: Content | None, name: str) -> Token | None:
    try:
        return None if content is None else Token.of(content)
    except (TypeError, ValueError, AttributeError):
        raise BadSetting(f"{name}: what is kept of it is no token; sign in again: etl auth login {name}") from None


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment without its zone")
    return moment


def _long_texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _long_texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _long_texts(item)
    elif isinstance(value, str) and len(value) >= HIDDEN_LENGTH:
        yield value
