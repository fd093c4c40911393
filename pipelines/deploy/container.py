"""What a container does: a command of `etl` as it is given, or the one that its variables say.

MODE=ingest SERVICE=garmin,spotify ENV=dev  →  etl ingest garmin spotify --env dev
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipelines.errors import Exit, UsageError, did_you_mean
from pipelines.logs import LEVELS

MODES = ("fetch", "ingest", "run")
TYPES = ("SCOPE", "DATA_TYPES")
OPTIONS = {"LIMIT": "--limit", "DAYS": "--days", "DESTINATION": "--to"}
ACT_IN = {"LIMIT": ("fetch", "run"), "DAYS": ("fetch", "run"), "DESTINATION": ("fetch",), "DRY_RUN": ("ingest", "run")}
NUMBERS = ("LIMIT", "DAYS")
KNOWN = ("MODE", "SERVICE", *TYPES, *OPTIONS, "ENV", "DRY_RUN", "LOG_LEVEL")
YES, NO = ("true", "1", "yes"), ("false", "0", "no")


def main() -> None:
    """Become `etl`, so that it gets the signals of the container."""
    try:
        arguments = sys.argv[1:] or command(os.environ)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(int(Exit.USAGE))
    program = Path(sys.executable).with_name("etl")
    os.execv(program, [program.name, *arguments])


def command(variables: Mapping[str, str]) -> list[str]:
    """The arguments of `etl`; UsageError for what cannot be meant. An empty variable but DESTINATION is none."""
    if variables.get("DESTINATION", "-").strip() == "":
        raise UsageError(
            "DESTINATION: is empty, and raw files would go elsewhere; name a folder or bucket, or unset it"
        )
    given = {name: text for name in KNOWN if (text := variables.get(name, "").strip())}
    if "DRY_RUN" in given and not _is_on(given["DRY_RUN"]):
        del given["DRY_RUN"]
    if not given:
        return ["list", "--types"]
    mode = given.get("MODE", "fetch").lower()
    if mode not in MODES:
        raise UsageError(f"MODE={given['MODE']}: must be one of {', '.join(MODES)}{did_you_mean(mode, MODES)}")
    _refuse(mode, given)
    return [mode, *_listed("SERVICE", given), *_options(given)]


def _refuse(mode: str, given: Mapping[str, str]) -> None:
    """Refuse what would do nothing, and what is missing."""
    for name in given:
        if mode not in ACT_IN.get(name, MODES):
            raise UsageError(f"{name}: does nothing where MODE is {mode}; leave it out")
    for name in NUMBERS:
        if not given.get(name, "0").isdecimal():
            raise UsageError(f"{name}={given[name]}: must be a whole number")
    level = given.get("LOG_LEVEL", LEVELS[0]).lower()
    if level not in LEVELS:
        raise UsageError(
            f"LOG_LEVEL={given['LOG_LEVEL']}: must be one of {', '.join(LEVELS)}{did_you_mean(level, LEVELS)}"
        )
    if all(name in given for name in TYPES):
        raise UsageError("SCOPE and DATA_TYPES: name the same thing; give one of them")
    if not any(name in given for name in ("SERVICE", *TYPES)):
        raise UsageError(f"SERVICE: is not set; name what to {mode}, e.g. SERVICE=chess or DATA_TYPES=games")
    if "ENV" not in given and "DESTINATION" not in given:
        raise UsageError("ENV: is not set; name an environment of destinations.toml, e.g. ENV=prd")


def _options(given: Mapping[str, str]) -> Iterator[str]:
    for name in TYPES:
        yield from ("--select", ",".join(_listed(name, given))) if name in given else ()
    for name, option in OPTIONS.items():
        yield from (option, given[name]) if name in given else ()
    yield from ("--env", given["ENV"]) if "ENV" in given else ()
    yield from ["--dry-run"] if "DRY_RUN" in given else []
    yield from ("--log-level", given["LOG_LEVEL"].lower()) if "LOG_LEVEL" in given else ()


def _listed(name: str, given: Mapping[str, str]) -> Sequence[str]:
    """`garmin, spotify` as two names; UsageError for what is none, or would be an option."""
    parts = [part.strip() for part in given.get(name, "").split(",")]
    named = [part for part in parts if part]
    if name in given and (not named or any(part.startswith("-") for part in named)):
        raise UsageError(f"{name}={given[name]}: must be names, with commas between them")
    return named


def _is_on(text: str) -> bool:
    if text.lower() not in (*YES, *NO):
        raise UsageError(f"DRY_RUN={text}: must be true or false")
    return text.lower() in YES


if __name__ == "__main__":
    main()
