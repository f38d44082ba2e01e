"""When a lane was last read, and the runs of schedules."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.add_column("lanes", sa.Column("looked", sa.BigInteger(), nullable=True))
    op.create_table(
        "job_runs",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("slot", sa.BigInteger(), primary_key=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("until", sa.Float(53), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=True),
    )
