"""Maps, playlists, pairs and game variants that matches name: each version is asked for once, as none changes."""

from __future__ import annotations

from collections.abc import Iterable

from sources.kit import notices
from sources.kit.halo.assets import asset_row
from sources.kit.halo.shape import Row
from sources.spnkr.ledger import SHORT, Memory
from sources.spnkr.upstream import ASSETS, Upstream

PATHS = {
    "map": "maps",
    "playlist": "playlists",
    "map_mode_pair": "mapModePairs",
    "ugc_game_variant": "ugcGameVariants",
}
Asset = tuple[str, str, str]  # kind, id, version


def new_assets(upstream: Upstream, memory: Memory, named: Iterable[Asset]) -> list[Row]:
    """The versions that no run has asked for, and those that failed; one that is deleted is not asked for again."""
    known = set(memory.get("known", []))
    missed: list[Asset] = [(kind, asset, version) for kind, asset, version in memory.get("missed", [])]
    new = [asset for asset in dict.fromkeys([*missed, *named]) if asset[2][:SHORT] not in known]
    paths = (f"/hi/{PATHS[kind]}/{asset}/versions/{version}" for kind, asset, version in new)
    page, again = list[Row](), list[Asset]()
    for one, answer in zip(new, upstream.each(ASSETS, paths), strict=True):
        kind, asset, version = one
        if answer.found:
            page.append(asset_row(kind, answer.document, upstream.language))
        elif not (answer.absent or answer.gone):
            page.append(notices.failed(f"{kind} {asset}", answer.why))
            again.append(one)
            continue
        known.add(version[:SHORT])
    memory.update(known=sorted(known), missed=[list(one) for one in again])
    return page
