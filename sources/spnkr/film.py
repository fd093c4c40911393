"""What `spnkr` reads out of a film: who did what when."""

from __future__ import annotations

import zlib
from importlib.metadata import version
from typing import Any

from sources.kit.errors import Unreadable

READER = version("spnkr")


def decoded(chunk: bytes, film_version: int) -> list[dict[str, Any]]:
    """The events of a file; Unreadable when `spnkr` knows no such layout, as after an update of the game."""
    from bitstring import Error as NotThatManyBits
    from spnkr.errors import FilmReadError
    from spnkr.film import highlight_events

    try:
        return [event._asdict() for event in highlight_events.read(chunk, film_version)]
    except (FilmReadError, NotThatManyBits, zlib.error, IndexError, UnicodeDecodeError) as why:
        reason = f"film version {film_version} cannot be read ({type(why).__name__})"
        raise Unreadable(f"{reason}; is there a newer spnkr than {READER}?") from None
