"""Sign-ins: three stores, tokens that rotate under several processes, and no token anywhere but in its store."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta

import pytest

from tests import signed_in
from tests.signed_in import choose, install, login
from tests.workspace import Workspace


@pytest.fixture
def engine(workspace, sandbox) -> Workspace:
    return install(workspace(), sandbox)


def kept(engine: Workspace, name: str = "oauth", env: str = "test") -> dict:
    return json.loads((engine.root / f".dlt/tokens/{env}/{name}.json").read_text())


def test_a_person_signs_in_and_a_run_reads(engine):
    before = engine.etl("run", "oauth", "--env", "test")
    assert (before.code, "etl auth login oauth --env test" in before.err) == (6, True), before
    done = login(engine)
    assert done.code == 0, done
    file = engine.root / ".dlt/tokens/test/oauth.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    after = engine.etl("run", "oauth", "--env", "test")
    assert after.code == 0, after
    assert engine.query("SELECT count(*) FROM oauth.rows") == [(20,)]
