"""What somebody who set out to break the engine found, each as it was done."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from tests import killed
from tests.passwords import ask
from tests.served import served
from tests.toys import rows, toy

WHOLE = """\
import json
import os
from pathlib import Path

import dlt


@dlt.source(name="whole", section="whole")
def whole(rows_file: str = dlt.config.value):
    yield dlt.resource(lambda: json.loads(Path(rows_file).read_text()), name="things", **{hints})
"""
KEYED = {"primary_key": "id", "columns": {"id": {"data_type": "bigint"}, "n": {"data_type": "bigint"}}}


def whole(workspace, **hints):
    made = workspace()
    made.source("whole", WHOLE.format(hints=repr(hints)))
    made.variables["SOURCES__WHOLE__ROWS_FILE"] = str(made.root / "rows.json")
    return made


def feed(made, *given) -> None:
    made.write("rows.json", json.dumps(given))


@pytest.mark.parametrize("disposition", ["replace", {"disposition": "merge", "strategy": "cdc"}])
@pytest.mark.parametrize("part", [["--limit", "1"], ["--mode", "backfill", "--limit", "1"]])
def test_a_part_never_cuts_a_whole_table(workspace, disposition, part):
    made = whole(workspace, write_disposition=disposition, **KEYED)
    feed(made, {"id": 1, "n": 1}, {"id": 2, "n": 2})
    assert made.etl("run", "whole", "--env", "test").code == 0
    result = made.etl("run", "whole", "--env", "test", *part)
    assert (result.code, "would cut it" in result.err) == (2, True)
    assert made.query("SELECT count(*) FROM whole.things") == [(2,)]


def test_scd2_keeps_versions(workspace):
    made = whole(workspace, write_disposition={"disposition": "merge", "strategy": "scd2"}, primary_key="id")
    feed(made, {"id": 1, "n": 1})
    assert made.etl("run", "whole", "--env", "test").code == 0
    feed(made, {"id": 1, "n": 2})
    assert made.etl("run", "whole", "--env", "test").code == 0
    assert made.query("SELECT n FROM whole.things ORDER BY n") == [(1,), (2,)]


def test_a_restored_backup_is_filled_up_again(workspace):
    made = workspace()
    toy(made, rows(10))
    made.etl("run", "toy", "--env", "test")
    shutil.copy2(made.root / "warehouse.duckdb", made.root / "backup")
    toy(made, rows(20))
    made.etl("run", "toy", "--env", "test")
    shutil.copy2(made.root / "backup", made.root / "warehouse.duckdb")
    toy(made, rows(25))
    assert made.etl("run", "toy", "--env", "test").code == 0
    assert made.query("SELECT count(*) FROM toy.things") == [(25,)]


def test_no_row_of_an_upstream_is_taken_for_a_notice(workspace):
    made = whole(workspace, write_disposition="merge", primary_key="id")
    feed(made, {"id": 1, "_etl_notice": "warning", "message": "x"}, {"id": 2, "_etl_notice": 7})
    assert made.etl("run", "whole", "--env", "test").code == 0
    assert made.query("SELECT count(*) FROM whole.things") == [(2,)]


def test_a_row_rejected_again_after_a_replay_is_seen_again(workspace):
    made = whole(workspace, write_disposition="merge", **KEYED)
    feed(made, {"id": 1, "n": "many"})
    made.etl("run", "whole", "--env", "test")
    source = made.root / "sources/whole.py"
    good = source.read_text()
    source.write_text(good.replace("'n': {'data_type': 'bigint'}", "'other': {'data_type': 'bigint'}"))
    assert killed.run(made, "quarantine", "replay", "whole", "--env", "test").code == 0
    source.write_text(good)
    (made.root / "warehouse.duckdb").touch()
    killed.run(made, "run", "whole", "--env", "test", "--full-refresh")
    assert made.query("SELECT count(*) FROM _etl.quarantine WHERE replayed_at IS NULL") == [(1,)]


def test_a_secret_in_an_argument_is_not_in_the_retry_command(workspace):
    made = workspace()
    toy(made, rows(2))
    made.etl("run", "toy", "--env", "test", "--run-id", "r", "--with", "rows_file=https://u:hunter2@h/x?sig=hunter2")
    assert "hunter2" not in (made.root / "runs/r/error.json").read_text().split('"retry_command"')[1]


REST = """\
name: pages
about: Pages of a server that means no good.
rest:
  client:
    base_url: "http://127.0.0.1:1/"
    auth: {{type: api_key, name: X-Api-Key, location: header}}
    paginator: {{type: json_link, next_url_path: next}}
  resource_defaults: {{write_disposition: merge, primary_key: id}}
  resources:
    - name: things
      endpoint: {{path: things, data_selector: data}}
"""


@pytest.mark.parametrize("kind", ["itself", "elsewhere"])
def test_a_next_link_is_not_trusted(workspace, kind):
    seen: list[tuple[str, str | None]] = []

    def answer(handler):
        host = handler.headers["Host"]
        seen.append((host, handler.headers.get("X-Api-Key")))
        other = host.replace("127.0.0.1", "localhost")
        link = f"http://{host}{handler.path}" if kind == "itself" else f"http://{other}/last"
        page = {"data": [{"id": len(seen)}], "next": None if handler.path == "/last" else link}
        return json.dumps(page).encode()

    made = workspace()
    made.write("specs/pages.yaml", REST.format())
    with served(answer) as url:
        result = made.etl(
            "run", "pages", "--env", "test",
            SOURCES__PAGES__BASE_URL=url, SOURCES__PAGES__CREDENTIALS__API_KEY="hunter2",
        )  # fmt: skip
    if kind == "itself":
        assert (result.code, "leads to itself" in result.err) == (1, True)
    else:
        assert result.code == 0, result.err
        assert [key for _, key in seen] == ["hunter2", None]


def test_an_empty_text_stays_an_empty_text_on_postgres(workspace, postgres_url):
    made = whole(workspace, write_disposition="merge", primary_key="id")
    made.postgres(postgres_url)
    feed(made, {"id": 1, "n": "", "tags": [""]}, {"id": 2, "n": None, "tags": []})
    assert made.etl("run", "whole", "--env", "pg").code == 0
    assert ask(postgres_url, "SELECT id, n FROM whole.things ORDER BY id") == [(1, ""), (2, None)]
    assert ask(postgres_url, "SELECT value FROM whole.things__tags") == [("",)]


@pytest.mark.parametrize(
    "words",
    [["run", "whole", "--select", ""], ["quarantine", "drop", "whole", "", "--yes"], ["quarantine", "show", " "]],
)
def test_an_empty_name_never_means_everything(workspace, words):
    made = whole(workspace, write_disposition="merge", **KEYED)
    feed(made, {"id": 1, "n": "many"})
    made.etl("run", "whole", "--env", "test")
    result = made.etl(*words, "--env", "test")
    assert (result.code, "an empty name" in result.err) == (2, True)
    assert made.query("SELECT count(*) FROM _etl.quarantine") == [(1,)]


def test_a_pipe_is_no_list_of_recordings(workspace):
    made = workspace("recordings")
    os.mkfifo(made.root / "calls.csv")
    result = made.etl("run", "recordings", "--env", "test", "--exclude", "audio_files", "--with", "csv_path=calls.csv")
    assert (result.code, "is no regular file" in result.err) == (2, True)


NEW_COLUMN = {"id": 2, "n": 2, "w": 4}
OTHER_TYPE = {"id": 2, "n": "many"}
NEW_TABLE = {"id": 2, "n": 2, "parts": [{"p": 1}]}
FROZEN = [
    ("columns", NEW_COLUMN, "whole.things: column 'w' is new, and its schema_contract freezes columns"),
    ("data_type", OTHER_TYPE, "whole.things: a value of column 'n' is of another type, and its schema_contract"),
    ("tables", NEW_TABLE, "whole.things__parts: the table is new, and its schema_contract freezes tables"),
]


@pytest.mark.parametrize(("entity", "row", "said"), FROZEN, ids=[case[0] for case in FROZEN])
def test_what_a_contract_refuses_is_loaded_once_either_of_them_is_mended(workspace, entity, row, said):
    made = whole(workspace, primary_key="id", write_disposition="merge")
    spec = "name: whole\nabout: x\npython: {}\nresources: {things: {schema_contract: {%s: %s}}}\n"

    def run(mode, *given):
        made.write("specs/whole.yaml", spec % (entity, mode))
        feed(made, *given)
        return made.etl("run", "whole", "--env", "test")

    assert run("evolve", {"id": 1, "n": 1}).code == 0
    refused = run("freeze", row, {"id": 3, "n": 3})
    advice = f"; nothing was loaded: set {entity}: evolve for one run, or {entity}: discard_value to leave it out\n"
    assert (refused.code, f"ERROR: {said}" in refused.err, advice in refused.err) == (1, True, True), refused.err
    assert run("freeze", {"id": 3, "n": 3}).code == 0
    assert made.query("SELECT id FROM whole.things ORDER BY id") == [(1,), (3,)]
    assert run("freeze", row).code == 1
    assert run("evolve", row).code == 0
    assert made.query("SELECT id FROM whole.things ORDER BY id") == [(1,), (2,), (3,)]


FAMILY = """\
import dlt


@dlt.source(name="family", section="family")
def family():
    parents = dlt.resource([{"id": 1}], name="parents", selected=False, write_disposition=%r)
    yield parents
    yield parents | dlt.transformer(lambda row: [row], name="children", primary_key="id", write_disposition="merge")
"""


@pytest.mark.parametrize("disposition", ["append", {"disposition": "append"}])
def test_what_is_only_read_for_others_needs_no_reason_to_append(workspace, disposition):
    made = workspace()
    made.source("family", FAMILY % disposition)
    chosen = made.etl("plan", "family", "--env", "test", "--select", "parents")
    assert (chosen.code, "family: parents appends, so a repeated run" in chosen.err) == (2, True)
    assert made.etl("run", "family", "--env", "test").code == 0
    assert made.query("SELECT id FROM family.children") == [(1,)]
