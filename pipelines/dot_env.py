"""A workspace's `.env`: variables in a file, for whoever has none in the process environment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pipelines.errors import SettingError

FILE = ".env"
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_QUOTED = re.compile(r"""(?:"((?:[^"\\]|\\.)*)"|'([^']*)')\s*(?:#.*)?""")
_COMMENT = re.compile(r"(?:^|\s)#.*")


def variables(root: Path) -> dict[str, str]:
    """What the file sets, empty when there is none; of a name that stands there twice, the last value counts."""
    try:
        lines = (root / FILE).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise SettingError(f"{FILE}: not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise SettingError(f"{FILE}: {error.strerror}; make it a readable file") from error
    return dict(_assignments(lines))


def _assignments(lines: list[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate((line.strip() for line in lines), 1):
        if not line or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if not found:
            raise SettingError(f"{FILE}:{number}: is not NAME=value; mend that line")
        yield found[1], _value(found[2], number)


def _value(text: str, number: int) -> str:
    """What stands between quotes, or all there is before a comment."""
    if not text.startswith(('"', "'")):
        return _COMMENT.sub("", text).strip()
    quoted = _QUOTED.fullmatch(text)
    if not quoted:
        raise SettingError(f"{FILE}:{number}: its quote does not end, or something follows it; mend that line")
    return quoted[2] if quoted[1] is None else re.sub(r"\\([\"\\$`])", r"\1", quoted[1])
