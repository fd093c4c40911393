"""Tokens that another program keeps as the library `garminconnect` does: where a sign-in may begin, never written.

`sources.<name>.tokenstore`, which that program calls GARMINTOKENS or GARMIN_TOKENSTORE_GCS, is their JSON, or the file
or folder that holds it, in a bucket too. They are of the one account there is.
"""

from __future__ import annotations

import json
from pathlib import Path

from dlt.common.configuration.utils import deserialize_value

from pipelines import buckets
from pipelines.configuration import setting
from pipelines.environment import Environment
from pipelines.errors import SettingError
from pipelines.familiar import TOKENSTORE
from pipelines.tokens.settings import given
from pipelines.tokens.stores import Content

FILE = "{}_tokens.json"
TOKENS = {"access_token": "di_token", "refresh_token": "di_refresh_token"}
CLIENT = {"client_id": "di_client_id"}


def begun(environment: Environment, name: str, account: str) -> Content | None:
    """What an account begins with where nothing is kept of it yet: a token that is set, or another program's."""
    return given(name, account) or _adopted(environment, name, account)


def _adopted(environment: Environment, name: str, account: str) -> Content | None:
    found = setting(TOKENSTORE, ("sources", name), secret=True, fewest=2)
    place = str(found[0]).strip() if found else ""
    if not place or not _is_only(name, account):
        return None
    try:
        told = json.loads(place if place.startswith("{") else _content(environment, name, place))
        tokens = {ours: told[theirs] for ours, theirs in TOKENS.items()}
        return {**tokens, "extra": {ours: told.get(theirs) for ours, theirs in CLIENT.items()}}
    except FileNotFoundError:
        why = "is not there"
    except (ValueError, TypeError, KeyError):
        why = "holds no tokens of garminconnect"
    raise SettingError(f"sources.{name}.{TOKENSTORE}: {why}; mend it, or sign in: etl auth login {name}")


def _is_only(name: str, account: str) -> bool:
    accounts = setting("accounts", ("sources", name))
    return not account or (accounts is not None and deserialize_value("accounts", accounts[0], list) == [account])


def _content(environment: Environment, name: str, place: str) -> bytes:
    filesystem, path = buckets.at(environment, str(Path(place).expanduser()) if place[0] == "~" else place, TOKENSTORE)
    file = path if path.endswith(".json") else f"{path}/{FILE.format(name)}"
    content: bytes = filesystem.cat_file(file)
    return content
