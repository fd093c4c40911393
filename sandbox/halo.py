"""Stands in for reference files of Halo below `/json`, and for the host of the game's images, which wants two tokens.

All of it is made up here, in the shapes of the real files. Each day brings a playlist, a mode, a rank and a medal,
and with the medal its cell on the sheets.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from sandbox import picture
from sandbox.exchange import Reply, Request, World

PREFIXES = {"Parlour": "Salon", "Meadow": "Plein air", "Meadow Heavies": "Plein air", "ado": "Plein air"}
COLUMNS, CELL = 8, 6
TOKENS = {"x-343-authorization-spartan": "v4=sandbox", "343-clearance": "sandbox-clearance"}
IMAGES = "/hi/images/file/"
LARGE = "career_rank/CelebrationMoment/"
SHEET = "medals/images/sheet.png"
TIERS = ("Bronze", "Silver", "Gold", "Onyx")


def settings(base_url: str, folder: Path, world: World) -> dict[str, Any]:
    """The files behind URLs, and the tokens of the images."""
    return {
        "sources.halo.base_url": base_url,
        "sources.halo.json_dir": f"{base_url}/json",
        "sources.halo.spartan_token": TOKENS["x-343-authorization-spartan"],
        "sources.halo.clearance_token": TOKENS["343-clearance"],
    }


def answer(request: Request, world: World) -> Reply:
    """A file, or an image for who has the tokens."""
    if request.path.startswith(IMAGES):
        if any(request.headers.get(name) != token for name, token in TOKENS.items()):
            return Reply(401, {"Message": "Unauthorized"})
        return _image(request.path.removeprefix(IMAGES), world)
    if request.path.removeprefix("/json/") in FILES:
        return Reply(200, FILES[request.path.removeprefix("/json/")](world))
    return Reply(404, {"Message": "Not Found"})


def _image(path: str, world: World) -> Reply:
    ranks = {f"{LARGE}{_icon(rank['Rank'])}": rank["Rank"] for rank in _ranks(world)["Ranks"]}
    if path == SHEET:
        count = len(_medal_metadata(world)["medals"])
        content = picture.sheet([picture.colour(at + 1) for at in range(count)], COLUMNS, CELL)
    elif path in ranks:
        content = picture.plain(picture.colour(ranks[path]), 4)
    else:
        return Reply(404, {"Message": "Not Found"})
    return Reply(200, content, {"Content-Type": "image/png"})


def _playlist_modes(world: World) -> dict[str, Any]:
    rng = world.random("halo", "playlists")
    count = world.records // 20 + world.day
    names = [f"Playlist {at}" for at in range(count)]
    modes = [
        (prefix, f"{prefix}:Hide and Seek on Map {at}")
        for at, prefix in enumerate(list(PREFIXES) * (world.records // 8) + ["ado"] * world.day)
    ]
    return {
        "playlists": [
            {"en": name, "fr": f"Liste {at // 2}", "uuid": str(UUID(int=rng.getrandbits(128)))}
            for at, name in enumerate(names)
        ],
        "modes": [{"en": name, "fr": f"Cache-cache, {PREFIXES[prefix]}", "category": prefix} for prefix, name in modes],
        "categories": PREFIXES,
    }


def _medal_ids(world: World) -> list[int]:
    """Half of them are too large for 31 bits."""
    rng = world.random("halo", "medals")
    return [rng.randrange(2**31) + at % 2 * 2**31 for at in range(world.records // 6 + world.day)]


def _labels(world: World, locale: str) -> dict[str, str]:
    """One label is still to be filled, two medals share one, and one medal is in no metadata."""
    numbers = [*_medal_ids(world), 42]
    texts = {"fr": "Médaille", "en": "Medal"}
    return {str(number): f"{texts[locale]} {max(at, 2)}" if at else "" for at, number in enumerate(numbers)}


def _medal_metadata(world: World) -> dict[str, Any]:
    return {
        "difficulties": ["normal", "heroic", "legendary", "mythic"],
        "types": ["spree", "mode", "multikill"],
        "sprites": {"medium": {"path": SHEET, "columns": COLUMNS, "size": CELL}},
        "medals": [
            {
                "name": {"value": f"Medal {at}", "translations": {"fr-FR": f"Médaille {at}", "de-DE": f"Orden {at}"}},
                "description": {"value": f"Do it {at} times", "translations": {"fr-FR": f"Faites-le {at} fois"}},
                "spriteIndex": at,
                "sortingWeight": 10 * at,
                "difficultyIndex": at % 4,
                "typeIndex": 9 if at == 3 else at % 3,  # no type has the number 9
                "personalScore": 50,
                "nameId": number,
            }
            for at, number in enumerate(_medal_ids(world))
        ],
    }


def _commendations(world: World) -> dict[str, Any]:
    """Two share name, category and image; the second of a tier has no count."""
    told = [
        ("Arme", "Médaille 4", "Gagnez des médailles de ce nom."),
        ("Mode de jeu", "Le compte est bon", "Gagnez des parties."),
        ("Mode de jeu", "Le compte est bon", "Gagnez des parties."),
        ("Multijoueur", "Dans le mille", "Un tir à la tête."),
        ("Ennemi", "Sans suite", "Tuez des oiseaux."),
    ]
    items = [
        {
            "category": category,
            "name": name,
            "description": description,
            "tiers": [
                {"tier": tier, "target_count": None if tier == 2 else 10 * tier + at, "reward": f"{tier}00 EXP"}
                for tier in (1, 2, 3)
            ],
            "master_count": 30 + at,
            "image_path": f"images/{name.replace(' ', '_')}.png",
        }
        for at, (category, name, description) in enumerate(told)
    ]
    return {"generated_at": "2024-03-01T00:00:00Z", "count": len(items), "items": items}


def _exclusions(world: World) -> dict[str, Any]:
    return {"image_basenames": ["Sans_suite.png"], "names": ["Sans suite"]}


def _ranks(world: World) -> dict[str, Any]:
    """The third and the fourth share an icon, that of the fifth is misspelt as in the real file."""
    count = world.records // 10 + world.day
    return {
        "TrackId": "careerRank1",
        "XpPerRank": 1000,
        "Ranks": [
            {
                "Rank": rank,
                "XpRequiredForRank": 100 * rank,
                "RankTitle": {"status": "Test", "value": "Cadet", "translations": {"qps-ploc": "Çąđ"}},
                "RankSubTitle": {"status": "Test", "value": TIERS[rank % 4] if rank > 1 else "", "translations": {}},
                "RankTier": {"status": "Test", "value": str(rank % 3 + 1), "translations": {}},
                "RankIcon": f"career_rank/ProgressWidget/{_icon(rank)}",
                "RankLargeIcon": f"{LARGE}{'2' if rank == 5 else ''}{_icon(rank)}",
                "RankAdornmentIcon": f"career_rank/NameplateAdornment/{_icon(rank)}" if rank > 1 else "",
                "TierType": TIERS[rank % 4],
                "RankGrade": rank % 4,
                "FreeRewards": {"InventoryRewards": [], "CurrencyRewards": []},
                "PaidRewards": {"InventoryRewards": [], "CurrencyRewards": []},
            }
            for rank in range(1, count + 1)
        ],
    }


def _icon(rank: int) -> str:
    return "19_Cadet_Onyx_III.png" if rank == 5 else f"{100 + (3 if rank == 4 else rank)}_Cadet.png"


FILES: dict[str, Callable[[World], dict[str, Any]]] = {
    "Playlist_modes_translations.json": _playlist_modes,
    "medals_fr.json": lambda world: _labels(world, "fr"),
    "medals_en.json": lambda world: _labels(world, "en"),
    "medal_metadata.json": _medal_metadata,
    "halo5_commendations_fr.json": _commendations,
    "halo5_commendations_exclude.json": _exclusions,
    "career_ranks_metadata.json": _ranks,
}
