"""Settings as people write them, read once for all sources: bounds of windows, addresses."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from urllib.parse import urlsplit

from sources.kit.errors import BadSetting


def bound(setting: str, text: str | None, zone: tzinfo = UTC) -> datetime | None:
    """A bound of a window, in `zone` where it names none; BadSetting when it is no ISO 8601 time."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise BadSetting(f"{setting}: {text!r} is no ISO 8601 time; use e.g. 2025-06-03T00:00:00Z") from wrong
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def askable(setting: str, url: str) -> str:
    """A URL without the slash at its end; BadSetting where nothing can be asked there."""
    try:
        parts = urlsplit(url)
        askable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # also of a port that is none
        askable = False
    if not askable:
        raise BadSetting(f"{setting}: no address that can be asked; write e.g. https://api.example.com")
    return url.rstrip("/")
