"""The tables as the first service documented them; a database that has them keeps them."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None
MOMENT = sa.DateTime(timezone=True)
NOW = sa.text("CURRENT_TIMESTAMP")


def upgrade() -> None:
    """Make what is not there."""
    there = sa.inspect(op.get_bind()).get_table_names()
    if "devices" not in there:
        op.create_table(
            "devices",
            sa.Column("device_id", sa.Uuid, primary_key=True),
            sa.Column("point_id", sa.Uuid, nullable=False),
            sa.Column("register_id", sa.Uuid, nullable=False),
            sa.Column("token_hash", sa.Text, nullable=False),
            sa.Column("is_enabled", sa.Boolean, nullable=False, server_default=sa.text("true")),
            sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
            sa.Column("last_seen_at", MOMENT),
        )
    if "audio_chunks" not in there:
        op.create_table(
            "audio_chunks",
            sa.Column("chunk_id", sa.Uuid, primary_key=True),
            sa.Column("device_id", sa.Uuid, sa.ForeignKey("devices.device_id", ondelete="CASCADE"), nullable=False),
            sa.Column("point_id", sa.Uuid, nullable=False),
            sa.Column("register_id", sa.Uuid, nullable=False),
            sa.Column("start_ts", MOMENT, nullable=False),
            sa.Column("end_ts", MOMENT, nullable=False),
            sa.Column("duration_sec", sa.Integer, nullable=False),
            sa.Column("codec", sa.String(32), nullable=False),
            sa.Column("sample_rate", sa.Integer, nullable=False),
            sa.Column("channels", sa.Integer, nullable=False),
            sa.Column("file_path", sa.Text, nullable=False),
            sa.Column("file_size_bytes", sa.BigInteger, nullable=False),
            sa.Column("status", sa.String(32), nullable=False, server_default="UPLOADED"),
            sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        )
        op.create_index("ix_audio_chunks_point_id_start_ts", "audio_chunks", ["point_id", "start_ts"])
        op.create_index("ix_audio_chunks_device_id_start_ts", "audio_chunks", ["device_id", "start_ts"])


def downgrade() -> None:
    """Drop both, with all that is in them."""
    op.drop_table("audio_chunks")
    op.drop_table("devices")
