"""The film of a match: which file holds its events, what they are, and the rows they become.

Nothing in a film names an event, and two may be alike in all (a real film has such a pair), so they are numbered in
an order that depends on nothing but the events. Killer and victim are not linked; see the model `killer_victim`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sources.kit import notices
from sources.kit.errors import Unreadable
from sources.kit.halo.shape import Row, Rows, below, objects, xuid_of

HIGHLIGHTS = 3  # ChunkType
FIELDS = ("gamertag", "event_type", "time_ms", "type_hint", "is_medal", "medal_value", "medal_name")


def highlights_url(manifest: Any) -> str | None:
    """Where the events of a film are (`/hi/films/matches/{id}/spectate` tells), or None for a film without them.

    Unreadable where the kinds of its files are not told as they were.
    """
    chunks = [chunk for chunk, good in objects(below(manifest, "CustomData").get("Chunks"), "Chunks") if good]
    if not all(type(chunk.get("ChunkType")) is int for chunk in chunks):
        raise Unreadable("its manifest tells no kinds of files; the API may have changed")
    prefix = manifest.get("BlobStoragePathPrefix") if isinstance(manifest, dict) else None
    path = next((chunk.get("FileRelativePath") for chunk in chunks if chunk["ChunkType"] == HIGHLIGHTS), None)
    return f"{prefix.rstrip('/')}/{path.lstrip('/')}" if isinstance(prefix, str) and isinstance(path, str) else None


def film_version(manifest: Any) -> int:
    """The version by which the events are laid out; 0 where none is told."""
    version = str(below(manifest, "CustomData").get("FilmMajorVersion"))
    return int(version) if version.isdecimal() else 0


def event_rows(match_id: str, events: Iterable[Any]) -> Rows:
    """The rows of `highlight_events`, and of `aliases` for the names in them (without `seen_at`, which who asks knows).

    `events` are as the decoder gives them, or as a legacy database keeps them, in any order.
    """
    rows: Rows = {"highlight_events": [], "aliases": []}
    good: list[Row] = []
    for event, is_object in objects(list(events), f"events of {match_id}"):
        if not is_object:
            rows["highlight_events"].append(event)
        elif type(event.get("time_ms")) is not int:
            rows["highlight_events"].append(notices.rejected(event, "has no time in ms", f"film of {match_id}"))
        else:
            good.append({"xuid": xuid_of(event.get("xuid")), **{field: event.get(field) for field in FIELDS}})
    good.sort(key=_place)
    rows["highlight_events"] += [{"match_id": match_id, "event_index": place, **row} for place, row in enumerate(good)]
    names = dict.fromkeys((row["xuid"], row["gamertag"]) for row in good if row["xuid"] and row["gamertag"])
    rows["aliases"] += [{"xuid": xuid, "gamertag": gamertag, "source": "film"} for xuid, gamertag in names]
    return rows


def _place(event: Mapping[str, Any]) -> tuple[Any, ...]:
    return (event["time_ms"], *(str(event[name]) for name in ("xuid", "event_type", "medal_value", "type_hint")))
