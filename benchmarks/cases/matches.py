"""Halo matches: answers of the API as rows of eight tables, merged by their keys."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import engine, floor, stock
from benchmarks.case import ENGINE, FLOOR, STOCK, TUNED, Case, Contender, Target, Work
from sandbox.exchange import World
from sandbox.halo_matches import Games

FACTS = """
SELECT count(*), count(DISTINCT match_id), CAST(sum(round(duration_seconds * 1000)) AS BIGINT), max(start_time),
    (SELECT count(*) FROM bench.match_teams), (SELECT count(DISTINCT (match_id, player_id)) FROM bench.match_players),
    (SELECT concat(count(*), ' ', sum(kills), ' ', round(sum(kda))) FROM bench.match_stints),
    (SELECT concat(count(*), ' ', sum(count), ' ', max(name_id)) FROM bench.match_medals),
    (SELECT concat(count(*), ' ', sum(total_personal_score_awarded)) FROM bench.match_personal_scores),
    (SELECT concat(count(*), ' ', round(sum(time_as_flag_carrier_seconds))) FROM bench.match_player_modes),
    (SELECT concat(count(*), ' ', sum(deaths)) FROM bench.match_team_modes)
FROM bench.match_stats
"""


READ = """
CREATE SCHEMA bench;
CREATE TEMP MACRO seconds(d) AS coalesce(TRY_CAST(regexp_extract(d, '(\\d+)M', 1) AS INT) * 60, 0)
    + TRY_CAST(regexp_extract(d, '([\\d.]+)S', 1) AS DOUBLE);
CREATE TEMP TABLE page AS FROM read_json('{path}', format = 'newline_delimited');
CREATE TABLE bench.match_stats AS SELECT MatchId AS match_id, MatchInfo.StartTime::TIMESTAMPTZ AS start_time,
    seconds(MatchInfo.Duration) AS duration_seconds, unnest(MatchInfo) FROM page;
CREATE TEMP TABLE team AS SELECT MatchId AS match_id, unnest(Teams) AS t FROM page;
CREATE TEMP TABLE player AS SELECT MatchId AS match_id, unnest(Players) AS p FROM page;
CREATE TEMP TABLE stint AS SELECT match_id, p.PlayerId AS player_id, unnest(p.PlayerTeamStats) AS s FROM player;
CREATE TABLE bench.match_teams AS SELECT match_id, t.TeamId AS team_id, unnest(t.Stats.CoreStats) FROM team;
CREATE TABLE bench.match_players AS
    SELECT match_id, p.PlayerId AS player_id, unnest(p.ParticipationInfo) FROM player;
CREATE TABLE bench.match_stints AS SELECT match_id, player_id, unnest(s.Stats.CoreStats) FROM stint;
CREATE TEMP TABLE medal AS SELECT match_id, player_id, unnest(s.Stats.CoreStats.Medals) AS a FROM stint;
CREATE TEMP TABLE award AS SELECT match_id, player_id, unnest(s.Stats.CoreStats.PersonalScores) AS a FROM stint;
CREATE TABLE bench.match_medals AS SELECT match_id, player_id, a.NameId AS name_id, a.Count AS count FROM medal;
CREATE TABLE bench.match_personal_scores AS
    SELECT match_id, player_id, a.TotalPersonalScoreAwarded AS total_personal_score_awarded FROM award;
CREATE TEMP TABLE stinted AS SELECT match_id, player_id, to_json(s.Stats) AS stats FROM stint;
CREATE TEMP TABLE teamed AS SELECT match_id, to_json(t.Stats) AS stats FROM team;
CREATE TABLE bench.match_player_modes AS
    SELECT match_id, player_id, mode, seconds(stats->mode->>'TimeAsFlagCarrier') AS time_as_flag_carrier_seconds
    FROM (SELECT *, unnest(json_keys(stats)) AS mode FROM stinted)
    WHERE mode <> 'CoreStats' AND json_type(stats->mode) = 'OBJECT';
CREATE TABLE bench.match_team_modes AS
    SELECT match_id, mode, (stats->mode->>'Deaths')::BIGINT AS deaths
    FROM (SELECT *, unnest(json_keys(stats)) AS mode FROM teamed)
    WHERE mode <> 'CoreStats' AND json_type(stats->mode) = 'OBJECT'
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


def run_floor(work: Work) -> None:
    """`read_json` and `unnest` into eight tables."""
    floor.duckdb_runs(work, *READ.replace("{path}", str(work.data / "matches.jsonl")).split(";"))


CASES = (
    Case(
        name="matches",
        about="match answers → eight tables of DuckDB, merge",
        write=write,
        contenders={
            ENGINE: Contender(run_engine),
            FLOOR: Contender(run_floor),
            STOCK: Contender(run_stock),
            TUNED: Contender(run_tuned),
        },
        facts=FACTS,
        rows={"small": (1_000,), "full": (10_000,)},
        targets=(Target("wall", 1 / 10, STOCK),),
    ),
)
