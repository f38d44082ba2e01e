"""Launches being put together, and the indexes of a campaign's numbers and people."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.create_table(
        "launch_plans",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("launched", sa.Text()),
    )
    op.create_index("launch_plans_made", "launch_plans", ["made"])
    op.drop_index("enrollments_campaign", table_name="enrollments")
    places = ["campaign", "state", "rep", "position", "id", "version"]
    op.create_index("enrollments_campaign", "enrollments", places)
    op.create_index("enrollments_person", "enrollments", ["person", "rep"])
    op.create_index("intents_campaign", "intents", ["campaign", "version", "day", "step", "state", "rep"])
