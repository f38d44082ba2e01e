"""What the whole of Gmail needs: drafts that the rep scheduled are looked at, too."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.drop_index("mails_open", "mails")
    still_open = sa.text("state IN ('present', 'scheduled', 'in_flight', 'unknown', 'discarded')")
    op.create_index("mails_open", "mails", ["lane"], sqlite_where=still_open, postgresql_where=still_open)
