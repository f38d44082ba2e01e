"""What reps write in the compose window."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.create_table(
        "compositions",
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("applied", sa.SmallInteger(), primary_key=True),
        sa.Column("enrollment", sa.String(32), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("format", sa.String(4), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("attachments", sa.Text()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("send_at", sa.BigInteger()),
        sa.Column("over_edits", sa.SmallInteger(), nullable=False),
    )
    op.create_index("compositions_enrollment", "compositions", ["enrollment"])
