"""What keeps a chunk from being stored twice, and what a great one knows of it besides.

The first service's own later steps added two of the columns: they stay as they are, also on the way back.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"
INDEXES = (
    ("ix_devices_token_hash", "devices", ["token_hash"], False),
    ("ix_devices_previous_token_hash", "devices", ["previous_token_hash"], False),
    ("uq_audio_chunks_content", "audio_chunks", ["device_id", "start_ts", "sha256"], True),
    ("uq_audio_chunks_idempotency_key", "audio_chunks", ["device_id", "idempotency_key"], True),
    ("ix_audio_chunks_created_at", "audio_chunks", ["created_at", "chunk_id"], False),
    ("ix_audio_chunks_status", "audio_chunks", ["status", "start_ts"], False),
)


def devices() -> list[sa.Column[Any]]:
    """What is new of a device."""
    return [
        sa.Column("timezone", sa.Text, nullable=False, server_default="UTC"),
        sa.Column("previous_token_hash", sa.Text),
        sa.Column("previous_token_until", sa.DateTime(timezone=True)),
    ]


def chunks() -> list[sa.Column[Any]]:
    """What is new of a chunk."""
    return [
        sa.Column("sha256", sa.String(64)),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("audio_seconds", sa.Float),
        sa.Column("flags", sa.Text, nullable=False, server_default=""),
        sa.Column("note", sa.Text),
    ]


def formers() -> list[sa.Column[Any]]:
    """What the first service's own steps may have added."""
    return [sa.Column("error_message", sa.Text), sa.Column("processing_started_at", sa.DateTime(timezone=True))]


def upgrade() -> None:
    """Add what is not there: SQLite commits each of them by itself."""
    for table, columns in (("devices", devices()), ("audio_chunks", [*chunks(), *formers()])):
        there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
        for column in columns:
            if column.name not in there:
                op.add_column(table, column)
    for name, table, names, unique in INDEXES:
        op.create_index(name, table, names, unique=unique, if_not_exists=True)


def downgrade() -> None:
    """Take them away again, save the former ones."""
    for name, table, _, _ in INDEXES:
        op.drop_index(name, table)
    for table, added in (("audio_chunks", chunks()), ("devices", devices())):
        for column in added:
            op.drop_column(table, column.name)
