"""What each reference file lists, by its place; nothing is checked here but the frame around it."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from sources.kit.errors import Unreadable
from sources.kit.repeats import pairs

MISSPELT = {"219_Cadet_Onyx_III.png": "19_Cadet_Onyx_III.png"}  # the metadata's mistake: nothing is stored there
Listed = Iterator[tuple[str, Any]]


def playlists(document: Any) -> Listed:
    """The playlists."""
    return _items(document, "playlists")


def game_modes(document: Any) -> Listed:
    """The modes, each with an id made of its name."""
    for place, said in _items(document, "modes"):
        yield place, _with(said, lambda mode: {"id": number_of(mode.get("en"))})


def categories(document: Any) -> Listed:
    """A row for each prefix."""
    for prefix, group in pairs(_object(document, "categories")):
        yield f"categories.{prefix}", {"name_en": prefix, "name_fr": group}


def medal_labels(document: Any, locale: str) -> Listed:
    """A row for each medal of a file; a label that nobody has filled yet is null."""
    for number, label in pairs(_whole_object(document)):
        name_id = int(number) if re.fullmatch(r"[0-9]{1,10}", number) else number
        yield number, {"name_id": name_id, "locale": locale, "label": None if label == "" else label}


def commendations(document: Any) -> Listed:
    """Each commendation once, without its tiers."""
    for place, said, identity in _commendations(document):
        yield place, _with(said, lambda one, given=identity: {"commendation_id": given}, leave_out="tiers")


def tiers(document: Any) -> Listed:
    """The tiers of all commendations."""
    for place, said, identity in _commendations(document):
        listed = said.get("tiers") if isinstance(said, dict) else None
        for number, tier in enumerate(listed if isinstance(listed, list) else [listed]):
            yield f"{place}.tiers[{number}]", _with(tier, lambda _, given=identity: {"commendation_id": given})


def exclusions(document: Any) -> Listed:
    """Names and images; a bare list is one of names."""
    said = {"names": document} if isinstance(document, list) else document
    for kind, key in (("name", "names"), ("image", "image_basenames")):
        for place, value in _items(said, key) if not isinstance(said, dict) or key in said else ():
            yield place, {"kind": kind, "value": value}


def career_ranks(document: Any) -> Listed:
    """The ranks; titles come in one language, the others are but pseudo-locales."""
    for place, said in _items(document, "Ranks"):
        yield place, _with(said, _rank, leave_out="RankTitle RankSubTitle RankTier RankLargeIcon RankAdornmentIcon")


def medals(document: Any) -> Listed:
    """The medals with their cell of the sheets."""
    sheet = next((one for one in _object(document, "sprites").values() if isinstance(one, dict)), {})
    for place, said in _items(document, "medals"):
        yield place, _with(said, lambda one: _medal(one, document, sheet.get("columns")), leave_out=_MEDAL_TEXTS)


def medal_texts(document: Any) -> Listed:
    """A row for each medal and locale."""
    for place, said in _items(document, "medals"):
        name, description = _part(said, "name"), _part(said, "description")
        names = {"en": name.get("value"), **_part(name, "translations")}
        descriptions = {"en": description.get("value"), **_part(description, "translations")}
        for locale in {**names, **descriptions}:
            row = {"name": names.get(locale), "description": descriptions.get(locale)}
            number = said.get("nameId") if isinstance(said, dict) else None
            yield f"{place}.{locale}", {"name_id": number, "locale": locale, **row}


def sheets(document: Any) -> Listed:
    """The images that hold all medals."""
    for size, said in _object(document, "sprites").items():
        cell = _with(said, lambda one, named=size: {"size": named, "cell_pixels": one.get("size")})
        yield f"sprites.{size}", cell


def medal_icons(document: Any, size: str) -> Listed:
    """The cell of each medal on the sheet of a size."""
    sheet = _part(_object(document, "sprites"), size)
    if not sheet:
        raise Unreadable(f"has no sheet '{size}'; choose another one, e.g. --with sheet=small")
    cell = {"sheet_path": sheet.get("path"), "cell_pixels": sheet.get("size")}
    for place, said in medals(document):
        row = said if isinstance(said, dict) else {}
        known = {name: row.get(name) for name in ("sprite_row", "sprite_column")}
        yield place, {"icon": str(row.get("nameId")), "name_id": row.get("nameId"), **known, **cell}


def career_icons(document: Any) -> Listed:
    """Each image of a rank once, with the first rank that has it."""
    seen = set()
    for place, said in career_ranks(document):
        path = said.get("RankLargeIcon") if isinstance(said, dict) else None
        if path not in seen:
            seen.add(path)
            yield place, {"path": path, "rank": said.get("Rank") if isinstance(said, dict) else None}


def number_of(name: Any) -> int:
    """An id made of a text: 48 bits, which every reader of JSON takes whole."""
    return int.from_bytes(hashlib.sha1(str(name).encode()).digest()[:6])


_MEDAL_TEXTS = "name description difficultyIndex typeIndex"


def _rank(said: dict[str, Any]) -> dict[str, Any]:
    folder, _, file = str(said.get("RankLargeIcon")).rpartition("/")
    return {
        "title": _part(said, "RankTitle").get("value"),
        "subtitle": _part(said, "RankSubTitle").get("value"),
        "tier": _part(said, "RankTier").get("value"),
        "RankLargeIcon": f"{folder}/{MISSPELT[file]}" if file in MISSPELT else said.get("RankLargeIcon"),
        "RankAdornmentIcon": said.get("RankAdornmentIcon") or None,
    }


def _medal(said: dict[str, Any], document: Any, across: Any) -> dict[str, Any]:
    index = said.get("spriteIndex")
    row, column = divmod(index, across) if _is_whole(index) and _is_whole(across) and across else (None, None)
    return {
        "name": _part(said, "name").get("value"),
        "description": _part(said, "description").get("value"),
        "difficulty": _word(document, "difficulties", said.get("difficultyIndex")),
        "type": _word(document, "types", said.get("typeIndex")),
        "sprite_row": row,
        "sprite_column": column,
    }


def _word(document: Any, key: str, index: Any) -> Any:
    """The word that an index stands for, or the index where the list does not reach so far."""
    words = document.get(key)
    known = isinstance(words, list) and _is_whole(index) and 0 <= index < len(words)
    return words[index] if known else str(index)


def _commendations(document: Any) -> Iterator[tuple[str, Any, str]]:
    """Each commendation with its id; the same one listed twice has one id, others of its name have their own."""
    seen: dict[str, str] = {}
    alike: Counter[str] = Counter()
    for place, said in _items(document, "items"):
        if str(said) not in seen:
            name = f"{said.get('category')}/{said.get('name')}" if isinstance(said, dict) else str(said)
            alike[name] += 1
            seen[str(said)] = hashlib.sha1(f"{name}/{alike[name]}".encode()).hexdigest()[:16]
        yield place, said, seen[str(said)]


def _with(said: Any, more: Any, leave_out: str = "") -> Any:
    """A row with more columns, and without some; what is no object stays what it is."""
    if not isinstance(said, dict):
        return said
    return {**{name: value for name, value in said.items() if name not in leave_out.split()}, **more(said)}


def _part(said: Any, key: str) -> dict[str, Any]:
    found = said.get(key) if isinstance(said, dict) else None
    return found if isinstance(found, dict) else {}


def _items(document: Any, key: str) -> Listed:
    listed = document.get(key) if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise Unreadable(f"has no list '{key}'; send it again")
    return ((f"{key}[{place}]", said) for place, said in enumerate(listed))


def _object(document: Any, key: str) -> dict[str, Any]:
    return _whole_object(document.get(key) if isinstance(document, dict) else None, f"has no object '{key}'")


def _whole_object(document: Any, without: str = "is no object") -> dict[str, Any]:
    if not isinstance(document, dict):
        raise Unreadable(f"{without}; send it again")
    return document


def _is_whole(value: Any) -> bool:
    return type(value) is int
