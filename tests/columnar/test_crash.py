"""A run that is killed while it normalises, and the run after it, leave what an unbroken run leaves."""

from __future__ import annotations

import pytest

from tests.killed import At, killed, run
from tests.toys import rows, toy
from tests.warehouse import Ask, contents, faults
from tests.workspace import Workspace

NORMALIZER = "pipelines.columnar.normalizer:ColumnarNormalizer"
MOMENTS = [
    At(f"{NORMALIZER}._by_rows"),
    At(f"{NORMALIZER}._write", "before"),
    At(f"{NORMALIZER}._write", "after"),
    At("dlt.common.storages.load_storage:LoadStorage.commit_new_load_package", "before"),
    At("dlt.common.storages.load_storage:LoadStorage.commit_new_load_package", "after"),
]
RUN = ("run", "toy", "--env", "test", "--select", "things")
FIRST = rows(20, tags=[{"tag": "a"}, {"tag": "b"}])
SECOND = [*rows(46, tags=[{"tag": "c"}], late={"column": 1})[:26], *FIRST]


def make(workspace: Workspace) -> Workspace:
    toy(workspace, FIRST)
    assert run(workspace, *RUN).code == 0
    toy(workspace, SECOND)
    return workspace


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """What two runs leave that nobody kills."""
    made = make(Workspace(tmp_path_factory.mktemp("unbroken") / "a workspace"))
    assert run(made, *RUN).code == 0
    return contents(Ask(made), "toy")


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_a_run_killed_while_it_normalises_is_made_good_by_the_next(moment, unbroken, workspace):
    made = make(workspace())
    killed(made, moment, *RUN)
    assert run(made, *RUN).code == 0
    assert contents(Ask(made), "toy") == unbroken
    assert faults(Ask(made), "toy") == []
