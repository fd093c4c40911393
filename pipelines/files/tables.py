"""The tables of receipts and failures as others know them, made before dlt adds what it lacks."""

from __future__ import annotations

from pipelines.files.book import Book
from pipelines.files.declared import Move
from pipelines.warehouse import Warehouse

OF_DLT = ("_dlt_load_id", "_dlt_id")


def prepare(warehouse: Warehouse, move: Move) -> None:
    """Make the tables that the source declares for this kind of warehouse, or make those that are there fit for dlt.

    dlt's own columns may be null in them: the rows that others wrote have none. Such rows get the identity that the
    source gives them today.
    """
    heal(Book(warehouse, move))
    tables = {"receipts": move.block.table, "failures": move.block.failures}
    named = {role: warehouse.sql(warehouse.named(table)) for role, table in tables.items()}
    dataset = warehouse.sql(warehouse.named(move.block.table).args["db"])
    with warehouse.transaction():
        for statement in move.files.tables[warehouse.kind]:
            warehouse.ask(statement.format(dataset=dataset, **named))
    there = warehouse.tables()
    for role, table in tables.items():
        for column in OF_DLT:
            if column not in there[table]:
                warehouse.ask(f"ALTER TABLE {named[role]} ADD COLUMN {column} varchar")


def heal(book: Book) -> int:
    """Give rows that an older program wrote the identity that the source gives them; how many there were."""
    files, renamed = book.files, dict[str, str]()
    if files.recognise is None:
        return 0
    identities = [(str(row[files.identity]), files.recognise(row)) for row in book.rows()]
    taken = {identity for identity, _ in identities}
    for identity, today in identities:
        if today is not None and today not in taken:
            renamed[identity] = today
            taken.add(today)
    book.rename(renamed)
    return len(renamed)
