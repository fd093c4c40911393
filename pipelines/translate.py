"""The one place where foreign exceptions become ours: a line that says where, what and what to do."""

from __future__ import annotations

import errno
import re
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import EtlError, Exit, Locked, SettingError, SignInNeeded, Terminated, TryLater, UsageError

KINDS: dict[str, type[EtlError]] = {
    "failed": EtlError,
    "usage": SettingError,
    "temporary": TryLater,
    "sign_in": SignInNeeded,
}
DEBUG = "run again with --debug to see where"
DROP = DEBUG + ", or drop the package that waits with: etl state reset {} --pending"
TEMPORARY = {"quotaExceeded", "rateLimitExceeded", "backendError", "internalError", "badGateway", "timeout"}
KEY_REFUSED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
IN_THE_WAY = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP)
REFUSED = (  # settings that dlt takes, and fails on when it uses them
    (r"max_workers must be greater than 0", "load.workers and normalize.workers must be 1 or more"),
    (r"Unknown level: ", "runtime.log_level must be DEBUG, INFO, WARNING, ERROR or CRITICAL"),
    (r"No module named 'dlt\.common\.normalizers\.naming", "schema.naming must be a naming convention of dlt"),
)

BROKEN = {  # what a row has that a frozen contract does not know, by the entity that is frozen
    "tables": "the table is new",
    "columns": "column '{}' is new",
    "data_type": "a value of column '{}' is of another type",
}


class Interrupted(EtlError):
    """A signal ended the run; what was loaded stays, what was pending is finished next time."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.exit = code


class Where(str):
    """The spec that an error belongs to; `named` is how a command names it, in the environment that it was run in."""

    named: str

    @classmethod
    def of(cls, spec: str, env: str) -> Where:
        where = cls(spec)
        where.named = f"{spec} --env {env}" if env else spec
        return where


def translate(error: BaseException, spec: str, env: str = "") -> EtlError:
    """Our error for any exception of a run of a spec; what it tells to run, it tells with the environment."""
    chain, where = list(_chain(error)), Where.of(spec, env)
    for rule in _RULES:
        for link in chain:
            found = rule(link, where)
            if found is not None:
                return found
    return EtlError(f"{where}: {_place(chain)}{_named(chain[-1])}; {_advice(chain, where)}")


def is_of_rows(error: BaseException) -> bool:
    """Whether a step failed for the rows it was given, and would fail again: not for the machine, nor by a signal."""
    from dlt.common.schema.exceptions import SchemaException

    chain = list(_chain(error))
    for_rows = any(isinstance(link, (SchemaException, ValueError, TypeError, ArithmeticError)) for link in chain)
    return for_rows and not any(isinstance(link, (OSError, MemoryError, KeyboardInterrupt)) for link in chain)


def refusal(error: BaseException) -> str | None:
    """What a destination says against a query that is wrong, or whose rows are; None where something else failed.

    What it quotes of the rows is left out: it may be personal.
    """
    import duckdb
    import psycopg2
    from google.api_core.exceptions import BadRequest, NotFound

    wrong = (duckdb.ProgrammingError, duckdb.NotSupportedError, psycopg2.ProgrammingError, psycopg2.NotSupportedError)
    for link in _chain(error):
        if isinstance(link, (duckdb.DataError, psycopg2.DataError)):
            return re.sub(r"""(['"]).*\1""", "…", _first_line(link))
        if isinstance(link, (BadRequest, NotFound)):
            return re.sub(r"\b(value|string|timestamp|date): .*", r"\1", link.message.splitlines()[0], flags=re.I)
        if isinstance(link, psycopg2.errors.DependentObjectsStillExist):
            return f"{_first_line(link)}: {link.diag.message_detail}"
        if isinstance(link, wrong):
            return "; ".join(line.rstrip("!.?") for line in (_first_line(link), _hint(link)) if line)
    return None


def _hint(link: BaseException) -> str:
    """What a destination proposes instead of a name that it does not know."""
    told = str(getattr(getattr(link, "diag", None), "message_hint", "") or link)
    hint = re.search(r"Did you mean .*|Candidate bindings: .*|Perhaps you meant .*", told)
    return hint[0][:200] if hint else ""


@contextmanager
def told_of(where: str, env: str = "") -> Iterator[None]:
    """Name a spec in whatever goes wrong inside, and the environment in what it tells to run."""
    try:
        yield
    except Exception as error:
        raise translate(error, where, env) from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it, outermost first; dlt keeps some causes in `exception`."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        inner = getattr(link, "exception", None)
        link = link.__cause__ or (inner if isinstance(inner, BaseException) else None) or link.__context__


def _place(chain: list[BaseException]) -> str:
    """The line of `sources/` where it happened, or nothing when it happened elsewhere."""
    for link in reversed(chain):
        for frame in reversed(traceback.extract_tb(link.__traceback__)):
            parts = Path(frame.filename).parts
            if "sources" in parts and "site-packages" not in parts:
                inside = parts[len(parts) - 1 - parts[::-1].index("sources") :]
                return f"{'/'.join(inside)}:{frame.lineno}: "
    return ""


def _named(error: BaseException) -> str:
    text = _first_line(error)
    return text if text == type(error).__name__ else f"{type(error).__name__}: {text}"


def _advice(chain: list[BaseException], where: Where) -> str:
    """What to do about an error nobody foresaw; a package that fails after extract would block later runs."""
    if any(_left_a_package(link) for link in chain):
        return DROP.format(where.named)
    return DEBUG


def _left_a_package(link: BaseException) -> bool:
    """Whether a step of dlt failed whose package stays: that of a replay or of a limited run is thrown away."""
    pipeline = getattr(link, "pipeline", None)
    if pipeline is None or getattr(link, "step", "") not in ("normalize", "load"):
        return False
    return Path(pipeline.working_dir).is_dir() and bool(pipeline.has_pending_data)


def _signal(link: BaseException, where: Where) -> EtlError | None:
    if not isinstance(link, KeyboardInterrupt):
        return None
    terminated = isinstance(link, Terminated) or getattr(link, "signal_code", None) == 15
    code = Exit.TERMINATED if terminated else Exit.INTERRUPTED
    return Interrupted(f"{where}: stopped by a signal; nothing is half-loaded, run again for the rest", code)


def _ours(link: BaseException, where: Where) -> EtlError | None:
    return link if isinstance(link, EtlError) else None


def _http(link: BaseException, where: Where) -> EtlError | None:
    """A status that dlt's REST client did not expect; the query stays out of the message, it may hold a secret."""
    response = getattr(link, "response", None)
    status, url = getattr(response, "status_code", None), str(getattr(response, "url", ""))
    if status is None:
        return None
    address = re.sub(r"//[^/@]*@", "//", url.split("?")[0])
    return EtlError(f"{where}: {address}: answered {status}; check base_url, path and what they name")


def _google(link: BaseException, where: Where) -> EtlError | None:
    """An error that BigQuery or GCS answers with, by its reason; its text names the address, the answer's does not."""
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError, TransportError

    if isinstance(link, GoogleAuthError) and not isinstance(link, TransportError):
        return SettingError(f"{where}: Google does not know the account: {_first_line(link)}; mend its credentials")
    causes = list(_chain(link))
    if isinstance(link, RetryError) and not any(isinstance(cause, GoogleAPICallError) for cause in causes):
        away = _first_line(causes[-1])
        return TryLater(f"{where}: the destination is away: {away}; check the network, or run again later")
    if not isinstance(link, GoogleAPICallError):
        return None
    told = link.errors[0] if link.errors and isinstance(link.errors[0], dict) else {}
    reason, text = str(told.get("reason", link.code)), str(told.get("message", link.message)).splitlines()[0][:300]
    if reason in TEMPORARY or (link.code or 0) in (429, *range(500, 600)):
        return TryLater(f"{where}: the destination asks for time ({reason}): {text}; run again later")
    if reason in ("accessDenied", "authError"):
        return SettingError(
            f"{where}: the destination refuses the account ({reason}): {text}; give it the role it needs"
        )
    of_a_job = link.response is None  # one that failed has no answer of its own
    advice = DROP.format(where.named) if of_a_job else DEBUG
    return EtlError(f"{where}: the destination refuses ({reason}): {text}; {advice}")


def _source(link: BaseException, where: Where) -> EtlError | None:
    """Errors of `sources.kit`, known by their `kind`: no source imports the engine, nor the engine a source."""
    kind = KINDS.get(str(getattr(link, "kind", "")))
    return kind(_first_line(link)) if kind and isinstance(link, Exception) else None


def _setting(link: BaseException, where: Where) -> EtlError | None:
    from dlt.common.configuration.exceptions import (
        ConfigFieldMissingException,
        ConfigurationException,
        ConfigValueCannotBeCoercedException,
        ValueNotSecretException,
    )

    if isinstance(link, ConfigFieldMissingException):
        return SettingError(f"{where}: {_missing(link, where)}")
    if isinstance(link, ValueNotSecretException):
        return SettingError(f"{where}: a secret stands in the spec; move it to .dlt/secrets.toml or the environment")
    if isinstance(link, ConfigValueCannotBeCoercedException):
        form = WORDS.get(str(getattr(link.hint, "__name__", "")), f"a {link.hint}")
        form = 'JSON, e.g. ["a", "b"]' if "list" in str(link.hint).lower() else form
        return SettingError(f"{where}: setting {link.field_name!r} cannot be read; write it as {form}")
    for said, wanted in REFUSED:
        if isinstance(link, (ValueError, ImportError)) and re.match(said, str(link)):
            return SettingError(f"{where}: setting {wanted}; mend it where it is set")
    if isinstance(link, ConfigurationException):
        return SettingError(f"{where}: {_first_line(link)}; mend that setting")
    return None


NO_GOOGLE = (
    "there are no Google credentials; run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS "
    "to a key file, or {0}__… to what that holds"
)


def _missing(error: BaseException, where: Where) -> str:
    """Which setting is missing and the variable that would give it."""
    variable, field = _deepest_trace(getattr(error, "traces", {}), where)
    if field == "project_id" and variable.endswith("__CREDENTIALS__PROJECT_ID"):
        return NO_GOOGLE.format(variable.rpartition("__")[0])
    dotted = ".".join(part.lower() for part in variable.split("__"))
    return f"setting {field!r} is missing; set {variable}, or {dotted} in .dlt/secrets.toml or .dlt/config.toml"


def _deepest_trace(traces: dict[str, list[object]], where: Where) -> tuple[str, str]:
    """The variable a person would set, and its field: of all the names dlt tried, the plainest full one."""
    for field, tried in traces.items():
        for trace in tried:
            inner = getattr(trace, "traces", None)
            if inner:
                return _deepest_trace(inner, where)
        names = [getattr(t, "key", "") for t in tried if getattr(t, "provider", "") == "Environment Variables"]
        plain = [name for name in names if name.startswith(("SOURCES__", "DESTINATION__"))]
        own = sorted((name for name in plain if name.startswith(f"SOURCES__{where.upper()}__")), key=len)
        return next(iter([*own, *plain, *names]), ""), field
    return "", ""


def _syntax(link: BaseException, where: Where) -> EtlError | None:
    if not isinstance(link, SyntaxError) or not link.filename:
        return None
    shown = "/".join(Path(link.filename).parts[-2:])
    return UsageError(f"{shown}:{link.lineno}: not Python: {link.msg}; mend that line")


def _toml(link: BaseException, where: Where) -> EtlError | None:
    """A settings file that is no TOML; dlt tells the reason on a line of its own."""
    from dlt.common.configuration.providers.toml import TomlProviderReadException

    if not isinstance(link, TomlProviderReadException):
        return None
    reason = str(link).strip().splitlines()[-1]
    return SettingError(f".dlt/{link.file_name}: not TOML: {reason}; mend that line")


def _bucket(link: BaseException, where: Where) -> EtlError | None:
    """What S3 and GCS say of a bucket or a key, through s3fs and gcsfs."""
    told = getattr(link, "response", None)
    code = str(told.get("Error", {}).get("Code", "")) if isinstance(told, dict) else ""
    missing = isinstance(link, FileNotFoundError) and re.search(r"/upload/storage/v1/b/[^/]+/o$", str(link))
    if code == "NoSuchBucket" or missing:
        return SettingError(f"{where}: there is no such bucket; create it, or mend bucket_url")
    if code in KEY_REFUSED or str(link).startswith("Forbidden: http"):
        why = f" ({code})" if code else ""
        return SettingError(f"{where}: the bucket refuses the key{why}; check the key and its rights")
    return None


def _disk(link: BaseException, where: Where) -> EtlError | None:
    number = link.errno if isinstance(link, OSError) else None
    if number in FULL or re.search(r"no space left|disk (?:is )?full|disk quota|: file too large", str(link), re.I):
        return EtlError(f"{where}: the disk is full; free space and run again, nothing that was loaded is lost")
    if isinstance(link, OSError) and number in FORBIDDEN:
        return EtlError(f"{where}: {link.filename}: {link.strerror}; let this user read and write it")
    if refused := re.search(r'cannot open file "(.*)": permission denied', str(link), re.I):
        return EtlError(f"{where}: {refused[1]}: Permission denied; let this user read and write it")
    if isinstance(link, OSError) and number in IN_THE_WAY:
        return EtlError(f"{where}: {link.filename}: {link.strerror}; move what is in the way")
    return None


def _network(link: BaseException, where: Where) -> EtlError | None:
    if isinstance(link, (ConnectionError, TimeoutError, socket.gaierror)):
        what = _first_line(link) if str(link) else "no answer in time"
        return TryLater(f"{where}: {what}; check the network and the address, or run again later")
    return None


def _duckdb_lock(link: BaseException, where: Where) -> EtlError | None:
    found = re.search(r'Could not set lock on file "(.+?)": .*?(?:PID (\d+)|$)', str(link), re.S)
    if not found:
        return None
    from pipelines.lock import holder_of

    file, process = Path(found[1]), found[2]
    holder = holder_of(file)
    if holder and str(holder.pid) == process:
        return Locked(f"{where}: {file.name} is held by {holder}; let it end")
    by = f"process {process}" if process else "another program"
    return Locked(
        f"{where}: the DuckDB file is open in {by}, which is no run (a DuckDB shell, a notebook); close it there and "
        "run again"
    )


def _destination(link: BaseException, where: Where) -> EtlError | None:
    from dlt.common.destination.exceptions import DestinationTransientException

    text = str(link)
    for pattern, make in _DESTINATION:
        if re.search(pattern, text, re.I):
            return make(where, _reason(text))
    if isinstance(link, DestinationTransientException):
        return TryLater(f"{where}: the destination did not answer: {_reason(text)}; run again later")
    return None


_DESTINATION: list[tuple[str, Callable[[Where, str], EtlError]]] = [
    (
        r"password authentication failed|no password supplied",
        lambda w, t: SettingError(
            f"{w}: the destination refuses the password; set DESTINATION__WAREHOUSE__CREDENTIALS__PASSWORD"
        ),
    ),
    (
        r'(database|role) "[^"]*" does not exist|permission denied|no pg_hba\.conf entry',
        lambda w, t: SettingError(f"{w}: {t}; create it, or mend destinations.toml"),
    ),
    (
        r"connection refused|could not translate host name|timeout expired|server closed the connection"
        r"|could not connect|connection to server at .* failed|terminating connection|connection already closed"
        r"|the database system is",
        lambda w, t: TryLater(f"{w}: the destination is away: {t}; start it, or run again later"),
    ),
    (
        r"too many levels of symbolic links",
        lambda w, t: SettingError(f"{w}: the path of the warehouse is a circle of links; name another file"),
    ),
    (
        r"because other objects depend on it",
        lambda w, t: EtlError(f"{w}: {t}; drop what depends on it, then run again"),
    ),
    (
        r"load job .* runs for more than",
        lambda w, t: TryLater(f"{w}: {t}; the next run looks at it again"),
    ),
    (
        r"not a valid DuckDB database file|could not read from file.*is a directory",
        lambda w, t: SettingError(
            f"{w}: the warehouse file is not a DuckDB database; move it away or name another file"
        ),
    ),
    (
        r"corrupt database file|could not read enough bytes",
        lambda w, t: EtlError(
            f"{w}: the warehouse file is damaged; put a copy in its place, or move it away and run again"
        ),
    ),
    (
        r"violates [\w-]+ constraint|NOT NULL constraint failed|invalid input syntax for type"
        r"|Could not convert|Cannot coerce NULL",
        lambda w, t: EtlError(
            f"{w}: a value does not fit its column in the warehouse; see what etl plan {w.named} says, declare "
            "the column as it was loaded, or load the table anew with --full-refresh"
        ),
    ),
    (
        r"tables can have at most|row is too big|conflicts with a system column",
        lambda w, t: EtlError(
            f"{w}: {t}; leave such columns out, then drop the package that waits with: "
            f"etl state reset {w.named} --pending"
        ),
    ),
]


def _contract(link: BaseException, where: Where) -> EtlError | None:
    from dlt.common.schema.exceptions import DataValidationError

    if not isinstance(link, DataValidationError):
        return None
    entity, column = link.schema_entity, re.sub(r"__v_\w+$", "", link.column_name or "")
    what = f"{where}.{link.table_name}: {BROKEN[entity].format(column)}"
    return EtlError(
        f"{what}, and its schema_contract freezes {entity}; nothing was loaded: set {entity}: evolve for one run, or "
        f"{entity}: discard_value to leave it out"
    )


def _memory(link: BaseException, where: Where) -> EtlError | None:
    if isinstance(link, MemoryError):
        return EtlError(f"{where}: out of memory; read less at once, e.g. with --limit or --since")
    return None


def _reason(text: str) -> str:
    """The part of a driver's message that a person can use."""
    if dependents := re.search(r"(cannot drop .+ because other objects depend on it)\s+DETAIL:\s+(.+)", text):
        return ": ".join(dependents.groups())
    cause = re.search(r"(?:\bCause|\bpsycopg2\.errors\.\w+): (.+)", text)
    if cause:
        return cause[1].strip().rstrip(".?")[:200]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [
        line for line in lines if re.search(r"refused|failed|does not exist|denied|timeout|closed|away|FATAL", line)
    ]
    line = (telling or lines or [""])[-1]
    return re.sub(r"^.*?(?:reason given is:|FATAL:|error:)\s*", "", line).rstrip(".?")[:200]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:500] if lines else type(error).__name__


_RULES = (
    _signal, _ours, _google, _source, _http, _toml, _setting, _syntax, _bucket, _disk, _duckdb_lock, _destination,
    _network, _contract, _memory,
)  # fmt: skip
