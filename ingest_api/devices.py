"""The registry of devices: who may send, as whom, and how its clock is set."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import BindParameter, Row, and_, bindparam, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from ingest_api.database import Database
from ingest_api.moments import zone
from ingest_api.settings import SHORTEST_TOKEN
from ingest_api.tables import Device, now
from ingest_api.tokens import SCHEME, Tokens, new_token

SEEN_EVERY = timedelta(seconds=10)
"""How exact `last_seen_at` is: a device that sends without pause costs no write for each chunk."""
KNOWN_SECONDS = 1.0
"""How long a device that another process disables, or whose token it replaces, may still come in."""
GRACE = timedelta(days=7)
"""How long a token is good after it was replaced."""


HASHES: list[BindParameter[str]] = [bindparam("new"), bindparam("old")]
HOLDERS = select(Device).where(
    or_(
        Device.token_hash.in_(HASHES),
        and_(Device.previous_token_hash.in_(HASHES), Device.previous_token_until > bindparam("now")),
    ),
    Device.is_enabled,
)
"""Made once: to put a statement together costs as much as to execute it."""


Zone = Annotated[
    str,
    AfterValidator(lambda name: zone(name).key),
    Field(
        description="In which its times are that name no zone.",
        json_schema_extra=lambda schema: schema.update(enum=[*sorted(available_timezones())]),
    ),
]


class NewDevice(BaseModel):
    """What makes a device."""

    device_id: UUID
    point_id: UUID
    register_id: UUID
    token_plain: str = Field(min_length=SHORTEST_TOKEN, max_length=1024)
    timezone: Zone = "UTC"


class Registered(BaseModel):
    """A device as anyone may see it."""

    model_config = ConfigDict(from_attributes=True)

    device_id: UUID
    point_id: UUID
    register_id: UUID
    is_enabled: bool
    created_at: datetime
    last_seen_at: datetime | None
    timezone: str


class Known:
    """Who had a token a moment ago: a recorder that catches up sends without a pause."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._changed = 0.0
        self._by_hash: dict[str, tuple[float, Sequence[Row[Any]]]] = {}

    def holders(self, token_hash: str) -> Sequence[Row[Any]]:
        """The devices that had it, or none."""
        until, found = self._by_hash.get(token_hash, (0.0, ()))
        return found if self.clock() < until else ()

    def remember(self, token_hash: str, found: Sequence[Row[Any]], asked: float) -> None:
        """Know for a moment what was asked for then, unless a device has changed since."""
        if asked > self._changed:
            self._by_hash[token_hash] = asked + KNOWN_SECONDS, found

    def forget(self) -> None:
        """A device has changed."""
        self._changed = self.clock()
        self._by_hash.clear()


class DeviceExists(Exception):
    """There is one by this id."""


async def add(database: Database, tokens: Tokens, device: NewDevice) -> Registered:
    """Register a device; DeviceExists where its id is taken."""
    values = device.model_dump(exclude={"token_plain"}) | {"token_hash": tokens.hashed(device.token_plain.encode())}
    try:
        async with database.asking() as connection:
            row = (await connection.execute(insert(Device).values(values).returning(*Device.__table__.columns))).one()
    except IntegrityError:
        raise DeviceExists from None
    return Registered.model_validate(row)


async def shared(database: Database, tokens: Tokens, device: NewDevice) -> str | None:
    """What is to be said of a token that other devices have, too; None where it is this one's alone."""
    hashes = tokens.known_as(device.token_plain.encode())
    others = select(func.count()).where(Device.token_hash.in_(hashes), Device.device_id != device.device_id)
    async with database.asking() as connection:
        count = (await connection.execute(others)).scalar_one()
    return f"{count} other {'device has' if count == 1 else 'devices have'} this token" if count else None


async def listed(database: Database) -> list[Registered]:
    """All devices, the newest first."""
    async with database.asking() as connection:
        rows = await connection.execute(select(Device).order_by(Device.created_at.desc(), Device.device_id))
        return [Registered.model_validate(row) for row in rows]


async def need_key(database: Database) -> bool:
    """Whether a token is kept as a hash that only its key can make again."""
    keyed = select(exists().where(Device.token_hash.startswith(SCHEME)))
    async with database.asking() as connection:
        return bool((await connection.execute(keyed)).scalar_one())


async def change(database: Database, device_id: UUID, **values: Any) -> Registered | None:
    """Set columns of a device, or none; None where there is no such device."""
    this = Device.device_id == device_id
    changing = update(Device).where(this).values(values).returning(*Device.__table__.columns)
    async with database.asking() as connection:
        row = (await connection.execute(changing if values else select(Device).where(this))).one_or_none()
    return None if row is None else Registered.model_validate(row)


async def rotate(database: Database, tokens: Tokens, device_id: UUID, grace: timedelta = GRACE) -> str | None:
    """Give a device a new token and return it; the old one is good a while longer. None where there is no device."""
    token = new_token()
    changed = await change(
        database, device_id, token_hash=tokens.hashed(token.encode()), previous_token_hash=Device.token_hash,
        previous_token_until=now() + grace,
    )  # fmt: skip
    return token if changed else None


async def holders(database: Database, tokens: Tokens, known: Known, token: bytes) -> Sequence[Row[Any]]:
    """The enabled devices that a token is of; seen now is the one that has it alone, of others nobody knows yet."""
    new, old = tokens.known_as(token)
    if found := known.holders(new):
        return found
    asked = known.clock()
    async with database.asking() as connection:
        found = (await connection.execute(HOLDERS, {"new": new, "old": old, "now": now()})).all()
        if any(device.token_hash == old for device in found):  # one that is replaced meanwhile has it no more
            await connection.execute(update(Device).where(Device.token_hash == old).values(token_hash=new))
    if len(found) == 1:
        await see(database, found[0])
    if found:
        known.remember(new, found, asked)
    return found


async def see(database: Database, device: Row[Any]) -> None:
    """Note that a device was here."""
    if device.last_seen_at is None or now() - device.last_seen_at > SEEN_EVERY:
        await change(database, device.device_id, last_seen_at=now())
