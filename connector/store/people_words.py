"""The words by which people are found: of their names, addresses and companies, noted whenever somebody says them.

Lives here: `note_people`, `words_of`, `find_by_words`. Does not live here: the words of tasks (`words`), who may see
whom (`people_pages`).

Words are compared by their beginnings, without regard to case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, bindparam, delete, exists, select

from connector.people import Person
from connector.store.database import Transaction
from connector.store.dialects import any_of, insert_lists, one_of
from connector.store.schema import people, people_words

_WORD = re.compile(r"[^\W_]+")

#: Letters of a word that count.
_LONGEST = 24

#: A word that more people have than this is looked for in the order of the page.
_FEW = 5_000

#: What comes behind everything that begins so.
_LAST = "\U0010ffff"

_FORGET = delete(people_words).where(any_of(people_words.c.email, "emails"))
_KNOWN = select(people.c.email, people.c.first_name, people.c.last_name, people.c.company).where(
    any_of(people.c.email, "emails")
)
_HAVING = (
    select(people_words.c.email)
    .distinct()
    .where(people_words.c.word >= bindparam("from_word"), people_words.c.word < bindparam("before_word"))
    .limit(_FEW + 1)
)


def words_of(*said: str) -> set[str]:
    """Return the words of some texts as they are compared."""
    return {word[:_LONGEST] for word in _WORD.findall(" ".join(said).casefold())}


def note_people(tx: Transaction, persons: Iterable[Person], *, overwrite: bool) -> None:
    """Let people be found by what is about to be written of them; of who is known already, only to `overwrite` it."""
    said = {one.email: (one.email, one.first_name, one.last_name, one.company) for one in persons}
    known = {row.email: tuple(row) for row in tx.execute(_KNOWN, {"emails": list(said)})}
    changed = [email for email in known if overwrite and known[email] != said[email]]
    if changed:
        tx.execute(_FORGET, {"emails": changed})
    noted = [email for email in said if email not in known] + changed
    insert_lists(tx, people_words, {email: sorted(words_of(*said[email])) for email in noted})


def find_by_words(tx: Transaction, words: Sequence[str]) -> list[ColumnElement[bool]]:
    """Return the conditions that each word begins one of the person's.

    Whom few share words with are looked up by them; whom many share one with are soon found in the order of the page.
    """
    few: set[str] | None = None
    conditions = []
    for word in words:
        found = set(tx.execute(_HAVING, {"from_word": word, "before_word": word + _LAST}).scalars())
        if len(found) > _FEW:
            conditions.append(_has(word))
        else:
            few = found if few is None else few & found
    return conditions if few is None else [one_of(people.c.email, few), *conditions]


def _has(word: str) -> ColumnElement[bool]:
    begins = (people_words.c.word >= word, people_words.c.word < word + _LAST)
    return exists().where(people_words.c.email == people.c.email, *begins)
