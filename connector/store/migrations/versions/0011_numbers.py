"""The indexes of the numbers: what was sent, answered and done in a range of time."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    _index("mails_counted", "mails", ["sent", "key"], "state = 'sent'")
    counted = "kind IN ('completed', 'replied', 'bounced', 'opted_out')"
    _index("ledger_counted", "ledger", ["kind", "at"], counted)


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
