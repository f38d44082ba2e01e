"""Forgetting what has ended: enrollments, and all that was done in them.

Lives here: which may go, and taking them out of every table. Does not live here: how long they are kept, and how much
goes at a time (`sync.retention`). People are never taken out, nor why somebody may not be written to.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Table, and_, bindparam, delete, or_, select, text, tuple_

from connector.events import EventKind
from connector.store.compositions import forget_compositions
from connector.store.database import Transaction
from connector.store.dialects import any_of
from connector.store.schema import enrollments, intents, ledger, mails, received, tasks

#: What is kept of an ended enrollment for ever, because it says why its person is not written to.
_KEPT = (EventKind.OPTED_OUT.value, EventKind.BOUNCED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An enrollment that ended; `ended` is aware, UTC."""

    id: str
    person: str
    ended: datetime


#: Before all of them.
FIRST = Ended(id="", person="", ended=datetime(1970, 1, 1, tzinfo=UTC))

_ENDED = (
    select(enrollments.c.id, enrollments.c.person, enrollments.c.ended)
    .where(
        enrollments.c.ended < bindparam("before"),
        tuple_(enrollments.c.ended, enrollments.c.id)
        > tuple_(bindparam("after", type_=enrollments.c.ended.type), bindparam("after_id")),
    )
    .order_by(enrollments.c.ended, enrollments.c.id)
    .limit(bindparam("most"))
)
_OF_THEM = and_(any_of(ledger.c.person, "persons"), any_of(ledger.c.enrollment, "ids"))
_KEYS = select(ledger.c.enrollment, ledger.c.intent).where(_OF_THEM, ledger.c.intent.is_not(None)).distinct()
#: What a service must hear of still.
_MAILS_AHEAD = select(mails.c.key).where(
    any_of(mails.c.key, "keys"), text("state IN ('wanted', 'in_flight', 'unwanted')")
)
_TASKS_AHEAD = select(tasks.c.key).where(any_of(tasks.c.key, "keys"), tasks.c.dirty > 0)
_LINES = delete(ledger).where(
    any_of(ledger.c.person, "persons"),
    or_(any_of(ledger.c.enrollment, "ids"), any_of(ledger.c.intent, "keys")),
    ledger.c.kind.not_in(_KEPT),
)
_LOGS = delete(tasks).where(
    text("intent IS NULL"), any_of(tasks.c.person, "persons"), tasks.c.dirty == 0, tasks.c.due < bindparam("before")
)
_OLD = select(received.c.lane, received.c.message).where(received.c.at < bindparam("before")).limit(bindparam("most"))


def read_ended(tx: Transaction, before: datetime, most: int, *, after: Ended = FIRST) -> list[Ended]:
    """Return at most `most` enrollments that ended before an instant, those first that ended first."""
    given = {"before": before, "most": most, "after": after.ended, "after_id": after.id}
    return [Ended(id=row.id, person=row.person, ended=row.ended) for row in tx.execute(_ENDED, given)]


def read_intent_keys(tx: Transaction, ended: Collection[Ended]) -> dict[str, list[str]]:
    """Return enrollment -> keys of its intents."""
    keys: dict[str, list[str]] = {one.id: [] for one in ended}
    for row in tx.execute(_KEYS, _bound(ended)):
        keys[row.enrollment].append(row.intent)
    return keys


def read_ahead(tx: Transaction, keys: Sequence[str]) -> set[str]:
    """Return those of the intents of which a mailbox or the CRM must hear still."""
    given = {"keys": list(keys)}
    return {*tx.execute(_MAILS_AHEAD, given).scalars(), *tx.execute(_TASKS_AHEAD, given).scalars()}


def forget(tx: Transaction, ended: Collection[Ended], keys: Sequence[str], before: datetime) -> dict[str, int]:
    """Take enrollments out, with all that was done in them; return table -> rows."""
    given: dict[str, Any] = {**_bound(ended), "keys": list(keys)}
    return {
        "ledger": tx.execute(_LINES, given).rowcount,
        "intents": _delete(tx, intents, "key", given["keys"]),
        "compositions": forget_compositions(tx, given["ids"]),
        "mails": _delete(tx, mails, "key", given["keys"]),
        "tasks": _delete(tx, tasks, "key", given["keys"])
        + tx.execute(_LOGS, {"persons": given["persons"], "before": before}).rowcount,
        "enrollments": _delete(tx, enrollments, "id", given["ids"]),
    }


def forget_received(tx: Transaction, before: datetime, most: int) -> int:
    """Forget which mails came in before an instant, at most `most` of them; return how many."""
    old = _OLD.subquery()
    mark = tuple_(received.c.lane, received.c.message)
    statement = delete(received).where(mark.in_(select(old.c.lane, old.c.message)))
    return tx.execute(statement, {"before": before, "most": most}).rowcount


def _delete(tx: Transaction, table: Table, column: str, values: Sequence[str]) -> int:
    return tx.execute(delete(table).where(any_of(table.c[column], "values")), {"values": list(values)}).rowcount


def _bound(ended: Collection[Ended]) -> dict[str, Any]:
    return {"persons": sorted({one.person for one in ended}), "ids": [one.id for one in ended]}
