"""Errors a source may raise, named by what to do about them; the engine turns `kind` into an exit code."""

from __future__ import annotations

from sources.kit.secrets import without_secrets


class SourceError(Exception):
    """The source cannot go on; the message is *where: what; what to do*."""

    kind = "failed"

    def __init__(self, message: str) -> None:
        super().__init__(without_secrets(message))


class Unreadable(SourceError):
    """One file cannot be read; the message is *what; what to do*, without the name of the file."""


class BadSetting(SourceError):
    """A setting of the source is missing or wrong."""

    kind = "usage"


class TryLater(SourceError):
    """The upstream asks for more time than a run may wait."""

    kind = "temporary"


class SignInNeeded(SourceError):
    """The upstream refuses the credentials; a person must sign in."""

    kind = "sign_in"
