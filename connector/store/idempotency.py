"""Requests that change something, by the key that their sender gave them, so that none is carried out twice.

Lives here: their rows. Does not live here: what a request is, and what is said to its sender (`web.api.once`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update

from connector.store.database import Transaction
from connector.store.dialects import insert_or_ignore
from connector.store.schema_web import idempotency

#: How long the answer to a request is kept.
KEPT = timedelta(hours=24)

#: A request that has no answer after this long was lost with its process, and may be carried out again.
LOST_AFTER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that came with this key before."""

    #: Digest of what was asked for.
    request: str
    #: None while it is being carried out.
    status: int | None
    #: Sealed before it came here.
    answer: str | None


def begin(tx: Transaction, user: str, key: str, request: str, now: datetime) -> Asked | None:
    """Note that a request is carried out from now on; return the one that came with this key before, if one did."""
    tx.execute(delete(idempotency).where(idempotency.c.at < now - KEPT))
    _forget_unanswered(tx, user, key, now - LOST_AFTER)
    row = {"user": user, "key": key, "request": request, "at": now}
    if tx.execute(insert_or_ignore(tx, idempotency).returning(idempotency.c.key), row).first() is not None:
        return None
    of_key = (idempotency.c.user == user, idempotency.c.key == key)
    found = tx.execute(select(idempotency.c.request, idempotency.c.status, idempotency.c.answer).where(*of_key)).one()
    return Asked(request=found.request, status=found.status, answer=found.answer)


def finish(tx: Transaction, user: str, key: str, *, status: int, answer: str) -> None:
    """Keep the answer to a request."""
    of_key = (idempotency.c.user == user, idempotency.c.key == key)
    tx.execute(update(idempotency).where(*of_key).values(status=status, answer=answer))


def forget(tx: Transaction, user: str, key: str) -> None:
    """Forget a request that came to nothing, so that it may be tried again."""
    of_key = (idempotency.c.user == user, idempotency.c.key == key)
    tx.execute(delete(idempotency).where(*of_key, idempotency.c.status.is_(None)))


def _forget_unanswered(tx: Transaction, user: str, key: str, before: datetime) -> None:
    of_key = (idempotency.c.user == user, idempotency.c.key == key)
    tx.execute(delete(idempotency).where(*of_key, idempotency.c.status.is_(None), idempotency.c.at < before))
