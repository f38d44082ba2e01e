"""The queue of tasks and the lists of emails: their indexes, the words tasks are found by, and what may be undone."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_WITH_PEOPLE = "state IN ('open', 'blocked', 'held', 'failed', 'unknown')"


def upgrade() -> None:
    """Bring the tables forward."""
    op.drop_index("intents_with_people", table_name="intents")
    order = ["due_date", "due", "key"]
    _index("intents_of_rep", "intents", ["rep", *order, "type", "campaign"], _WITH_PEOPLE)
    _index("intents_in_queue", "intents", [*order, "rep", "type", "campaign"], _WITH_PEOPLE)
    _index("intents_about", "intents", ["person"], _WITH_PEOPLE)
    called_off = "type = 'email' AND state IN ('cancelled', 'skipped')"
    _index("intents_called_off", "intents", ["rep", "due", "key"], called_off)
    placed = "state IN ('present', 'scheduled', 'sent', 'failed', 'unknown')"
    _index("mails_placed", "mails", ["lane", "state", "due", "key"], placed)
    _index("ledger_bounces", "ledger", ["rep", "seq"], "kind = 'bounced'")
    _index("enrollments_ahead", "enrollments", ["rep", "next_due", "id"], "next_due IS NOT NULL")
    op.create_table(
        "task_words",
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("word", sa.String(48), primary_key=True),
        sqlite_with_rowid=False,
    )
    _fill()
    op.create_index("task_words_word", "task_words", ["word", "key"])
    op.create_table(
        "undos",
        sa.Column("batch", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
    )
    op.create_index("undos_at", "undos", ["at"])


def _fill() -> None:
    """Note the words of what waits for people already."""
    connection = op.get_bind()
    found = connection.execute(
        sa.text(
            "SELECT intents.key, people.first_name, people.last_name, people.company, people.email, intents.subject"  # noqa: S608 - our own words
            f" FROM intents JOIN people ON people.email = intents.person WHERE intents.{_WITH_PEOPLE}"
        )
    ).all()
    rows = [
        {"key": key, "word": word.casefold().encode()[:24].hex()}
        for key, *texts in found
        for word in {one.casefold() for one in re.findall(r"[^\W_]+", " ".join(text or "" for text in texts))}
    ]
    distinct = {(row["key"], row["word"]): row for row in rows}
    if distinct:
        connection.execute(sa.text("INSERT INTO task_words (key, word) VALUES (:key, :word)"), list(distinct.values()))


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
