"""The medals that the game describes (`medals/metadata.json`) as rows."""

from __future__ import annotations

from typing import Any

from sources.kit.halo.shape import Row, below, flat, objects


def medal_rows(told: Row) -> tuple[list[Row], list[Row]]:
    """Medals, and their names by language; the first language is the one without a translation."""
    medals: list[Row] = []
    labels: list[Row] = []
    difficulties, types = told.get("difficulties"), told.get("types")
    for medal, good in objects(told.get("medals"), "medals"):
        if not good:
            medals.append(medal)
            continue
        name, about = below(medal, "name"), below(medal, "description")
        key = {"name_id": medal.get("nameId")}
        medals.append(
            {
                **flat(medal, without=frozenset({"name", "description"})),
                **key,
                "name": name.get("value"),
                "description": about.get("value"),
                "difficulty": _named(difficulties, medal.get("difficultyIndex")),
                "type": _named(types, medal.get("typeIndex")),
            }
        )
        abouts = {"en-US": about.get("value"), **below(about, "translations")}
        names = {"en-US": name.get("value"), **below(name, "translations")}
        labels += [{**key, "locale": at, "name": names[at], "description": abouts.get(at)} for at in names]
    return medals, labels


def _named(names: Any, index: Any) -> Any:
    known = isinstance(names, list) and type(index) is int and 0 <= index < len(names)
    return names[index] if known else None
