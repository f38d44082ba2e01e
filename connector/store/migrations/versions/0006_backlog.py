"""When an enrollment ended, when somebody let an intent go on, and the indexes of retention and of late sends."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.add_column("enrollments", sa.Column("ended", sa.BigInteger(), nullable=True))
    op.add_column("intents", sa.Column("released", sa.BigInteger(), nullable=True))
    # Those that ended before are taken to have ended when something was last said of them.
    op.execute(
        "UPDATE enrollments SET ended = COALESCE((SELECT max(ledger.at) FROM ledger"
        " WHERE ledger.person = enrollments.person AND ledger.enrollment = enrollments.id), launched)"
        " WHERE state NOT IN ('active', 'paused')"
    )
    _index("enrollments_ended", "enrollments", ["ended"], "ended IS NOT NULL")
    _index("mails_sent", "mails", ["lane", "sent"], "action = 'send' AND sent IS NOT NULL")
    _index("tasks_logs", "tasks", ["person"], "intent IS NULL")
    _index("intents_stuck", "intents", ["due", "key"], "state IN ('blocked', 'held', 'failed', 'unknown')")
    op.create_index("received_at", "received", ["at"])


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
