"""The tables of the ingest service: made, brought up from what the first service left, and taken back."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import insert, inspect, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ingest_api import devices, server
from ingest_api.database import Database, DatabaseAway
from ingest_api.devices import Known
from ingest_api.settings import Settings
from ingest_api.tables import Device, Tables
from ingest_api.tokens import KEY_FILE, Tokens
from pipelines.errors import SettingError
from tests.postgres_server import database
from tests.serving import DEVICE, POINT, REGISTER, TOKEN, serving

DOCUMENTED = """
CREATE TABLE devices (device_id UUID PRIMARY KEY, point_id UUID NOT NULL, register_id UUID NOT NULL,
    token_hash TEXT NOT NULL, is_enabled BOOLEAN NOT NULL DEFAULT true,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(), last_seen_at TIMESTAMPTZ);
CREATE TABLE audio_chunks (chunk_id UUID PRIMARY KEY,
    device_id UUID NOT NULL REFERENCES devices ON DELETE CASCADE, point_id UUID NOT NULL, register_id UUID NOT NULL,
    start_ts TIMESTAMPTZ NOT NULL, end_ts TIMESTAMPTZ NOT NULL, duration_sec INT NOT NULL, codec VARCHAR(32) NOT NULL,
    sample_rate INT NOT NULL, channels INT NOT NULL, file_path TEXT NOT NULL, file_size_bytes BIGINT NOT NULL,
    status VARCHAR(32) NOT NULL DEFAULT 'UPLOADED', created_at TIMESTAMPTZ NOT NULL DEFAULT now());
CREATE INDEX by_point ON audio_chunks (point_id, start_ts);
CREATE INDEX by_device ON audio_chunks (device_id, start_ts);
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);
INSERT INTO alembic_version VALUES ('a-step-of-the-first-service')
"""
LATER = """
ALTER TABLE audio_chunks ADD error_message TEXT;
ALTER TABLE audio_chunks ADD processing_started_at TIMESTAMPTZ
"""
OLD = "00000000-0000-0000-0000-0000000000aa"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'a database.sqlite'}"
    else:
        with database(request.getfixturevalue("postgres_server")) as fresh:
            yield fresh


def on(url: str, work):
    """Do some work on the database at a URL, with the driver that the service takes."""
    driver = url.replace("postgresql:", "postgresql+asyncpg:").replace("sqlite:", "sqlite+aiosqlite:")

    async def done():
        there = Database(driver)
        try:
            return await work(there)
        finally:
            await there.close()

    return asyncio.run(done())


def asked(url: str, *statements: str):
    """Statements, one after the other; the rows of the last."""

    async def ask(there: Database):
        async with there.asking() as connection:
            for statement in statements:
                result = await connection.execute(text(statement))
            return result.fetchall() if result.returns_rows else []

    return on(url, ask)


def shape(url: str) -> dict[str, set[str]]:
    """The columns and the unique indexes of each table."""

    def look(connection) -> dict[str, set[str]]:
        tables = inspect(connection)
        return {
            name: {column["name"] for column in tables.get_columns(name)}
            | {f"unique {index['name']}" for index in tables.get_indexes(name) if index["unique"]}
            for name in tables.get_table_names()
        }

    async def ask(there: Database):
        async with there.asking() as connection:
            return await connection.run_sync(look)

    return on(url, ask)


def test_the_tables_are_made_taken_back_and_made_again(url):
    models = {
        name: {column.name for column in table.columns} | {f"unique {i.name}" for i in table.indexes if i.unique}
        for name, table in Tables.metadata.tables.items()
    }
    shapes = []
    for step in ("head", "head", "0001", "head", "base"):
        on(url, lambda there, step=step: there.migrate(step))
        shapes.append({name: has for name, has in shape(url).items() if name != "ingest_api_version"})
    assert shapes[0] == shapes[1] == shapes[3] == models
    assert "sha256" not in shapes[2]["audio_chunks"]
    assert shapes[4] == {}


def test_of_several_at_once_one_makes_the_tables(url):
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: on(url, lambda there: there.migrate()), range(4))) == [None] * 4
    assert "audio_chunks" in shape(url)


@pytest.mark.parametrize("later", ["", LATER])
def test_a_database_of_the_first_service_is_taken_over(url, later, tmp_path):
    kind = ("TIMESTAMPTZ", "TIMESTAMP") if url.startswith("sqlite") else ("", "")
    ddl = DOCUMENTED if not kind[0] else DOCUMENTED.replace("now()", "CURRENT_TIMESTAMP").replace("UUID", "CHAR(32)")
    plain = hashlib.sha256(TOKEN.encode()).hexdigest()
    ids = [text.replace("-", "") if kind[0] else text for text in (DEVICE, POINT, REGISTER, OLD)]
    device, point, register, old = (f"'{each}'" for each in ids)
    asked(
        url,
        *filter(str.strip, ddl.split(";")),
        *filter(None, later.split(";")),
        f"INSERT INTO devices (device_id, point_id, register_id, token_hash) VALUES"
        f" ({device}, {point}, {register}, '{plain}')",
        f"INSERT INTO audio_chunks (chunk_id, device_id, point_id, register_id, start_ts, end_ts, duration_sec, codec,"
        f" sample_rate, channels, file_path, file_size_bytes, status) VALUES ({old}, {device}, {point}, {register},"
        f" '2026-01-28 10:00:00.000000', '2026-01-28 10:01:00.000000', 60, 'opus', 48000, 1, 'old.ogg', 3, 'DONE')",
    )
    with serving(tmp_path, DATABASE_URL=url) as service:
        [row] = service.ask("GET", "/api/v1/chunks").json()["chunks"]
        assert (row["chunk_id"], row["start_ts"], row["status"], row["sha256"], row["flags"]) == (
            OLD, "2026-01-28T10:00:00Z", "DONE", None, [],
        )  # fmt: skip
        sent = [service.send(start_ts=f"2026-01-28T1{n}:00:00Z", end_ts=f"2026-01-28T1{n}:01:00Z") for n in (0, 1, 1)]
        assert [answer.status_code for answer in sent] == [200, 200, 200]
        assert sent[1].json() == sent[2].json()
        flags = [service.ask("GET", f"/api/v1/chunks/{a.json()['chunk_id']}").json()["flags"] for a in sent[:2]]
        assert flags == [["same_start"], []]
    [[token_hash]] = asked(url, "SELECT token_hash FROM devices")
    assert token_hash.startswith("hmac-sha256:")
    assert plain not in token_hash


def test_it_does_not_start_with_another_key_than_that_of_its_tokens(url, tmp_path):
    with serving(tmp_path, DATABASE_URL=url, TOKEN_KEY="one key") as service:
        service.register()
    refused = {
        "TOKEN_KEY": ("another key", "TOKEN_KEY: is not the key by"),
        "": ("", r"/\.token_key: is gone, and tokens"),
    }
    for name, (key, said) in refused.items():
        with pytest.raises(SettingError, match=said):
            asyncio.run(server.migrated(Settings.read({"DATABASE_URL": url, name: key}, tmp_path)))
    asked(url, "DELETE FROM token_key")  # as in a database of an earlier version
    with pytest.raises(SettingError, match=said):
        asyncio.run(server.migrated(Settings.read({"DATABASE_URL": url}, tmp_path)))
    assert not (tmp_path / "ingest" / "audio" / KEY_FILE).exists()
    with serving(tmp_path, DATABASE_URL=url, TOKEN_KEY="one key") as service:
        assert service.send().status_code == 200
    [[kept]] = asked(url, "SELECT check_value FROM token_key")
    assert kept.startswith("hmac-sha256:")


def test_a_token_that_is_replaced_while_its_old_hash_is_stays_replaced(url, monkeypatch):
    execute, tokens = AsyncConnection.execute, Tokens(b"key")

    async def meanwhile(connection, *asked):
        found = await execute(connection, *asked)
        if asked[0] is devices.HOLDERS:
            await execute(connection, update(Device).values(token_hash=tokens.hashed(b"a newer token")))
        return found

    async def work(there: Database):
        await there.migrate()
        device = {"device_id": UUID(DEVICE), "point_id": UUID(POINT), "register_id": UUID(REGISTER)}
        async with there.asking() as connection:
            plain = hashlib.sha256(TOKEN.encode()).hexdigest()
            await connection.execute(insert(Device).values(**device, token_hash=plain))
        with monkeypatch.context() as patched:
            patched.setattr(AsyncConnection, "execute", meanwhile)
            await devices.holders(there, tokens, Known(), TOKEN.encode())
        return await devices.holders(there, tokens, Known(), b"a newer token")

    assert [device.device_id for device in on(url, work)] == [UUID(DEVICE)]


def test_a_database_that_is_away_is_told_from_one_that_refuses():
    with pytest.raises(DatabaseAway):
        asked("postgresql://nobody@127.0.0.1:1/nothing", "SELECT 1")
