"""What the game says of its medals, out of a file that somebody has kept: matches have but their numbers."""

from __future__ import annotations

from collections.abc import Iterable

from sources.halo_legacy.legacy import Found, Keys
from sources.kit.halo.medals import medal_rows
from sources.kit.halo.shape import Row, Rows

JSON = "medals"


def are_in(document: Row) -> bool:
    """Whether a JSON file is `medals/metadata.json`."""
    return isinstance(document.get(JSON), list)


def keys(document: Row) -> Keys:
    """The number of each medal."""
    told = Keys()
    for place, medal in enumerate(document[JSON]):
        told.rows += 1
        number = medal.get("nameId") if isinstance(medal, dict) else None
        if type(number) is int:
            told.found.append(Found((str(number),), 1, place))
        else:
            told.keyless.append(place)
    return told


def rows(document: Row, places: Iterable[int]) -> Rows:
    """The rows of the medals at some places of the list."""
    medals, labels = medal_rows({**document, JSON: [document[JSON][place] for place in places]})
    return {"medals": medals, "medal_labels": labels}
