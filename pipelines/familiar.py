"""Settings under the names that other tools know them by: DATABASE_URL, BACKBLAZE_B2_…, AWS_… and SPOTIFY_…."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pipelines.environment import WAREHOUSE, Environment
from pipelines.errors import SettingError

AUDIO = "audio"
DATABASE_URL = "DATABASE_URL"
PROJECT = "GCP_PROJECT_ID"
KEY_ID, APPLICATION_KEY = "BACKBLAZE_B2_KEY_ID", "BACKBLAZE_B2_APPLICATION_KEY"
ENDPOINT, REGION = "BACKBLAZE_B2_S3_ENDPOINT", "BACKBLAZE_B2_REGION"
BUCKETS = ("BACKBLAZE_B2_BUCKET", "B2_BUCKET_NAME")
AWS = {
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "aws_session_token": "AWS_SESSION_TOKEN",
    "endpoint_url": "AWS_ENDPOINT_URL",
    "region_name": "AWS_REGION",
}
POSTGRES_PORT = 5432
OF_A_SIGN_IN = {"client_id", "client_secret", "redirect_uri", "refresh_token", "username", "password"} | {
    "spartan_token",
    "clearance_token",
}
ONE_OF_SEVERAL = {"players": "player"}  # SPNKR_PLAYER
TOKENSTORE = "tokenstore"
INFIXES = ("", "azure_", "oauth_")  # SPNKR_AZURE_CLIENT_ID, SPNKR_OAUTH_REFRESH_TOKEN
_B2_HOST = re.compile(r"s3\.([a-z0-9-]+)\.backblazeb2\.com(?::\d+)?")
_DRIVER = re.compile(r"postgres(?:ql)?(?:\+\w+)?://")


def plain_url(url: str) -> str:
    """The address of a Postgres database as its own library reads it: no quotes, no driver, `ssl` called `sslmode`."""
    bare = _DRIVER.sub("postgresql://", url.strip().strip("\"'"), count=1)
    return re.sub(r"([?&])ssl=(?=(?:disable|allow|prefer|require|verify-ca|verify-full)(?:&|$))", r"\1sslmode=", bare)


def database(environment: Environment, variables: Mapping[str, str]) -> dict[str, Any]:
    """The warehouse that DATABASE_URL names, where the environment has a Postgres."""
    url = variables.get(DATABASE_URL)
    if not url or environment.kind != "postgres":
        return {}
    return {"destination": {WAREHOUSE: {"credentials": _fields(plain_url(url))}}}


def project(environment: Environment, variables: Mapping[str, str]) -> dict[str, Any]:
    """The project of GCP_PROJECT_ID, where the environment has a BigQuery."""
    name = variables.get(PROJECT)
    if not name or environment.kind != "bigquery":
        return {}
    return {"destination": {WAREHOUSE: {"project_id": name, "credentials": {"project_id": name}}}}


def bucket(environment: Environment, variables: Mapping[str, str]) -> dict[str, Any]:
    """The bucket of BACKBLAZE_B2_…, where the environment keeps audio in a bucket of that protocol."""
    if not _in_s3(environment):
        return {}
    _refuse_halves(variables)
    endpoint = variables.get(ENDPOINT)
    credentials = {
        "aws_access_key_id": variables.get(KEY_ID),
        "aws_secret_access_key": variables.get(APPLICATION_KEY),
        "endpoint_url": _with_scheme(endpoint),
        "region_name": variables.get(REGION) or _region(endpoint),
    }
    name = next((variables[each] for each in BUCKETS if variables.get(each)), None)
    return _audio(credentials, {"bucket_url": f"s3://{name}"} if name else {})


def fallback(environment: Environment, variables: Mapping[str, str]) -> dict[str, Any]:
    """What AWS_… say of the same bucket; for whatever nothing else says."""
    if not _in_s3(environment):
        return {}
    return _audio({field: variables.get(name) for field, name in AWS.items()}, {})


def of_a_source(key: str, sections: Sequence[str]) -> list[str]:
    """What other programs call a setting of a source by which somebody signs in (SPOTIFY_CLIENT_ID), or who plays."""
    if len(sections) != 2 or sections[0] != "sources":
        return []
    if key == TOKENSTORE:
        return [f"{sections[1]}tokens".upper(), f"{sections[1]}_tokenstore_gcs".upper()]
    infixes = INFIXES if key in OF_A_SIGN_IN else ("",) if key in ONE_OF_SEVERAL else ()
    return [f"{sections[1]}_{infix}{ONE_OF_SEVERAL.get(key, key)}".upper() for infix in infixes]


def _audio(credentials: Mapping[str, str | None], table: dict[str, Any]) -> dict[str, Any]:
    given = {field: value for field, value in credentials.items() if value}
    whole = {**table, "credentials": given} if given else table
    return {"destination": {AUDIO: whole}} if whole else {}


def _in_s3(environment: Environment) -> bool:
    return str(environment.destinations().get(AUDIO, {}).get("bucket_url", "")).startswith("s3://")


def _refuse_halves(variables: Mapping[str, str]) -> None:
    given = [name for name in (KEY_ID, APPLICATION_KEY) if variables.get(name)]
    if len(given) == 1:
        other = APPLICATION_KEY if given == [KEY_ID] else KEY_ID
        raise SettingError(f"{given[0]}: is set without {other}; set both, or neither")


def _with_scheme(endpoint: str | None) -> str | None:
    return endpoint if not endpoint or "://" in endpoint else f"https://{endpoint}"


def _region(endpoint: str | None) -> str | None:
    found = _B2_HOST.fullmatch(urlsplit(_with_scheme(endpoint) or "").netloc)
    return found[1] if found else None


def _fields(url: str) -> dict[str, Any]:
    """The parts of an address; SettingError, which does not repeat it, when it is none."""
    wrong = f"{DATABASE_URL}: is no address of a Postgres database; write postgresql://user:password@host:port/database"
    try:
        parts = urlsplit(url)
        port = parts.port or POSTGRES_PORT
    except ValueError as error:
        raise SettingError(wrong) from error
    if parts.scheme != "postgresql" or not parts.hostname or len(parts.path) < 2:
        raise SettingError(wrong)
    found = {
        "host": parts.hostname,
        "port": port,
        "database": unquote(parts.path[1:]),
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "query": dict(parse_qsl(parts.query)),
    }
    return {name: value for name, value in found.items() if value}
