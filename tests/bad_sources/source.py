"""Parcels of depots, one list per depot and day, in pages; the day that runs is never done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import dlt
from dlt.extract import DltResource

from sources.kit.files import FileItem, Files, Row, Stored
from sources.kit.http import open_session

COLUMNS: Any = {
    "id": {"data_type": "bigint", "nullable": False},
    "depot": {"data_type": "text"},
    "arrived_at": {"data_type": "timestamp"},
    "grams": {"data_type": "bigint"},
}


@dlt.source(name="parcels", section="parcels", max_table_nesting=1)
def parcels(
    depots: list[str] = dlt.config.value,
    token: str = dlt.secrets.value,
    base_url: str = "https://api.example.org",
    since: str | None = None,
    until: str | None = None,
) -> Iterator[DltResource]:
    session = open_session("parcels")
    session.headers["Authorization"] = f"Bearer {token}"
    yield places(session, base_url, depots, token)
    yield arrivals(session, base_url, depots, (since or "", until or "9999"))


def photos(token: str = dlt.secrets.value, base_url: str = "https://api.example.org") -> Files:
    headers = {"Authorization": f"Bearer {token}"}

    def items(parcels: Iterable[Row]) -> Iterator[FileItem]:
        for row in parcels:
            yield FileItem(row["id"], f"{base_url}/photos/{row['id']}", f"{row['id']}.jpg", row, headers)

    def receipt(item: FileItem, stored: Stored) -> dict[str, Any]:
        return {"id": item.id, "object_key": stored.key, "bytes": stored.bytes, "sha256": stored.sha256}

    return Files("id", items, receipt, {"id": {"data_type": "bigint", "nullable": False}})


@dlt.resource(primary_key="depot", write_disposition="merge")
def places(session: Any, base_url: str, depots: list[str], token: str) -> Iterator[Any]:
    for depot in depots:
        answer = session.json(f"{base_url}/{depot}")
        yield [{**answer, "days": min(answer["days"])}]


@dlt.resource(primary_key="id", write_disposition="merge", columns=COLUMNS)
def arrivals(session: Any, base_url: str, depots: list[str], window: tuple[str, str]) -> Iterator[Any]:
    memory = dlt.current.resource_state()
    for depot in depots:
        done = memory.setdefault(depot, [])
        days = session.json(f"{base_url}/{depot}")["days"]
        for day in days:
            page = 0 if day in done else 1
            while page:
                answer = session.json(f"{base_url}/{depot}/{day}", params={"page": page})
                rows = [row for row in answer["parcels"] if window[0] <= row["arrived_at"] < window[1]]
                yield rows
                page = answer["next"]
            if day not in (*done, days[-1]):
                done.append(day)
