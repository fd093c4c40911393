"""Secrets this process has met, so that no message repeats one."""

from __future__ import annotations

from urllib.parse import quote

SHORTEST = 8  # characters; what is shorter would be found in words that are no secret
_MET: set[str] = set()


def keep_out(*secrets: str | None) -> None:
    """From now on no message of the program holds these."""
    for secret in secrets:
        if secret and len(secret) >= SHORTEST:
            _MET.update((secret, quote(secret, safe="")))


def without_secrets(text: str) -> str:
    """A text with `…` in the place of every secret."""
    for secret in sorted(_MET, key=len, reverse=True):
        text = text.replace(secret, "…")
    return text
