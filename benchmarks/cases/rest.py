"""200 pages of 100 nested records behind HTTP, with and without latency."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import data, engine, floor, stock
from benchmarks.case import ENGINE, FLOOR, STOCK, TUNED, Case, Contender, Rows, Target, Work
from benchmarks.cases.nested import DUCKDB_FACTS, READ, ROOT
from benchmarks.pages import serve

ROWS: Rows = {"small": (1_000,), "full": (20_000,)}


def run_engine(work: Work) -> None:
    """The spec `paged`."""
    engine.run(work, "paged", f"base_url={work.server}")


def run_stock(work: Work) -> None:
    """`rest_api_source` with a page-number paginator."""
    stock.run(work, _rest_source(work))


def run_tuned(work: Work) -> None:
    """The same, parquet without gzip."""
    stock.run(work, _rest_source(work), tuned=True)


def run_floor(work: Work) -> None:
    """One page after the other with `requests` into a file of lines, then `read_json` and `unnest`."""
    import requests

    path = work.folder / "records.jsonl"
    with requests.Session() as session, path.open("w") as lines:
        for record in _records(session, work.server):
            lines.write(json.dumps(record) + "\n")
    floor.duckdb_runs(work, *READ.format(path=path, root=ROOT).strip().split("\n"))


def _records(session: Any, address: str) -> Iterator[dict[str, Any]]:
    page, pages = 1, 1
    while page <= pages:
        answer = session.get(f"{address}/records", params={"page": page}).json()
        yield from answer["records"]
        page, pages = page + 1, answer["pages"]


def _rest_source(work: Work) -> Any:
    from dlt.sources.rest_api import rest_api_source

    endpoint = {"path": "records", "data_selector": "records"}
    paginator = {"type": "page_number", "base_page": 1, "total_path": "pages"}
    config: Any = {
        "client": {"base_url": work.server, "paginator": paginator},
        "resources": [{"name": "records", "endpoint": endpoint}],
    }
    return rest_api_source(config)


@contextmanager
def _served(data: Path, latency: float) -> Iterator[str]:
    with serve(data / "records.jsonl", latency) as address:
        yield address


def _case(name: str, about: str, latency: float, targets: tuple[Target, ...], **more: Contender) -> Case:
    return Case(
        name=name,
        about=about,
        write=data.nested,
        contenders={ENGINE: Contender(run_engine), FLOOR: Contender(run_floor)} | more,
        facts=DUCKDB_FACTS,
        rows=ROWS,
        targets=(*targets, Target.at_most("peak", 450)),
        serve=partial(_served, latency=latency),
    )


CASES = (
    _case(
        "rest",
        "REST, pages of 100 nested records → DuckDB, no latency",
        0,
        (Target("wall", 2.5, FLOOR),),
        **{STOCK: Contender(run_stock, at_least=20_000), TUNED: Contender(run_tuned, at_least=20_000)},
    ),
    _case(
        "rest_latency",
        "REST, pages of 100 nested records → DuckDB, 20 ms latency",
        0.02,
        (Target("wall", 0.8, FLOOR),),
    ),
)
