"""The three places for tokens; `tokens` of an environment chooses one (docs/adr/0014-tokens.md).

A token is JSON that `sources.kit.tokens` makes; the engine looks at nothing in it but its two ends and its refusal.
"""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from pipelines.environment import Environment

Content = dict[str, Any]
NEAR = timedelta(days=7)
SET = "settings, as nothing is kept yet"


class Slot(Protocol):
    """The place of one account's token, while nobody else can change it."""

    def read(self) -> Content | None:
        """What is kept now."""

    def write(self, content: Content) -> None:
        """Keep this instead, all of it or nothing."""


class Writable(Protocol):
    """A store that needs nothing but a lock around its changes."""

    def read(self, name: str, account: str) -> Content | None: ...

    def write(self, name: str, account: str, content: Content) -> None: ...


@dataclass(frozen=True)
class Place:
    """The slot of such a store."""

    store: Writable
    name: str
    account: str

    def read(self) -> Content | None:
        return self.store.read(self.name, self.account)

    def write(self, content: Content) -> None:
        self.store.write(self.name, self.account, content)


class Store(Protocol):
    """A place for tokens; `label` says where it is, `warnings` what could not be kept."""

    label: str
    read_only: bool
    warnings: list[str]

    def read(self, name: str, account: str) -> Content | None:
        """What is kept of an account, `""` for the only one."""

    def exclusively(self, name: str, account: str) -> AbstractContextManager[Slot]:
        """Hold an account's place against every other thread and process."""

    def way_in(self, name: str, account: str) -> str:
        """What a person must do to sign in."""

    def accounts(self, name: str) -> list[str]:
        """The accounts of a system of which something is kept."""

    def ends(self) -> dict[tuple[str, str], datetime | None]:
        """When each sign-in that is kept ends, by name and account, as far as anyone knows."""

    def prepare(self) -> None:
        """Stop here rather than after somebody has signed in, if nothing could be kept."""


@dataclass(frozen=True)
class Standing:
    """How one account stands; a token is renewed when it ends, a sign-in only by a person."""

    name: str
    account: str
    kept_in: str
    signed_in: bool
    token_ends: datetime | None
    sign_in_ends: datetime | None
    refused_at: datetime | None

    @property
    def is_of_nobody(self) -> bool:
        """Whether there is no token at all."""
        return not (self.signed_in or self.sign_in_ends or self.refused_at)

    def __str__(self) -> str:
        if self.refused_at:
            return f"refused by the upstream on {self.refused_at:%Y-%m-%d %H:%M}"
        if self.sign_in_ends is None:
            return "signed in" if self.signed_in else "nobody has signed in"
        return f"the sign-in {remaining(self.sign_in_ends)}"


def standing(store: Store, name: str, account: str) -> Standing:
    """How an account stands as far as its token tells; that it was withdrawn is known once the upstream has said so."""
    token = importlib.import_module("sources.kit.tokens").read(name, account)  # or what is wrong with it
    content = token and token.content()
    ends = end_of(content) if content else None
    good = content is not None and (ends is None or ends > datetime.now(UTC))
    token_ends, refused_at = (_moment(content or {}, key) for key in ("expires_at", "refused_at"))
    begins = content is not None and account not in store.accounts(name)
    return Standing(name, account, SET if begins else store.label, good, token_ends, ends, refused_at)


def end_of(content: Content) -> datetime | None:
    """The moment from which on a token is of no use without a person."""
    end = "refresh_expires_at" if content.get("refresh_token") else "expires_at"
    return _moment(content, "refused_at") or _moment(content, end)


def remaining(end: datetime) -> str:
    """`ends in 9 days`."""
    left = end - datetime.now(UTC)
    if left <= timedelta():
        return "has ended"
    count, unit = (left.days, "day") if left.days else (left.seconds // 3600, "hour")
    return f"ends in {count} {unit}{'' if count == 1 else 's'}"


def is_near(end: datetime | None) -> bool:
    """Whether a person should sign in again soon."""
    return end is not None and end - datetime.now(UTC) <= NEAR


def named(name: str, account: str) -> str:
    """`spotify`, or `spotify (anna)`."""
    return f"{name} ({account})" if account else name


def login_command(environment: Environment, name: str, account: str) -> str:
    """The command with which a person signs in."""
    return f"etl auth login {name} --env {environment.name}" + (f" --account {account}" if account else "")


def put_in_place(environment: Environment) -> Store:
    """Let sources find their tokens where the environment keeps them; asks nothing yet."""
    store = store_of(environment)
    importlib.import_module("sources.kit.tokens").put_in_place(store)
    return store


def store_of(environment: Environment) -> Store:
    """The store an environment has chosen."""
    match environment.tokens:
        case "destination":
            from pipelines.tokens.warehouse import Warehouse

            return Warehouse(environment)
        case "environment":
            from pipelines.tokens.settings import Settings

            return Settings(environment)
        case _:
            from pipelines.tokens.files import Files

            return Files(environment)


def _moment(content: Content, key: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(content[key])
    except (KeyError, TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None
