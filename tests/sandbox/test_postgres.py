"""The Postgres of the tests starts, and gives each test a database of its own."""

from __future__ import annotations

import os

import psycopg2
import pytest

from tests.postgres_server import _binaries, database, postgres


def one(url: str, question: str) -> object:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(question)
        return cursor.fetchone()[0]
    finally:
        connection.close()


@pytest.fixture(autouse=True)
def our_own_server(monkeypatch):
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)


def test_a_server_and_its_databases():
    with postgres() as url:
        with database(url) as first, database(url) as second:
            assert one(first, "show server_encoding") == "UTF8"
            assert one(first, "select current_database()") != one(second, "select current_database()")
            left_open = psycopg2.connect(first)
        assert one(url, "select count(*) from pg_database where datname like 't\\_%'") == 0
        left_open.close()


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
