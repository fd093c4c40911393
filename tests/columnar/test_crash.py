"""Runs that are killed while they normalise, and the run after them, leave what an unbroken run leaves."""

from __future__ import annotations

from tests.killed import At, killed, run
from tests.toys import rows, toy
from tests.warehouse import Ask, contents, faults
from tests.workspace import Workspace

NORMALIZER = "pipelines.columnar.normalizer:ColumnarNormalizer"
MOMENTS = [At(f"{NORMALIZER}._by_rows"), At(f"{NORMALIZER}._write"), At(f"{NORMALIZER}._write", "after")]
RUN = ("run", "toy", "--env", "test", "--select", "things")
FIRST = rows(20, tags=[{"tag": "a"}, {"tag": "b"}])
SECOND = [*rows(46, tags=[{"tag": "c"}], late={"column": 1})[:26], *FIRST]


def make(workspace: Workspace) -> Workspace:
    toy(workspace, FIRST)
    assert run(workspace, *RUN).code == 0
    toy(workspace, SECOND)
    return workspace


def test_runs_killed_while_they_normalise_are_made_good_by_the_next(tmp_path):
    unbroken, made = (make(Workspace(tmp_path / name)) for name in ("unbroken", "a workspace"))
    for moment in MOMENTS:
        killed(made, moment, *RUN)
    for workspace in (unbroken, made):
        assert run(workspace, *RUN).code == 0
    assert contents(Ask(made), "toy") == contents(Ask(unbroken), "toy")
    assert faults(Ask(made), "toy") == []
