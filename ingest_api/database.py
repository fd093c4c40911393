"""The database of the service: Postgres, or a SQLite file where none is named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolIsEmpty
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ingest_api.alone import alone_in
from pipelines.errors import SettingError

MIGRATIONS = Path(__file__).parent / "migrations"
BASE, HEAD = "base", "head"
ONE_MIGRATES = 7_233_195_501
"""Names an advisory lock of Postgres."""
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000")
POSTGRES = {
    "pool_size": 10, "max_overflow": 10, "pool_timeout": 10, "pool_recycle": 1800,
    "connect_args": {"timeout": 5, "command_timeout": 30},
}  # fmt: skip
SQLITE = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 10}


class DatabaseAway(Exception):
    """The database does not answer, or has no connection to spare; later it may."""


class Database:
    """Statements on one database, each a transaction of its own; DatabaseAway where there is none to be had."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.engine = _engine(url, isolation_level="AUTOCOMMIT", pool_reset_on_return=None)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[AsyncConnection]:
        """A connection; IntegrityError is the caller's."""
        async with _present(), self.engine.connect() as connection:
            yield connection

    async def migrate(self, to: str = HEAD) -> None:
        """Bring the tables to a step, up or down; of several processes one at a time."""
        engine = _engine(self._url)
        try:
            if _is_sqlite(self._url):
                with alone_in(_folder(self._url)):
                    await _migrated(engine, to)
            else:
                await _migrated(engine, to, f"SELECT pg_advisory_xact_lock({ONE_MIGRATES})")
        finally:
            await engine.dispose()

    async def close(self) -> None:
        """Give all connections back."""
        await self.engine.dispose()


async def _migrated(engine: AsyncEngine, to: str, *before: str) -> None:
    async with _present(), engine.begin() as connection:
        for statement in before:
            await connection.execute(text(statement))
        await connection.run_sync(_migrate, to)


def _folder(url: str) -> Path:
    """Where a SQLite file lies."""
    return Path(make_url(url).database or "").parent


def _is_sqlite(url: str) -> bool:
    return make_url(url).get_backend_name() == "sqlite"


def _engine(url: str, **options: Any) -> AsyncEngine:
    if not _is_sqlite(url):
        return create_async_engine(url, **POSTGRES, **options)
    folder = _folder(url)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"{folder}: {error.strerror}; let DATABASE_URL name a file in another folder") from error
    engine = create_async_engine(url, **SQLITE, **options)
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    return engine


@asynccontextmanager
async def _present() -> AsyncIterator[None]:
    try:
        yield
    except (IntegrityError, ProgrammingError, DataError):
        raise
    except (DBAPIError, PoolIsEmpty, OSError) as error:
        raise DatabaseAway(str(error).partition("\n")[0]) from error


def _migrate(connection: Connection, to: str) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    down = to == BASE or (to != HEAD and to < _step(connection))
    (command.downgrade if down else command.upgrade)(config, to)


def _step(connection: Connection) -> str:
    """The step the tables are at."""
    return str(connection.execute(text("SELECT version_num FROM ingest_api_version")).scalar_one())


def _set_pragmas(connection: Any, _: object) -> None:
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
