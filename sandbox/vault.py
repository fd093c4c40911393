"""Stands in for the host of a vendor's recordings: `GET /vr/PR_<uuid>.mp3` of what `sandbox.recordings` lists.

No sign-in, as with the real one. The same address gives the same bytes, and they last as long as the list says.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sandbox import recordings, sound
from sandbox.exchange import Reply, Request, World


def settings(base_url: str, folder: Path, world: World) -> dict[str, Any]:
    """Where this host is; `sandbox.recordings` tells its source."""
    return {"sources.vault.base_url": base_url}


def answer(request: Request, world: World) -> Reply:
    """The recording, or a page that says there is none."""
    seconds = _seconds(world).get(request.path)
    if seconds is None or request.method not in ("GET", "HEAD"):
        return Reply(404, "<html><title>Not found</title></html>", {"Content-Type": "text/html"})
    return Reply(200, sound.mp3(request.path, seconds), {"Content-Type": "audio/mpeg"})


@lru_cache(maxsize=2)
def _seconds(world: World) -> dict[str, float]:
    """How long each recording is, by its path."""
    return {urlsplit(call.url).path: call.seconds for call in recordings.listed(world)}
