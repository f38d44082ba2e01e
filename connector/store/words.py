"""The words by which a task in the queue is found: noted when it comes before its rep, forgotten when it ends.

Lives here: `note_words`, `forget_words`, `words_in` and how a word is written. Does not live here: searching (`queue`).

Words are compared by their beginnings, without regard to case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import delete, select, text

from connector.store.bulk import BulkStatement
from connector.store.database import Transaction
from connector.store.dialects import any_of
from connector.store.schema import intents, people, task_words

_WORD = re.compile(r"[^\W_]+")

#: Bytes of a word that count.
_LONGEST = 24

#: Most words that a task is found by: a subject may be long.
_MOST = 40

_NOTE = BulkStatement(task_words, ("key", "word"), suffix=" ON CONFLICT DO NOTHING")
_FORGET = delete(task_words).where(any_of(task_words.c.key, "keys"))
_TEXTS = (
    select(
        intents.c.key,
        people.c.first_name,
        people.c.last_name,
        people.c.company,
        people.c.email,
        intents.c.subject,
    )
    .join(people, people.c.email == intents.c.person)
    .where(any_of(intents.c.key, "keys"), text("state IN ('open', 'blocked', 'held', 'failed', 'unknown')"))
)
_OF_PEOPLE = select(intents.c.key).where(
    any_of(intents.c.person, "persons"), text("state IN ('open', 'blocked', 'held', 'failed', 'unknown')")
)


def words_in(said: str) -> list[str]:
    """Return the words of a text as they are compared: hex digits, each once, in order."""
    return list(dict.fromkeys(word.casefold().encode()[:_LONGEST].hex() for word in _WORD.findall(said)))


def note_words(tx: Transaction, keys: Sequence[str]) -> None:
    """Let those of the tasks that wait for people be found by what is known of them now."""
    if not keys:
        return
    found = tx.execute(_TEXTS, {"keys": list(keys)}).all()
    forget_words(tx, [row[0] for row in found])
    rows = [(key, word) for key, *texts in found for word in words_in(" ".join(one or "" for one in texts))[:_MOST]]
    _NOTE.execute(tx, rows)


def note_words_of(tx: Transaction, persons: Sequence[str]) -> None:
    """Let the tasks about people be found by what is known of them now."""
    note_words(tx, list(tx.execute(_OF_PEOPLE, {"persons": list(persons)}).scalars()))


def forget_words(tx: Transaction, keys: Sequence[str]) -> None:
    """Let tasks be found no more."""
    if keys:
        tx.execute(_FORGET, {"keys": list(keys)})
