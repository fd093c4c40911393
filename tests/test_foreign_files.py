"""Files that older ingestors have left in a landing: which rows they become, and what of them cannot be read."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sources.chess.files import _player
from sources.kit.foreign import Line
from tests.clouds.gcs import GCS
from tests.warehouse import Ask, contents
from tests.workspace import DESTINATIONS

BATTERY = ("timestamp", "bodyBatteryStatus", "bodyBatteryLevel", "bodyBatteryVersion")
STRESS = {
    "calendarDate": "2024-02-01",
    "maxStressLevel": 97,
    "stressValueDescriptorsDTOList": [{"key": "timestamp", "index": 0}, {"key": "stressLevel", "index": 1}],
    "stressValuesArray": [{"timestamp": 1706770800000, "type": -1}, {"timestamp": 1706770980000, "type": 25}],
    "bodyBatteryValueDescriptorsDTOList": [
        {"bodyBatteryValueDescriptorIndex": place, "bodyBatteryValueDescriptorKey": key}
        for place, key in enumerate(BATTERY)
    ],
    "bodyBatteryValuesArray": [
        {"timestamp": 1706770800000, "score": 2.0},
        {"timestamp": 1706770980000, "type": "MEASURED", "value": 47, "score": 2.0},
    ],
    "date": "2024-02-01",
    "data_type": "stress",
}
SPLITS = {
    "activityId": 7,
    "activityName": "Run",
    "splits": {"activityId": 7, "lapDTOs": [{"lapIndex": 1, "distance": 1000.0}, {"lapIndex": 2, "distance": 900.0}]},
    "typed_splits": {"splits": [{"type": "RWD_RUN", "messageIndex": 0}]},
    "split_summaries": {"splitSummaries": [{"splitType": "RWD_RUN", "noOfSplits": 1}]},
    "data_type": "activity_splits",
}
BOTH = {"includesWellnessData": True, "totalSteps": 9, "calendarDate": "2024-02-01", "from": "x", "weight": 70000.0}
PLAY = {"played_at": "2024-02-01T07:00:00.000Z", "track": {"uri": "spotify:track:a", "name": "A"}, "context": None}
PROFILE = {"player_id": 41, "username": "player_one", "joined": 1, "data_type": "player_profile"}
STATISTICS = {
    "chess_daily": {"last": {"rating": 1157, "date": 1715447742, "rd": 99}},
    "fide": 0,
    "data_type": "player_stats",
    "fetch_timestamp": "2024-02-01T09:00:10.000001",
}
GAME = {"uuid": "g", "end_time": 1706770800, "white": {"username": "Player_One"}, "data_type": "games"}


@pytest.fixture
def site(workspace):
    """Makes workspaces with a spec, and in its landing some files of lines."""

    def make(spec, files):
        made = workspace(spec)
        put(made, spec, files)
        return made

    return make


def put(made, spec, files):
    home = made.root / "landing" / spec / "landing"
    home.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        content = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        (home / f"{name}.jsonl").write_text(content)


def etl(made, *words):
    result = made.etl(*words, "--env", "test", "--output", "json")
    return result.code, result.json[0]


def there(made, spec, folder):
    home = made.root / "landing" / spec / folder
    return sorted(file.relative_to(home).as_posix() for file in home.rglob("*.jsonl"))


def reasons(made, spec):
    home = made.root / "landing" / spec / "rejected"
    return [json.loads(file.read_text())["reason"] for file in sorted(home.glob("*.error.json"))]


def test_answers_of_garmin_fill_all_their_tables_and_are_rebuilt(site):
    made = site(
        "garmin",
        {
            "2024_02_02_11_00_garmin_stress": [STRESS, "{broken"],
            "2024_02_02_11_00_garmin_activity_splits": [SPLITS],
            "2024_02_01_to_2024_02_02_HISTORICAL_garmin_stats_and_body": [BOTH],
            "2024_02_02_11_00_garmin_hrv": [{"hrvSummary": [1]}],
        },
    )
    code, report = etl(made, "ingest", "garmin")
    assert (code, report["tables"], report["rejected"]) == (
        3,
        {
            "stress": 1, "stress_samples": 2, "user_summary": 1,
            "activity_splits": 2, "activity_typed_splits": 1, "activity_split_summaries": 1,
        },
        {"stress": 1, "hrv": 1},
    )  # fmt: skip
    assert made.query(
        "SELECT account, stress_level, body_battery_status, body_battery_level FROM garmin.stress_samples ORDER BY 2"
    ) == [("me", -1.0, None, None), ("me", 25.0, "MEASURED", 47.0)]
    assert made.query("SELECT activity_id, sum(distance_m) FROM garmin.activity_splits GROUP BY 1") == [(7, 1900.0)]
    columns = [name for (name,) in made.query("SELECT column_name FROM (DESCRIBE garmin.user_summary)")]
    assert not {"weight", "from", "data_type", "date"} & set(columns)
    archive = ["activity_splits", "hrv", "stats_and_body", "stress"]
    assert [name.split("/")[0] for name in there(made, "garmin", "archive")] == archive
    before = contents(Ask(made), "garmin")
    assert etl(made, "rebuild", "garmin")[0] == 3
    assert contents(Ask(made), "garmin") == before


LINES = [  # of a type, and how many rows of each table that is; one that is none is in quarantine, or empty
    ("garmin_sleep", STRESS, None),
    ("garmin_hrv", {"foo": 1}, None),
    ("garmin_hrv", {"date": "2024-02-01", "userProfilePk": 1, "data_type": "hrv"}, {}),
    ("garmin_stats_and_body", {"calendarDate": "2024-02-01", "dailyStepGoal": 9, "includesWellnessData": False}, {}),
    ("garmin_stats_and_body", {"calendarDate": "2024-02-01", "totalSteps": 9, "weight": 7.0}, {"user_summary": 1}),
    ("garmin_stats_and_body", {"calendarDate": "2024-02-01", "weight": 70000.0}, None),
    ("garmin_user_summary", {"calendarDate": "2024-02-03", "totalSteps": 9, "removed": True}, {"user_summary": 1}),
    (
        "garmin_activity_exercise_sets",
        {"activityId": 7, "exerciseSets": [{"messageIndex": 0, "setType": "ACTIVE"}]},
        {"activity_exercise_sets": 1},
    ),
    ("garmin_activity_exercise_sets", {"activityId": 7, "exerciseSets": None}, {}),
    ("garmin_activity_splits", {"activityId": 7, "lapDTOs": [{"lapIndex": 1}]}, {"activity_splits": 1}),
    ("garmin_activity_weather", {"activityId": 7, "activityType": {"typeKey": "running"}}, {}),
    ("garmin_activity_weather", {"temp": 50}, None),
    ("garmin_endurance_score", {"calendarDate": "2024-02-01", "overallScore": 5000}, {"endurance_score": 1}),
    ("garmin_hill_score", {"calendarDate": "2024-02-01", "deviceId": 3, "overallScore": 50}, {"hill_score": 1}),
    ("garmin_hill_score", {"startDate": "2024-02-01", "hillScoreDTOList": [], "maxScore": None}, {}),
]


def test_a_line_is_rows_or_known_to_be_empty_or_in_quarantine(site):
    """By file and line, also what is no object at all, and once for all tables of a type."""
    files = {f"2024_02_01_08_00_{name}": ["not json", "null", "[1, 2]"] for name, _, _ in LINES[:1]}
    lost = [f"landing/{name}.jsonl:{number}" for name in files for number in (1, 2, 3)]
    for name, line, rows in LINES:
        lines = files.setdefault(f"2024_02_01_08_00_{name}", [])
        lines.append(line)
        lost += [f"landing/2024_02_01_08_00_{name}.jsonl:{len(lines)}"] if rows is None else []
    made = site("garmin", files)
    code, report = etl(made, "ingest", "garmin")
    expected = sum((Counter(rows) for _, _, rows in LINES if rows), Counter())
    assert (code, report["tables"]) == (3, expected)
    aside = dict(made.query("SELECT place, reason FROM _etl.quarantine"))
    assert sorted(aside) == sorted(lost)
    assert aside[lost[3]] == "is nothing that a file of sleep holds"


def test_clubs_are_loaded_one_a_line_or_as_a_list_after_the_profile(site):
    """Whatever the order of the names; so is a rebuild."""
    some = [{"@id": f"https://api.chess.com/pub/club/{name}", "name": name} for name in ("a", "b")]
    name = "2024_02_02_{}_chess_player_one_{}"
    made = site(
        "chess",
        {
            name.format("08_00", "clubs"): [some[0], {"clubs": some[1:]}, {"clubs": []}, {"foo": 1}],
            name.format("09_00", "player_profile"): [PROFILE],
        },
    )
    code, report = etl(made, "ingest", "chess")
    assert (code, report["tables"], report["rejected"]) == (3, {"player_profile": 1, "clubs": 2}, {"clubs": 1})
    assert etl(made, "rebuild", "chess")[0] == 3
    assert made.query("SELECT player_id, name FROM chess.clubs ORDER BY 2") == [(41, "a"), (41, "b")]


def test_a_file_of_somebody_else_is_rejected_until_it_has_another_name(site):
    """A dry run says so before; the command beside the file puts it back, and the reason goes with it."""
    name, long = "2024_02_02_11_00_garmin_stress", "é" * 125  # and an ending: as long as a name can be
    made = site("garmin", {name: [STRESS], f"{name}_bob": [{**STRESS, "maxStressLevel": 1}]})
    put(made, "garmin", {"notes": ["{}"], "2024_02_02_11_00_garmin_others": ["{}"]})
    home = made.root / "landing" / "garmin"
    (home / "landing/notes.jsonl").rename(home / f"landing/{long}.text")
    (home / "landing/bytes\udcff and \x1b[2J.jsonl").touch()
    listed = made.etl("ingest", "garmin", "--dry-run", "--env", "test", "--output", "json").json
    refused = {each["name"].split(".")[0]: each["rejected"] for each in listed if "rejected" in each}
    assert [each["name"] for each in listed if "rejected" not in each] == [f"{name}.jsonl"]
    unshown = r"bytes\udcff and \x1b[2J"
    assert refused.keys() == {f"{name}_bob", long, "2024_02_02_11_00_garmin_others", unshown}
    said = made.etl("ingest", "garmin", "--dry-run", "--env", "test").out
    assert f"garmin: {name}_bob.jsonl would be rejected: does not say whose it is" in said
    code, _ = etl(made, "ingest", "garmin")
    assert (code, made.query("SELECT account, max_stress_level FROM garmin.stress")) == (3, [("me", 97)])
    assert sorted(reasons(made, "garmin")) == sorted(refused.values())
    assert (home / f"rejected/{unshown}.jsonl").exists()
    why = json.loads((home / "rejected" / f"{name}_bob.jsonl.error.json").read_text())
    move, ingest = why["retry_command"].split(" && ")
    assert ingest == "etl ingest garmin --env test"
    subprocess.run(shlex.split(move), check=True)
    (home / "landing" / f"{name}_bob.jsonl").rename(home / "landing" / f"{name}_me.jsonl")
    assert etl(made, "ingest", "garmin")[0] == 0
    assert made.query("SELECT account, max_stress_level FROM garmin.stress") == [("me", 1)]
    assert len(reasons(made, "garmin")) == 3


def test_a_file_for_two_accounts_has_to_say_whose_it_is(site):
    name = "2024_02_02_08_00_spotify_recently_played"
    made = site("spotify", {name: [PLAY], f"{name}_boris": [PLAY]})
    made.point_at({"sources.spotify.accounts": ["anna", "boris"]})
    code, _ = etl(made, "ingest", "spotify")
    assert (code, made.query("SELECT account, track__name FROM spotify.recently_played")) == (3, [("boris", "A")])
    assert there(made, "spotify", "rejected") == [f"{name}.jsonl"]
    (reason,) = reasons(made, "spotify")
    assert reason.startswith("does not say whose it is; let its name end with _anna or _boris")


def test_statistics_wait_for_a_profile(site):
    """A name with underscores, too; the file itself has no number of the player."""
    name = "2024_02_02_09_00_chess_player_one_{}"
    files = {"player_stats": [STATISTICS], "games": [GAME]}
    made = site("chess", {name.format(kind): lines for kind, lines in files.items()})
    code, report = etl(made, "ingest", "chess")
    assert (code, report["tables"]) == (3, {"games": 1})
    assert "nothing is known of the player 'player_one'" in reasons(made, "chess")[0]
    put(made, "chess", {name.format("player_profile"): [PROFILE], name.format("player_stats"): [STATISTICS]})
    code, report = etl(made, "ingest", "chess")
    assert (code, report["tables"]) == (0, {"player_profile": 1, "player_stats": 2})
    assert made.query(
        "SELECT player_id, username, category, snapshot_date::text, last__rating, rating FROM chess.player_stats "
        "ORDER BY category"
    ) == [
        (41, "player_one", "chess_daily", "2024-02-01", 1157, None),
        (41, "player_one", "fide", "2024-02-01", None, 0),
    ]
    assert etl(made, "rebuild", "chess")[0] == 0
    assert made.query("SELECT count(*) FROM chess.player_stats") == [(2,)]


def test_lines_about_somebody_go_though_they_do_not_say_so(site):
    """The one account a file may be of, or the name of the file."""
    made = site("garmin", {"2024_02_02_11_00_garmin_stress": [STRESS]})
    made.point_at({"sources.garmin.accounts": ["anna"]})
    assert etl(made, "ingest", "garmin")[0] == 0
    erased = made.etl("erase", "--account", "anna", "--env", "test", "--yes")
    assert erased.code == 0, erased
    home = made.root / "landing"
    assert [file.read_text().strip() for file in home.rglob("*stress.jsonl")] == [""]
    put(made, "chess", {"2024_02_02_09_00_chess_player_one_player_stats": [STATISTICS]})
    made.link("chess")
    erased = made.etl("erase", "--player", "player_one", "--env", "test", "--yes")
    assert erased.code == 0, erased
    (left,) = (home / "chess").rglob("*stats.jsonl")
    assert ("player_one" in left.name, left.read_text().strip()) == (False, "")


def test_a_file_of_arrow_rows_that_are_all_about_somebody_is_emptied(site):
    """One without rows is looked into, too, and so are the values of a dictionary."""
    made = site("garmin", {})
    home = made.root / "landing/garmin/landing"
    rows = pa.table({"account": ["anna"], "calendar_date": ["2024-02-01"], "max_stress_level": [1]})
    pq.write_table(rows, home / "2024_02_02_11_00_garmin_stress.parquet")
    pq.write_table(rows.slice(0, 0), home / "2024_02_03_11_00_garmin_stress.parquet")
    encoded = rows.set_column(0, "account", rows["account"].dictionary_encode())
    pq.write_table(encoded, home / "2024_02_04_11_00_garmin_stress.parquet")
    erased = made.etl("erase", "--account", "anna", "--env", "test", "--yes")
    assert (erased.code, erased.err.count("WARNING"), "asked to erase nothing" in erased.err) == (0, 1, True), erased
    assert [pq.read_table(file).num_rows for file in home.iterdir()] == [0, 0, 0]


def test_another_file_of_the_same_name_is_rebuilt_too(site):
    """The archive gives it a number, behind what says whose it is; it stays the newer of the two."""
    name = "2024_02_02_11_00_garmin_stress_me"
    made = site("garmin", {name: [STRESS]})
    made.point_at({"sources.garmin.accounts": ["me", "boris"]})
    assert etl(made, "ingest", "garmin")[0] == 0
    put(made, "garmin", {name: [{**STRESS, "more": {"x": 1}}]})
    assert etl(made, "ingest", "garmin")[0] == 0
    before = contents(Ask(made), "garmin")
    assert f"stress/{name}.2.jsonl" in there(made, "garmin", "archive")
    assert (etl(made, "rebuild", "garmin")[0], contents(Ask(made), "garmin")) == (0, before)


@pytest.mark.parametrize(
    ("file", "player"),
    [
        ("2024_02_02_09_00_chess_chess_king_player_stats", "chess_king"),
        ("2024_02_02_09_00_chess_chess_king_player_stats.2", "chess_king"),
        ("2024_02_02_09_00_chess_Player_One_player_stats", "player_one"),
        ("chess_x_player_stats", "x"),
        ("2024_02_02_09_00_player_stats", ""),
    ],
)
def test_a_name_says_whose_statistics_a_file_has(file, player):
    assert _player(Line(STATISTICS, 1, "player_stats", file, "")) == player


def test_places_in_a_top_list_are_those_of_the_lines(site):
    made = site("spotify", {"2024_02_02_08_00_spotify_top_artists": [{"id": "x", "name": "X"}, {"id": "y"}]})
    assert etl(made, "ingest", "spotify")[0] == 0
    asked = "SELECT snapshot_date::text, time_range, rank, id FROM spotify.top_artists ORDER BY rank"
    assert made.query(asked) == [("2024-02-02", "medium_term", 1, "x"), ("2024-02-02", "medium_term", 2, "y")]


BUCKET = """
[cloud.warehouse]
destination_type = "duckdb"
credentials = "warehouse.duckdb"
[cloud.landing]
destination_type = "filesystem"
bucket_url = "gs://ela-dp-dev"
"""


def test_files_in_the_bucket_of_that_ingestor_stay_in_its_folders(workspace):
    """`gs://ela-dp-dev/garmin/landing/…` and so on, one command for the three services."""
    files = {
        "garmin/landing/2024_02_02_11_00_garmin_stress.jsonl": [STRESS],
        "garmin/landing/2024_02_02_11_00_garmin_stress_bob.jsonl": [STRESS],
        "spotify/landing/2024_02_02_08_00_spotify_recently_played.jsonl": [PLAY],
        "chess/landing/2024_02_02_09_00_chess_player_one_player_profile.jsonl": [PROFILE],
        "chess/landing/2024_02_02_09_00_chess_player_one_player_stats.jsonl": [STATISTICS],
    }
    made = workspace("garmin", "spotify", "chess")
    made.write("destinations.toml", DESTINATIONS + BUCKET)
    words = ("garmin", "spotify", "chess", "--env", "cloud", "--output", "json")
    with GCS("ela-dp-dev") as service:
        made.variables |= service.variables("landing")
        for key, lines in files.items():
            content = "\n".join(map(json.dumps, lines)).encode()
            service.buckets.put("ela-dp-dev", key, content, "application/x-ndjson")
        told = made.etl("ingest", *words)
        assert [(one["service"], one["files_ingested"], one["files_failed"]) for one in told.json] == [
            ("garmin", 1, 1), ("spotify", 1, 0), ("chess", 2, 0),
        ]  # fmt: skip
        kept = [key for key in service.buckets.keys("ela-dp-dev") if not key.endswith(".landing")]
        assert kept == [
            "chess/archive/player_profile/2024_02_02_09_00_chess_player_one_player_profile.jsonl",
            "chess/archive/player_stats/2024_02_02_09_00_chess_player_one_player_stats.jsonl",
            "garmin/archive/stress/2024_02_02_11_00_garmin_stress.jsonl",
            "garmin/rejected/2024_02_02_11_00_garmin_stress_bob.jsonl",
            "garmin/rejected/2024_02_02_11_00_garmin_stress_bob.jsonl.error.json",
            "spotify/archive/recently_played/2024_02_02_08_00_spotify_recently_played.jsonl",
        ]
        why = json.loads(service.buckets.get("ela-dp-dev", kept[4]).content)
        assert why["retry_command"].startswith("gcloud storage mv gs://ela-dp-dev/garmin/rejected/"), why
        before = contents(Ask(made), "garmin")
        assert made.etl("rebuild", "garmin", *words[3:]).code == 0
    assert contents(Ask(made), "garmin") == before
    assert made.query("SELECT count(*) FROM garmin.stress_samples") == [(2,)]


RECORDED = {
    "garmin": {
        "stress": 1, "stress_samples": 60, "hrv": 1, "hrv_samples": 81, "activity_splits": 2,
        "activity_typed_splits": 1, "activity_split_summaries": 1, "activity_weather": 1,
    },
    "spotify": {
        "recently_played": 5, "recently_played__track__artists": 5, "recently_played__track__album__artists": 5,
    },
    "chess": {"player_profile": 1, "player_stats": 7},
}  # fmt: skip


@pytest.mark.parametrize("spec", RECORDED)
def test_recorded_files(site, payloads: Path, spec):
    """A profile stands beside statistics, as that ingestor fetches them."""
    found = {file.stem: [*file.read_text().splitlines()] for file in (payloads / "landing").glob(f"*_{spec}_*")}
    if spec == "chess":
        profile = json.loads((payloads / "chess/player_profile.json").read_text())
        found["2024_01_02_09_00_chess_playerone_player_profile"] = [{**profile, "username": "playerone"}]
    made = site(spec, found)
    code, report = etl(made, "ingest", spec)
    tables = {name: rows for name, rows in report["tables"].items() if name != "games"}
    assert (code, tables, report["rejected"]) == (0, RECORDED[spec], {}), report["errors"]
    if spec == "garmin":
        levels = "SELECT count(stress_level), min(stress_level), max(body_battery_level) FROM garmin.stress_samples"
        assert made.query(levels) == [(60, -1.0, 47.0)]


def test_what_is_rows_already_goes_to_the_table_of_their_type_alone(site):
    rows = [{"account": "me", "calendar_date": "2024-02-01", "max_stress_level": 1}]
    made = site("garmin", {"2024_02_02_11_00_garmin_stress": rows})
    more = pa.table({"account": ["me"], "calendar_date": ["2024-02-02"], "max_stress_level": [2]})
    pq.write_table(more, made.root / "landing/garmin/landing/2024_02_03_11_00_garmin_stress.parquet")
    code, report = etl(made, "ingest", "garmin")
    assert (code, report["tables"], report["rejected"]) == (0, {"stress": 2}, {})
    assert etl(made, "rebuild", "garmin")[0] == 0
    assert made.query("SELECT max_stress_level FROM garmin.stress ORDER BY 1") == [(1,), (2,)]
