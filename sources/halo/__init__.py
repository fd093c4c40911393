"""Halo Infinite: the reference files that give ids and words their meaning, and commendations of Halo 5.

Docs:   https://openspartan.com/docs (the game's own metadata); the other files are made by players
Auth:   none for the files; the game's own host, which has the icons, wants a sign-in (`etl auth login spnkr`), or
        `spartan_token` and `clearance_token`
Limits: none are told.
Cursor: none, each file is read whole; only rows that are new or have changed are loaded.

`json_dir` is a folder, in which files may lie anywhere, or a URL below which they are asked for by name. A row that is
no longer in its file keeps its cells and gets `deleted_at`; a row that is wrong goes to quarantine, alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import dlt
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource
from pydantic import ValidationError

from sources.halo import lists, shapes
from sources.halo.documents import Documents
from sources.halo.icons import API, Images
from sources.halo.icons import medal_icons as medal_icons
from sources.halo.icons import rank_icons as rank_icons
from sources.halo.likeness import candidates
from sources.halo.lists import Listed
from sources.halo.shapes import Reference
from sources.kit import http, notices
from sources.kit.errors import BadSetting, Unreadable
from sources.kit.resources import Resource
from sources.kit.tables import table_itself
from sources.kit.whole import Whole

ReadList = Callable[[], Listed]
TABLES: dict[str, tuple[type[Reference], tuple[str, ...]]] = {
    "playlists": (shapes.Playlist, ("uuid",)),
    "game_modes": (shapes.GameMode, ("id",)),
    "categories": (shapes.Category, ("name_en",)),
    "medal_labels": (shapes.MedalLabel, ("name_id", "locale")),
    "medals": (shapes.Medal, ("name_id",)),
    "medal_texts": (shapes.MedalText, ("name_id", "locale")),
    "medal_sheets": (shapes.Sheet, ("size",)),
    "medal_icons": (shapes.MedalIcon, ("icon",)),
    "commendations": (shapes.Commendation, ("commendation_id",)),
    "commendation_tiers": (shapes.Tier, ("commendation_id", "tier")),
    "commendation_exclusions": (shapes.Exclusion, ("kind", "value")),
    "commendation_candidates": (shapes.Candidate, ("commendation_id", "kind", "target")),
    "career_ranks": (shapes.CareerRank, ("rank",)),
    "career_icons": (shapes.CareerIcon, ("path",)),
}
ICONS = (shapes.CareerIcon, shapes.MedalIcon)
LISTED_IN = {
    "playlist_modes": ("playlists", "game_modes", "categories"),
    "medals_<locale>.json": ("medal_labels",),
    "medal_metadata": ("medals", "medal_texts", "medal_sheets", "medal_icons"),
    "commendations": ("commendations", "commendation_tiers", "commendation_candidates"),
    "commendation_exclusions": ("commendation_exclusions",),
    "career_ranks": ("career_ranks", "career_icons"),
}
RESOURCES = {
    name: Resource(f"{file} in json_dir", "each row as it was", str(TABLES[name][0].__doc__))
    for file, names in LISTED_IN.items()
    for name in names
}


@dataclass(frozen=True)
class Table:
    """A table: what its rows must be, what tells them apart, and the files they are listed in."""

    name: str
    shape: type[Reference]
    key: tuple[str, ...]
    files: dict[str, ReadList]


@dlt.source(name="halo", section="halo", max_table_nesting=0)
def halo(
    json_dir: str = dlt.config.value,
    locales: list[str] | None = None,
    playlist_modes: str = "Playlist_modes_translations.json",
    commendations: str = "halo5_commendations_fr.json",
    commendation_exclusions: str = "halo5_commendations_exclude.json",
    career_ranks: str = "career_ranks_metadata.json",
    medal_metadata: str = "medal_metadata.json",
    sheet: str = "medium",
    base_url: str = API,
    spartan_token: TSecretStrValue | None = None,
    clearance_token: TSecretStrValue | None = None,
) -> Iterable[DltResource]:
    """The tables of `RESOURCES`. A file is a name in `json_dir` or a URL; labels are in `medals_<locale>.json`.

    `sheet` is the size of the sheet of which medals get their icons: small, medium or extra-large. `base_url` is the
    game's own host: what is asked of it, icons or a URL, is asked with the tokens.
    """
    images = Images(base_url, spartan_token, clearance_token)
    documents = Documents(json_dir, http.open_session("halo"), images)
    labels = {f"medals_{locale}.json": locale for locale in _locales(locales)}

    def of(file: str, read: Callable[[Any], Listed]) -> dict[str, ReadList]:
        return {file: lambda: read(documents.get(file))}

    def labels_of(file: str, locale: str) -> Listed:
        return lists.medal_labels(documents.get(file), locale)

    def guesses() -> Listed:
        return candidates(lists.commendations(documents.get(commendations)), _names(labels, labels_of))

    files: dict[str, dict[str, ReadList]] = {
        "playlists": of(playlist_modes, lists.playlists),
        "game_modes": of(playlist_modes, lists.game_modes),
        "categories": of(playlist_modes, lists.categories),
        "medal_labels": {file: partial(labels_of, file, locale) for file, locale in labels.items()},
        "medals": of(medal_metadata, lists.medals),
        "medal_texts": of(medal_metadata, lists.medal_texts),
        "medal_sheets": of(medal_metadata, lists.sheets),
        "medal_icons": of(medal_metadata, partial(lists.medal_icons, size=sheet)),
        "commendations": of(commendations, lists.commendations),
        "commendation_tiers": of(commendations, lists.tiers),
        "commendation_exclusions": of(commendation_exclusions, lists.exclusions),
        "commendation_candidates": {commendations: guesses},
        "career_ranks": of(career_ranks, lists.career_ranks),
        "career_icons": of(career_ranks, lists.career_icons),
    }
    return [_resource(Table(name, *TABLES[name], files[name]), images) for name in TABLES]


def _names(labels: dict[str, str], of: Callable[[str, str], Listed]) -> Iterator[tuple[int, str]]:
    """The labels that medals have, by their numbers."""
    for file, locale in labels.items():
        try:
            rows = [row for _, row in of(file, locale)]
        except Unreadable as problem:
            raise Unreadable(f"wants {file}, which {problem}") from problem
        for row in rows:
            if isinstance(row["name_id"], int) and isinstance(row["label"], str):
                yield row["name_id"], row["label"]


def _resource(table: Table, images: Images) -> DltResource:
    return dlt.resource(
        _rows,
        name=table.name,
        primary_key=table.key,
        columns=shapes.columns(table.shape, table.key),
        write_disposition={"disposition": "merge", "strategy": "upsert"},
    )(table, images)


def _rows(table: Table, images: Images) -> Iterator[Any]:
    """The rows that are new, changed or gone, and a notice for each that is wrong and each file without an answer."""
    yield from table_itself()
    whole = Whole(table.key, dlt.current.resource_state())
    for file, read in table.files.items():
        try:
            yield [notice for place, said in read() if (notice := _taken(table, whole, said, f"{file}:{place}"))]
        except Unreadable as problem:
            whole.complete = False
            yield [notices.failed(file, str(problem))]
    yield list(whole.changes())
    if table.shape in ICONS and not images.answers:
        sign_in = "nobody has signed in; etl auth login spnkr"
        yield [notices.warning(f"halo.{table.name}: no icon is asked for, since {sign_in}")]


def _taken(table: Table, whole: Whole, said: Any, where: str) -> Any:
    """Take a row, or say what is wrong with it."""
    try:
        row = table.shape.model_validate(said).model_dump(mode="json", exclude_none=True)
    except ValidationError as wrong:
        whole.refuse(_key(table, said, {str(one["loc"][0]) for one in wrong.errors() if one["loc"]}))
        return notices.rejected(said, shapes.mistakes(wrong), where)
    if whole.take(row):
        return None
    shown = ", ".join(str(row[column]) for column in table.key)
    return notices.rejected(said, f"{shown} is there before, with other content", where)


def _key(table: Table, said: Any, wrong: set[str]) -> dict[str, Any] | None:
    """The key of a row that is wrong elsewhere; None where nobody can tell it."""
    names = {column: table.shape.model_fields[column].alias or column for column in table.key}
    readable = isinstance(said, dict) and not wrong & set(names.values())
    return {column: said[name] for column, name in names.items()} if readable else None


def _locales(given: list[str] | None) -> list[str]:
    locales = list(dict.fromkeys(("fr", "en") if given is None else given))
    if not locales or not all(locale.strip() for locale in locales):
        raise BadSetting("halo.locales: names no language; use e.g. --with locales=fr,en")
    return locales
