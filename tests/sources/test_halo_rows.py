"""How answers of the Halo API become rows: durations, maps with data as keys, what nobody knows, what is no row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sources.kit.halo.films import event_rows, highlights_url
from sources.kit.halo.matches import match_rows
from sources.kit.halo.shape import flat, seconds, snake, xuid_of
from sources.kit.halo.skill import skill_rows
from sources.kit.halo.tables import TABLES
from sources.spnkr.tables import career_row
from tests.workspace import REPOSITORY


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("PT18M31.2141873S", 1111.2141873),
        ("P17DT10H55M53.7685509S", 1508153.7685509),
        ("PT0S", 0.0),
        ("P1D", 86400.0),
        ("-PT5S", -5.0),
        ("PT1H", 3600.0),
        ("P", None),
        ("PT", None),
        ("Pistol", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_durations_are_seconds(text, wanted):
    assert seconds(text) == wanted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("EmpAssists", "emp_assists"), ("KDA", "kda"), ("UgcGameVariant", "ugc_game_variant"), ("nameId", "name_id")],
)
def test_names_are_in_snake_case(name, wanted):
    assert snake(name) == wanted


@pytest.mark.parametrize(
    ("player", "wanted"),
    [("xuid(2535445291321133)", "2535445291321133"), (2535445291321133, "2535445291321133"), ("bid(28.0)", None)],
)
def test_a_bot_has_no_xuid(player, wanted):
    assert xuid_of(player) == wanted


def test_what_is_null_is_left_out_and_what_is_unknown_stays():
    told = {"A": None, "NewThing": {"Inner": {"ISO8601Date": "2025-01-01T00:00:00Z"}, "Span": "PT1M"}, "List": [1]}
    assert flat(told) == {
        "new_thing__inner": "2025-01-01T00:00:00Z",
        "new_thing__span_seconds": 60.0,
        "list": [1],
    }


def test_data_that_stands_as_keys_becomes_rows():
    result = {
        "TeamMmrs": {"0": 1.5, "11": 2.5},
        "Counterfactuals": {"TierCounterfactuals": {"Bronze": {"Kills": 3.5, "Deaths": 4.5}, "Next": {"Kills": 1}}},
    }
    rows = skill_rows("m", {"Value": [{"Id": "xuid(1)", "ResultCode": 0, "Result": result}, {"Id": "xuid(2)"}]})
    assert [(row["team_id"], row["mmr"]) for row in rows["match_skill_mmrs"]] == [(0, 1.5), (11, 2.5)]
    assert [(row["tier"], row["kills"]) for row in rows["match_skill_tiers"]] == [("Bronze", 3.5), ("Next", 1)]
    assert [row["xuid"] for row in rows["match_skill"]] == ["1", "2"]


@pytest.mark.parametrize(
    ("payload", "table"),
    [
        ({}, "match_stats"),
        ([], "match_stats"),
        ({"MatchId": "m", "Teams": ["x"]}, "match_teams"),
        ({"MatchId": "m", "Players": [None]}, "match_players"),
        ({"MatchId": "m", "Players": [{"PlayerId": "xuid(1)", "PlayerTeamStats": [1]}]}, "match_stints"),
        (
            {
                "MatchId": "m",
                "Players": [
                    {"PlayerId": "x", "PlayerTeamStats": [{"TeamId": 0, "Stats": {"CoreStats": {"Medals": [7]}}}]}
                ],
            },
            "match_medals",
        ),
    ],
)
def test_what_is_no_row_is_rejected_in_its_place_and_the_rest_loads(payload, table):
    rows = match_rows(payload)
    assert [name for name, page in rows.items() if any(getattr(row, "is_notice", False) for row in page)] == [table]


def test_a_mode_is_null_in_old_answers_and_its_own_row_in_new_ones():
    stats = {"CoreStats": {"Kills": 1}, "OddballStats": None, "HoverballStats": {"Balls": 2, "Time": "PT1.5S"}}
    match = {"MatchId": "m", "Teams": [{"TeamId": 11, "Stats": stats}], "Players": []}
    rows = match_rows(match)
    assert rows["match_team_modes"] == [
        {"match_id": "m", "team_id": 11, "mode": "hoverball", "balls": 2, "time_seconds": 1.5}
    ]
    assert rows["match_teams"][0]["kills"] == 1


def test_events_are_numbered_alike_in_whatever_order_they_come():
    events = [
        {"xuid": 1, "time_ms": 5, "event_type": "kill"},
        {"xuid": 2, "time_ms": 5, "event_type": "death"},
        {"xuid": 2, "time_ms": 5, "event_type": "death"},
        {"xuid": 2, "time_ms": 1, "event_type": "kill"},
    ]
    rows = event_rows("m", events)["highlight_events"]
    assert rows == event_rows("m", events[::-1])["highlight_events"]
    assert [(row["event_index"], row["time_ms"], row["xuid"]) for row in rows] == [
        (0, 1, "2"), (1, 5, "1"), (2, 5, "2"), (3, 5, "2"),
    ]  # fmt: skip
    assert getattr(event_rows("m", [{"xuid": 1}])["highlight_events"][0], "is_notice", False)


def test_a_film_without_a_file_of_events_has_no_address():
    manifest = {"BlobStoragePathPrefix": "https://x/y/", "CustomData": {"Chunks": [{"ChunkType": 1}]}}
    assert highlights_url(manifest) is None
    manifest["CustomData"]["Chunks"].append({"ChunkType": 3, "FileRelativePath": "/file"})
    assert highlights_url(manifest) == "https://x/y/file"


@pytest.mark.parametrize(("api", "shown"), [(0, 1), (271, 272), (272, 272)])
def test_the_rank_that_is_shown_is_one_more_save_the_last(api, shown):
    assert career_row("1", {"CurrentProgress": {"Rank": api}})["rank"] == shown


def test_no_name_is_too_long_for_postgres_and_keys_are_declared():
    for table in TABLES.values():
        assert max(map(len, [table.name, *table.columns])) <= 63
        assert all(table.columns[key].get("nullable") is False for key in table.key)


def test_every_mistake_of_the_original_has_a_test_that_names_it():
    """They are numbered in docs/runbooks/halo.md, which says what holds here instead."""
    here = Path(__file__)
    files = [*here.parent.glob("test_halo*.py"), *here.parent.glob("test_spnkr*.py")]
    words = " ".join(file.read_text() for file in files if file != here)
    named = {
        int(number)
        for numbers in re.findall(r"[Dd]efects? ([\d, and]+)", words)
        for number in re.findall(r"\d+", numbers)
    }
    listed = re.findall(r"^\| (\d+) \|", (REPOSITORY / "docs/runbooks/halo.md").read_text(), re.M)
    assert [*map(int, listed)] == sorted(named) == [*range(1, 11)]
