"""Tokens in files of their own: `.dlt/tokens/<environment>/<name>[.<account>].json`, for their owner's eyes only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from stat import S_IMODE

from filelock import FileLock, Timeout

from pipelines.atomic import write_secret
from pipelines.environment import SETTINGS_DIR, Environment
from pipelines.errors import SettingError, TryLater
from pipelines.tokens.stores import Content, Place, Slot, end_of, login_command, named
from pipelines.tokens.tokenstore import begun
from pipelines.tokens.unsaved import SUFFIX

PATIENCE_SECONDS = 180.0  # a token endpoint may take its whole deadline
OTHERS = 0o077
TRIAL = ".trial"
ROOM_BYTES = 64 * 1024  # more than a token takes


class Files:
    """The store of one machine and user."""

    read_only = False

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._folder = environment.root / SETTINGS_DIR / "tokens" / environment.name
        self.label, self.warnings = f"files in {self._shown(self._folder)}", list[str]()

    def read(self, name: str, account: str) -> Content | None:
        file = self._file(name, account)
        try:
            self._refuse_open(self._folder, "700")
            self._refuse_open(file, "600")
            text = file.read_bytes()
        except FileNotFoundError:
            return begun(self._environment, name, account)
        return self._parsed(text, file)

    @contextmanager
    def exclusively(self, name: str, account: str) -> Iterator[Slot]:
        self.prepare()
        file = self._file(name, account)
        try:
            with FileLock(f"{file}.lock", timeout=PATIENCE_SECONDS):
                self._make_sure_of_room(file)
                yield Place(self, name, account)
        except Timeout:
            message = f"{named(name, account)}: another process holds {self._shown(file)}.lock; run again later"
            raise TryLater(message) from None

    def way_in(self, name: str, account: str) -> str:
        return f"run: {login_command(self._environment, name, account)}"

    def accounts(self, name: str) -> list[str]:
        return [account for kept, account in self._kept() if kept == name]

    def ends(self) -> dict[tuple[str, str], datetime | None]:
        contents = {(name, account): self.read(name, account) for name, account in self._kept()}
        return {who: end_of(content) for who, content in contents.items() if content is not None}

    def prepare(self) -> None:
        for folder in (self._folder.parent, self._folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._refuse_open(self._folder, "700")

    def write(self, name: str, account: str, content: Content) -> None:
        """Replace an account's file; for who holds its lock."""
        write_secret(self._file(name, account), json.dumps(content, indent=2) + "\n")

    def texts(self, name: str) -> Iterator[tuple[str, str]]:
        """Each account of a system with what a file of it holds, for who looks for something in it."""
        for file in sorted(self._folder.glob(f"{name}.*")):
            if file.suffix in (".json", SUFFIX):
                account = file.stem.removeprefix(name).removeprefix(".")
                yield account, file.read_text(encoding="utf-8", errors="replace")

    def forget(self, name: str, account: str) -> None:
        """Delete an account's file, last, and what is beside it and named after it, too."""
        file = self._file(name, account)
        with FileLock(f"{file}.lock", timeout=PATIENCE_SECONDS):
            for each in (Path(f"{file}.lock"), file.with_suffix(TRIAL), file.with_suffix(SUFFIX), file):
                each.unlink(missing_ok=True)

    def _kept(self) -> list[tuple[str, str]]:
        """The name and the account of each file."""
        parted = [file.stem.partition(".") for file in sorted(self._folder.glob("*.json"))]
        return [(name, account) for name, _, account in parted]

    def _make_sure_of_room(self, file: Path) -> None:
        """Fail on a full disk or a folder that cannot be written before a token is spent, not after."""
        trial = file.with_suffix(TRIAL)
        write_secret(trial, " " * ROOM_BYTES)
        trial.unlink()

    def _file(self, name: str, account: str) -> Path:
        return self._folder / (f"{name}.{account}.json" if account else f"{name}.json")

    def _refuse_open(self, path: Path, mode: str) -> None:
        if S_IMODE(path.stat().st_mode) & OTHERS:
            shown = self._shown(path)
            raise SettingError(f"{shown}: others can read it, and what they saw is theirs too; chmod {mode} {shown}")

    def _parsed(self, text: bytes, file: Path) -> Content:
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise SettingError(f"{self._shown(file)}: not a token; delete it and sign in again: etl auth login")
        return content

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self._environment.root))
