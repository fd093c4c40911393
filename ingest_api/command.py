"""`etl serve` and `etl serve devices …`: what the command line asks of the service."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

from pydantic import TypeAdapter, ValidationError

from ingest_api import devices, keys, server
from ingest_api.database import Database, DatabaseAway
from ingest_api.devices import DeviceExists, NewDevice, Registered, Zone
from ingest_api.settings import Settings
from ingest_api.storage import Storage
from ingest_api.tokens import KEY_FILE, Tokens, new_token
from pipelines import dot_env, logs
from pipelines import environment as environments
from pipelines.errors import Exit, TryLater, UsageError
from pipelines.printing import Printer

T = TypeVar("T")
OPTIONS: dict[int | str, str] = {
    "device_id": "--device", "point_id": "--point", "register_id": "--register", "token_plain": "--token",
    "timezone": "--zone",
}  # fmt: skip
NO_DEVICES = "no devices yet; try: etl serve devices add"
HEADER = ("device", "point", "register", "zone", "enabled", "last seen", "registered")


def serve(root: Path, env: str, host: str | None, port: int | None, log_format: str) -> Exit:
    """Receive chunks until told to end."""
    given = {"HOST": host, "PORT": port if port is None else str(port)}
    settings = read(root, env, {name: value for name, value in given.items() if value is not None})
    logs.configure(log_format, settings.log_level)
    for line in settings.warnings():
        logs.LOGGER.warning(line)
    server.serve(settings)
    return Exit.OK


def read(root: Path, env: str, given: dict[str, str] | None = None) -> Settings:
    """The settings of an environment that exists: the command line's, the process environment's, those of `.env`."""
    environments.load(root, env)
    return Settings.read({**dot_env.variables(root), **os.environ, **(given or {})}, root, env)


def list_devices(root: Path, env: str, printer: Printer) -> Exit:
    """Print all devices, the newest first."""
    found = _asked(read(root, env), lambda database, _: devices.listed(database))
    printer.document([device.model_dump(mode="json") for device in found])
    rows = [
        (d.device_id, d.point_id, d.register_id, d.timezone, d.is_enabled, d.last_seen_at, d.created_at) for d in found
    ]
    printer.table(HEADER, rows) if rows else printer.lines([NO_DEVICES])
    return Exit.OK


def add_device(
    root: Path, env: str, ids: tuple[str | None, str, str], timezone: str, token: str | None, printer: Printer
) -> Exit:
    """Register a device and print it; its token is printed, this once, where it was made here."""
    device_id, point_id, register_id = ids
    told = {"device_id": device_id or str(uuid4()), "point_id": point_id, "register_id": register_id}
    try:
        device = NewDevice.model_validate({**told, "token_plain": token or new_token(), "timezone": timezone})
    except ValidationError as error:
        raise _unfit("add", error) from None

    async def add(database: Database, tokens: Tokens) -> tuple[Registered, str | None]:
        return await devices.add(database, tokens, device), await devices.shared(database, tokens, device)

    try:
        added, shared = _asked(read(root, env), add)
    except DeviceExists:
        raise UsageError(f"device {device.device_id}: already exists; rotate its token, or choose another id") from None
    if shared:
        logs.LOGGER.warning(shared)
    return _told(added, None if token else device.token_plain, printer)


def enable_device(root: Path, env: str, device_id: str, enabled: bool, printer: Printer) -> Exit:
    """Let a device in, or keep it out."""
    return _changed(root, env, device_id, printer, is_enabled=enabled)


def set_zone(root: Path, env: str, device_id: str, timezone: str, printer: Printer) -> Exit:
    """Say where a device's clock is, for what it sends from now on."""
    try:
        zone = TypeAdapter(Zone).validate_python(timezone)
    except ValidationError as error:
        raise _unfit("zone", error) from None
    return _changed(root, env, device_id, printer, timezone=zone)


def rotate_tokens(
    root: Path, env: str, device_id: str | None, every: bool, grace_hours: float, printer: Printer
) -> Exit:
    """Give a device, or each, a new token and print it, this once."""
    grace = timedelta(hours=grace_hours)
    if every and device_id is None:
        return _rotate_all(root, env, grace, printer)
    if every or device_id is None:
        raise UsageError("etl serve devices rotate: give one device, or --all")
    wanted = _id(device_id)
    token = _asked(read(root, env), lambda database, tokens: devices.rotate(database, tokens, wanted, grace))
    if token is None:
        raise _unknown(device_id)
    printer.document(_new(wanted, token))
    printer.lines(_shown(wanted, token))
    return Exit.OK


def _rotate_all(root: Path, env: str, grace: timedelta, printer: Printer) -> Exit:
    """Each device, by whatever key there is now."""

    async def rotate(database: Database, tokens: Tokens) -> list[tuple[UUID, str]]:
        ids = [device.device_id for device in await devices.listed(database)]
        made = [(each, await devices.rotate(database, tokens, each, grace)) for each in ids]
        await keys.accept(database, tokens)
        return [(each, token) for each, token in made if token]

    made = _asked(read(root, env), rotate, any_key=True)
    printer.document([_new(*each) for each in made])
    printer.lines([line for each in made for line in _shown(*each)] or [NO_DEVICES])
    return Exit.OK


def _new(device_id: UUID, token: str) -> dict[str, str]:
    return {"device_id": str(device_id), "token_plain": token}


def _shown(device_id: UUID, token: str) -> list[str]:
    return [f"device {device_id}", f"token  {token}"]


def _changed(root: Path, env: str, device_id: str, printer: Printer, **values: Any) -> Exit:
    wanted = _id(device_id)
    changed = _asked(read(root, env), lambda database, _: devices.change(database, wanted, **values))
    if changed is None:
        raise _unknown(device_id)
    return _told(changed, None, printer)


def _told(device: Registered, token: str | None, printer: Printer) -> Exit:
    printer.document(device.model_dump(mode="json") | ({"token_plain": token} if token else {}))
    printer.lines(
        [f"device {device.device_id}: {'enabled' if device.is_enabled else 'disabled'}, zone {device.timezone}"]
    )
    printer.lines([f"token  {token}"] if token else [])
    return Exit.OK


def _asked(settings: Settings, question: Callable[[Database, Tokens], Awaitable[T]], any_key: bool = False) -> T:
    """What the database answers."""
    if settings.token_key is None and not (settings.storage / KEY_FILE).exists():
        Storage(settings.storage).prepare()  # where that cannot be, a database beside it could not say why

    async def answer() -> T:
        await server.migrated(settings, any_key)
        database = Database(settings.database_url.get_secret_value())
        try:
            return await question(database, keys.tokens_of(settings))
        except DatabaseAway as error:
            raise TryLater(f"DATABASE_URL: the database does not answer ({error}); try again") from error
        finally:
            await database.close()

    return asyncio.run(answer())


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise UsageError(f"device {text}: is no UUID; see etl serve devices list") from None


def _unfit(verb: str, error: ValidationError) -> UsageError:
    """What is wrong, by the options as they are typed."""
    told = ((each["loc"] or ("timezone",), each["msg"].removeprefix("Value error, ")) for each in error.errors())
    wrong = "; ".join(f"{OPTIONS[place[0]]}: {said[0].lower()}{said[1:]}" for place, said in told)
    return UsageError(f"etl serve devices {verb}: {wrong}")


def _unknown(device_id: str) -> UsageError:
    return UsageError(f"device {device_id}: there is none; see etl serve devices list")
