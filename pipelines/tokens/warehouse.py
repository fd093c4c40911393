"""Tokens in the destination: `_etl.tokens`, encrypted with `engine.tokens_key`, for runners that share nothing else.

Who renews a token claims its row first, so that no upstream sees one refresh token twice; a claim ends by itself where
its process died. The new token is written on top of the version that was read, and of no other; until it is there it
stands in a file, see `Unsaved`.
"""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

from cryptography.fernet import Fernet, InvalidToken
from dlt.common.destination.exceptions import DestinationException, DestinationUndefinedEntity
from dlt.destinations.exceptions import DatabaseTransientException, DestinationConnectionError

from pipelines.configuration import setting
from pipelines.environment import Environment
from pipelines.errors import SettingError, TryLater
from pipelines.ledger import open_ledger
from pipelines.lock import OUTRUN
from pipelines.tokens.stores import Content, Slot, end_of, login_command, named
from pipelines.tokens.tokenstore import begun
from pipelines.tokens.unsaved import Unsaved

SHORTEST_KEY = 32  # characters
CLAIM = timedelta(minutes=2)  # twice `RENEWAL_SECONDS` of sources.kit.tokens
PATIENCE = CLAIM + timedelta(minutes=1)
POLL_SECONDS = 0.2
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
MINE = "spec = %s AND account = %s"


class Warehouse:
    """The store of every machine that loads into one destination."""

    label = "_etl.tokens of the destination"
    read_only = False

    def __init__(self, environment: Environment) -> None:
        self._environment, self.warnings = environment, list[str]()

    def read(self, name: str, account: str) -> Content | None:
        version, text = self.current(name, account)
        newer = self.unsaved(name, account).following(version)
        return _decrypted(newer or text, named(name, account)) if version else self.first(name, account)

    @contextmanager
    def exclusively(self, name: str, account: str) -> Iterator[Slot]:
        me = uuid4().hex
        self._wait_for(name, account, me)
        try:
            yield _Row(self, name, account)
        finally:
            self._release(name, account, me)

    def way_in(self, name: str, account: str) -> str:
        return f"run: {login_command(self._environment, name, account)}"

    def accounts(self, name: str) -> list[str]:
        rows = self._asked("SELECT DISTINCT account FROM {tokens} WHERE spec = %s ORDER BY account", name)
        return [account for (account,) in rows]

    def ends(self) -> dict[tuple[str, str], datetime | None]:
        rows = self._asked("SELECT spec, account, expires_at FROM {tokens} ORDER BY spec, account")
        return {(spec, account): end for spec, account, end in rows}

    def prepare(self) -> None:
        _cipher()
        with open_ledger(self._environment, "tokens"):
            pass

    def first(self, name: str, account: str) -> Content | None:
        """What an account begins with."""
        return begun(self._environment, name, account)

    def unsaved(self, name: str, account: str) -> Unsaved:
        """What a run of this machine could not write."""
        return Unsaved(self._environment, name, account)

    def current(self, name: str, account: str) -> tuple[int, str]:
        """How often a token has changed, and its ciphertext; 0 when nobody has signed in."""
        newest = f"SELECT version, payload FROM {{tokens}} WHERE {MINE} ORDER BY version DESC, updated_at DESC LIMIT 1"
        return next(((int(version), text) for version, text in self._asked(newest, name, account)), (0, ""))

    def replace(self, name: str, account: str, version: int, text: str) -> None:
        """Put a token on top of that version; what another has put there since is newer, and stays."""
        content = _decrypted(text, named(name, account))
        new = (version + 1, datetime.now(UTC), end_of(content), text, name, account)
        if version:
            changes = "version = %s, updated_at = %s, expires_at = %s, payload = %s"
            self._asked(f"UPDATE {{tokens}} SET {changes} WHERE {MINE} AND version = %s", *new, version)
            return
        with open_ledger(self._environment, "tokens") as ledger:
            columns = "version, updated_at, expires_at, payload, spec, account, claimed_until"
            holes = "%s, %s, %s, %s, %s, %s, %s"
            ledger.execute(f"INSERT INTO {{tokens}} ({columns}) VALUES ({holes})", *new, LONG_AGO)

    def _wait_for(self, name: str, account: str, me: str) -> None:
        deadline = time.monotonic() + PATIENCE.total_seconds()
        while not self._claims(name, account, me):
            if time.monotonic() >= deadline:
                raise TryLater(f"{named(name, account)}: another run renews its token all the time; run again later")
            time.sleep(POLL_SECONDS)

    def _claims(self, name: str, account: str, me: str) -> bool:
        """Claim a row, or see that another has; one that nobody has written yet needs no claim."""
        now = datetime.now(UTC)
        claim = f"UPDATE {{tokens}} SET claimed_by = %s, claimed_until = %s WHERE {MINE} AND claimed_until < %s"
        try:
            self._asked(claim, me, now + CLAIM, name, account, now)
        except DatabaseTransientException as error:
            if not OUTRUN.search(str(error)):
                raise
        holders = self._asked(f"SELECT claimed_by FROM {{tokens}} WHERE {MINE}", name, account)
        return all(holder == me for (holder,) in holders)

    def _release(self, name: str, account: str, me: str) -> None:
        free = f"UPDATE {{tokens}} SET claimed_by = NULL, claimed_until = %s WHERE {MINE} AND claimed_by = %s"
        with suppress(DestinationException):  # else it ends by itself
            self._asked(free, LONG_AGO, name, account, me)

    def _asked(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the table answers, which may not be there yet."""
        file = self._environment.duckdb_file
        if file and not file.exists():
            return []
        with open_ledger(self._environment, create=False) as ledger:
            try:
                return ledger.execute(sql, *values)
            except DestinationUndefinedEntity:
                return []


class _Row:
    """One account's row, claimed."""

    def __init__(self, warehouse: Warehouse, name: str, account: str) -> None:
        self._warehouse, self._name, self._account = warehouse, name, account
        self._version, self._text = warehouse.current(name, account)
        self._unsaved = warehouse.unsaved(name, account)
        if left := self._unsaved.following(self._version):
            self._save(left)
            self._version, self._text = warehouse.current(name, account)

    def read(self) -> Content | None:
        whose = named(self._name, self._account)
        return _decrypted(self._text, whose) if self._version else self._warehouse.first(self._name, self._account)

    def write(self, content: Content) -> None:
        """Keep a token that nobody has a second time: a destination that is away for a moment is waited for."""
        text = _cipher().encrypt(json.dumps(content).encode()).decode()
        if self._version:
            with suppress(OSError):  # of a disk that is full: the destination is not
                self._unsaved.note(self._version, text)
        self._save(text)

    def _save(self, text: str) -> None:
        for pause in PAUSES:
            try:
                self._warehouse.replace(self._name, self._account, self._version, text)
                break
            except (DatabaseTransientException, DestinationConnectionError):
                time.sleep(pause)
        else:
            self._warehouse.replace(self._name, self._account, self._version, text)
        self._unsaved.forget()


def _decrypted(text: str, whose: str) -> Content:
    try:
        content: Content = json.loads(_cipher().decrypt(text))
    except (InvalidToken, TypeError, ValueError):  # the last two for what no cipher wrote
        raise SettingError(
            f"engine.tokens_key: cannot read the token of {whose}; set the key it was written with, or sign in again"
        ) from None
    return content


def _cipher() -> Fernet:
    """The cipher of a key that is any long text."""
    found = setting("tokens_key", ("engine",), secret=True)
    key = str(found[0]) if found else ""
    if len(key) < SHORTEST_KEY:
        what = f"is shorter than {SHORTEST_KEY} characters" if key else "is missing"
        raise SettingError(
            f"engine.tokens_key {what}; set ENGINE__TOKENS_KEY, the same everywhere, e.g. to openssl rand -base64 32"
        )
    return Fernet(urlsafe_b64encode(sha256(key.encode()).digest()))
