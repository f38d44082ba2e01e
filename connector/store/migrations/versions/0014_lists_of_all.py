"""The indexes of what is listed for those who see everybody's work, in the order of the list."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    called_off = "type = 'email' AND state IN ('cancelled', 'skipped')"
    _index("intents_all_called_off", "intents", ["due", "key", "rep"], called_off)
    _index("ledger_all_bounces", "ledger", ["seq", "rep"], "kind = 'bounced'")


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
