"""Files on BigQuery: what is to be moved is one query there, too."""

from __future__ import annotations

from pathlib import Path

from tests import files_toy as toy
from tests.clouds.project import Project
from tests.workspace import Workspace


def test_a_run_on_bigquery(tmp_path: Path, project: Project) -> None:
    with toy.host() as host:
        workspace = Workspace(tmp_path / "a workspace")
        workspace.bigquery(project.variables)
        rows = toy.vault(workspace, host, 4)
        toy.write(workspace, [{**row, "twin": f"t{row['id']}"} for row in rows])
        host.bodies["/2.mp3"] = 404
        some = ("--since", "2024-01-02", "--only", "call_p01,r002,r003")
        first = workspace.etl("run", "vault", "--env", "bq", *some, "--output", "json")
        assert (first.code, first.json[0]["files"]["recordings"]["moved"]) == (3, 2), first
        states = workspace.etl("files", "status", "vault", "--env", "bq", "--output", "json").json["files"]
        assert [(row["state"], row["files"]) for row in states["recordings"] if row["files"]] == [
            ("stored", 2), ("discovered", 1), ("transient", 1),
        ]  # fmt: skip
        assert workspace.etl("files", "retry", "vault", "--env", "bq", "--failed").code == 0
        host.bodies["/2.mp3"] = toy.mp3(2, 1)
        assert workspace.etl("run", "vault", "--env", "bq").code == 0
        assert project.ask("SELECT id FROM vault.audio_files ORDER BY id") == [(row["id"],) for row in rows]
        assert project.ask("SELECT id FROM vault.audio_failures") == []
        assert (host.gets, project.ask("SELECT run_id FROM _etl.transfers")) == (5, [])
