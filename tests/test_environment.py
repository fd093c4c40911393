"""Environments: where settings come from, what is refused, and what each key does."""

from __future__ import annotations

import re

import pytest

from pipelines import configuration, environment
from pipelines.configuration import Variables
from pipelines.environment import Environment
from tests.toys import rows, toy
from tests.workspace import DESTINATIONS, REPOSITORY, Workspace

SOURCE = '''\
"""One row that tells which colour was set."""

import dlt


@dlt.source(name="paint", section="paint")
def paint(colour: str = "of the source", base_url: str = "of the source"):
    yield dlt.resource([{"colour": colour, "base_url": base_url}], name="seen", write_disposition="replace")
'''
SPEC = "name: paint\nabout: Tells its colour.\npython: {}\n"
CLOSED = """\
[test.warehouse]
destination_type = "postgres"
[test.warehouse.credentials]
host = "127.0.0.1"
database = "etl"
username = "etl"
port = {port}
"""
PORT = "DESTINATION__WAREHOUSE__CREDENTIALS__PORT"
PASSWORD = {"DESTINATION__WAREHOUSE__CREDENTIALS__PASSWORD": "x"}
WAREHOUSE = '[x.warehouse]\ndestination_type = "duckdb"\n'
PLANTED = "hunter2-planted"


@pytest.fixture
def paint(workspace):
    """A workspace with a source that tells its settings."""
    made = workspace()
    made.write("specs/paint.yaml", SPEC)
    made.write("sources/paint.py", SOURCE)
    return made


def seen(workspace: Workspace, *arguments: str, **variables: str) -> str:
    """The colour that reached the source."""
    result = workspace.etl("run", "paint", "--env", "test", *arguments, **variables)
    assert result.code == 0, result.err
    return str(workspace.query("SELECT colour FROM paint.seen")[0][0])


def test_each_provider_overrides_the_one_below(paint):
    assert seen(paint) == "of the source"
    paint.write("specs/paint.yaml", SPEC.replace("{}", "{colour: of the spec}"))
    assert seen(paint) == "of the spec"
    files = [".dlt/config.toml", ".dlt/test.config.toml", ".dlt/secrets.toml", ".dlt/test.secrets.toml"]
    for file in files:
        paint.write(file, f'[sources.paint]\ncolour = "of {file}"\n')
        assert seen(paint) == f"of {file}"
    variables = {"SOURCES__PAINT__COLOUR": "of a variable"}
    assert seen(paint, **variables) == "of a variable"
    assert seen(paint, "--with", "colour=of the command line", **variables) == "of the command line"


def test_each_provider_overrides_the_one_below_for_a_destination(paint):
    """Shown by the port that does not answer."""

    def port(**variables: str) -> str:
        result = paint.etl("run", "paint", "--env", "test", **PASSWORD, **variables)
        assert result.code == 5
        found = re.search(r"port (\d+) failed", result.err)
        assert found, result.err
        return found[1]

    paint.write("destinations.toml", CLOSED.format(port=1))
    assert port() == "1"
    files = [".dlt/config.toml", ".dlt/test.config.toml", ".dlt/secrets.toml", ".dlt/test.secrets.toml"]
    for number, file in enumerate(files, 2):
        paint.write(file, f"[destination.warehouse.credentials]\nport = {number}\n")
        assert port() == str(number)
    assert port(**{PORT: "9"}) == "9"


def test_settings_of_another_environment_do_not_count(paint):
    paint.write(".dlt/other.secrets.toml", '[sources.paint]\ncolour = "of another"\n')
    assert seen(paint) == "of the source"


def test_a_bare_variable_does_not_reach_a_source(paint):
    paint.etl("run", "paint", "--env", "test", BASE_URL="http://stray", COLOUR="stray", PAINT__COLOUR="stray")
    assert paint.query("SELECT colour, base_url FROM paint.seen") == [("of the source", "of the source")]


def test_a_secret_that_the_container_holds_as_a_file_is_found(paint, monkeypatch):
    file = paint.write("secrets/sources--paint--colour", "of a file")
    monkeypatch.setattr("dlt.common.configuration.providers.environ.SECRET_STORAGE_PATH", f"{file.parent}/%s")
    paint.write("sources/paint.py", SOURCE.replace("colour: str", "colour: dlt.TSecretStrValue"))
    assert seen(paint) == "of a file"


@pytest.mark.parametrize("file", [".dlt/config.toml", ".dlt/test.config.toml"])
@pytest.mark.parametrize(
    "text",
    [
        f'[sources.paint]\ntoken = "{PLANTED}"\n',
        f'[destination.warehouse.credentials]\npassword = "{PLANTED}"\n',
        f'[sources.paint]\nbase_url = "https://user:{PLANTED}@example.org/"\n',
        f'[sources.paint]\nmirrors = ["https://user:{PLANTED}@example.org/"]\n',
    ],
)
def test_a_secret_in_a_config_file_is_refused_and_not_shown(paint, file, text):
    paint.write(file, text)
    result = paint.etl("run", "paint", "--env", "test")
    assert (result.code, len(result.err.splitlines())) == (2, 1)
    assert f"{file}: " in result.err
    assert "looks like a secret; move it to .dlt/secrets.toml or the environment" in result.err
    assert PLANTED not in result.out + result.err + traces(paint)


def traces(workspace: Workspace) -> str:
    return "".join(path.read_text() for path in (workspace.root / "runs").rglob("*.json"))


WRONG = [
    ("x = 1\n", "destinations.toml: no [x]; it has: none"),
    ("[[x]]\na = 1\n", "destinations.toml: no [x]; it has: none"),
    ("[x.warehouse\n", "destinations.toml: not TOML: ", "line 1", "mend that line"),
    ("[x]\n", "destinations.toml:1:1: x: no [x.warehouse]; add it with destination_type = 'duckdb'"),
    ("[x]\nwarehouse = 'a'\n", "destinations.toml:2:1: x.warehouse: expected a table [x.warehouse], got 'a'"),
    ("[x.warehouse]\n", ":1:1: x.warehouse: destination_type is missing; use one of: duckdb, postgres, bigquery"),
    ("[x.warehouse]\ndestination_type = 'duckbd'\n", "x.warehouse.destination_type: ", "(did you mean 'duckdb'?)"),
    ("[x.warehouse]\ndestination_type = 'filesystem'\n", "'filesystem' cannot stand here"),
    (f"[x]\nfoldr = 'a'\n{WAREHOUSE}", ":2:1: x.foldr: unknown key (did you mean 'folder'?)"),
    (f"[x]\nfolder = 3\n{WAREHOUSE}", ":2:1: x.folder: expected text, got 3"),
    (f"[x]\nprotected = 'yes'\n{WAREHOUSE}", ":2:1: x.protected: expected true or false, got 'yes'"),
    (f"[x]\ndataset_name_layout = 'abc'\n{WAREHOUSE}", ":2:1: x.dataset_name_layout: expected one %s among"),
    (f"[x]\ndataset_name_layout = '%s_%d'\n{WAREHOUSE}", ":2:1: x.dataset_name_layout: expected one %s among"),
    (f"[x]\ndataset_name_layout = 'a b %s'\n{WAREHOUSE}", ":2:1: x.dataset_name_layout: expected one %s among"),
    (f"[x]\ntokens = 'files'\n{WAREHOUSE}", ":2:1: x.tokens: 'files' is no place for tokens (did you mean 'file'?)"),
    (f"[x]\ntokens = true\n{WAREHOUSE}", ":2:1: x.tokens: expected text, got True"),
    (f"{WAREHOUSE}credential = 'a'\n", ":3:1: x.warehouse.credential: unknown key (did you mean 'credentials'?)"),
    (f"{WAREHOUSE}credentials = 3\n", ":3:1: x.warehouse.credentials: expected the path of a file"),
    (f"{WAREHOUSE}credentials = 'md:cloud'\n", ":3:1: x.warehouse.credentials: expected the path of a file"),
    (f"{WAREHOUSE}credentials = ':memory:'\n", ":3:1: x.warehouse.credentials: expected the path of a file"),
    (f"[x]\nkeep_raw = true\n{WAREHOUSE}", ":2:1: x.keep_raw: raw files are kept in [x.landing]; add it"),
    (f"[x]\nkeep_raw = 1\n{WAREHOUSE}", ":2:1: x.keep_raw: expected true or false, got 1"),
    (f"[x]\nraw_compression = 'gzip'\n{WAREHOUSE}", ":2:1: x.raw_compression: expected 'zstd' or 'none'"),
    (f"{WAREHOUSE}[x.landing]\nbucket_url = 'a'\n", ":3:1: x.landing: destination_type is missing"),
    (f"{WAREHOUSE}[x.landing]\ndestination_type = 'filesystem'\n", ":3:1: x.landing: bucket_url is missing"),
    (f"{WAREHOUSE}[x.landing]\ndestination_type = 'filesystem'\nbucket_url = 3\n", ":5:1: x.landing.bucket_url: "),
    (f"{WAREHOUSE}[x.landing]\ndestination_type = 'duckdb'\n", "'duckdb' cannot stand here; use one of: filesystem"),
    (f"{WAREHOUSE}password = '{PLANTED}'\n", ":3:1: x.warehouse.password: looks like a secret; move it"),
    (f"{WAREHOUSE}kwargs = {{api_key = '{PLANTED}'}}\n", "x.warehouse.kwargs.api_key: looks like a secret; move it"),
    (f"{WAREHOUSE}[x.views]\npaint = 'paint__%s'\n", ":4:1: x.views.paint: expected a dataset, a dot and a name with"),
    (f"{WAREHOUSE}[x.views]\npaint = 7\n", ":4:1: x.views.paint: expected a dataset, a dot and a name with"),
    (f"{WAREHOUSE}[x.views]\npant = 'old.%s'\n", ":4:1: x.views.pant: there is no spec of that name (did you mean"),
    (f"[x]\nretention = 30\n{WAREHOUSE}", ":2:1: x.retention: expected a table [x.retention], got 30"),
    (f"{WAREHOUSE}[x.retention]\nrun_days = 3\n", ":4:1: x.retention.run_days: unknown key (did you mean 'runs_"),
    (f"{WAREHOUSE}[x.retention]\nruns_days = 0\n", ":4:1: x.retention.runs_days: expected a whole number of days, 1"),
    (f"{WAREHOUSE}[x.retention]\narchive_days = 9\n", ":4:1: x.retention.archive_days: raw files are kept in"),
    (f"{WAREHOUSE}[x.retention]\nruns_days = true\n", "expected a whole number of days, 1 to 36500, got True"),
    (
        f"[x.warehouse]\ndestination_type = 'postgres'\ncredentials = 'postgresql://me:{PLANTED}@host/db'\n",
        ":3:1: x.warehouse.credentials: looks like a secret; move it",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "parts"), [(text, parts) for text, *parts in WRONG], ids=[w[1][:50] for w in WRONG])
def test_a_wrong_environment_is_refused_in_one_line(paint, text, parts):
    paint.write("destinations.toml", text)
    result = paint.etl("run", "paint", "--env", "x")
    assert (result.code, len(result.err.splitlines())) == (2, 1), result.err
    assert PLANTED not in result.out + result.err
    for part in parts:
        assert part in result.err


def test_all_mistakes_of_an_environment_are_told_at_once(paint):
    paint.write("destinations.toml", f"[x]\nfoldr = 'a'\nprotected = 3\n{WAREHOUSE}token = 'x'\n")
    result = paint.etl("run", "paint", "--env", "x")
    assert [line.split(":")[1] for line in result.err.splitlines()] == ["2", "3", "6"]


def test_a_file_that_is_not_utf_8(paint):
    (paint.root / "destinations.toml").write_bytes(b"[x]\n# \xff\n")
    result = paint.etl("run", "paint", "--env", "x")
    assert (result.code, result.err) == (2, "destinations.toml: not UTF-8; save the file as UTF-8\n")


@pytest.mark.parametrize(
    "command", [["run", "paint"], ["plan", "paint"], ["doctor"], ["status"], ["state", "show", "paint"]]
)
def test_an_unknown_environment_names_those_there_are(paint, command):
    result = paint.etl(*command, "--env", "tset")
    assert (result.code, result.err) == (2, "destinations.toml: no [tset] (did you mean 'test'?); it has: test\n")


def test_a_secrets_file_that_is_no_toml_is_told_by_a_new_process(paint):
    """There dlt reads the file before we do."""
    paint.write(".dlt/secrets.toml", f"[sources.paint\ntoken = {PLANTED}\n")
    result = paint.run("run", "paint", "--env", "test")
    assert (result.code, PLANTED in result.err) == (2, False)
    [line] = result.err.splitlines()
    assert ".dlt/secrets.toml: not TOML: " in line
    assert "at line 1" in line


@pytest.mark.parametrize("file", [".dlt/config.toml", ".dlt/secrets.toml", ".dlt/test.secrets.toml"])
def test_a_settings_file_that_is_no_toml_is_named_with_its_line(paint, file):
    paint.write(file, f"[sources.paint]\ntoken = {PLANTED}\n")
    result = paint.etl("run", "paint", "--env", "test")
    assert (result.code, len(result.err.splitlines())) == (2, 1)
    assert f"{file}: not TOML: " in result.err
    assert "line 2" in result.err
    assert PLANTED not in result.out + result.err + traces(paint)


FILE = "Environment Variables: destination.warehouse.credentials"
LAYOUT = "Environment Variables: pipelines.dataset_name_layout: the layout of names stands in destinations.toml"
SETTINGS = {
    "DESTINATION__WAREHOUSE__CREDENTIALS=x.duckdb": f"{FILE}: a DuckDB file is named in destinations.toml",
    "DESTINATION__WAREHOUSE__CREDENTIALS__DATABASE=x": f"{FILE}.database: a DuckDB file is named in",
    "PIPELINES__DATASET_NAME_LAYOUT=x_%s": LAYOUT,
    "PIPELINES__PAINT__DATASET_NAME_LAYOUT=x_%s": LAYOUT,
    "LOAD__WORKERS=0": "paint: setting load.workers and normalize.workers must be 1 or more; mend it where it is set",
    "NORMALIZE__WORKERS=-1": "paint: setting load.workers and normalize.workers must be 1 or more; mend it where",
    "LOAD__WORKERS=abc": "paint: setting 'workers' cannot be read; write it as a whole number",
    "RUNTIME__LOG_LEVEL=LOUD": "paint: setting runtime.log_level must be DEBUG, INFO, WARNING, ERROR or CRITICAL; ",
    "SCHEMA__NAMING=odd": "paint: setting schema.naming must be a naming convention of dlt; mend it where it is set",
}


@pytest.mark.parametrize(("given", "said"), SETTINGS.items())
def test_a_setting_that_cannot_be_meant_is_one_line(paint, given, said):
    variable, _, value = given.partition("=")
    result = paint.etl("run", "paint", "--env", "test", **{variable: value})
    assert (result.code, len(result.err.splitlines())) == (2, 1), result
    assert result.err.startswith(f"ERROR: {said}")


ROUND = "Too many levels of symbolic links; move what is in the way"
CIRCLES = [
    ("[x]\nfolder = 'round'\n[x.warehouse]\ndestination_type = 'duckdb'\n", 1, ROUND),
    (
        "[x.warehouse]\ndestination_type = 'duckdb'\ncredentials = 'round'\n",
        2,
        "is a circle of links; name another file",
    ),
    (
        "[x.warehouse]\ndestination_type = 'duckdb'\ncredentials = 'round/x.duckdb'\n",
        1,
        "/round: File exists; move what",
    ),
]


@pytest.mark.parametrize(("text", "code", "said"), CIRCLES)
def test_a_path_that_leads_round_in_a_circle_is_one_line(paint, text, code, said):
    (paint.root / "round").symlink_to("round")
    paint.write("destinations.toml", text)
    result = paint.etl("run", "paint", "--env", "x")
    assert (result.code, len(result.err.splitlines())) == (code, 1), result
    assert said in result.err


def environment_of(workspace: Workspace, text: str) -> Environment:
    workspace.write("destinations.toml", text)
    return environment.load(workspace.root, "x")


@pytest.mark.parametrize(
    ("head", "file"),
    [
        ("", "warehouse.duckdb"),
        ("[x]\nfolder = 'data/of x'\n", "data/of x/warehouse.duckdb"),
        ("[x]\nfolder = '../beside'\n", "../beside/warehouse.duckdb"),
    ],
)
def test_relative_paths_start_at_the_folder_wherever_one_stands(paint, tmp_path, monkeypatch, head, file):
    paint.write("destinations.toml", head + WAREHOUSE)
    standing = tmp_path / "standing here"
    standing.mkdir()
    monkeypatch.chdir(standing)
    assert paint.etl("run", "paint", "--env", "x").code == 0
    assert (paint.root / file).is_file()
    assert list(standing.iterdir()) == []


def test_the_temporary_folder_is_outside_and_the_same_each_time(paint, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    paint.write("destinations.toml", f"[x]\nfolder = 'temporary'\n{WAREHOUSE}")
    assert [paint.etl("run", "paint", "--env", "x").code for _ in range(2)] == [0, 0]
    (folder,) = tmp_path.glob("etl-*")
    assert (folder / "warehouse.duckdb").is_file()
    assert not list(paint.root.glob("*.duckdb"))
    assert environment.load(paint.root, "x").state_dir.is_relative_to(folder)


def test_paths_are_absolute_and_urls_stay(workspace):
    text = f"""{WAREHOUSE}
[x.landing]
destination_type = "filesystem"
bucket_url = "lake/landing"
[x.audio]
destination_type = "filesystem"
bucket_url = "s3://bucket/audio"
"""
    made = environment_of(workspace(), text)
    assert made.destinations()["landing"]["bucket_url"] == str(made.root / "lake/landing")
    assert made.destinations()["audio"]["bucket_url"] == "s3://bucket/audio"
    assert made.buckets == ["landing", "audio"]
    assert (made.kind, made.duckdb_file) == ("duckdb", made.root / "warehouse.duckdb")


def test_the_naming_layout_and_the_dataset_of_a_spec_act(paint):
    paint.write("destinations.toml", f"[x]\ndataset_name_layout = 'dp_%s_x'\n{WAREHOUSE}")
    assert paint.etl("run", "paint", "--env", "x").code == 0
    assert paint.query("SELECT colour FROM dp_paint_x.seen") == [("of the source",)]
    paint.write("specs/paint.yaml", SPEC + "dataset: studio\n")
    result = paint.etl("run", "paint", "--env", "x")
    assert "1 row into dp_studio_x" in result.out
    assert paint.query("SELECT colour FROM dp_studio_x.seen") == [("of the source",)]


@pytest.mark.parametrize(
    "command", [["run", "toy", "--full-refresh"], ["state", "reset", "toy"]], ids=["full refresh", "state reset"]
)
def test_a_protected_environment_asks_before_a_destructive_act(workspace, command):
    made = workspace()
    toy(made, rows(3))
    made.write("destinations.toml", DESTINATIONS.replace("[test]\n", "[test]\nprotected = true\n"))
    assert made.etl("run", "toy", "--env", "test").code == 0
    toy(made, rows(2))
    refused = made.etl(*command, "--env", "test")
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)
    assert "in environment 'test': add --yes to confirm" in refused.err
    assert made.query("SELECT count(*) FROM toy.things") == [(3,)]
    assert made.etl(*command, "--env", "test", "--yes").code == 0


def test_an_environment_that_is_not_protected_does_not_ask(workspace):
    made = workspace()
    toy(made, rows(3))
    assert made.etl("run", "toy", "--env", "test").code == 0
    assert made.etl("state", "reset", "toy", "--env", "test").code == 0
    assert made.etl("run", "toy", "--env", "test", "--full-refresh").code == 0


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 2), ("n\n", 2, 3), ("", 2, 3)])
def test_on_a_terminal_a_person_is_asked(workspace, monkeypatch, answer, code, left):
    import io

    made = workspace()
    toy(made, rows(3))
    made.write("destinations.toml", DESTINATIONS.replace("[test]\n", "[test]\nprotected = true\n"))
    assert made.etl("run", "toy", "--env", "test").code == 0
    toy(made, rows(2))
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", terminal)
    result = made.etl("run", "toy", "--env", "test", "--full-refresh")
    assert result.code == code
    assert "--full-refresh drops and reloads tables in environment 'test'. Go on? [y/N]" in result.err
    assert made.query("SELECT count(*) FROM toy.things") == [(left,)]


def test_one_folder_up_finds_the_workspace(workspace, tmp_path, monkeypatch):
    made = workspace()
    inside = made.root / "specs"
    assert environment.find_root(inside) == made.root
    with pytest.raises(environment.UsageError, match=r"no destinations\.toml here or above"):
        environment.find_root(tmp_path)


def test_the_environments_of_this_repository_load():
    names = environment.names(REPOSITORY)
    assert set(names) >= {"dev", "ci", "pg", "prd"}
    for name in names:
        loaded = environment.load(REPOSITORY, name)
        configuration.activate(loaded)
        assert {"landing", "audio"} <= set(loaded.buckets)
    assert environment.load(REPOSITORY, "prd").protected
    assert environment.load(REPOSITORY, "prd").kind == "bigquery"
    assert environment.load(REPOSITORY, "pg").kind == "postgres"
    files = [environment.load(REPOSITORY, name).duckdb_file for name in names]
    assert len({file for file in files if file}) == len([file for file in files if file])


@pytest.mark.parametrize(
    ("sections", "key", "expected"),
    [
        (("sources", "chess"), "client_id", "theirs"),
        (("sources", "chess"), "refresh_token", "ours"),
        (("sources", "chess"), "base_url", None),
        (("sources", "chess", "http"), "client_id", None),
        (("sources",), "client_id", None),
        (("destination", "chess"), "client_id", None),
    ],
)
def test_who_signs_in_may_be_named_as_other_programs_do(monkeypatch, sections, key, expected):
    for name in ("CLIENT_ID", "REFRESH_TOKEN", "BASE_URL"):
        monkeypatch.setenv(f"CHESS_{name}", "theirs")
    monkeypatch.setenv("SOURCES__CHESS__REFRESH_TOKEN", "ours")
    assert Variables().get_value(key, str, None, *sections)[0] == expected
