"""A new token on its way to the destination: encrypted in a file from the answer on, until the destination has it.

A run that is killed between, or finds the destination away, leaves it to the next one on this machine.
"""

from __future__ import annotations

import json

from pipelines.atomic import write_secret
from pipelines.environment import SETTINGS_DIR, Environment

SUFFIX = ".unsaved"


class Unsaved:
    """The file of one account."""

    def __init__(self, environment: Environment, name: str, account: str) -> None:
        folder = environment.root / SETTINGS_DIR / "tokens" / environment.name
        self._file = folder / f"{name}{account and f'.{account}'}{SUFFIX}"

    def note(self, version: int, text: str) -> None:
        """Keep what shall follow a version."""
        for folder in (self._file.parent.parent, self._file.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(self._file, json.dumps({"version": version, "payload": text}))

    def following(self, version: int) -> str | None:
        """What was to follow a version, and has not; of any other version it is out of date."""
        try:
            told = json.loads(self._file.read_text(encoding="utf-8"))
            return str(told["payload"]) if told["version"] == version else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def forget(self) -> None:
        """The destination has it."""
        self._file.unlink(missing_ok=True)
