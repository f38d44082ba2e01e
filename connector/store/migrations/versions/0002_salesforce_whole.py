"""What the whole of Salesforce needs: facts about people to be told, diagnostics, secrets, a cache."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_DIRTY = sa.text("dirty > 0")
_UNPREPARED = sa.text("state = 'due' AND prepared = 0")


def _diagnostics() -> list[sa.Column[object]]:
    return [
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("advice", sa.Text(), nullable=True),
        sa.Column("failed", sa.BigInteger(), nullable=True),
    ]


def upgrade() -> None:
    """Bring the tables forward."""
    op.create_table(
        "crm_people",
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("wanted", sa.Text(), nullable=False),
        sa.Column("synced", sa.Text(), nullable=True),
        sa.Column("dirty", sa.SmallInteger(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        *_diagnostics(),
        sa.PrimaryKeyConstraint("email"),
    )
    op.create_index("crm_people_dirty", "crm_people", ["due"], sqlite_where=_DIRTY, postgresql_where=_DIRTY)
    # An opt-out that the CRM has not heard of yet is now one of the facts about a person.
    op.execute(
        sa.text(
            "INSERT INTO crm_people (email, wanted, dirty, due) "
            "SELECT email, :wanted, 1, opt_out_due FROM people WHERE opt_out_due IS NOT NULL"
        ).bindparams(wanted=json.dumps({"opted_out": True}, separators=(",", ":")))
    )
    op.drop_index("people_opting_out", "people")
    with op.batch_alter_table("people") as people:
        people.drop_column("opt_out_due")
        people.add_column(sa.Column("bounce_reason", sa.Text(), nullable=True))
    known = sa.text("salesforce_id <> ''")
    op.create_index("people_record", "people", ["salesforce_id"], sqlite_where=known, postgresql_where=known)
    with op.batch_alter_table("tasks") as tasks:
        tasks.add_column(sa.Column("changed", sa.BigInteger(), nullable=True))
        for column in _diagnostics():
            tasks.add_column(column)
    paused = sa.text("state = 'paused'")
    op.create_index("enrollments_paused", "enrollments", ["person"], sqlite_where=paused, postgresql_where=paused)
    op.create_index("enrollments_campaign", "enrollments", ["campaign", "state"])
    # By key too, so that reading can go on from a mark among the many that are due at one instant.
    op.drop_index("intents_unprepared", "intents")
    op.create_index(
        "intents_unprepared", "intents", ["due", "key"], sqlite_where=_UNPREPARED, postgresql_where=_UNPREPARED
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "cache",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("saved", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
