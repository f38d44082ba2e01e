"""The ledger: facts, appended and never changed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select

from connector.events import Event, EventKind
from connector.store.bulk import BulkStatement
from connector.store.database import Transaction
from connector.store.schema import json_text, ledger, microseconds

_INSERT = BulkStatement(ledger, ("at", "kind", "enrollment", "person", "rep", "campaign", "intent", "reason", "data"))


#: The holders of lanes write side by side on PostgreSQL: they commit in the order of their numbers, or somebody who
#: follows the ledger would miss a fact that is committed after one with a later number was read.
_IN_ORDER = select(func.pg_advisory_xact_lock(zlib.crc32(b"connector ledger")))


def append(tx: Transaction, events: Iterable[Event]) -> None:
    """Append facts in order, in bulk."""
    if tx.dialect.name == "postgresql":
        tx.execute(_IN_ORDER)
    _INSERT.execute(
        tx,
        [
            (
                microseconds(event.at),
                event.kind.value,
                event.enrollment,
                event.person,
                event.rep,
                event.campaign,
                event.intent,
                event.reason,
                json_text(event.data) if event.data else None,
            )
            for event in events
        ],
    )


def read_events(
    tx: Transaction,
    *,
    person: str | None = None,
    campaign: str | None = None,
    after: int = 0,
    last: int | None = None,
    since: datetime | None = None,
) -> list[tuple[int, Event]]:
    """Return numbered facts in the order they were written; only the newest `last` of them when given."""
    query = select(ledger).where(ledger.c.seq > after)
    if person is not None:
        query = query.where(ledger.c.person == person)
    if campaign is not None:
        query = query.where(ledger.c.campaign == campaign)
    if since is not None:
        query = query.where(ledger.c.at >= since)
    if last is not None:
        newest_first = tx.execute(query.order_by(ledger.c.seq.desc()).limit(last))
        return [(row.seq, as_event(row)) for row in newest_first][::-1]
    return [(row.seq, as_event(row)) for row in tx.execute(query.order_by(ledger.c.seq))]


def as_event(row: Row[Any]) -> Event:
    """Return the fact that a row of the ledger is."""
    return Event(
        at=row.at,
        kind=EventKind(row.kind),
        enrollment=row.enrollment,
        person=row.person,
        rep=row.rep,
        campaign=row.campaign,
        intent=row.intent,
        reason=row.reason,
        data=row.data or {},
    )
