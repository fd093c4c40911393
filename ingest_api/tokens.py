"""Tokens as the database has them: keyed hashes, so that nobody who reads it can come in.

The first service kept a plain SHA-256. Such a hash is still good, and is replaced when its token next comes by.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from ingest_api.alone import alone_in
from pipelines.atomic import write_secret
from pipelines.errors import SettingError

SCHEME = "hmac-sha256:"
KEY_FILE = ".token_key"


class Tokens:
    """Hashes with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def hashed(self, token: bytes) -> str:
        """What the database keeps of a token."""
        return SCHEME + hmac.digest(self._key, token, "sha256").hex()

    @property
    def check(self) -> str:
        """What tells this key from others: the hash of a token that nobody can have."""
        return self.hashed(b"")

    def known_as(self, token: bytes) -> tuple[str, str]:
        """What a token may stand as in the database: the new way and the old."""
        return self.hashed(token), hashlib.sha256(token).hexdigest()


def new_token() -> str:
    """A token nobody can guess."""
    return secrets.token_urlsafe(32)


def same(given: bytes, expected: str) -> bool:
    """Compare in a time that tells nothing."""
    return hmac.compare_digest(given, expected.encode())


def key_of(setting: str | None, storage: Path) -> bytes:
    """The key: TOKEN_KEY, or else that of a file beside the audio, which is made where there is none."""
    if setting is not None:
        return setting.encode()
    file = storage / KEY_FILE
    try:
        if not file.exists():
            _make(file)
        return file.read_bytes()
    except OSError as error:
        raise SettingError(
            f"{file}: {error.strerror}; name a folder in AUDIO_STORAGE_DIR that can be written"
        ) from error


def _make(file: Path) -> None:
    """Make a key, unless another process has made one by now."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with alone_in(file.parent):
        if not file.exists():
            write_secret(file, secrets.token_hex(32))
