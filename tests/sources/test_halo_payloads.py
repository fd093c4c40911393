"""Recorded reference files and a recorded legacy database through the whole program."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import duckdb
import pytest

from tests.warehouse import Ask

NAMED = {"get_career_reward_track.json": "career_ranks_metadata.json", "get_medal_metadata.json": "medal_metadata.json"}
ROWS = {
    "playlists": 14, "game_modes": 313, "categories": 16, "medal_labels": 332, "medals": 151, "medal_texts": 2114,
    "medal_sheets": 3, "medal_icons": 151, "commendations": 159, "commendation_tiers": 795,
    "commendation_exclusions": 112, "commendation_candidates": 126, "career_ranks": 272, "career_icons": 271,
}  # fmt: skip
GOLDEN = {
    "outcome": "outcome", "last_team_id": "last_team_id", "rank": "rank", "team_stints": "team_stints",
    "kills": "kills", "deaths": "deaths", "assists": "assists", "shots_fired": "shots_fired", "shots_hit": "shots_hit",
    "my_team_score": "my_team_score", "enemy_team_score": "enemy_team_score", "time_played_s": "time_played_seconds",
    "medal_rows": "medal_rows", "medal_count": "medal_count", "players_total": "players_total",
    "players_human": "players_human", "teams": "teams", "accuracy_pct": "accuracy_pct",
}  # fmt: skip
LIKE_WINS = {"GOAL!!!!", "Is that my ball?", "Striker"}


@pytest.fixture
def references(payloads: Path, tmp_path: Path) -> Path:
    """The recorded files in one folder, under the names by which they are asked for."""
    home, found = tmp_path / "references", payloads / "halo"
    shutil.copytree(found / "levelup", home)
    shutil.rmtree(home / "2026-01-31")
    for recorded, name in NAMED.items():
        shutil.copy(found / "spnkr" / "responses" / recorded, home / name)
    return home


@pytest.mark.parametrize("env", ["test", "pg"])
def test_references(workspace, payloads, references, postgres_url, env):
    made = workspace("halo")
    made.postgres(postgres_url)
    ask = Ask(made, postgres_url if env == "pg" else None)

    def run(**settings: str):
        options = (f"--with={name}={value}" for name, value in {"json_dir": references, **settings}.items())
        return made.etl("run", "halo", "--env", env, "--output", "json", *options)

    first = run(medal_metadata="medal_metadata.json")
    assert (first.code, first.json[0]["tables"]) == (0, ROWS), first
    assert ask("SELECT sum(xp_required), max(xp_below) FROM halo.career_ladder") == [(9319351, 9319350)]
    assert ask("SELECT count(*), count(name_en), count(name_fr) FROM halo.medal_definitions") == [(166, 166, 166)]
    _check_mapping(ask, payloads)
    older = payloads / "halo/levelup/2026-01-31"
    shutil.copy(older / "medals_fr.json", references / "medals_fr.json")
    shutil.copy(older / "medals_en.json", references / "medals_en.json")
    assert run().code == 0
    gone = ask("SELECT count(*) FROM halo.medal_labels WHERE deleted_at IS NOT NULL AND locale = 'fr'")
    assert gone == [(13,)], "166 labels became 153"


def _check_mapping(ask: Ask, payloads: Path) -> None:
    """32 of 159 as the original has them, save three that it took for wins, and one that has an English name."""
    recorded = json.loads((payloads / "halo/derived/commendations_mapping_assumed.json").read_text("utf-8"))
    theirs = {
        (item["name"], item["description"], item["master_count"]): str(
            item["chosen"].get("name_id") or item["chosen"]["stat"]
        )
        for item in recorded["items"]
    }
    columns = "name, description, master_count, name_id, statistic"
    found = ask(f"SELECT {columns} FROM halo.commendation_mapping WHERE kind IS NOT NULL")
    ours = {(name, about, count): str(medal or stat) for name, about, count, medal, stat in found}
    assert {key[0] for key in theirs.keys() - ours.keys()} == LIKE_WINS
    assert {key[0] for key in ours.keys() - theirs.keys()} == {"Lawnmower"}
    assert {key: ours[key] for key in ours.keys() & theirs.keys()}.items() <= theirs.items()


def test_a_legacy_database(workspace, payloads):
    """The golden values, out of an import alone, and the original's Parquet layout out of an export."""
    made = workspace("halo_legacy")
    source = payloads / "halo/derived/legacy_spnkr_gt_second.db"
    medals = payloads / "halo/spnkr/responses/get_medal_metadata.json"
    files = f"files={source},{shutil.copy(source, made.root / 'copy.db')},{medals}"
    first = made.etl("run", "halo_legacy", "--env", "test", "--output", "json", "--with", files)
    tables = first.json[0]["tables"]
    assert (first.code, tables["match_stats"], tables["match_players"], tables["assets"]) == (0, 4, 23, 4), first
    again = made.etl("run", "halo_legacy", "--env", "test", "--output", "json", "--with", files)
    assert (again.code, again.json[0]["tables"]) == (0, {})
    with (payloads / "halo/derived/golden_player_matches.csv").open(encoding="utf-8", newline="") as golden:
        wanted = {row["match_id"]: [float(row[name]) for name in GOLDEN] for row in csv.DictReader(golden)}
    for match_id, *values in made.query(f"SELECT match_id, {', '.join(GOLDEN.values())} FROM spnkr.player_matches"):
        assert [float(value) for value in values] == pytest.approx(wanted[match_id], abs=0.02)
    assert made.query("SELECT count(*), count(name) FROM spnkr.medals_earned") == [(86, 86)]
    parts = ("--partition-by", "player,year,month", "--to", "out")
    assert made.etl("export", "halo_legacy", "match_facts", *parts, "--env", "test").code == 0
    files = sorted(
        path.parent.relative_to(made.root / "out").as_posix() for path in (made.root / "out").rglob("*.parquet")
    )
    player = "match_facts/player=2535445291321133"
    assert files == [f"{player}/year=2024/month=09", f"{player}/year=2025/month=01"]
    sql = f"SELECT count(*), count(DISTINCT match_id) FROM '{made.root}/out/match_facts/**/*.parquet'"
    assert duckdb.sql(sql).fetchall() == [(4, 4)]
