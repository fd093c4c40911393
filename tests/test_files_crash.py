"""kill -9 at each step of moving files, then one run: no lost row, no object twice, nothing stored is asked for again.

The kills follow one another on one site, each in a run that goes on from the one before and finds new rows.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import files_toy as toy
from tests.apart import Apart
from tests.clouds.b2 import B2
from tests.killed import At, Moment, Step, run, start, steps
from tests.postgres_server import database
from tests.warehouse import Ask
from tests.workspace import Workspace

LEDGER, JOURNAL = "pipelines.ledger:Ledger", "pipelines.files.journal:Journal"
PIPELINE = "dlt.pipeline.pipeline:Pipeline"
KILLS = int(os.environ.get("ETL_KILLS", "2"))
MOMENTS = 5 if "ETL_KILLS" in os.environ else 1
PLACES = [("DuckDB", "a folder"), ("Postgres", "a bucket"), ("DuckDB", "a bucket"), ("Postgres", "a folder")]
NEW_ROWS = 2
CHECKPOINT = "checkpoint: 3"
POINTS = {
    "the warehouse knows, nothing is moved": At(f"{LEDGER}.begin_transfer", "after"),
    "files are noted, not stored": At(f"{JOURNAL}._append", "after"),
    "a file is stored, not noted": At(f"{JOURNAL}.stored", nth=2),
    "a file is stored, its line is not written": At(f"{JOURNAL}.stored", "after", 2),
    "lines are written": At(f"{JOURNAL}._append", "after", 2),
    "receipts are extracted": At(f"{PIPELINE}.extract", "after", 2),
    "receipts are merged, the load is not counted": At("dlt.load.load:Load.complete_package", nth=2),
    "some receipts are recorded, others are not": At(f"{JOURNAL}.forget", "after", 1),
    "all is recorded, the warehouse does not know": At(f"{LEDGER}.end_transfer", nth=2),
    "all is recorded, the journal is there": At(f"{JOURNAL}.close"),
    "failures of stored files are left": At("pipelines.files.work:Tables.drop_repaired"),
}
FEW = [
    "files are noted, not stored", "a file is stored, not noted", "receipts are merged, the load is not counted",
    "all is recorded, the warehouse does not know",
]  # fmt: skip
IN_A_BUCKET = ["files are noted, not stored", "a file is stored, not noted", "receipts are extracted"]


@dataclass
class Site:
    """The vault in a warehouse, with a folder as its bucket, or one of Backblaze's."""

    workspace: Workspace
    host: toy.Host
    url: str | None = None
    b2: B2 | None = None

    @property
    def command(self) -> tuple[str, ...]:
        return ("run", "vault", "--env", "pg" if self.url else "test")

    @property
    def ask(self) -> Ask:
        return Ask(self.workspace, self.url)

    @property
    def bucket(self) -> Path:
        return self.workspace.root / "audio"

    def grow(self) -> None:
        """Let the source have new rows."""
        file = self.workspace.root / "vault.json"
        rows = json.loads(file.read_text())
        toy.write(self.workspace, [*rows, *(toy.row(self.host, len(rows) + n) for n in range(1, NEW_ROWS + 1))])

    def objects(self) -> dict[str, Any]:
        """Every object, with what would change if it were stored again."""
        if self.b2:
            return {key: len(self.b2.versions("audio", key)) for key in self.b2.buckets.keys("audio")}
        files = [file for file in self.bucket.rglob("*") if file.is_file()]
        return {file.relative_to(self.bucket).as_posix(): file.stat().st_mtime_ns for file in files}

    def stored(self) -> dict[str, tuple[int, Any]]:
        """How often each stored file was asked for, and its object."""
        names = {Path(key).stem: version for key, version in self.objects().items() if key.endswith(".mp3")}
        return {name: (self.host.asked[f"/{int(name[1:])}.mp3"], version) for name, version in names.items()}

    def kill(self, moment: Moment | Apart, surely: bool = True) -> None:
        """Kill a run that has new rows; it asks for nothing that was stored before."""
        self.grow()
        before = self.stored()
        result = start(self.workspace, *self.command, moment=moment).ended()
        assert result.code in ([-signal.SIGKILL] if surely else [-signal.SIGKILL, 0]), f"{moment}: {result}"
        self.has_not_asked_again(before, str(moment))

    def ends(self) -> None:
        """One run, and all is as if there had been no kill."""
        before = self.stored()
        result = run(self.workspace, *self.command)
        assert result.code == 0, result
        self.has_not_asked_again(before, "the last run")
        self.is_whole()
        asked, stored, calls = self.host.gets, self.objects(), self.b2 and self.b2.calls
        assert run(self.workspace, *self.command).code == 0
        again = (self.host.gets, self.objects(), self.b2 and self.b2.calls)
        assert again == (asked, stored, calls), "a run with nothing to do did something"

    def has_not_asked_again(self, before: dict[str, tuple[int, Any]], when: str) -> None:
        after = self.stored()
        assert {name: after.get(name) for name in before} == before, f"asked again or lost at: {when}"

    def is_whole(self) -> None:
        """Every row has its object and its receipt, once."""
        rows = json.loads((self.workspace.root / "vault.json").read_text())
        ids = sorted(row["id"] for row in rows)
        assert self.ask("SELECT id FROM vault.recordings ORDER BY id") == [(id,) for id in ids]
        receipts = self.ask("SELECT id, object_key, bytes, seconds FROM vault.audio_files ORDER BY id")
        assert receipts == [(id, f"calls/{id}.mp3", 8352, 1.008) for id in ids]
        assert sorted(self.objects()) == [f"calls/{id}.mp3" for id in ids]
        assert self.ask("SELECT * FROM _etl.transfers") == []
        assert not list(self.workspace.root.rglob("state/*/files/*.jsonl"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with installed(tmp_path / "a site") as site:
        yield site


@contextmanager
def installed(folder: Path, url: str | None = None, b2: B2 | None = None) -> Iterator[Site]:
    with toy.host() as host:
        workspace = Workspace(folder)
        if url:
            workspace.postgres(url)
        if b2:
            text = (workspace.root / "destinations.toml").read_text()
            workspace.write("destinations.toml", text.replace('bucket_url = "audio"', 'bucket_url = "s3://audio"'))
            workspace.variables |= b2.variables("audio")
        toy.vault(workspace, host, 0, CHECKPOINT)
        yield Site(workspace, host, url, b2)


def test_a_kill_at_any_step_loses_and_repeats_nothing(site: Site) -> None:
    for moment in POINTS.values():
        site.kill(moment)
    site.ends()


def test_nor_on_postgres(postgres_url: str, tmp_path: Path) -> None:
    with database(postgres_url) as url, installed(tmp_path / "pg", url) as site:
        for name in FEW:
            site.kill(POINTS[name])
        site.ends()


def test_a_bucket_gets_no_second_version(tmp_path: Path) -> None:
    with B2("audio") as b2, installed(tmp_path / "b2", b2=b2) as site:
        for name in IN_A_BUCKET:
            site.kill(POINTS[name])
        asked = b2.calls
        shutil.rmtree(site.workspace.root / ".dlt/state")  # as on another machine
        site.ends()
        assert set(site.objects().values()) == {1}
        assert (b2.calls - asked)["C"] == 0
        assert (b2.calls - asked)["B"] <= len(site.objects())


def test_nor_where_another_process_carries_the_files(tmp_path: Path) -> None:
    with B2("audio") as b2, installed(tmp_path / "apart", b2=b2) as site:
        for moment in POINTS.values():
            site.kill(Apart(moment))
        site.ends()
        assert set(site.objects().values()) == {1}


def test_without_a_journal_the_store_is_asked_until_all_is_known(site: Site) -> None:
    site.kill(POINTS["lines are written"])
    shutil.rmtree(site.workspace.root / ".dlt/state")
    assert run(site.workspace, *site.command, "--limit", "1").code == 0
    assert site.ask("SELECT in_doubt FROM _etl.transfers") == [(1,)]
    site.ends()


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_kill_at_a_random_moment_does_not_either(seed: int, tmp_path: Path, postgres_server: str) -> None:
    warehouse, store = PLACES[seed % len(PLACES)]
    with ExitStack() as stack:
        url = stack.enter_context(database(postgres_server)) if warehouse == "Postgres" else None
        b2 = stack.enter_context(B2("audio")) if store == "a bucket" else None
        site = stack.enter_context(installed(tmp_path / "random", url, b2))
        site.grow()
        result, moments = steps(site.workspace, *site.command)
        assert result.code == 0
        chance = random.Random(f"files {seed}")
        for _ in range(MOMENTS):
            phase = chance.choice(["load", "end"])
            site.kill(Step(phase, chance.randint(1, moments[phase])), surely=False)
        site.ends()
        assert not b2 or set(site.objects().values()) == {1}


def test_a_run_that_is_told_to_end_records_what_it_stored(site: Site) -> None:
    site.grow()
    told = start(site.workspace, *site.command, moment=At(f"{JOURNAL}.stored", "after", 2), act=signal.SIGTERM).ended()
    assert told.code == 143
    stored = sorted(key.removeprefix("calls/").removesuffix(".mp3") for key in site.objects())
    assert [id for (id,) in site.ask("SELECT id FROM vault.audio_files ORDER BY id")] == stored
    assert site.ask("SELECT * FROM _etl.transfers") == []


def test_a_second_run_leaves_while_the_first_one_moves(site: Site) -> None:
    site.grow()
    first = start(site.workspace, *site.command, moment=At(f"{JOURNAL}.intends", nth=2), act=0).until_waiting()
    second = run(site.workspace, *site.command)
    assert second.code == 7
    assert first.go_on().ended().code == 0
    site.is_whole()
    assert site.host.gets == NEW_ROWS
