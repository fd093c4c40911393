"""The options and settings of the older Spinoco program: each acts, or is refused with what takes its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipelines import build
from pipelines.specs import spec as specs
from sandbox.server import Sandbox, World
from sources.spinoco import REPLACED
from tests.workspace import REPOSITORY, Workspace

STORED = "SELECT recording_id, spinoco_recording_id, call_id FROM spinoco.recordings ORDER BY started_at"
LISTED = STORED.replace("recordings ORDER", "call_recordings WHERE available ORDER")


@pytest.fixture
def site(tmp_path):
    made = Workspace(tmp_path / "a workspace", ("spinoco",))
    with Sandbox(World(records=8), tmp_path / "upstream") as vendor:
        made.point_at({**vendor.settings("spinoco"), "sources.spinoco.http.backoff_seconds": 0.01})
        made.vendor = vendor
        yield made


def test_files_are_chosen_by_how_many_and_by_any_of_their_names(site):
    def run(*options: str) -> list[tuple[str, str, str]]:
        result = site.etl("run", "spinoco", "--env", "test", *options)
        assert result.code == 0, result
        return site.query(STORED)

    assert site.etl("run", "spinoco", "--env", "test", "--mode", "dry").code == 0
    assert not site.vendor.requests, "a dry run asks nobody"
    assert len(run("--limit", "2")) == 2
    listed = site.query(LISTED)
    assert site.query(STORED) == listed[:2], "the oldest first"
    twin = next(one for one in listed if one[0].endswith("_p02"))
    assert run("--only", f"{listed[2][0]},{listed[3][1]}") == listed[:4], "by its number, and by its GUID"
    assert set(run("--only", twin[2])) - set(listed[:4]) == {one for one in listed if one[2] == twin[2]} - set(
        listed[:4]
    )
    assert run() == listed


def test_a_recording_that_is_not_there_yet_is_no_work(site):
    ran = site.etl("run", "spinoco", "--env", "test", "--output", "json").json[0]["files"]["call_recordings"]
    assert (ran["due"], ran["moved"]) == (7, 7)
    states = site.etl("files", "status", "spinoco", "--env", "test", "--output", "json").json["files"][
        "call_recordings"
    ]
    assert [(one["state"], one["files"]) for one in states] == [("stored", 7), ("discovered", 0), ("awaited", 2)]
    site.vendor.move_to(2)
    ran = site.etl("run", "spinoco", "--env", "test", "--output", "json").json[0]["files"]["call_recordings"]
    assert (ran["due"], ran["moved"]) == (3, 3), "two that have come, and one of three new ones"


@pytest.mark.parametrize(("validated", "code", "stored"), [("true", 3, 0), ("false", 0, 1)])
def test_audio_is_checked_unless_nobody_wants_it(site, validated, code, stored):
    site.vendor.fault("/recording-direct/", "html", times=100)
    result = site.etl(
        "run",
        "spinoco",
        "--env",
        "test",
        "--with",
        f"validate_ogg_header={validated}",
        "--limit",
        "1",
        "--max-retry",
        "0",
    )
    assert result.code == code, result
    tables = site.query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'spinoco'")
    assert ("recordings",) in tables if stored else ("recording_failures",) in tables
    if stored:
        ((kind,),) = site.query("SELECT content_type FROM spinoco.recordings")
        assert kind.startswith("text/html")


@pytest.mark.parametrize("name", REPLACED)
def test_a_setting_that_is_not_taken_says_what_takes_its_place(site, name):
    by_option = site.etl("plan", "spinoco", "--env", "test", "--with", f"{name}=3")
    by_setting = site.etl("plan", "spinoco", "--env", "test", **{f"SOURCES__SPINOCO__{name.upper()}": "3"})
    for result in (by_option, by_setting):
        assert (result.code, REPLACED[name] in result.err) == (2, True), result
        assert len(result.err.splitlines()) == 1


def test_a_spec_is_told_too(tmp_path):
    made = Workspace(tmp_path, ("spinoco",))
    text = (REPOSITORY / "specs/spinoco.yaml").read_text()
    (made.root / "specs/spinoco.yaml").unlink()
    made.write("specs/spinoco.yaml", text.replace("python: {}", "python: {concurrency: 3}"))
    refused = made.etl("validate", "spinoco")
    assert (refused.code, REPLACED["concurrency"] in refused.out) == (2, True), refused
    made.write("specs/spinoco.yaml", text.replace("python: {}", "python: {page_size: 9, validate_ogg_header: false}"))
    assert made.etl("validate", "spinoco").code == 0


def test_the_manual_lists_every_key_as_it_is():
    text = (REPOSITORY / "docs/spinoco.md").read_text()
    rows = dict(re.findall(r"^\| `(?:\w+\.)?(\w+)` \| (.*) \|$", text.partition("## From the older program")[2], re.M))
    taken = build.arguments(REPOSITORY, specs.load(REPOSITORY, "spinoco"))
    refused = {key for key, said in rows.items() if said.startswith("refused")}
    renamed = {"api_base_url"}
    assert refused | renamed == set(REPLACED)
    assert rows.keys() - refused - renamed == {
        "token", "page_size", "since", "max_retry", "delay_seconds", "validate_ogg_header",
    } <= taken.keys()  # fmt: skip


def test_the_manual_runs(site):
    text = Path(REPOSITORY, "docs/spinoco.md").read_text().partition("```console\n")[2].partition("```")[0]
    commands = [line.partition("#")[0].split()[1:] for line in text.splitlines()]
    assert len(commands) == 6
    for command in commands:
        words = ["test" if word == "dev" else word for word in command]
        code = site.etl(*words).code
        assert code == (3 if "--only" in words else 0), words  # of a call that is not there
