"""Emails by how they stand, a page at a time, newest or next first: placed and sent, to come, called off, bounced.

Lives here: reading and counting them through their indexes. Does not live here: what each list is called and shows
(`sync.mail_lists`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, String, bindparam, cast, func, select, text, tuple_
from sqlalchemy.sql.elements import Tuple

from connector.events import Event
from connector.sequencing.enrollment import Enrollment
from connector.store.database import Transaction
from connector.store.dialects import one_of
from connector.store.enrollments import read_enrollments
from connector.store.intents import StoredIntent, as_stored
from connector.store.ledger import as_event
from connector.store.schema import campaign_versions, enrollments, intents, ledger, mails

#: Where a page begins: instant and key of the last one of the page before.
Mark = tuple[datetime, str]

# Each as its index says it, so that it is used.
_PLACED = text("mails.state IN ('present', 'scheduled', 'sent', 'failed', 'unknown')")
_WAITING = text("mails.state IN ('wanted', 'in_flight', 'unwanted')")
_STUCK = text("intents.state IN ('blocked', 'held', 'failed', 'unknown')")
_CALLED_OFF = text("intents.type = 'email' AND intents.state IN ('cancelled', 'skipped')")
_BOUNCED = text("ledger.kind = 'bounced'")


def _of_reps(column: ColumnElement[str], reps: frozenset[str] | None) -> list[ColumnElement[bool]]:
    if reps is None:
        return []
    return [column == next(iter(reps))] if len(reps) == 1 else [one_of(column.concat(""), reps)]


def read_placed(
    tx: Transaction, lanes: Sequence[str], states: Collection[str], most: int, before: Mark | None
) -> list[str]:
    """Return the keys of mails in mailboxes, latest due first."""
    found: list[tuple[datetime, str]] = []
    for lane in lanes:
        for state in sorted(states):
            query = select(mails.c.due, mails.c.key).where(_PLACED, mails.c.lane == lane, mails.c.state == state)
            if before is not None:
                query = query.where(tuple_(mails.c.due, mails.c.key) < _pair(before))
            rows = tx.execute(query.order_by(mails.c.due.desc(), mails.c.key.desc()).limit(most))
            found += [(row[0], row[1]) for row in rows]
    return [key for _, key in sorted(found, reverse=True)[:most]]


def count_placed(tx: Transaction, lanes: Sequence[str], states: Collection[str], most: int) -> int:
    """Return how many mails are so, `most` at most."""
    query = select(mails.c.key).where(_PLACED, one_of(mails.c.lane, lanes), one_of(mails.c.state, states))
    return int(tx.execute(select(func.count()).select_from(query.limit(most).subquery())).scalar_one())


def read_waiting_mails(
    tx: Transaction, lanes: Sequence[str], most: int, after: Mark | None, *, now: datetime, later: bool
) -> list[str]:
    """Return the keys of mails that wait for their mailbox, or, with `later`, for their instant; next first."""
    query = select(mails.c.key).where(_WAITING, one_of(mails.c.lane, lanes), mails.c.state != "unwanted")
    query = query.where(mails.c.due > now if later else mails.c.due <= now)
    if after is not None:
        query = query.where(tuple_(mails.c.due, mails.c.key) > _pair(after))
    return list(tx.execute(query.order_by(mails.c.due, mails.c.key).limit(most)).scalars())


def read_called_off(tx: Transaction, reps: frozenset[str] | None, most: int, before: Mark | None) -> list[StoredIntent]:
    """Return emails that were cancelled or skipped, latest due first."""
    query = select(intents).where(_CALLED_OFF, *_of_reps(intents.c.rep, reps))
    if before is not None:
        query = query.where(tuple_(intents.c.due, intents.c.key) < _intent_pair(before))
    rows = tx.execute(query.order_by(intents.c.due.desc(), intents.c.key.desc()).limit(most))
    return [as_stored(row) for row in rows]


def read_stuck_mails(
    tx: Transaction, reps: frozenset[str] | None, most: int, before: Mark | None
) -> list[StoredIntent]:
    """Return emails that wait for somebody to mend something, latest due first."""
    query = select(intents).where(_STUCK, intents.c.type == "email", *_of_reps(intents.c.rep, reps))
    if before is not None:
        query = query.where(tuple_(intents.c.due, intents.c.key) < _intent_pair(before))
    rows = tx.execute(query.order_by(intents.c.due.desc(), intents.c.key.desc()).limit(most))
    return [as_stored(row) for row in rows]


def read_failed_drafts(tx: Transaction, lanes: Sequence[str], most: int, before: Mark | None) -> list[str]:
    """Return the keys of open tasks' mails whose draft could not be placed, or may not have been; latest due first."""
    query = select(mails.c.key).join(intents, intents.c.key == mails.c.key)
    query = query.where(_PLACED, one_of(mails.c.lane, lanes), one_of(mails.c.state, ("failed", "unknown")))
    query = query.where(intents.c.state == "open")
    if before is not None:
        query = query.where(tuple_(mails.c.due, mails.c.key) < _pair(before))
    return list(tx.execute(query.order_by(mails.c.due.desc(), mails.c.key.desc()).limit(most)).scalars())


def read_bounces(
    tx: Transaction, reps: frozenset[str] | None, most: int, before: int | None
) -> list[tuple[int, Event]]:
    """Return what came back, newest first, with each one's number."""
    query = select(ledger).where(_BOUNCED, *_of_reps(ledger.c.rep, reps))
    if before is not None:
        query = query.where(ledger.c.seq < before)
    return [(row.seq, as_event(row)) for row in tx.execute(query.order_by(ledger.c.seq.desc()).limit(most))]


def read_ahead(
    tx: Transaction, reps: frozenset[str] | None, places: Collection[str], most: int, after: Mark | None
) -> list[Enrollment]:
    """Return enrollments whose current step lies ahead and is one of `places` (version:position), next first."""
    query = select(enrollments.c.id).where(
        text("enrollments.next_due IS NOT NULL"), *_of_reps(enrollments.c.rep, reps), one_of(_place(), places)
    )
    if after is not None:
        mark = tuple_(
            bindparam(None, after[0], type_=enrollments.c.next_due.type, unique=True),
            bindparam(None, after[1], unique=True),
        )
        query = query.where(tuple_(enrollments.c.next_due, enrollments.c.id) > mark)
    ids = list(tx.execute(query.order_by(enrollments.c.next_due, enrollments.c.id).limit(most)).scalars())
    found = read_enrollments(tx, ids)
    return [found[id_] for id_ in ids]


def read_versions(tx: Transaction) -> list[tuple[str, str]]:
    """Return the campaign versions that are kept: name and version."""
    query = select(campaign_versions.c.name, campaign_versions.c.version)
    return [(row[0], row[1]) for row in tx.execute(query)]


def _place() -> ColumnElement[str]:
    return enrollments.c.version.concat(":").concat(cast(enrollments.c.position, String))


def _pair(mark: Mark) -> Tuple:
    return tuple_(bindparam(None, mark[0], type_=mails.c.due.type, unique=True), bindparam(None, mark[1], unique=True))


def _intent_pair(mark: Mark) -> Tuple:
    return tuple_(
        bindparam(None, mark[0], type_=intents.c.due.type, unique=True), bindparam(None, mark[1], unique=True)
    )
