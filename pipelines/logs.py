"""Logs go to stderr, as text or as one JSON object per line; nothing a console cannot show may crash it."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from typing import Any, TextIO

from pipelines.errors import without_secrets

LEVELS = ("debug", "info", "warning", "error")
QUIET = logging.NullHandler()
LOGGER = logging.getLogger("etl")


class Lines(logging.Formatter):
    """`WARNING: …`, without a secret."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


class JsonLines(logging.Formatter):
    """`{"ts", "level", "event", …}`, with what a call put into `extra={"fields": …}`."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        content: dict[str, Any] = {
            "ts": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": without_secrets(record.getMessage()),
            **getattr(record, "fields", {}),
        }
        return json.dumps(content, ensure_ascii=not is_utf_8(sys.stderr), default=str)


def configure(form: str, level: str) -> None:
    """Send the program's log to stderr; what libraries warn of is shown at level debug only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else Lines("%(levelname)s: %(message)s"))
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(level.upper())
    LOGGER.propagate = False
    logging.lastResort = handler if level == "debug" else QUIET
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").handlers[:] = [logging.lastResort]


def complain(message: str) -> None:
    """Tell an error that ended a command: as it is, or as JSON lines where the log has that form."""
    if any(isinstance(handler.formatter, JsonLines) for handler in LOGGER.handlers):
        for line in message.splitlines():
            LOGGER.error(line)
    else:
        sys.stderr.write(f"{message}\n")


def trace(error: BaseException) -> None:
    """The stack trace of an error, for --debug."""
    sys.stderr.write(without_secrets("".join(traceback.format_exception(error))))


def is_utf_8(stream: TextIO) -> bool:
    """Whether a stream takes every character; the substitutes of `tolerate` are no JSON."""
    return (stream.encoding or "").lower().replace("-", "") == "utf8"


def tolerate(stream: TextIO) -> None:
    """Let a console that is not UTF-8 show a substitute instead of failing."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
