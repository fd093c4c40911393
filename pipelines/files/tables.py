"""The tables of receipts and failures as others know them, made before dlt adds what it lacks."""

from __future__ import annotations

from pipelines.specs.types import Moves
from pipelines.warehouse import Warehouse
from sources.kit.files import Files

OF_DLT = ("_dlt_load_id", "_dlt_id")


def prepare(warehouse: Warehouse, files: Files, block: Moves) -> None:
    """Make the tables that the source declares for this kind of warehouse, or make those that are there fit for dlt.

    dlt's own columns may be null in them: the rows that others wrote have none.
    """
    statements = files.tables.get(warehouse.kind, ())
    tables = {"receipts": block.table, "failures": block.failures}
    named = {role: warehouse.sql(warehouse.named(table)) for role, table in tables.items()}
    dataset = warehouse.sql(warehouse.named(block.table).args["db"])
    with warehouse.transaction():
        for statement in statements:
            warehouse.ask(statement.format(dataset=dataset, **named))
    there = warehouse.tables()
    for role, table in tables.items() if statements else ():
        for column in OF_DLT:
            if column not in there[table]:
                warehouse.ask(f"ALTER TABLE {named[role]} ADD COLUMN {column} varchar")
