"""A workspace's `.env` and `.env.local`: variables in a file, for whoever has none in the process environment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pipelines.errors import SettingError

FILE = ".env"
FILES = (FILE, ".env.local")  # what is in the second counts before the first
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_QUOTED = re.compile(r"""(?:"((?:[^"\\]|\\.)*)"|'([^']*)')\s*(?:#.*)?""")
_COMMENT = re.compile(r"(?:^|\s)#.*")


def variables(root: Path) -> dict[str, str]:
    """What the files set, empty when there is none; of a name that stands there twice, the last value counts."""
    return dict(assignment for name in FILES for assignment in _assignments(name, _lines(root, name)))


def _lines(root: Path, name: str) -> list[str]:
    try:
        return (root / name).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise SettingError(f"{name}: not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise SettingError(f"{name}: {error.strerror}; make it a readable file") from error


def _assignments(file: str, lines: list[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate((line.strip() for line in lines), 1):
        if not line or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if not found:
            raise SettingError(f"{file}:{number}: is not NAME=value; mend that line")
        yield found[1], _value(found[2], f"{file}:{number}")


def _value(text: str, where: str) -> str:
    """What stands between quotes, or all there is before a comment."""
    if not text.startswith(('"', "'")):
        return _COMMENT.sub("", text).strip()
    quoted = _QUOTED.fullmatch(text)
    if not quoted:
        raise SettingError(f"{where}: its quote does not end, or something follows it; mend that line")
    return quoted[2] if quoted[1] is None else re.sub(r"\\([\"\\$`])", r"\1", quoted[1])
