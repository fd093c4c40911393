"""The engine's own tables in `_etl`: what was set aside or remembered goes, the message of a run is overwritten."""

from __future__ import annotations

from pipelines.erase.scope import Counts, Scope
from pipelines.ledger import DATASET, TABLES, Ledger

# Their rows are about runs; of a run the message may quote a value, of a raw file the name.
KEPT = ("runs", "locks", "erasures", "transfers", "raw_files")
NO_DATA = ("id", "spec", "environment", "run_id")


def erase(scope: Scope, ledger: Ledger) -> Counts:
    """Delete the rows of a spec that hold the value, and overwrite it in the messages of its runs."""
    counts = {f"{DATASET}.{table}": _delete(scope, ledger, table) for table in TABLES if table not in KEPT}
    counts[f"{DATASET}.runs"] = _overwrite_messages(scope, ledger)
    counts[f"{DATASET}.raw_files"] = _rename_files(scope, ledger)
    return {place: count for place, count in counts.items() if count}


def places(scope: Scope, ledger: Ledger) -> list[str]:
    """Where the rows in quarantine that hold the value were read, e.g. `calls.csv:17`."""
    if not ledger.has("quarantine"):
        return []
    condition, values = scope.matches(["payload", "reason", "place"])
    sql = f"SELECT DISTINCT place FROM {{quarantine}} WHERE spec = %s AND place <> '' AND ({condition}) ORDER BY place"
    return [str(place) for (place,) in ledger.execute(sql, scope.spec.name, *values)]


def _delete(scope: Scope, ledger: Ledger, table: str) -> int:
    if not ledger.has(table):
        return 0
    texts = [name for name, kind in TABLES[table].items() if kind == "text" and name not in NO_DATA]
    condition, values = scope.matches(texts)
    where = f"FROM {{{table}}} WHERE spec = %s AND ({condition})"
    whose = scope.system if table == "tokens" else scope.spec.name
    count = int(ledger.execute(f"SELECT count(*) {where}", whose, *values)[0][0])
    if count and scope.act:
        ledger.execute(f"DELETE {where}", whose, *values)
    return count


def _overwrite_messages(scope: Scope, ledger: Ledger) -> int:
    condition, values = scope.matches(["message"])
    sql = f"SELECT run_id, message FROM {{runs}} WHERE spec = %s AND environment = %s AND {condition}"
    mine = (scope.spec.name, scope.environment.name)
    found = ledger.execute(sql, *mine, *values)
    for run_id, message in found if scope.act else ():
        change = "UPDATE {runs} SET message = %s WHERE run_id = %s AND spec = %s AND environment = %s"
        ledger.execute(change, scope.sought.scrubbed(message), run_id, *mine)
    return len(found)


def _rename_files(scope: Scope, ledger: Ledger) -> int:
    """Overwrite the value in the names of raw files, as the files themselves are called from now on."""
    if not ledger.has("raw_files"):
        return 0
    sql = "SELECT DISTINCT source_file FROM {raw_files} WHERE spec = %s"
    names = [str(name) for (name,) in ledger.execute(sql, scope.spec.name)]
    found = {name: scope.sought.renamed(name) for name in names if scope.sought.renamed(name) != name}
    for name, new in found.items() if scope.act else ():
        change = "UPDATE {raw_files} SET source_file = %s WHERE source_file = %s AND spec = %s"
        ledger.execute(change, new, name, scope.spec.name)
    return len(found)
