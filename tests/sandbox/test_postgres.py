"""The Postgres of the tests starts, and gives each test a database of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from tests.killed import until
from tests.postgres_server import _binaries, _free_port, database, postgres
from tests.workspace import REPOSITORY

OWNER = """\
import sys
from tests.postgres_server import postgres
with postgres() as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def one(url: str, question: str) -> object:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(question)
        return cursor.fetchone()[0]
    finally:
        connection.close()


@pytest.fixture(autouse=True, scope="module")
def none_is_given() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TEST_DATABASE_URL", raising=False)
        yield


@pytest.fixture(scope="module")
def server(none_is_given) -> Iterator[str]:
    with postgres() as url:
        yield url


def test_a_server_and_its_databases(server):
    with database(server) as first, database(server) as second:
        assert one(first, "show server_encoding") == "UTF8"
        assert one(first, "select current_database()") != one(second, "select current_database()")
        left_open = psycopg2.connect(first)
    assert one(server, "select count(*) from pg_database where datname like 't\\_%'") == 0
    left_open.close()


def test_a_port_that_another_server_took_is_left_to_it(server, monkeypatch):
    ports = iter([urlsplit(server).port, _free_port()])
    monkeypatch.setattr("tests.postgres_server._free_port", lambda: next(ports))
    with postgres() as url:
        assert one(url, "show data_directory") != one(server, "show data_directory")


def test_a_server_ends_with_the_process_that_started_it():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", OWNER], cwd=REPOSITORY, text=True, **pipes) as owner:
        data = Path(str(one(owner.stdout.readline().strip(), "show data_directory")))
        owner.kill()
    until(lambda: not (data / "postmaster.pid").exists())
    shutil.rmtree(data.parent)


def test_a_server_that_is_given_is_used(monkeypatch):
    monkeypatch.setenv("TEST_DATABASE_URL", "postgresql://someone@db.example.test/x")
    with postgres() as url:
        assert url == "postgresql://someone@db.example.test/x"


def test_pg_bin_comes_first(monkeypatch):
    monkeypatch.setenv("PG_BIN", "/nowhere/bin")
    with pytest.raises(FileNotFoundError, match="/nowhere/bin/initdb"), postgres():
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands its binaries to another user")
def test_binaries_out_of_the_other_users_reach_are_copied(monkeypatch, tmp_path):
    monkeypatch.delenv("PG_BIN", raising=False)
    package = _binaries().parents[1]
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o700)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        (locked / folder.name).symlink_to(folder)
    monkeypatch.setenv("PG_BIN", str(locked / _binaries().relative_to(package.parent)))
    with postgres() as url:
        assert one(url, "show server_encoding") == "UTF8"
