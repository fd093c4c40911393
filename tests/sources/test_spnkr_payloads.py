"""Recorded answers of Halo Waypoint through the whole program: the rows, and the values that are known to be right."""

from __future__ import annotations

import csv
import json
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from sources.kit.halo.films import event_rows
from sources.spnkr.film import decoded
from tests.scripted_server import Asked, reply, serving
from tests.workspace import Workspace

XUID = "2535445291321133"
FILMED = "63391382-6b88-43f9-9ff4-6313404c419c"
TODAY = {"Date": format_datetime(datetime(2025, 6, 1, 12, tzinfo=UTC), usegmt=True)}
FILES = {
    r"/profile/users/.*": "get_user",
    r"/halostats/hi/players/[^/]+/matches/count": "get_match_count",
    r"/halostats/hi/players/[^/]+/Matchmade/servicerecord": "get_service_record",
    r"/halostats/hi/players/[^/]+/\w+/servicerecord": "get_service_record_empty",
    r"/skill/hi/playlist/.*": "get_playlist_csr",
    r"/economy/.*careerrank1": "get_player_career_rank",
    r"/economy/.*/rewardtracks/operations": "get_player_reward_track_operations",
    r"/economy/.*/customization": "get_player_customization",
    r"/gamecms-hacs/hi/Waypoint/.*": "get_medal_metadata",
    r"/gamecms-hacs/.*CsrSeasonCalendar\.json": "get_csr_season_calendar",
    r"/gamecms-hacs/.*seasoncalendar\.json": "get_season_calendar",
    r"/discovery-infiniteugc/hi/maps/.*": "get_map",
    r"/discovery-infiniteugc/hi/playlists/.*": "get_playlist",
    r"/discovery-infiniteugc/hi/mapModePairs/.*": "get_map_mode_pair",
    r"/discovery-infiniteugc/hi/ugcGameVariants/.*": "get_ugc_game_variant",
}
ROWS = {
    "aliases": 1,
    "assets": 16,
    "career_progress": 1,
    "customization": 1,
    "highlight_events": 640,
    "match_count": 1,
    "match_history": 6,
    "match_medals": 148,
    "match_parts": 24,
    "match_payloads": 8,
    "match_personal_scores": 104,
    "match_player_modes": 74,
    "match_players": 40,
    "match_privacy": 1,
    "match_skill": 1,
    "match_skill_mmrs": 2,
    "match_skill_tiers": 6,
    "match_stats": 6,
    "match_stints": 41,
    "match_team_modes": 22,
    "match_teams": 12,
    "medal_labels": 2114,
    "medals": 151,
    "operations": 3,
    "playlist_csr": 1,
    "seasons": 46,
    "service_records": 3,
}
GOLDEN = (
    "outcome",
    "last_team_id",
    "rank",
    "team_stints",
    "kills",
    "deaths",
    "assists",
    "shots_fired",
    "shots_hit",
    "damage_dealt",
    "damage_taken",
    "my_team_score",
    "enemy_team_score",
    "medal_rows",
    "medal_count",
    "players_total",
    "players_human",
    "teams",
    "lifecycle_mode",
    "game_variant_category",
    "playlist_id",
    "season_id",
    "joined_in_progress",
    "left_in_progress",
)
SETTINGS = {
    "SOURCES__SPNKR__PLAYERS": json.dumps([XUID]),
    "SOURCES__SPNKR__SPARTAN_TOKEN": "v4=recorded",
    "SOURCES__SPNKR__CLEARANCE_TOKEN": "recorded",
    "SOURCES__SPNKR__HTTP__REQUESTS_PER_SECOND": "10000",
}


class Waypoint:
    """Six recorded matches of one person; one has a recorded film, and one a recorded skill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "halo" / "spnkr"
        files = sorted((self.folder / "responses").glob("get_match_stats*.json"))
        self.matches = {match["MatchId"]: match for match in map(_json, files)}

    def answer(self, asked: Asked):
        path = asked.path.partition("?")[0]
        if path.endswith("/matches"):
            return reply(200, {"Results": [] if "start=0" not in asked.path else self.history()}, TODAY)
        if match := re.fullmatch(r"/halostats/hi/matches/(.+)/stats", path):
            return reply(200, self.matches[match[1]], TODAY)
        if path == f"/skill/hi/matches/{FILMED}/skill":
            return self.recorded("get_match_skill")
        if path == f"/discovery-infiniteugc/hi/films/matches/{FILMED}/spectate":
            return reply(200, manifest(), TODAY)
        if path.startswith("/blobs-infiniteugc/"):
            return reply(200, (self.folder / "film" / f"38_{FILMED}.gzip").read_bytes(), TODAY)
        if path.endswith("/matches-privacy"):
            return reply(
                200, (self.folder.parent / "openspartan" / "grunt_Stats_MatchPrivacy.json").read_bytes(), TODAY
            )
        if path == "/profile/users":
            return self.recorded("get_users")
        name = next((name for pattern, name in FILES.items() if re.fullmatch(pattern, path)), None)
        return (
            self.asset(name, path) if "/versions/" in path else self.recorded(name) if name else reply(404, {}, TODAY)
        )

    def recorded(self, name: str):
        return reply(200, (self.folder / "responses" / f"{name}.json").read_bytes(), TODAY)

    def asset(self, name: str, path: str):
        """A recorded asset, by the id and version that were asked for."""
        asset, _, version = path.split("/")[-3:]
        return reply(
            200, {**_json(self.folder / "responses" / f"{name}.json"), "AssetId": asset, "VersionId": version}, TODAY
        )

    def history(self):
        newest_first = sorted(self.matches.values(), key=lambda match: match["MatchInfo"]["StartTime"], reverse=True)
        return [
            {"MatchId": match["MatchId"], "MatchInfo": match["MatchInfo"], "LastTeamId": 0, "Outcome": 2, "Rank": 1}
            for match in newest_first
        ]


def manifest():
    return {
        "CustomData": {"FilmMajorVersion": 38, "Chunks": [{"FileRelativePath": "/filmChunk9", "ChunkType": 3}]},
        "BlobStoragePathPrefix": "https://blobs-infiniteugc.svc.halowaypoint.com/ugcstorage/film/x",
    }


def _json(file: Path):
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, payloads):
    """A warehouse with the recorded matches, and how its run and one after it ended."""
    made = Workspace(tmp_path_factory.mktemp("recorded") / "a b", ("spnkr",))
    with serving(Waypoint(payloads).answer) as server:
        address = {"SOURCES__SPNKR__BASE_URL": f"{server.url}/{{host}}", **SETTINGS}
        first = made.etl("run", "spnkr", "--env", "test", "--output", "json", **address)
        second = made.etl("run", "spnkr", "--env", "test", "--output", "json", **address)
    return made, first, second


def test_every_recorded_answer_becomes_its_rows_once(loaded):
    _, first, second = loaded
    assert (first.code, first.json[0]["tables"]) == (3, ROWS), first.err
    assert [error["unit"] for error in first.json[0]["errors"]] == [f"match_history:{XUID}: 725 matches are missing"]
    assert (second.code, second.json[0]["tables"], second.json[0]["rejected"]) == (3, {}, {}), second.err


def test_the_recorded_matches_give_the_golden_values(loaded, payloads):
    """Defect 4: accuracy is no null, 0 is a team score, 7820 is none, a stint is not lost, life is not cut."""
    made, _, _ = loaded
    with (payloads / "halo" / "derived" / "golden_player_matches.csv").open() as file:
        golden = {row["match_id"]: row for row in csv.DictReader(file)}
    named = f"match_id, accuracy_pct, time_played_seconds, start_time, {', '.join(GOLDEN)}"
    found = {row[0]: row[1:] for row in made.query(f"SELECT {named} FROM spnkr.player_matches WHERE xuid = '{XUID}'")}
    assert found.keys() == golden.keys()
    for match_id, (accuracy, played, start, *others) in found.items():
        wanted = golden[match_id]
        assert accuracy == pytest.approx(float(wanted["accuracy_pct"]), abs=0.02)
        assert played == pytest.approx(float(wanted["time_played_s"]), abs=0.001)
        assert start == datetime.fromisoformat(wanted["start_time"])
        told = {name: "" if one is None else str(one) for name, one in zip(GOLDEN, others, strict=True)}
        assert told == {name: wanted[name] for name in GOLDEN}, match_id


def test_what_is_told_of_a_person_has_its_columns(loaded):
    made, _, _ = loaded
    assert made.query("SELECT matchmade_games, other_games FROM spnkr.match_privacy") == [(1, 2)]
    operations = made.query("SELECT rank, is_owned, has_reached_max_rank FROM spnkr.operations WHERE is_active")
    assert operations == [(5, True, False)]
    looks = "service_tag, emblem__configuration_id, body_type, last_modified_date_utc, armor_cores IS NOT NULL"
    ((tag, emblem, body, changed, armoured),) = made.query(f"SELECT {looks} FROM spnkr.customization")
    assert (tag, emblem, body, changed.isoformat(timespec="seconds"), armoured) == (
        "ANDY", 567098062, "Medium", "2023-07-26T01:44:51+00:00", True,
    )  # fmt: skip


def test_medals_whose_ids_do_not_fit_32_bits_load(loaded):
    """Defect 5: half of the ids do not."""
    made, _, _ = loaded
    assert made.query("SELECT max(name_id) > 2147483647, count(*) FROM spnkr.match_medals") == [(True, 148)]


def test_killers_and_victims_are_found_in_a_recorded_film(loaded):
    """Defect 4: 0 pairs, as the events were looked for by names that they do not have."""
    made, _, _ = loaded
    kills, pairs = made.query(
        "SELECT (SELECT count(*) FROM spnkr.highlight_events WHERE event_type = 'kill'), "
        "(SELECT count(*) FROM spnkr.killer_victim)"
    )[0]
    assert 0.85 * kills < pairs <= kills


@pytest.mark.parametrize(("version", "match_id", "count"), [(36, "d8094e6d-c000-4dc6-9e2e-27ee1cbcc81a", 335)])
def test_events_that_are_alike_are_both_there(payloads, version, match_id, count):
    chunk = (payloads / "halo" / "spnkr" / "film" / f"{version}_{match_id}.gzip").read_bytes()
    rows = event_rows(match_id, decoded(chunk, version))["highlight_events"]
    assert len(rows) == len({row["event_index"] for row in rows}) == count
    alike = {(row["xuid"], row["event_type"], row["time_ms"], row["medal_value"]) for row in rows}
    assert len(alike) == count - 1
