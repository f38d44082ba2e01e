"""Intents as stored: their state, and finding those that must be prepared or shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, TextClause, bindparam, delete, func, select, text, tuple_, update

from connector.intents import Intent, IntentEvent, IntentState, Mode, StepType, next_state
from connector.store.bulk import BulkStatement
from connector.store.database import Transaction
from connector.store.dialects import any_of
from connector.store.schema import intents, iso_date, microseconds
from connector.store.words import forget_words, note_words

_INSERT = BulkStatement(
    intents,
    (
        "key",
        "enrollment",
        "campaign",
        "version",
        "person",
        "rep",
        "day",
        "step",
        "type",
        "mode",
        "due",
        "due_date",
        "state",
        "prepared",
    ),
)
# The condition stands as a literal so that SQLite uses the partial index.
_UNPREPARED = (
    select(intents)
    .where(text("state = 'due' AND prepared = 0"), intents.c.due <= bindparam("now"))
    .where(
        tuple_(intents.c.due, intents.c.key)
        > tuple_(bindparam("after_due", type_=intents.c.due.type), bindparam("after_key", type_=intents.c.key.type))
    )
    .order_by(intents.c.due, intents.c.key)
    .limit(bindparam("most"))
)
_SET = (
    update(intents)
    .where(intents.c.key == bindparam("of_key"))
    .values(
        state=bindparam("new_state"),
        prepared=bindparam("new_prepared"),
        subject=bindparam("new_subject"),
        problem=bindparam("new_problem"),
    )
)
_STUCK = frozenset({IntentState.BLOCKED, IntentState.HELD, IntentState.FAILED, IntentState.UNKNOWN})
_WITH_PEOPLE = _STUCK | {IntentState.OPEN}
_BY_KEY = select(intents).where(any_of(intents.c.key, "keys"))


#: Where reading stands: due instant and key of the last one read.
Mark = tuple[datetime, str]
START: Mark = (datetime(1970, 1, 1, tzinfo=UTC), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredIntent:
    """An intent and where it stands."""

    intent: Intent
    state: IntentState
    prepared: bool = False
    subject: str | None = None
    problem: str | None = None
    #: When somebody last let it go on.
    released: datetime | None = None

    @property
    def mark(self) -> Mark:
        """Its place in the order of `read_unprepared`."""
        return self.intent.due, self.intent.key


def insert_intents(tx: Transaction, new: Iterable[Intent]) -> None:
    """Insert intents that have become due, in bulk."""
    _INSERT.execute(
        tx,
        [
            (
                intent.key,
                intent.enrollment,
                intent.campaign,
                intent.version,
                intent.person,
                intent.rep,
                intent.day,
                intent.step,
                intent.type.value,
                intent.mode.value,
                microseconds(intent.due),
                iso_date(intent.due_date),
                "due",
                0,
            )
            for intent in new
        ],
    )


def save_intents(tx: Transaction, changed: Iterable[StoredIntent]) -> None:
    """Write state, subject and problem, in bulk."""
    rows = [
        {
            "of_key": stored.intent.key,
            "new_state": stored.state.value,
            "new_prepared": int(stored.prepared),
            "new_subject": stored.subject,
            "new_problem": stored.problem,
        }
        for stored in changed
    ]
    if rows:
        tx.execute(_SET, rows)


def move_intent(
    tx: Transaction, key: str, event: IntentEvent, *, problem: str | None = None, present: StoredIntent | None = None
) -> StoredIntent:
    """Move one intent by the transition table; raise `ValueError` for a move that is not in it.

    `present` is the intent as this transaction has read it, or as nobody else may have moved it since.
    """
    stored = present or read_intents(tx, [key])[key]
    moved = StoredIntent(
        intent=stored.intent,
        state=next_state(stored.state, event),
        prepared=stored.prepared and event is not IntentEvent.RELEASE,
        subject=stored.subject,
        problem=problem,
        released=stored.released,
    )
    save_intents(tx, [moved])
    if stored.state in _WITH_PEOPLE and moved.state not in _WITH_PEOPLE:
        forget_words(tx, [key])
    elif moved.state in _WITH_PEOPLE and stored.state not in _WITH_PEOPLE:
        note_words(tx, [key])
    return moved


def note_released(tx: Transaction, key: str, at: datetime) -> None:
    """Note when somebody let an intent go on."""
    tx.execute(update(intents).where(intents.c.key == key).values(released=at))


def reassign_intent(tx: Transaction, key: str, rep: str) -> None:
    """Give an intent to another rep."""
    tx.execute(update(intents).where(intents.c.key == key).values(rep=rep))


def postpone_intent(tx: Transaction, key: str, due: datetime, due_date: Any) -> None:
    """Give an intent another due instant and date."""
    tx.execute(update(intents).where(intents.c.key == key).values(due=due, due_date=due_date))


def delete_intents(tx: Transaction, keys: Sequence[str]) -> None:
    """Forget intents that were never carried out and will be planned anew."""
    if keys:
        forget_words(tx, keys)
        tx.execute(delete(intents).where(intents.c.key.in_(list(keys))))


def read_unprepared(tx: Transaction, now: datetime, most: int, *, after: Mark = START) -> list[StoredIntent]:
    """Return at most `most` due intents that are in no outbox yet, earliest first.

    `after` is the mark of the last one read before, to read on where the head waits for something else.
    """
    due, key = after
    given = {"now": now, "most": most, "after_due": due, "after_key": key}
    return [as_stored(row) for row in tx.execute(_UNPREPARED, given)]


def read_intents(tx: Transaction, keys: Sequence[str]) -> dict[str, StoredIntent]:
    """Return intents by key; unknown keys are left out."""
    if not keys:
        return {}
    return {row.key: as_stored(row) for row in tx.execute(_BY_KEY, {"keys": list(keys)})}


def find_intents(
    tx: Transaction,
    *,
    states: Sequence[IntentState],
    rep: str | None = None,
    persons: Sequence[str] | None = None,
    mode: Mode | None = None,
    due_before: datetime | None = None,
    due_from: datetime | None = None,
) -> list[StoredIntent]:
    """Return intents by what is given, earliest due first."""
    conditions: list[ColumnElement[bool] | TextClause] = [intents.c.state.in_([state.value for state in states])]
    # As the indexes `intents_stuck` and `intents_of_rep` say it, so that they are used.
    if _STUCK.issuperset(states):
        conditions.append(text("state IN ('blocked', 'held', 'failed', 'unknown')"))
    elif _WITH_PEOPLE.issuperset(states):
        conditions.append(text("state IN ('open', 'blocked', 'held', 'failed', 'unknown')"))
    if rep is not None:
        conditions.append(intents.c.rep == rep)
    if persons is not None:
        conditions.append(intents.c.person.in_(list(persons)))
    if mode is not None:
        conditions.append(intents.c.mode == mode.value)
    if due_before is not None:
        conditions.append(intents.c.due < due_before)
    if due_from is not None:
        conditions.append(intents.c.due >= due_from)
    query = select(intents).where(*conditions).order_by(intents.c.due, intents.c.key)
    return [as_stored(row) for row in tx.execute(query)]


def find_by_prefix(tx: Transaction, prefix: str) -> list[StoredIntent]:
    """Return at most two intents whose key starts with `prefix` (hex digits), to tell one from several."""
    # A range, because LIKE does not use the index; "g" follows every hex digit.
    inside = (intents.c.key >= prefix, intents.c.key < f"{prefix}g")
    query = select(intents).where(*inside).order_by(intents.c.key).limit(2)
    return [as_stored(row) for row in tx.execute(query)]


def count_by_state(tx: Transaction) -> Mapping[str, int]:
    """Return state -> number of intents."""
    return {row[0]: row[1] for row in tx.execute(select(intents.c.state, func.count()).group_by(intents.c.state))}


def as_stored(row: Row[Any]) -> StoredIntent:
    """Return a row as what it says."""
    intent = Intent(
        key=row.key,
        enrollment=row.enrollment,
        campaign=row.campaign,
        version=row.version,
        person=row.person,
        rep=row.rep,
        day=row.day,
        step=row.step,
        type=StepType(row.type),
        mode=Mode(row.mode),
        due=row.due,
        due_date=row.due_date,
    )
    return StoredIntent(
        intent=intent,
        state=IntentState(row.state),
        prepared=bool(row.prepared),
        subject=row.subject,
        problem=row.problem,
        released=row.released,
    )
