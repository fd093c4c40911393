"""Deleting at the source: asked for by name, of files that are stored for sure, once."""

from __future__ import annotations

import pytest

from sandbox.server import Sandbox, World
from tests.workspace import Workspace

RELEASED = "SELECT spinoco_recording_id FROM spinoco.recordings WHERE released_at IS NOT NULL ORDER BY 1"


@pytest.fixture
def site(tmp_path):
    made = Workspace(tmp_path / "a workspace", ("spinoco",))
    with Sandbox(World(records=5), tmp_path / "upstream") as vendor:
        made.point_at(vendor.settings("spinoco"))
        made.vendor = vendor
        assert made.etl("run", "spinoco", "--env", "test").code == 0
        vendor.forget_requests()
        yield made


def release(made: Workspace, *options: str):
    return made.etl("files", "release", "spinoco", "--env", "test", *options)


def deleted(made: Workspace) -> int:
    return sum(seen.method == "DELETE" for seen in made.vendor.requests)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "give --only, --prefix or --since"),
        (("--yes",), "give --only, --prefix or --since"),
        (("--prefix", "spinoco/"), "add --yes to confirm"),
    ],
)
def test_nothing_is_deleted_that_was_not_asked_for_twice(site, options, said):
    refused = release(site, *options)
    assert refused.code == 2
    assert said in refused.err or "add --yes to confirm" in refused.err
    assert deleted(site) == 0


def test_what_is_stored_for_sure_is_deleted_once(site):
    rows = site.query("SELECT spinoco_recording_id, object_key FROM spinoco.recordings ORDER BY 1")
    (broken, key), sound = rows[0], [id for id, _ in rows[1:]]
    (site.root / "audio" / key).write_bytes(b"OggS")
    would = release(site, "--prefix", "spinoco/", "--dry-run", "--output", "json")
    assert (sorted(would.json["released"]), list(would.json["left"]), deleted(site)) == (sound, [broken], 0)
    done = release(site, "--prefix", "spinoco/", "--yes", "--output", "json")
    assert (done.code, sorted(done.json["released"]), list(done.json["left"])) == (3, sound, [broken])
    assert site.query(RELEASED) == [(id,) for id in sound]
    assert deleted(site) == len(sound)
    again = release(site, "--prefix", "spinoco/", "--yes", "--output", "json")
    assert (again.json["released"], deleted(site)) == ([], len(sound)), "what is gone is not asked for again"
    ran = site.etl("run", "spinoco", "--env", "test", "--output", "json")
    assert (ran.code, ran.json[0]["files"]["call_recordings"]["moved"]) == (0, 0)
    refused = site.etl("files", "undo", "spinoco", "--env", "test", "--prefix", "spinoco/", "--yes")
    assert (refused.code, "the last there are" in refused.err) == (2, True)
    lost, key = rows[1]
    (site.root / "audio" / key).unlink()
    stuck = site.etl("files", "verify", "spinoco", "--env", "test", "--only", lost, "--fix")
    assert (stuck.code, f"{lost}: it is deleted at its source, so no run can move it again" in stuck.err) == (4, True)
    assert site.query(RELEASED) == [(id,) for id in sound]


def test_what_the_source_will_not_delete_is_told(site):
    site.vendor.fault("/spinoco/recording/", "403")
    done = release(site, "--prefix", "spinoco/", "--yes", "--output", "json")
    assert (done.code, list(done.json["left"].values())) == (3, ["the vendor answered 403"])


def test_what_was_deleted_before_the_source_failed_is_known(site):
    """Else `undo` would take back the last there is of it."""
    refused, *others = [id for (id,) in site.query("SELECT spinoco_recording_id FROM spinoco.recordings ORDER BY 1")]
    site.vendor.fault(f"/spinoco/recording/.*{refused}", "401", 9)
    assert release(site, "--prefix", "spinoco/", "--yes").code == 6
    assert site.query(RELEASED) == [(id,) for id in others]


def test_a_source_that_keeps_its_files_has_nothing_to_release(tmp_path):
    made = Workspace(tmp_path, ("recordings",))
    with Sandbox(World(records=2), tmp_path / "upstream") as vendor:
        made.point_at(vendor.settings("recordings"))
        assert made.etl("run", "recordings", "--env", "test").code in (0, 3)
        refused = made.etl("files", "release", "recordings", "--env", "test", "--prefix", "audio/", "--yes")
    assert (refused.code, "keeps its files" in refused.err) == (2, True), refused
