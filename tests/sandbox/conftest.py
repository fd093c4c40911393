"""A sandbox per test, and a client with manners."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from sandbox.server import Sandbox

CONTACT = {"User-Agent": "etl-tests (+tests@example.org)"}


@pytest.fixture
def sandbox(tmp_path) -> Iterator[Sandbox]:
    with Sandbox(folder=tmp_path / "a folder") as running:
        yield running


@pytest.fixture
def client(sandbox) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers.update(CONTACT)
        session.trust_env = False
        yield session


@pytest.fixture
def get(sandbox, client):
    """Ask the sandbox for a path."""

    def ask(path: str, **options) -> requests.Response:
        return client.get(sandbox.url + path, timeout=10, **options)

    return ask
