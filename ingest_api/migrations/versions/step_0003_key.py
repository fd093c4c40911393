"""Which key the hashes of tokens are made with; the service writes it down when it next starts."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    """Make the table of one row."""
    op.create_table(
        "token_key", sa.Column("only", sa.Boolean, primary_key=True), sa.Column("check_value", sa.Text, nullable=False)
    )


def downgrade() -> None:
    """Forget it."""
    op.drop_table("token_key")
