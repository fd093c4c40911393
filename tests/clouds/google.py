"""What BigQuery and GCS share: a service account made on the spot, its tokens, and the form of an error."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.clouds.loopback import Answer, Asked, Loopback

PROJECT = "loopback"
TOKEN = "token-of-the-stand-in"
NOTHING_OUTSIDE = {"https_proxy": "http://127.0.0.1:9"}  # google-auth asks Google where an account may be used


class Refused(Exception):
    """An error as Google's APIs say it: a status, a reason and a message."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message

    @property
    def answer(self) -> Answer:
        error = {"reason": self.reason, "message": self.message, "domain": "global"}
        return Answer(self.status, {"error": {"code": self.status, "message": self.message, "errors": [error]}})

    @property
    def result(self) -> dict[str, Any]:
        """The same inside a job."""
        return {"reason": self.reason, "message": self.message}


@cache
def _private_key() -> str:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def service_account(url: str) -> str:
    """The JSON key of an account that fetches its tokens from a stand-in."""
    fields = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "1",
        "private_key": _private_key(),
        "client_email": f"tests@{PROJECT}.iam.gserviceaccount.com",
        "token_uri": f"{url}/token",
    }
    return json.dumps(fields)


def token() -> Answer:
    """What the account gets for its signed assertion."""
    return Answer(200, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})


def check_token(asked: Asked) -> None:
    """Refuse whoever comes without the token."""
    if asked.headers.get("authorization") != f"Bearer {TOKEN}":
        raise Refused(401, "authError", "Request had invalid authentication credentials")


class Service(Loopback):
    """A service of Google: a token first, then the route that fits, errors in Google's form."""

    def _routes(self) -> list[tuple[str, str, Callable[..., Answer]]]:
        """Method, pattern of the path, and what answers with the groups of the pattern."""
        raise NotImplementedError

    def _named(self, groups: tuple[str, ...]) -> tuple[str, ...]:
        """The names in a path; Refused where there is no such thing."""
        return groups

    def _route(self, asked: Asked) -> Answer:
        try:
            if asked.path == "/token":
                return token()
            check_token(asked)
            for method, pattern, handle in self._routes():
                if asked.method == method and (found := re.fullmatch(pattern, asked.path)):
                    return handle(asked, *self._named(found.groups()))
            raise Refused(404, "notFound", f"the stand-in has no {asked.method} {asked.path}")
        except Refused as refused:
            return refused.answer
