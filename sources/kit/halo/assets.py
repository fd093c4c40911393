"""Maps, playlists, pairs of map and mode, and game variants as rows of `assets`."""

from __future__ import annotations

from typing import Any

from sources.kit import notices
from sources.kit.halo.shape import Row, below, flat

LINKS = {"MapLink": "map", "UgcGameVariantLink": "game_variant", "EngineGameVariantLink": "engine_variant"}
FIELDS = (
    "PublicName",
    "Description",
    "AssetHome",
    "InspectionResult",
    "CloneBehavior",
    "VersionNumber",
    "PublishedDate",
    "Tags",
    "Contributors",
)


def asset_row(kind: str, payload: Any, language: str = "en-US") -> Row:
    """One version of an asset; `kind` is map, playlist, map_mode_pair or ugc_game_variant."""
    if not isinstance(payload, dict) or not payload.get("AssetId"):
        return notices.rejected(payload, f"is no {kind} with an AssetId", "assets")
    row: Row = {
        "kind": kind,
        "asset_id": payload.get("AssetId"),
        "version_id": payload.get("VersionId"),
        "language": language,
        **flat({key: payload.get(key) for key in FIELDS}),
        **flat(below(payload, "AssetStats")),
        "files_prefix": below(payload, "Files").get("Prefix"),
        "files": below(payload, "Files").get("FileRelativePaths"),
        "rotation_entries": payload.get("RotationEntries"),
        "custom_data": payload.get("CustomData"),
        "raw": payload,
    }
    for key, name in LINKS.items():
        row[f"linked_{name}_id"] = below(payload, key).get("AssetId")
        row[f"linked_{name}_name"] = below(payload, key).get("PublicName")
    return row
