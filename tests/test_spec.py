"""What a spec may say outside `rest:`, and the message of every mistake."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from pipelines.errors import Problem, SpecError, UsageError
from pipelines.specs import cron, spec

ROOT = Path(__file__).resolve().parents[1]
ALL_KEYS = """\
name: music
about: What one account played.
docs: https://example.org/docs
schedule: "17 */2 1,15 jan-mar mon"
timezone: Europe/Paris
dataset: media_pipeline
python: {}
resources:
  plays: {}
"""
DISPOSITION, VALIDITY = ".write_disposition", "validity_column_names"
STRATEGIES = "delete-insert, upsert, insert-only, cdc, scd2"
MODES = "evolve, freeze"
TYPES = "text, double, bool, timestamp, bigint, binary, json, decimal, wei, date, time"
NO_TIME = "expected an ISO 8601 time such as 2024-01-31T00:00:00Z"
NO_ZONE = 'expected an IANA time zone such as "Europe/Paris"'
NO_LINE = "expected one line of text, at most 200 characters"
NO_NAME = "expected a-z, 0-9 and single _ between them, first a letter, at most {} characters"


def near(word: str) -> str:
    return f" (did you mean '{word}'?)"


def merge(strategy: str) -> str:
    return f"{{write_disposition: {{disposition: merge, strategy: {strategy}}}}}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    home = tmp_path / "a workspace"
    for folder in ("specs", "sources"):
        (home / folder).mkdir(parents=True)
    (home / "sources" / "music.py").write_text("import dlt\n\n@dlt.source\ndef music(): ...\n")
    return home


def wrong(root: Path, text: str, name: str = "music") -> list[str]:
    """The mistakes of a spec, without the name of the file."""
    (root / "specs" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return [str(problem).removeprefix(f"specs/{name}.yaml:") for problem in spec.validate(root, [name])]


def with_line(line: str) -> str:
    """A right spec with one line changed or added."""
    key = line.split(":")[0]
    lines = ["name: music", "about: x", "python: {}"]
    return "\n".join([*(old for old in lines if old.split(":")[0] != key), line])


def with_hints(hints: str) -> str:
    return f"name: music\nabout: x\npython: {{}}\nresources:\n  plays: {hints}\n"


def test_every_key_is_read(root):
    (root / "specs" / "music.yaml").write_text(ALL_KEYS)
    read = spec.load(root, "music")
    assert spec.validate(root) == []
    assert (read.name, read.about, read.docs) == (
        "music",
        "What one account played.",
        "https://example.org/docs",
    )
    assert (read.schedule, read.timezone, read.dataset) == (
        "17 */2 1,15 jan-mar mon",
        "Europe/Paris",
        "media_pipeline",
    )
    assert (read.python, read.rest, list(read.resources)) == ({}, None, ["plays"])
    assert read.resources["plays"].enabled
    assert read.resources["plays"].write_disposition is None


def test_a_spec_cannot_be_changed(root):
    (root / "specs" / "music.yaml").write_text(ALL_KEYS)
    with pytest.raises(ValueError, match="frozen"):
        spec.load(root, "music").about = "other"


def test_five_mistakes_get_five_messages(root):
    text = """\
name: musik
about: x
docs: example.org
rest:
  client: {base_url: https://example.org, paginatr: auto}
  resources:
    - name: plays
      primery_key: id
schedule: "17 * * *"
"""
    assert wrong(root, text) == [
        "1:7: name: expected 'music', the name of the file",
        "3:7: docs: expected an http(s) URL",
        "5:43: rest.client.paginatr: unknown key (did you mean 'paginator'?)",
        "8:7: rest.resources[0].primery_key: unknown key (did you mean 'primary_key'?)",
        '9:11: schedule: expected five cron fields such as "17 * * * *", got 4',
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("name: musik", "3:7: name: expected 'music', the name of the file"),
        ("name: 5", "3:7: name: expected text, got the number 5; quote it"),
        ("name:", "3:6: name: has no value; give it one, or leave the key out"),
        ("about: ''", f"3:8: about: {NO_LINE}"),
        ("about: false", "3:8: about: expected text, got the boolean false; quote it"),
        ("about: [a]", "3:8: about: expected text, got a list"),
        (f"about: {'x' * 201}", f"3:8: about: {NO_LINE}"),
        ('about: "a\\nb"', f"3:8: about: {NO_LINE}"),
        ("docs: ftp://example.org", "4:7: docs: expected an http(s) URL"),
        ("timezone: Europe/Pariss", f"4:11: timezone: {NO_ZONE}" + near("Europe/Paris")),
        ("timezone: ../x", f"4:11: timezone: {NO_ZONE}"),
        ("timezone: localtime", f"4:11: timezone: {NO_ZONE}"),
        ("timezone: Factory", f"4:11: timezone: {NO_ZONE}"),
        ("timezone: posixrules", f"4:11: timezone: {NO_ZONE}"),
        ("timezone: right/Europe/Paris", f"4:11: timezone: {NO_ZONE}" + near("Europe/Paris")),
        ("timezone: posix/Europe/Paris", f"4:11: timezone: {NO_ZONE}" + near("Europe/Paris")),
        ("dataset: Media-Pipeline", f"4:10: dataset: {NO_NAME.format(63)}"),
        ("dataset: _etl", f"4:10: dataset: {NO_NAME.format(63)}"),
        ("schedule: * * * * *", "4:12: a value that starts with * must be quoted"),
        ("python: [a]", "3:9: python: expected a mapping, got a list"),
        ("resources: []", "4:12: resources: expected a mapping, got a list"),
        ("aboot: x", "4:1: aboot: unknown key (did you mean 'about'?)"),
        ("zzz: x", "4:1: zzz: unknown key"),
    ],
)
def test_a_wrong_key_or_value(root, line, message):
    assert wrong(root, with_line(line)) == [message]


def test_a_folder_of_zones_is_no_zone(root):
    [message] = wrong(root, with_line("timezone: America"))
    assert message.startswith(f"4:11: timezone: {NO_ZONE}")


@pytest.mark.parametrize("name", ["Music", "a__b", "a_", "1a", "a-b", "a" * 49])
def test_a_name_that_is_no_identifier(root, name):
    assert f"1:7: name: {NO_NAME.format(48)}" in wrong(root, f"name: {name}\nabout: x\npython: {{}}\n", name)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("about: x\npython: {}\n", ["1:1: name: missing; add it"]),
        ("name: music\npython: {}\n", ["1:1: about: missing; add it"]),
        ("name: music\nabout: x\n", ["1:1: expected exactly one of: rest, python; got neither"]),
        ("# only a comment\n", ["1:1: is empty; a spec has at least name, about, and rest or python"]),
        ("- name: music\n", ["1:1: expected a mapping of keys, got a list"]),
        ("just text\n", ["1:1: expected a mapping of keys, got text"]),
        (
            "name: music\nabout: x\nrest: {client: {base_url: https://example.org}, resources: [a]}\n"
            "python: {}\nresources: {a: {write_disposition: replace}}\n",
            ["4:1: python: expected exactly one of: rest, python; got both"],
        ),
    ],
)
def test_what_is_missing_or_too_much(root, text, messages):
    assert wrong(root, text) == messages


@pytest.mark.parametrize("name", ["class", "import", "kit"])
def test_a_reserved_name(root, name):
    assert wrong(root, f"name: {name}\nabout: x\npython: {{}}\n", name)[0] == (
        f"1:7: name: '{name}' is reserved; give the file another name"
    )


@pytest.mark.parametrize(
    "hints",
    [
        "{write_disposition: merge, primary_key: id}",
        "{write_disposition: replace}",
        "{write_disposition: append, append_reason: events have no key}",
        "{append_reason: the source appends and says so}",
        "{write_disposition: {disposition: merge, strategy: upsert, skip_unchanged_rows: true}}",
        "{write_disposition: {disposition: merge, strategy: delete-insert, deduplicated: true}}",
        "{write_disposition: {disposition: merge, strategy: insert-only}}",
        "{write_disposition: {disposition: merge, strategy: cdc, destination_scope: x > 1}}",
        "{write_disposition: {disposition: merge, strategy: scd2, boundary_timestamp: 2024-01-01T00:00:00Z}}",
        "{write_disposition: {disposition: merge, strategy: scd2, validity_column_names: [a, b]}}",
        "{primary_key: [a, b], merge_key: c}",
        "{schema_contract: freeze}",
        "{schema_contract: {tables: evolve, columns: freeze, data_type: freeze}}",
        "{enabled: false}",
        "{columns: {a: {data_type: decimal, precision: 10, scale: 2, nullable: false, description: money}}}",
        "{columns: {a: {data_type: timestamp, timezone: false, sort: true, partition: true, cluster: true}}}",
        "{columns: {a: {primary_key: true, merge_key: true, unique: true}}}",
        "{columns: {a: {hard_delete: true, dedup_sort: desc}}}",
    ],
)
def test_right_hints(root, hints):
    assert wrong(root, with_hints(hints)) == []


@pytest.mark.parametrize(
    ("hints", "column", "path", "message"),
    [
        ("5", 10, "", "expected a mapping, got the number 5"),
        (
            "{write_disposition: appendd}",
            30,
            DISPOSITION,
            "expected one of: append, replace, merge" + near("append"),
        ),
        (
            "{write_disposition: append}",
            30,
            DISPOSITION,
            "append needs a reason; add append_reason, or merge by primary_key",
        ),
        ("{write_disposition: [merge]}", 30, DISPOSITION, "expected text or a mapping, got a list"),
        (
            "{write_disposition: merge, append_reason: x}",
            37,
            ".append_reason",
            "nothing is appended here; leave it out",
        ),
        ("{write_disposition: {disposition: merge}}", 11, f"{DISPOSITION}.strategy", "missing; add it"),
        (merge("upser"), 61, f"{DISPOSITION}.strategy", f"expected one of: {STRATEGIES}" + near("upsert")),
        (merge("upsert, deduplicated: true"), 69, f"{DISPOSITION}.deduplicated", "unknown key"),
        (
            merge(f"scd2, {VALIDITY}: [a]"),
            90,
            f"{DISPOSITION}.{VALIDITY}",
            "expected at least 2 items, got 1",
        ),
        (merge("scd2, boundary_timestamp: noon"), 87, f"{DISPOSITION}.boundary_timestamp", NO_TIME),
        ("{primary_key: 5}", 24, ".primary_key", "expected text or a list, got the number 5"),
        ("{primary_key: [a, 5]}", 28, ".primary_key[1]", "expected text, got the number 5; quote it"),
        ("{primary_key: ' '}", 24, ".primary_key", "expected text that is not blank"),
        ("{merge_key: []}", 22, ".merge_key", "expected at least 1 item, got 0"),
        (
            "{enabled: yes}",
            20,
            ".enabled",
            "expected true or false, got text; write true or false, without quotes",
        ),
        ("{enabled: 1}", 20, ".enabled", "expected true or false, got the number 1"),
        ("{schema_contract: discard_row}", 28, ".schema_contract", f"expected one of: {MODES}"),
        ("{schema_contract: frozen}", 28, ".schema_contract", f"expected one of: {MODES}" + near("freeze")),
        ("{columns: [a]}", 20, ".columns", "expected a mapping, got a list"),
        (
            "{columns: {a: {data_type: txt}}}",
            36,
            ".columns.a.data_type",
            f"expected one of: {TYPES}" + near("text"),
        ),
        (
            "{columns: {a: {scale: ten}}}",
            32,
            ".columns.a.scale",
            "expected a whole number, got text; write it without quotes",
        ),
        (
            "{columns: {a: {scale: 1.5}}}",
            32,
            ".columns.a.scale",
            "expected a whole number, got the number 1.5",
        ),
        (
            "{columns: {a b: {nulable: true}}}",
            27,
            '.columns["a b"].nulable',
            "unknown key" + near("nullable"),
        ),
    ],
)
def test_wrong_hints(root, hints, column, path, message):
    assert wrong(root, with_hints(hints)) == [f"5:{column}: resources.plays{path}: {message}"]


def test_hints_dump_to_what_dlt_takes(root):
    hints = merge("upsert").removesuffix("}") + ", primary_key: id, columns: {a: {nullable: false}}}"
    (root / "specs" / "music.yaml").write_text(with_hints(hints))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert spec.load(root, "music").resources["plays"].model_dump(exclude_unset=True) == {
            "write_disposition": {"disposition": "merge", "strategy": "upsert"},
            "primary_key": "id",
            "columns": {"a": {"nullable": False}},
        }


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ("{token: abc}", "python.token"),
        ("{account: {client_secret: abc}}", "python.account.client_secret"),
        ("{API-Key: 12345}", "python.API-Key"),
        ("{feed: 'https://me:pass@example.org/'}", "python.feed"),
    ],
)
def test_a_secret_has_no_place_in_a_spec(root, arguments, path):
    (root / "sources" / "music.py").write_text("import dlt\n\n@dlt.source\ndef music(**anything): ...\n")
    [message] = wrong(root, f"name: music\nabout: x\npython: {arguments}\n")
    where = "put it in [sources.music] of .dlt/secrets.toml"
    assert message.endswith(f": {path}: secrets have no place in a spec; {where}")
    assert "abc" not in message
    assert "pass@" not in message


@pytest.mark.parametrize(
    "arguments", ["{page_token: abc}", "{token_file: x}", "{password: false}", "{monkey: 1, key: 2}"]
)
def test_what_only_looks_like_a_secret(root, arguments):
    (root / "sources" / "music.py").write_text("import dlt\n\n@dlt.source\ndef music(**anything): ...\n")
    assert wrong(root, f"name: music\nabout: x\npython: {arguments}\n") == []


def test_names_are_sorted_and_only_yaml(root):
    for name in ("b.yaml", "a.yaml", "c.yml", ".d.yaml", "spec.schema.json"):
        (root / "specs" / name).write_text("")
    assert spec.names(root) == ["a", "b"]
    assert spec.names(root / "nowhere") == []


def test_a_yml_file_is_not_overlooked(root):
    (root / "specs" / "music.yml").write_text("")
    assert spec.validate(root) == [Problem("specs/music.yml", 1, 1, "", "is not read; name it music.yaml")]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("musci", "no spec named 'musci' (did you mean 'music'?); known: chess, music"),
        ("../music", "no spec named '../music' (did you mean 'music'?); known: chess, music"),
        ("zzz", "no spec named 'zzz'; known: chess, music"),
        ("z\x1b\n", "no spec named 'z??'; known: chess, music"),
        ("", "no spec named ''; known: chess, music"),
    ],
)
@pytest.mark.parametrize(
    "call", [lambda root, name: spec.load(root, name), lambda root, name: spec.validate(root, [name])]
)
def test_an_unknown_spec(root, name, message, call):
    for known in ("chess", "music"):
        (root / "specs" / f"{known}.yaml").write_text("")
    with pytest.raises(UsageError) as caught:
        call(root, name)
    assert str(caught.value) == message


def test_no_spec_at_all(tmp_path):
    with pytest.raises(UsageError, match=r"^no spec named 'x'; known: none$"):
        spec.load(tmp_path, "x")


def test_load_all_tells_the_mistakes_of_all_specs(root):
    (root / "specs" / "a.yaml").write_text("name: a\nabout: x\npython: {}\n")
    assert [read.name for read in spec.load_all(root)] == ["a"]
    (root / "specs" / "b.yaml").write_text("name: b\n")
    (root / "specs" / "c.yaml").write_text("name: d\nabout: x\npython: {}\n")
    with pytest.raises(SpecError) as caught:
        spec.load_all(root)
    assert str(caught.value).splitlines() == [
        "specs/b.yaml:1:1: expected exactly one of: rest, python; got neither",
        "specs/b.yaml:1:1: about: missing; add it",
        "specs/c.yaml:1:7: name: expected 'c', the name of the file",
    ]


def test_an_unknown_resource(root):
    (root / "specs" / "music.yaml").write_text(with_hints("{}"))
    [problem] = spec.validate(root, ["music"], resources_of=lambda read: ["playz", "tracks"])
    assert str(problem) == (
        "specs/music.yaml:5:3: resources.plays: no such resource (did you mean 'playz'?); the source has: playz, tracks"
    )
    assert spec.validate(root, ["music"], resources_of=lambda read: ["plays"]) == []
    assert spec.validate(root, ["music"], resources_of=lambda read: None) == []


def test_a_problem_as_a_github_annotation(root):
    (root / "specs" / "music.yaml").write_text("name: music\nabout: x\npython: {}\naboot: 1\n")
    [problem] = spec.validate(root)
    assert problem.annotation() == (
        "::error file=specs/music.yaml,line=4,col=1::aboot: unknown key (did you mean 'about'?)"
    )


def test_a_problem_of_any_place(root):
    (root / "specs" / "music.yaml").write_text(with_hints("{enabled: true}"))
    read = spec.load(root, "music")
    assert str(read.problem(("resources", "plays"), "m", "key")) == "specs/music.yaml:5:3: resources.plays: m"
    assert str(read.problem(("resources", "plays", "x"), "m")) == "specs/music.yaml:5:3: resources.plays.x: m"
    in_memory = spec.Spec(name="music", about="x", python={})
    assert str(in_memory.problem(("python",), "m")) == "specs/music.yaml:1:1: python: m"


def test_reading_the_envelope_imports_no_dlt():
    code = (
        "import sys; from pathlib import Path; from pipelines.specs import spec; spec.load_all(Path('.'));"
        "sys.exit('dlt' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    "schedule", ["* * * * *", "*/15 0-6 1 1 0", "0 0 31 dec SUN-mon", "5,10-20/5 * * * 7", "17 * * * *"]
)
def test_a_right_schedule(schedule):
    assert cron.mistake(schedule) is None


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("@daily", 'expected five cron fields such as "17 * * * *", got 1'),
        ("* * * * * *", 'expected five cron fields such as "17 * * * *", got 6'),
        ("60 * * * *", "the minute '60' is outside 0-59"),
        ("* 24 * * *", "the hour '24' is outside 0-23"),
        ("* * 0 * *", "the day of month '0' is outside 1-31"),
        ("* * * foo *", "the month 'foo' is outside 1-12"),
        ("* * * * 8", "the day of week '8' is outside 0-7"),
        ("9-3 * * * *", "the minute '9-3' runs backwards"),
        ("*/0 * * * *", "the minute '*/0' has a step of 0"),
        ("1, * * * *", "the minute '' is not cron; use numbers, *, -, / and commas"),
        ("L * * * *", "the minute 'L' is outside 0-59"),
        ("٣ * * * *", "the minute '٣' is not cron; use numbers, *, -, / and commas"),
    ],
)
def test_a_wrong_schedule(schedule, message):
    assert cron.mistake(schedule) == message
