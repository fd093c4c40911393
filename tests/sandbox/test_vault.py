"""The audio host of the recordings stand-in."""

from __future__ import annotations

import csv
from urllib.parse import urlsplit

import pytest

from sandbox import recordings, sound
from sandbox.server import World


def paths(sandbox) -> list[str]:
    """Where the lists lead, as they are written."""
    settings = sandbox.settings("recordings")
    assert settings["sources.recordings.base_url"] == sandbox.settings("vault")["sources.vault.base_url"]
    folder = sandbox.folder / "recordings"
    with (folder / "flat.csv").open(newline="") as flat, (folder / "grouped.csv").open(newline="") as grouped:
        urls = [row["location"] for row in csv.DictReader(flat)]
        urls += [url for row in csv.DictReader(grouped) for url in row["recording_urls"].split("\n")]
    return [f"/vault{urlsplit(url).path}" for url in urls]


@pytest.mark.parametrize("day", [1, 2])
def test_whatever_is_listed_is_served(sandbox, get, day):
    sandbox.move_to(day)
    bodies = {path: get(path) for path in paths(sandbox)}
    assert {(reply.status_code, reply.headers["Content-Type"]) for reply in bodies.values()} == {(200, "audio/mpeg")}
    assert len({reply.content for reply in bodies.values()}) == len(bodies) > 100


def test_a_recording_lasts_as_long_as_its_list_says(sandbox, get):
    for call in recordings.listed(sandbox.world)[:20]:
        frames = len(sound.pieces(get(f"/vault{urlsplit(call.url).path}").content)) - 1
        assert abs(frames * 0.036 - call.seconds) <= 0.02


def test_the_same_for_ever(sandbox, get):
    path = paths(sandbox)[0]
    first = get(path).content
    sandbox.move_to(30)
    assert get(path).content == first


@pytest.mark.parametrize("path", ["/vr/PR_nobody.mp3", "/", "/vr/"])
def test_what_is_not_listed_is_not_found(get, path):
    assert get(f"/vault{path}").status_code == 404


def test_another_method(sandbox, client):
    assert client.post(sandbox.url + paths(sandbox)[0]).status_code == 404


def test_calls_are_short_enough_to_be_moved_in_tests():
    calls = recordings.listed(World(records=1000))
    assert sum(call.seconds for call in calls) / len(calls) < 10
