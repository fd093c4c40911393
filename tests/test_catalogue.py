"""docs/sources.md: every type of every source is told of, and none of the original's is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines import catalogue
from pipelines.models import folder
from pipelines.specs import spec as specs

ROOT = Path(__file__).resolve().parents[1]
ORIGINAL = {
    "garmin": """activities activity_details activity_splits activity_weather activity_hr_zones activity_exercise_sets
        sleep steps heart_rate body_battery stress weight body_composition user_summary stats_and_body
        training_readiness rhr_daily spo2 respiration intensity_minutes max_metrics all_day_events training_status hrv
        race_predictions floors endurance_score hill_score device_info lifestyle_logging""",
    "spotify": """recently_played saved_tracks saved_albums playlists top_artists top_tracks followed_artists
        user_profile""",
    "chess": "player_profile player_stats games clubs tournaments",
}


@pytest.mark.parametrize("name", specs.names(ROOT))
def test_every_type_says_what_it_is(name):
    spec = specs.load(ROOT, name)
    for each in catalogue.listed(ROOT, spec):
        assert each.endpoint, each.name
        assert each.key, each.name
        assert spec.rest is not None or (each.about and each.cursor), each.name


@pytest.mark.parametrize(("name", "types"), ORIGINAL.items(), ids=ORIGINAL)
def test_every_type_of_the_original_is_a_table(name, types):
    """Or a model, where it was none of the upstream's."""
    tables = [each.name for each in catalogue.listed(ROOT, specs.load(ROOT, name))]
    assert set(types.split()) <= {*tables, *folder.read(ROOT, name).models}


def test_the_page_has_a_row_for_each(workspace):
    made = workspace("chess", "github")
    text = catalogue.page(made.root)
    assert "| `games` | `GET /player/{player}/games/{year}/{month}` | `uuid` | merge |" in text
    assert "* Settings it needs: `players`, `contact`\n" in text
    assert "| `issues` | `GET issues` | `id` | merge | updated_at |" in text
