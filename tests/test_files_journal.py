"""The journal of what is stored and not yet recorded: what it holds after a kill, and when it cannot be trusted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
from dlt.common import json

from pipelines.files import journal as journals
from pipelines.files.journal import Journal, Left, boot, journal, read
from pipelines.ledger import Transfer
from sources.kit.files import FileItem, Files, Stored

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def receipt(item: FileItem, stored: Stored) -> dict[str, Any]:
    return {"id": item.id, "bytes": stored.bytes, "at": stored.stored_at, "raw": b"\x00"}


FILES = Files("id", lambda rows: iter(()), receipt, {})


def item(id: str) -> FileItem:
    return FileItem(id, f"http://host/{id}", f"{id}.mp3", {"id": id})


def stored(id: str) -> Stored:
    return Stored(f"{id}.mp3", 3, "abc", "audio/mpeg", NOW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "files" / "vault.recordings.jsonl"


@pytest.fixture
def killed(path: Path) -> Iterator[Path]:
    """The journal of a run that stored `a`, may have stored `b`, not a refused `z` or `c`, and was killed."""
    opened = Journal(path, FILES, Left(), "run 1")
    for id in ("a", "b", "z"):
        opened.intends(item(id), 3, "abc")
    opened.refused(item("z"))
    opened.stored(item("a"), stored("a"))
    opened.flush()
    opened.intends(item("c"), 3, "abc")
    yield path
    opened.close()


def test_what_a_killed_run_leaves(killed: Path) -> None:
    left = read(killed)
    receipts = {id: json.typed_loadb(told) for id, told in left.receipts.items()}
    assert receipts == {"a": {"id": "a", "bytes": 3, "at": NOW.isoformat(), "raw": b"\x00"}}
    assert [(intent.id, intent.key, intent.sha256) for intent in left.intents.values()] == [("b", "b.mp3", "abc")]
    assert (left.runs, left.boot) == (["run 1"], boot())


def test_a_torn_line_was_not_acted_on(killed: Path) -> None:
    whole = killed.read_bytes()
    assert read(killed).receipts.keys() == {"a"}
    killed.write_bytes(whole[:-10])
    left = read(killed)
    assert (left.receipts.keys(), left.intents.keys()) == (set(), {"a", "b"})


def test_the_next_run_carries_on_what_is_not_recorded(killed: Path) -> None:
    with journal(killed, FILES, read(killed), "run 2") as second:
        for id in ("c", "d", "c"):
            second.stored(item(id), stored(id))
        told = second.receipts()
        assert {id: json.loadb(receipt)["id"] for id, receipt in told.items()} == {id: id for id in "acd"}
        second.forget(["a", "c"])
        assert (second.receipts(), second.unrecorded) == ({"d": told["d"]}, 1)
        assert read(killed).receipts.keys() == {"d"}
        second.forget(["d"])
        assert (read(killed).receipts, read(killed).runs) == ({}, ["run 1", "run 2"])
    assert read(killed).intents.keys() == {"b"}
    with journal(killed, FILES, read(killed), "run 3") as third:
        third.forget(["b"])
    assert (read(killed).intents, read(killed).receipts) == ({}, {})


def test_an_object_in_quarantine_is_known_while_its_run_goes_on(killed: Path) -> None:
    with journal(killed, FILES, read(killed), "run 2") as second:
        second.puts_aside("quarantine/x")
        second.puts_aside("quarantine/y")
        assert read(killed).aside == set()
        second.flush()
        assert read(killed).aside == {"quarantine/x", "quarantine/y"}
        second.forget(["a"])
        assert read(killed).aside == {"quarantine/x", "quarantine/y"}
    with journal(killed, FILES, read(killed), "run 3"):
        assert read(killed).aside == set()


@pytest.mark.parametrize(
    ("run_id", "in_doubt", "rebooted", "short"),
    [
        ("run 1", 0, False, False),
        ("run 1", 1, False, True),
        ("run 1", 0, True, True),
        ("run of another machine", 0, False, True),
    ],
)
def test_a_journal_is_trusted_for_its_runs_and_its_boot(
    killed: Path, monkeypatch: pytest.MonkeyPatch, run_id: str, in_doubt: int, rebooted: bool, short: bool
) -> None:
    left = read(killed)
    if rebooted:
        monkeypatch.setattr(journals, "boot", lambda: "the next boot")
    transfer = Transfer("vault", "vault", "recordings", run_id, in_doubt, NOW)
    assert left.is_short_of(transfer) is short
    assert left.is_short_of(None) is False


def test_a_line_that_a_full_disk_has_torn_is_whole_once_there_is_room(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, room = os.write, [20]

    def full(file: int, lines: bytearray) -> int:
        if not room:
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        return write(file, lines[: room.pop()])

    with journal(path, FILES, Left(), "run 1") as opened:
        opened.intends(item("a"), 3, "abc")
        opened.flush()
        opened.stored(item("a"), stored("a"))
        monkeypatch.setattr(journals.os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            opened.flush()
        assert read(path).intents.keys() == {"a"}
        monkeypatch.undo()
        opened.intends(item("b"), 3, "abc")
        opened.flush()
        assert (read(path).receipts.keys(), read(path).intents.keys()) == ({"a"}, {"b"})


def test_a_journal_is_written_to_its_end_when_it_is_closed(path: Path) -> None:
    with journal(path, FILES, Left(), "run 1") as opened:
        opened.stored(item("a"), stored("a"))
    assert read(path).receipts.keys() == {"a"}


def test_a_load_begins_once_the_journal_has_its_receipts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in it, the run needs no answer of the store; a disk that is full holds no load up."""
    opened = Journal(path, FILES, Left(), "run 1")
    opened.intends(item("a"), 3, "abc")
    opened.flush()
    opened.stored(item("a"), stored("a"))
    with monkeypatch.context() as full:
        full.setattr(journals.os, "write", lambda *_: (_ for _ in ()).throw(OSError(ENOSPC, os.strerror(ENOSPC))))
        assert set(opened.receipts()) == {"a"}
    assert set(read(path).intents) == {"a"}
    assert set(opened.receipts()) == set(read(path).receipts) == {"a"}
    assert read(path).intents == {}
    opened.close()
