"""Settings that save time and change nothing else, as a source sees them inside a run."""

from __future__ import annotations

import gc

SOURCE = '''\
"""One row with what is set while it is read."""

import gc

import dlt


@dlt.source(name="settings")
def settings():
    yield found()


@dlt.resource(primary_key="id", write_disposition="replace")
def found():
    with dlt.current.pipeline().sql_client() as client:
        keeps_order = client.execute_sql("SELECT current_setting('preserve_insertion_order')")[0][0]
    yield {"id": 1, "keeps_order": keeps_order, "objects_between_collections": gc.get_threshold()[0]}
'''


def test_duckdb_keeps_no_order_and_python_seldom_collects_while_a_run_reads(workspace):
    made, usual = workspace(), gc.get_threshold()
    made.source("settings", SOURCE)
    assert made.etl("run", "settings", "--env", "test").code == 0
    ((keeps_order, between),) = made.query("SELECT keeps_order, objects_between_collections FROM settings.found")
    assert keeps_order is False
    assert between > 10 * usual[0]
    assert gc.get_threshold() == usual
