"""The indexes of filtered pages, and the words by which people are found."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_WITH_PEOPLE = "state IN ('open', 'blocked', 'held', 'failed', 'unknown')"


def upgrade() -> None:
    """Bring the tables forward."""
    order = ["due_date", "due", "key"]
    _index("intents_of_campaign", "intents", ["campaign", *order, "rep"], _WITH_PEOPLE)
    _index("intents_of_type", "intents", ["type", *order, "rep"], _WITH_PEOPLE)
    _index("people_opted_out", "people", ["email"], "opted_out IS NOT NULL")
    _index("people_bounced", "people", ["email"], "bounced IS NOT NULL")
    op.create_table(
        "people_words",
        sa.Column("email", sa.Text(), primary_key=True),
        sa.Column("word", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), primary_key=True),
        sqlite_with_rowid=False,
    )
    _fill()
    op.create_index("people_words_word", "people_words", ["word", "email"])


def _fill() -> None:
    """Note the words of who is known already."""
    connection = op.get_bind()
    found = connection.execute(sa.text("SELECT email, first_name, last_name, company FROM people")).all()
    rows = [
        {"email": row[0], "word": word}
        for row in found
        for word in {one[:24] for one in re.findall(r"[^\W_]+", " ".join(row).casefold())}
    ]
    if rows:
        connection.execute(sa.text("INSERT INTO people_words (email, word) VALUES (:email, :word)"), rows)


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
