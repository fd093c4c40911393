"""Who has entered: a cookie that says until when, and that only the service can write.

It says nothing of the token, and is worth nothing once the token, or the key of the hashes of tokens, is another one.
"""

from __future__ import annotations

from datetime import timedelta
from hmac import compare_digest

from ingest_api.service import Service
from ingest_api.tables import now

COOKIE = "ingest_page"
LASTS = timedelta(hours=12)


def begun(service: Service) -> str:
    """The value of the cookie for who has shown the token."""
    return _signed(service, str(int((now() + LASTS).timestamp())))


def holds(service: Service, value: str | None) -> bool:
    """Whether it is a value of ours whose time has not come."""
    until, _, _ = (value or "").partition(".")
    is_ours = compare_digest((value or "").encode(), _signed(service, until).encode())
    return is_ours and int(until) > now().timestamp()


def _signed(service: Service, until: str) -> str:
    token = service.settings.admin_token.get_secret_value()
    return f"{until}.{service.tokens.hashed(f'page {until} {token}'.encode()).rpartition(':')[2]}"
