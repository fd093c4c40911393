"""What the service refuses, and the words it has always used for it."""

from __future__ import annotations

from fastapi import HTTPException, status

BEARER = {"WWW-Authenticate": "Bearer"}
RETRY_SECONDS = 30


class Refused(HTTPException):
    """An answer other than 200; its detail is part of the contract."""


def unauthorized(detail: str) -> Refused:
    """Nobody, or nobody we know."""
    return Refused(status.HTTP_401_UNAUTHORIZED, detail, BEARER)


def not_found(detail: str) -> Refused:
    """There is no such thing."""
    return Refused(status.HTTP_404_NOT_FOUND, detail)


def conflict(detail: str) -> Refused:
    """Something else has that place."""
    return Refused(status.HTTP_409_CONFLICT, detail)


def malformed(detail: str) -> Refused:
    """No request of this kind."""
    return Refused(status.HTTP_400_BAD_REQUEST, detail)


def unfitting(detail: str) -> Refused:
    """Well formed, and wrong."""
    return Refused(status.HTTP_422_UNPROCESSABLE_CONTENT, detail)


def too_large(limit: int) -> Refused:
    """More than is taken."""
    return Refused(status.HTTP_413_CONTENT_TOO_LARGE, f"File exceeds maximum size of {limit} bytes")


def too_slow(seconds: float) -> Refused:
    """It took too long."""
    return Refused(status.HTTP_408_REQUEST_TIMEOUT, f"Upload takes longer than {seconds:g} seconds")


def too_often(seconds: float) -> Refused:
    """This one shall wait."""
    return Refused(status.HTTP_429_TOO_MANY_REQUESTS, "Too many uploads of this device", _after(seconds))


def short(detail: str, seconds: float = RETRY_SECONDS) -> Refused:
    """All shall wait."""
    return Refused(status.HTTP_503_SERVICE_UNAVAILABLE, detail, _after(seconds))


def failed() -> Refused:
    """It is our fault, and nobody knows for how long."""
    return Refused(status.HTTP_500_INTERNAL_SERVER_ERROR, "Failed to save chunk")


def _after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, round(seconds + 0.5)))}
