"""Bodies on their way: which are in memory, which on disk, and that none has a byte of another."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pipelines.files.bodies import SPILL, Body, Incoming, Room

CHUNK, KEPT = 2**14, 2**21


def taken_in(room: Room, content: bytes) -> Body:
    incoming = Incoming(room)
    for start in range(0, len(content), CHUNK):
        assert incoming.write(content[start : start + CHUNK]) is None
    return incoming.whole()


def files_in(folder: Path) -> int:
    """How many files there this process has open, named or not."""
    return sum(str(folder) in str(each.resolve()) for each in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("in_memory", [1000, 2**20, 2**23], ids=["little memory", "some", "enough"])
def test_a_body_has_no_byte_of_the_one_before(tmp_path: Path, in_memory: int):
    """In a room that others had, longer and shorter ones, in memory and on disk."""
    room = Room(in_memory, KEPT, tmp_path)
    for size in (2**22, 5, 3 * SPILL, 2**21 + 7, 0, SPILL, 2**20):
        content = os.urandom(size)
        body = taken_in(room, content)
        assert (body.size, body.sha256) == (size, hashlib.sha256(content).hexdigest())
        assert body.stream().read() == content
        if size:
            assert bytes(body.view()) == content
        room.leave()
    room.close()


def test_a_body_begins_anew_where_it_was_on_disk(tmp_path: Path):
    """What came before a redirect is gone."""
    room = Room(1000, KEPT, tmp_path)
    incoming = Incoming(room)
    incoming.write(b"x" * 50_000)
    incoming.clear()
    incoming.write(b"y" * 20_000)
    assert incoming.whole().stream().read() == b"y" * 20_000
    room.close()


def test_a_room_keeps_a_file_that_is_short(tmp_path: Path):
    room = Room(1000, KEPT, tmp_path)
    for size, kept in ((KEPT, 1), (10, 1), (KEPT + 1, 0), (CHUNK, 1)):
        taken_in(room, bytes(size))
        room.leave()
        assert files_in(tmp_path) == kept
    assert list(tmp_path.iterdir()) == []
    room.close()
    assert files_in(tmp_path) == 0


def test_a_body_that_will_be_long_is_not_gathered(tmp_path: Path):
    room = Room(8 * 2**20, KEPT, tmp_path)
    incoming = Incoming(room)
    incoming.expect(lambda: 9 * 2**20)
    for _ in range(100):
        incoming.write(bytes(CHUNK))
    assert len(room.memory) <= SPILL + CHUNK
    assert incoming.whole().size == 100 * CHUNK
    room.close()
