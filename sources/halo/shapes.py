"""What a row of each reference must be; the same declarations check it, type its columns and say what they mean."""

from __future__ import annotations

import json
from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from dlt.common.schema.typing import TTableSchemaColumns
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

TYPES = {str: "text", int: "bigint", datetime: "timestamp", dict: "json", list: "json"}

Filled = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Guid = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
MedalId = Annotated[int, Field(ge=0, lt=2**32, description="the game's `nameId` of the medal: unsigned, 32 bits")]
Count = Annotated[int, Field(ge=0)]


class Reference(BaseModel):
    """A row; fields that nobody knows yet are kept."""

    model_config = ConfigDict(strict=True, extra="allow", populate_by_name=True)

    deleted_at: datetime | None = Field(
        None, description="when the row was no longer in its file (UTC); null while it is"
    )


class Playlist(Reference):
    """A playlist of matchmaking."""

    uuid: Guid = Field(description="the playlist's asset")
    name_en: Filled = Field(alias="en")
    name_fr: Filled = Field(alias="fr", description="several playlists may share one")


class GameMode(Reference):
    """A mode on a map, as the game calls the pair."""

    id: int = Field(description="made of `name_en`: the same for good")
    name_en: Filled = Field(alias="en", description="`<prefix>:<mode> on <map>`, as the game says it")
    name_fr: Filled = Field(alias="fr")
    category: Filled = Field(description="see categories.name_en")


class Category(Reference):
    """A group of modes."""

    name_en: Filled
    name_fr: Filled = Field(description="several prefixes may share one")


class MedalLabel(Reference):
    """What people call a medal in one language."""

    name_id: MedalId
    locale: str
    label: str | None = Field(description="null where nobody has filled it; several medals may share one")


class Commendation(Reference):
    """A commendation of Halo 5, as a wiki tells it."""

    commendation_id: str = Field(
        description="made of category and name, and of the place among those alike; they have no key of their own"
    )
    category: Filled
    name: Filled
    description: str
    master_count: Count
    image_path: str | None = None


class Tier(Reference):
    """A level of a commendation."""

    commendation_id: str
    tier: Annotated[int, Field(ge=1)]
    target_count: Count | None = Field(description="null where the wiki tells none")
    reward: str


class Exclusion(Reference):
    """A commendation that is to be left out."""

    kind: str = Field(description="name, or image: the name of its file")
    value: Filled


class CareerRank(Reference):
    """A rank of the career."""

    rank: Annotated[int, Field(ge=1)] = Field(alias="Rank")
    title: str = Field(description="e.g. Cadet")
    subtitle: str = Field(description="e.g. Bronze; empty for the first and the last rank")
    tier: str = Field(description="1, 2, 3, or empty")
    tier_type: str = Field(alias="TierType", description="Bronze … Onyx; of the last rank Gold, which says nothing")
    grade: Count = Field(alias="RankGrade")
    xp_required: Count = Field(alias="XpRequiredForRank", description="to leave this rank")
    icon_path: str = Field(alias="RankIcon")
    large_icon_path: str = Field(
        alias="RankLargeIcon", description="not named after the rank; two ranks share one; a misspelt one is mended"
    )
    adornment_icon_path: str | None = Field(alias="RankAdornmentIcon")
    free_rewards: dict[str, Any] | None = Field(None, alias="FreeRewards")
    paid_rewards: dict[str, Any] | None = Field(None, alias="PaidRewards")


class Medal(Reference):
    """A medal, as the game's own metadata have it."""

    name_id: MedalId = Field(alias="nameId")
    name: str = Field(description="in English")
    description: str = Field(description="in English")
    difficulty: str | None = Field(description="normal, heroic, legendary, mythic, or what comes later")
    type: str | None = Field(description="spree, mode, multikill, proficiency, skill, style, or what comes later")
    sorting_weight: int = Field(alias="sortingWeight")
    personal_score: int = Field(alias="personalScore")
    sprite_index: Count = Field(alias="spriteIndex")
    sprite_row: int | None = Field(description="of its cell on every sheet, from 0")
    sprite_column: int | None = Field(description="of its cell on every sheet, from 0")


class MedalText(Reference):
    """A medal's name and description in one language."""

    name_id: MedalId
    locale: str = Field(description="e.g. fr-FR; en is what the metadata have beside the translations")
    name: str | None
    description: str | None


class Sheet(Reference):
    """An image of all medals."""

    size: str = Field(description="small, medium, extra-large")
    path: Filled
    columns: Annotated[int, Field(ge=1)] = Field(description="cells in one row")
    cell_pixels: Annotated[int, Field(ge=1)] = Field(description="a cell is so wide and so high")


class MedalIcon(Reference):
    """A cell of a sheet."""

    icon: str = Field(description="the medal's `name_id` as text")
    name_id: MedalId
    sheet_path: Filled
    sprite_row: int
    sprite_column: int
    cell_pixels: Annotated[int, Field(ge=1)]


class CareerIcon(Reference):
    """An image of a career rank."""

    path: Filled
    rank: int = Field(description="the first rank that has it; see career_ranks.large_icon_path")


class Candidate(Reference):
    """What a commendation of Halo 5 may be in Halo Infinite, and why."""

    commendation_id: str
    kind: str = Field(description="medal or stat")
    matched_by: str = Field(description="exact_norm, token_jaccard or keyword")
    target: str = Field(description="the medal's name_id, or the statistic")
    name_id: MedalId | None = Field(None, description="where it is a medal")
    label: str | None = Field(None, description="by which the medal was found")
    confidence: float


def columns(shape: type[Reference], keys: tuple[str, ...]) -> TTableSchemaColumns:
    """dlt's hints of a shape, so that its columns are there while no row fills them."""
    found: TTableSchemaColumns = {}
    for name in sorted(shape.model_fields, key=lambda name: name == "deleted_at"):
        field = shape.model_fields[name]
        kind, nullable = _type(field.annotation)
        found[name] = {"data_type": kind, "nullable": nullable and name not in keys}  # type: ignore[typeddict-item]
        if field.description:
            found[name]["description"] = field.description
    return found


def mistakes(error: ValidationError) -> str:
    """What is wrong with a row, in one line."""
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {_said(one)}" for one in error.errors(include_url=False))


def _said(error: Any) -> str:
    shown = json.dumps(error["input"], ensure_ascii=False, default=str)
    if error["type"] == "missing":
        return "is missing"
    return f"{shown if len(shown) <= 60 else shown[:60] + '…'}: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _type(annotation: Any) -> tuple[str, bool]:
    """dlt's type, and whether None is one of its values."""
    if get_origin(annotation) is Annotated:
        return _type(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        kinds = [one for one in get_args(annotation) if one is not NoneType]
        return _type(kinds[0])[0], True
    return {**TYPES, float: "double"}[get_origin(annotation) or annotation], False
