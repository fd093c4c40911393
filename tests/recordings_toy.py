"""A list of recordings and a host on loopback that has them, for tests of what becomes of their audio."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import pytest

from tests import files_toy as toy
from tests.workspace import Result, Workspace

HEADER = "recording_id,location,phone,campaign_name,duration_seconds,started,stopped,recordings_row_id\n"
PREFIX = "audio/dexter"


class Site:
    """A workspace with a list of recordings, which a host on loopback has."""

    def __init__(self, workspace: Workspace, host: toy.Host, env: str) -> None:
        self.workspace, self.host, self.env, self.lines = workspace, host, env, dict[int, str]()
        workspace.variables["SOURCES__RECORDINGS__CSV_PATH"] = str(workspace.root / "calls.csv")

    def list(self, *numbers: int, **cells: str) -> None:
        """Let the list name these recordings, too."""
        for number in numbers:
            self.host.bodies[f"/vr/PR_{number}.mp3"] = toy.mp3(number, 1)
            given = {"id": f"rec{number}", "phone": f"+491500000{number % 2}", **cells}
            self.lines[number] = (
                f"{given['id']},{self.url(number)},{given['phone']},Campaign A 28.05,1.0,"
                f"2025-06-03T07:{number:02}:00Z,2025-06-03T07:{number:02}:01Z,{100 + number}\n"
            )
        self.workspace.write("calls.csv", HEADER + "".join(self.lines.values()))

    def url(self, number: int) -> str:
        return f"{self.host.url}/vr/PR_{number}.mp3"

    def etl(self, *words: str, **variables: str) -> Result:
        return self.workspace.etl(*words, "--env", self.env, **variables)

    def run(self, *words: str, **variables: str) -> Result:
        result = self.etl("run", "recordings", "--with", f"b2_prefix={PREFIX}", *words, **variables)
        assert result.code == 0, result.err
        return result

    def objects(self) -> list[str]:
        bucket = self.workspace.root / "audio"
        return sorted(file.relative_to(bucket).as_posix() for file in bucket.rglob("*") if file.is_file())

    def key(self, number: int) -> str:
        name = f"20250603_07{number:02}00__Campaign_A_28.05__rec{number}.mp3"
        return f"{PREFIX}/+491500000{number % 2}/{name}"


def sha1(url: str) -> str:
    """The identity of a recording."""
    return hashlib.sha1(url.encode()).hexdigest()


@pytest.fixture
def site(workspace: Callable[..., Workspace]) -> Iterator[Site]:
    """On DuckDB."""
    with toy.host() as host:
        yield Site(workspace("recordings"), host, "test")
