"""Exit codes and messages: the table people's scripts rely on, and what foreign exceptions become."""

from __future__ import annotations

import errno
import itertools
import sqlite3
from decimal import InvalidOperation

import pytest
from dlt.common.configuration.exceptions import (
    ConfigFieldMissingException,
    ConfigurationException,
    LookupTrace,
    ValueNotSecretException,
)
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.destination.exceptions import DestinationTransientException
from dlt.common.schema.exceptions import DataValidationError

from pipelines import errors
from pipelines.errors import EtlError, Exit, Problem, SpecError, Terminated, did_you_mean, worst
from pipelines.rows.harmless import harmless
from pipelines.translate import is_of_rows, translate
from sources.kit import errors as of_sources

CODES = {
    "OK": 0, "FAILED": 1, "USAGE": 2, "PARTIAL": 3, "CHECKS": 4, "TEMPORARY": 5, "SIGN_IN": 6, "LOCKED": 7,
    "INTERRUPTED": 130, "TERMINATED": 143,
}  # fmt: skip
WORST_FIRST = [130, 143, 1, 2, 6, 5, 7, 4, 3, 0]
CLASSES = {
    "EtlError": 1, "UsageError": 2, "SettingError": 2, "Partial": 3, "ChecksFailed": 4, "TryLater": 5,
    "SignInNeeded": 6, "Locked": 7,
}  # fmt: skip


def test_exit_codes_are_an_api():
    assert {code.name: int(code) for code in Exit} == CODES


@pytest.mark.parametrize(("name", "code"), CLASSES.items())
def test_the_exit_code_stands_on_the_class(name, code):
    assert getattr(errors, name)("x").exit == code


def test_a_spec_error_is_a_usage_error():
    assert SpecError([]).exit == 2


@pytest.mark.parametrize(("worse", "better"), list(itertools.combinations(WORST_FIRST, 2)))
def test_of_several_specs_the_worst_code_wins(worse, better):
    assert worst([Exit(better), Exit(worse), Exit(better)]) == worse


def test_nothing_to_do_is_ok():
    assert worst([]) is Exit.OK


def with_errno(number: int, file: str = "/data/x.duckdb") -> OSError:
    return OSError(number, "some reason", file)


def config_missing() -> Exception:
    traces = [
        LookupTrace("Environment Variables", ["sources", "toy"], "SOURCES__TOY__TOKEN", None),
        LookupTrace("Environment Variables", ["sources"], "SOURCES__TOKEN", None),
    ]
    return ConfigFieldMissingException(BaseConfiguration(), {"token": traces})


def caused(outer: Exception, inner: BaseException) -> Exception:
    outer.__cause__ = inner
    return outer


FOREIGN = [
    (EtlError("toy: our own; keep it"), 1, "toy: our own; keep it"),
    (caused(RuntimeError("wrapped"), errors.Locked("toy: held; wait")), 7, "toy: held; wait"),
    (of_sources.SourceError("toy: broken; mend it"), 1, "toy: broken; mend it"),
    (of_sources.BadSetting("toy: no contact; set it"), 2, "toy: no contact; set it"),
    (of_sources.TryLater("toy: busy; run later"), 5, "toy: busy; run later"),
    (of_sources.SignInNeeded("toy: 401; sign in"), 6, "toy: 401; sign in"),
    (caused(RuntimeError("by dlt"), of_sources.TryLater("toy: busy; run later")), 5, "toy: busy; run later"),
    (KeyboardInterrupt(), 130, "toy: stopped by a signal; nothing is half-loaded"),
    (Terminated(), 143, "toy: stopped by a signal; nothing is half-loaded"),
    (
        config_missing(), 2,
        "toy: setting 'token' is missing; set SOURCES__TOY__TOKEN, or sources.toy.token in .dlt/secrets.toml",
    ),
    (ValueNotSecretException("spec", "token"), 2, "toy: a secret stands in the spec; move it to .dlt/secrets.toml"),
    (ConfigurationException("odd setting"), 2, "toy: odd setting; mend that setting"),
    (with_errno(errno.ENOSPC), 1, "toy: the disk is full; free space and run again"),
    (sqlite3.OperationalError("database or disk is full"), 1, "toy: the disk is full; free space and run again"),
    (with_errno(errno.EDQUOT), 1, "toy: the disk is full; free space and run again"),
    (RuntimeError("IO Error: Could not write file: No space left on device"), 1, "toy: the disk is full; free space"),
    (with_errno(errno.EACCES), 1, "toy: /data/x.duckdb: some reason; let this user read and write it"),
    (
        RuntimeError('IO Error: Cannot open file "/data/x.duckdb": Permission denied'), 1,
        "toy: /data/x.duckdb: Permission denied; let this user read and write it",
    ),
    (with_errno(errno.EROFS), 1, "toy: /data/x.duckdb: some reason; let this user read and write it"),
    (
        RuntimeError("IO Error: Could not set lock on file \"x\": Conflicting lock is held in python (PID 4711)"), 7,
        "toy: the DuckDB file is open in process 4711, which is no run",
    ),
    (
        RuntimeError('connection failed: FATAL:  password authentication failed for user "etl"'), 2,
        "toy: the destination refuses the password; set DESTINATION__WAREHOUSE__CREDENTIALS__PASSWORD",
    ),
    (
        RuntimeError('connection failed: FATAL:  database "nope" does not exist'), 2,
        'toy: database "nope" does not exist; create it, or mend destinations.toml',
    ),
    (
        RuntimeError('permission denied for database "x"'), 2,
        'toy: permission denied for database "x"; create it, or mend destinations.toml',
    ),
    (
        RuntimeError('connection to server at "127.0.0.1", port 1 failed: Connection refused\n\tIs it running?'), 5,
        "toy: the destination is away: ",
    ),
    (
        RuntimeError('connection to server at "h", port 1 failed: FATAL:  sorry, too many clients already'), 5,
        "toy: the destination is away: sorry, too many clients already; start it, or run again later",
    ),
    (
        RuntimeError('connection to server at "h", port 1 failed: FATAL:  no pg_hba.conf entry for host "x"'), 2,
        'toy: no pg_hba.conf entry for host "x"; create it, or mend destinations.toml',
    ),
    (RuntimeError("server closed the connection unexpectedly"), 5, "toy: the destination is away: "),
    (
        RuntimeError("FATAL: terminating connection due to administrator command"), 5,
        "toy: the destination is away: terminating connection due to administrator command",
    ),
    (
        RuntimeError('IO Error: The file "x" exists, but it is not a valid DuckDB database file!'), 2,
        "toy: the warehouse file is not a DuckDB database; move it away",
    ),
    (DestinationTransientException("job 7 timed out"), 5, "toy: the destination did not answer: job 7 timed out; run"),
    (
        DataValidationError("toy", "things", "extra", "columns", "freeze", None, {}, None), 1,
        "toy.things: column 'extra' is new, and its schema_contract freezes columns; nothing was loaded: set columns",
    ),
    (MemoryError(), 1, "toy: out of memory; read less at once"),
    (caused(RuntimeError("by dlt"), KeyError("id")), 1, "toy: KeyError: 'id'; run again with --debug"),
    (ValueError("first\nsecond"), 1, "toy: ValueError: first; run again with --debug"),
    (ValueError(), 1, "toy: ValueError; run again with --debug"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "code", "starts"), FOREIGN, ids=[f"{type(e).__name__}-{s[:40]}" for e, _, s in FOREIGN]
)
def test_a_foreign_exception_becomes_one_line_with_an_exit_code(error, code, starts):
    ours = translate(error, "toy")
    assert (int(ours.exit), str(ours).startswith(starts)) == (code, True), str(ours)
    assert len(str(ours).splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (caused(RuntimeError("by dlt"), DataValidationError("s", "t", "c", "columns", "freeze", None, {}, None)), True),
        (caused(RuntimeError("by dlt"), InvalidOperation()), True),
        (RuntimeError("by dlt"), False),
        (caused(ValueError("torn"), with_errno(errno.ENOSPC)), False),
        (caused(RuntimeError("by dlt"), MemoryError()), False),
        (caused(ValueError("torn"), Terminated()), False),
    ],
)
def test_rows_are_to_blame_for_what_would_fail_again(error, is_so):
    assert is_of_rows(error) is is_so


def test_an_exception_that_is_its_own_cause_ends():
    error = ValueError("round")
    error.__context__ = RuntimeError("and round")
    error.__context__.__context__ = error
    assert translate(error, "toy").exit is Exit.FAILED


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        ("chesss", ["chess", "github"], " (did you mean 'chess'?)"),
        ("CHESS", ["chess"], " (did you mean 'chess'?)"),
        ("Dev", ["DEV"], " (did you mean 'DEV'?)"),
        ("zzz", ["chess"], ""),
        ("x", [], ""),
    ],
)
def test_suggestions(word, known, said):
    assert did_you_mean(word, known) == said


def test_an_annotation_escapes_what_github_reads():
    problem = Problem("specs/a.yaml", 3, 7, "rest.client", "100%\r\nbroken")
    assert str(problem) == "specs/a.yaml:3:7: rest.client: 100%\r\nbroken"
    assert problem.annotation() == "::error file=specs/a.yaml,line=3,col=7::rest.client: 100%25%0D%0Abroken"


def test_problems_are_told_in_file_order():
    problems = [Problem("b", 1, 1, "", "last"), Problem("a", 9, 2, "", "third"), Problem("a", 9, 1, "", "second")]
    assert [p.message for p in SpecError(problems).problems] == ["second", "third", "last"]


HARMLESS = [
    ('{"api_key": "abc def", "n": 1}', '{"api_key": "…", "n": 1}'),
    ('{"apiKey":"a\\"b c"}', '{"apiKey":"…"}'),
    ("{'x-api-key': 'it\\'s', 'n': 1}", "{'x-api-key': '…', 'n': 1}"),
    ('"{\\"password\\": \\"abc def\\", \\"n\\": 1}"', '"{\\"password\\": \\"…\\", \\"n\\": 1}"'),
    ('{"access_token": 12345, "n": 1}', '{"access_token": …, "n": 1}'),
    ('{"secrets":["abc", "def"], "n": 1}', '{"secrets":…], "n": 1}'),
    ('{"token": "cut o', '{"token": "…'),
    ("api-key=abc&n=1", "api-key=…&n=1"),
    ("engine.tokens_key: cannot read it", "engine.tokens_key: cannot read it"),
]


@pytest.mark.parametrize(("text", "left"), HARMLESS)
def test_a_text_of_others_is_shown_without_what_may_be_a_secret(text, left):
    assert harmless(text) == left
