"""`/api/v1/admin/devices`: who may send."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Body, Request, Response, status
from pydantic import BaseModel, ConfigDict, Field

from ingest_api import devices, refusals, service
from ingest_api.access import AdminRoute
from ingest_api.devices import GRACE, DeviceExists, NewDevice, Registered, Zone
from ingest_api.routes.documented import guarded, refused

NO_DEVICE = "Device not found"
router = guarded("/api/v1/admin/devices", "devices", AdminRoute)


class Change(BaseModel):
    """What may change."""

    model_config = ConfigDict(extra="forbid")

    is_enabled: Annotated[bool, Field(strict=True)] | None = None
    timezone: Zone | None = None


class NewToken(BaseModel):
    """A token, shown this once."""

    device_id: UUID
    token_plain: str


@router.post("", status_code=status.HTTP_201_CREATED, responses=refused(400, 409))
async def add_device(request: Request, response: Response, device: NewDevice) -> Registered:
    """Register a device with the token it will send; a `Warning` says where others have the same."""
    here = service.of(request)
    try:
        added = await devices.add(here.database, here.tokens, device)
    except DeviceExists:
        raise refusals.conflict("Device already exists") from None
    if shared := await devices.shared(here.database, here.tokens, device):
        response.headers["Warning"] = f'299 - "{shared}"'
    return added


@router.get("")
async def list_devices(request: Request) -> list[Registered]:
    """All devices, the newest first."""
    return await devices.listed(service.of(request).database)


@router.patch("/{device_id}", responses=refused(400, 404))
async def change_device(request: Request, device_id: UUID, change: Change) -> Registered:
    """Enable or disable a device, or mend its zone, for what comes from now on; `{}` changes nothing."""
    here = service.of(request)
    changed = await devices.change(here.database, device_id, **change.model_dump(exclude_none=True))
    here.known.forget()
    if changed is None:
        raise refusals.not_found(NO_DEVICE)
    return changed


@router.post("/{device_id}/token", responses=refused(400, 404))
async def rotate_token(
    request: Request,
    device_id: UUID,
    grace_hours: Annotated[float, Field(strict=True, ge=0, le=8760), Body(embed=True)] = GRACE / timedelta(hours=1),
) -> NewToken:
    """Give a device a new token; the old one is good for `grace_hours` more."""
    here = service.of(request)
    token = await devices.rotate(here.database, here.tokens, device_id, timedelta(hours=grace_hours))
    here.known.forget()
    if token is None:
        raise refusals.not_found(NO_DEVICE)
    return NewToken(device_id=device_id, token_plain=token)
