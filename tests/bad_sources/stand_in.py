"""A stand-in of depots: on each day some parcels, and some more of the day before."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from sandbox.exchange import FIRST_NOON, Reply, Request, World, noon

DEPOTS = ["north", "south"]
DAYS_BEFORE = 2
PAGE = 3


def settings(base_url: str, folder: Path, world: World) -> dict[str, Any]:
    return {
        "sources.parcels.base_url": base_url,
        "sources.parcels.depots": DEPOTS,
        "sources.parcels.token": "secret-of-the-depot",
    }


def answer(request: Request, world: World) -> Reply:
    if request.path.startswith("/photos/"):
        return Reply(200, request.path.encode() * 10, {"Content-Type": "image/jpeg"})
    _, depot, *day = request.path.split("/")
    days = [f"{noon(number):%Y-%m-%d}" for number in range(1 - DAYS_BEFORE, world.day + 1)]
    if depot not in DEPOTS or (day and day[0] not in days):
        return Reply(404, {"message": "not found"})
    if not day:
        return Reply(200, {"depot": depot, "days": days})
    rows = _parcels(depot, days.index(day[0]) + 1 - DAYS_BEFORE, world)
    page = int(request.query.get("page", ["1"])[0])
    return Reply(
        200, {"parcels": rows[(page - 1) * PAGE : page * PAGE], "next": page + 1 if rows[page * PAGE :] else 0}
    )


def _parcels(depot: str, day: int, world: World) -> list[dict[str, Any]]:
    """Four in the morning, two in the afternoon, which the stand-in's clock has not reached on the last day."""
    count = 4 if day == world.day else 6
    return [
        {
            "id": 1000 * DEPOTS.index(depot) + 10 * (day + DAYS_BEFORE) + number,
            "depot": depot,
            "arrived_at": (FIRST_NOON + timedelta(days=day - 1, hours=number - 4)).isoformat().replace("+00:00", "Z"),
            "grams": 100 + number,
        }
        for number in range(count)
    ]
