"""Which key the hashes of tokens are made with: the database knows it, as by another one no device would come in."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from ingest_api import devices
from ingest_api.database import Database
from ingest_api.settings import Settings
from ingest_api.tables import Key
from ingest_api.tokens import KEY_FILE, Tokens, key_of
from pipelines.errors import SettingError

ROTATE = "etl serve devices rotate --all"
OTHERWISE = f"put it back, or name it in TOKEN_KEY; where it is lost for good, {ROTATE} gives each device a new token"


def tokens_of(settings: Settings) -> Tokens:
    """Hashes with the key of the settings, or else that beside the audio."""
    return Tokens(key_of(settings.token_key.get_secret_value() if settings.token_key else None, settings.storage))


async def refuse_another(settings: Settings, database: Database) -> None:
    """Remember the first key there is; SettingError where it is gone, or another one has its place."""
    file, kept = settings.storage / KEY_FILE, await _kept(database)
    if settings.token_key is None and not file.exists() and (kept or await devices.need_key(database)):
        raise SettingError(f"{file}: is gone, and tokens of devices are known by its key alone; {OTHERWISE}")
    tokens = tokens_of(settings)
    if kept is None:
        await accept(database, tokens)
    elif kept != tokens.check:
        where = "TOKEN_KEY" if settings.token_key else file
        raise SettingError(f"{where}: is not the key by which tokens of devices are known; {OTHERWISE}")


async def accept(database: Database, tokens: Tokens) -> None:
    """Remember a key in the place of the one before."""
    async with database.asking() as connection:
        changed = await connection.execute(update(Key).values(check_value=tokens.check))
        if not changed.rowcount:
            with suppress(IntegrityError):  # another process was first
                await connection.execute(insert(Key).values(only=True, check_value=tokens.check))


async def _kept(database: Database) -> str | None:
    async with database.asking() as connection:
        kept: str | None = (await connection.execute(select(Key.check_value))).scalar()
        return kept
