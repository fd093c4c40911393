"""What dlt remembers of a pipeline in the destination: a row per version of its state, which is packed."""

from __future__ import annotations

from typing import Any

from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.versioned_state import bump_state_version_if_modified, compress_state, decompress_state
from dlt.destinations.job_client_impl import SqlJobClientBase

from pipelines.erase.scope import Counts, Scope
from pipelines.erase.sought import Sought

PLACE = "state"
CURSOR = "last_value"  # of an incremental; one without it could not be read again


def erase(scope: Scope, client: SqlJobClientBase) -> Counts:
    """Take the value's partitions out of the newest state and delete the older ones, when any of them holds it."""
    stored = _versions(scope, client)
    holding = sum(_cleaned(state, scope.sought) != state for _, state in stored)
    if holding and scope.act:
        _keep_only(scope, client, dict(stored))
    return {PLACE: holding} if holding else {}


def sources(scope: Scope, client: SqlJobClientBase) -> dict[str, Any]:
    """The states of the pipeline's sources as they are stored now."""
    try:
        newest = client.get_stored_state(scope.spec.name)
    except DestinationUndefinedEntity:
        return {}
    found: dict[str, Any] = decompress_state(newest.state).get("sources", {}) if newest else {}
    return found


def without(document: Any, sought: Sought) -> Any:
    """A state without what is kept under, or is, the value: what is forgotten of others is only read again."""
    if isinstance(document, list):
        return [without(value, sought) for value in document if not _is(value, sought)]
    if not isinstance(document, dict):
        return document
    kept = {key: value for key, value in document.items() if not sought.stands_in(key) and not _is(value, sought)}
    return {key: without(value, sought) for key, value in kept.items()}


def _is(value: Any, sought: Sought) -> bool:
    if isinstance(value, dict):
        return CURSOR in value and _is(value[CURSOR], sought)
    return isinstance(value, str | int) and sought.stands_in(str(value))


def _cleaned(state: Any, sought: Sought) -> Any:
    return {**state, "sources": without(state.get("sources", {}), sought)}


def _versions(scope: Scope, client: SqlJobClientBase) -> list[tuple[str, Any]]:
    """Every stored state of the pipeline, with the load that brought it."""
    sql = f"SELECT {_load_id(client)}, state FROM {_table(client)} WHERE pipeline_name = %s"
    try:
        rows = client.sql_client.execute_sql(sql, scope.spec.name) or []
    except DestinationUndefinedEntity:
        return []
    return [(load_id, decompress_state(state)) for load_id, state in rows]


def _keep_only(scope: Scope, client: SqlJobClientBase, stored: dict[str, Any]) -> None:
    newest = client.get_stored_state(scope.spec.name)
    load_id = newest._dlt_load_id if newest else None
    if newest and load_id:
        state = _cleaned(stored[load_id], scope.sought)
        version, version_hash, _ = bump_state_version_if_modified(state, exclude_attrs=["_local"])
        client.sql_client.execute_sql(
            f"UPDATE {_table(client)} SET state = %s, version = %s, version_hash = %s "
            f"WHERE pipeline_name = %s AND {_load_id(client)} = %s",
            compress_state(state), version, version_hash, scope.spec.name, load_id,
        )  # fmt: skip
    older = f"DELETE FROM {_table(client)} WHERE pipeline_name = %s AND {_load_id(client)} <> %s"
    client.sql_client.execute_sql(older, scope.spec.name, load_id or "")


def _table(client: SqlJobClientBase) -> str:
    return client.sql_client.make_qualified_table_name(client.schema.state_table_name)


def _load_id(client: SqlJobClientBase) -> str:
    return client.sql_client.escape_column_name("_dlt_load_id")
