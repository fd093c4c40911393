"""Halo matches: answers of the API as rows of eight tables, merged by their keys."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import engine, stock
from benchmarks.case import ENGINE, STOCK, TUNED, Case, Contender, Target, Work
from sandbox.exchange import World
from sandbox.halo_matches import Games

FACTS = """
SELECT count(*), count(DISTINCT match_id), CAST(sum(round(duration_seconds * 1000)) AS BIGINT), max(start_time),
    (SELECT count(*) FROM bench.match_teams), (SELECT count(DISTINCT (match_id, player_id)) FROM bench.match_players),
    (SELECT concat(count(*), ' ', sum(kills), ' ', round(sum(kda))) FROM bench.match_stints),
    (SELECT concat(count(*), ' ', sum(count), ' ', max(name_id)) FROM bench.match_medals),
    (SELECT concat(count(*), ' ', sum(total_personal_score_awarded)) FROM bench.match_personal_scores),
    (SELECT concat(count(*), ' ', round(sum(time_hovering_seconds))) FROM bench.match_player_modes),
    (SELECT concat(count(*), ' ', sum(deaths)) FROM bench.match_team_modes)
FROM bench.match_stats
"""


def write(folder: Path, rows: int) -> None:
    """That many answers, each a line."""
    games = Games(World(records=rows * 10))
    with (folder / "matches.jsonl").open("w", encoding="utf-8") as lines:
        for number in range(rows):
            lines.write(json.dumps(games.game(number).stats()) + "\n")


def run_engine(work: Work) -> None:
    """The spec `matches`."""
    engine.run(work, "matches", f"jsonl_path={work.data / 'matches.jsonl'}")


def run_stock(work: Work) -> None:
    """The same source, loaded by dlt alone."""
    from benchmarks.workspace.sources.matches import matches

    stock.run(work, matches(jsonl_path=str(work.data / "matches.jsonl")))


def run_tuned(work: Work) -> None:
    """The same, parquet without gzip."""
    from benchmarks.workspace.sources.matches import matches

    stock.run(work, matches(jsonl_path=str(work.data / "matches.jsonl")), tuned=True)


CASES = (
    Case(
        name="matches",
        about="match answers → eight tables of DuckDB, merge",
        write=write,
        contenders={ENGINE: Contender(run_engine), STOCK: Contender(run_stock), TUNED: Contender(run_tuned)},
        facts=FACTS,
        rows={"small": (1_000,), "full": (10_000,)},
        targets=(Target("wall", 1 / 10, STOCK),),
    ),
)
