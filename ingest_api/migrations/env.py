"""What Alembic runs: the steps, on the connection it was given."""

from alembic import context

from ingest_api.tables import Tables

VERSIONS = "ingest_api_version"  # the first service's `alembic_version` names steps that are not ours

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Tables.metadata, version_table=VERSIONS
)
with context.begin_transaction():
    context.run_migrations()
