"""A Postgres role whose password the server checks; the tests' server trusts all others."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest


def ask(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Run one statement outside of a transaction."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def guarded_role(server: str, database_url: str) -> Iterator[tuple[str, str]]:
    """Its name and password, for as long as the block runs; a skip where the server cannot be told."""
    database = database_url.rsplit("/", 1)[1]
    name, password = f"guest_{database[-8:]}", "right"
    ask(server, f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    ask(server, f"GRANT ALL ON DATABASE {database} TO {name}")
    try:
        with _checked(server, name):
            if _trusts(database_url, name):
                pytest.skip("this Postgres takes any password, and its pg_hba.conf cannot be changed from here")
            yield name, password
    finally:
        ask(database_url, f"DROP OWNED BY {name} CASCADE")
        ask(server, f"DROP ROLE {name}")


@contextmanager
def _checked(server: str, name: str) -> Iterator[None]:
    """A line for the role above all others in pg_hba.conf, where that is a file of ours."""
    rules = Path(ask(server, "SHOW hba_file")[0][0])
    if not os.access(rules, os.W_OK):
        yield
        return
    before = rules.read_text()
    rules.write_text(f"host all {name} 127.0.0.1/32 scram-sha-256\n{before}")
    ask(server, "SELECT pg_reload_conf()")
    try:
        yield
    finally:
        rules.write_text(before)
        ask(server, "SELECT pg_reload_conf()")


def _trusts(url: str, user: str) -> bool:
    """Whether a wrong password opens the door; a reload takes a moment, so it is asked again."""
    for _ in range(40):
        try:
            psycopg2.connect(url, user=user, password="wrong").close()
        except psycopg2.OperationalError:
            return False
        time.sleep(0.05)
    return True
