"""Settings of the service: environment variables, by the names and with the defaults that its users know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from pipelines.errors import SettingError

DEV = "dev"
ADMIN_TOKEN = "changeme-admin-token"
SHORTEST_TOKEN = 16
STORAGE = Path("/var/lib/ingest_api/audio")
DEV_STORAGE = Path("ingest/audio")
SQLITE = "ingest.sqlite"
DRIVERS = {"postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg", "sqlite": "sqlite+aiosqlite"}


class Settings(BaseModel):
    """What the service was told; each field's alias is the variable."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    root: Path
    environment: str = DEV
    database_url: SecretStr = Field(alias="DATABASE_URL")
    database_is_named: bool = True
    storage: Path = Field(alias="AUDIO_STORAGE_DIR")
    bucket: str | None = Field(None, alias="AUDIO_BUCKET", description="of the environment; files go there at last")
    admin_token: SecretStr = Field(SecretStr(ADMIN_TOKEN), alias="ADMIN_TOKEN")
    internal_token: SecretStr | None = Field(None, alias="INTERNAL_TOKEN", description="reads and claims chunks")
    token_key: SecretStr | None = Field(None, alias="TOKEN_KEY", description="of the hashes of tokens")
    host: str = Field("0.0.0.0", alias="HOST")
    port: int = Field(8000, alias="PORT", ge=0, le=65535)
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], BeforeValidator(lambda level: str(level).lower())
    ] = Field("info", alias="LOG_LEVEL")
    cors: bool = Field(False, alias="CORS_ENABLED")
    max_upload_bytes: int = Field(10_485_760, alias="MAX_UPLOAD_SIZE_BYTES", ge=1)
    uploads_at_once: int = Field(64, alias="UPLOADS_AT_ONCE", ge=1)
    uploads_per_minute: int = Field(600, alias="UPLOADS_PER_MINUTE", ge=1, description="of one device")
    upload_seconds: float = Field(300, alias="UPLOAD_SECONDS", gt=0, description="for one upload, at most")
    min_free_bytes: int = Field(268_435_456, alias="MIN_FREE_BYTES", ge=0)
    stuck_seconds: float = Field(600, alias="STUCK_SECONDS", gt=0, description="until a claim is given to another")
    sweep_seconds: float = Field(60, alias="SWEEP_SECONDS", gt=0)
    orphan_seconds: float = Field(3600, alias="ORPHAN_SECONDS", ge=60, description="until a file with no row is moved")

    @classmethod
    def read(cls, variables: Mapping[str, str], root: Path, environment: str = DEV) -> Self:
        """The settings of a workspace; SettingError names every variable that is wrong."""
        given = {name: value for name, value in variables.items() if value != ""}
        storage = _storage(given, root, environment)
        given |= {"AUDIO_STORAGE_DIR": str(storage), "DATABASE_URL": _database_url(given, storage)}
        told = {"root": root, "environment": environment, "database_is_named": bool(variables.get("DATABASE_URL"))}
        try:
            settings = cls.model_validate({**given, **told})
        except ValidationError as error:
            wrong = "; ".join(f"{each['loc'][0]}: {each['msg'][0].lower()}{each['msg'][1:]}" for each in error.errors())
            raise SettingError(f"{wrong}; mend the variable") from None
        settings.refuse_known_token()
        return settings

    def warnings(self) -> Iterator[str]:
        """What is allowed, and may not be meant."""
        if self.admin_token.get_secret_value() == ADMIN_TOKEN and not _is_loopback(self.host):
            yield (
                f"ADMIN_TOKEN: is the default, which everybody knows, and {self.host} can be reached from elsewhere; "
                "set another, or --host 127.0.0.1"
            )
        if self.environment != DEV and not self.database_is_named:
            file = self.database_url.get_secret_value().partition("///")[2]
            yield f"DATABASE_URL: is not set, so the rows are in SQLite, {file}; set it where they shall be in Postgres"

    def refuse_known_token(self) -> None:
        """Outside dev nobody may come in by a token that everybody knows, or could guess."""
        token = self.admin_token.get_secret_value()
        if self.environment != DEV and (token == ADMIN_TOKEN or len(token) < SHORTEST_TOKEN):
            raise SettingError(
                f"ADMIN_TOKEN: is the default or shorter than {SHORTEST_TOKEN} characters, which only --env {DEV} "
                "may have; set another"
            )


def _is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone; what is no address but localhost may be anywhere."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _storage(given: Mapping[str, str], root: Path, environment: str) -> Path:
    """The folder of the audio; in dev, one of the workspace unless another is named."""
    default = root / DEV_STORAGE if environment == DEV else STORAGE
    return (root / given.get("AUDIO_STORAGE_DIR", default)).resolve()


def _database_url(given: Mapping[str, str], storage: Path) -> str:
    """A URL with a driver that does not block; a file beside the audio where none is given."""
    text = given.get("DATABASE_URL")
    if text is None:
        return f"sqlite+aiosqlite:///{storage.with_name(SQLITE)}"
    try:
        url = make_url(text)
        return url.set(drivername=DRIVERS[url.drivername.split("+")[0]]).render_as_string(hide_password=False)
    except (ArgumentError, KeyError):
        raise SettingError("DATABASE_URL: is neither postgresql://… nor sqlite:///…; mend the variable") from None
