"""A draft's subject as its rep left it, and a limit that holds sends and not drafts."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.add_column("mails", sa.Column("draft_subject", sa.Text(), nullable=True))
    op.add_column("lanes", sa.Column("sends_blocked_until", sa.BigInteger(), nullable=True))
    op.add_column("lanes", sa.Column("sends_problem", sa.Text(), nullable=True))
