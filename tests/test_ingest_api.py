"""The ingest service: what it answers, on SQLite and on Postgres."""

from __future__ import annotations

import pytest

from tests.serving import POINT, REGISTER, chunk, serving


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def service(request, tmp_path_factory):
    """A service with one device; the tests of this module share it and use starts of their own."""
    folder = tmp_path_factory.mktemp("a service")
    variables = {"UPLOADS_PER_MINUTE": "100000"}
    if request.param == "postgres":
        from tests.postgres_server import database

        with (
            database(request.getfixturevalue("postgres_server")) as url,
            serving(folder, DATABASE_URL=url, **variables) as running,
        ):
            running.register()
            yield running
        return
    with serving(folder, **variables) as running:
        running.register()
        yield running


def test_a_chunk_is_stored_and_answered_as_documented(service):
    answer = service.send()
    told = answer.json()
    assert answer.status_code == 200
    name = f"audio/{POINT}/{REGISTER}/2026-01-28/10/chunk_20260128_100000_{told['chunk_id']}.ogg"
    assert told == {"status": "ok", "chunk_id": told["chunk_id"], "stored_path": name, "queued": True}
    assert list(told) == ["status", "chunk_id", "stored_path", "queued"]
    assert (service.settings.storage / name).read_bytes() == chunk()
    assert service.incoming() == []
