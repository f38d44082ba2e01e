"""What somebody did in the queue and may still undo.

Lives here: `note_undo`, `take_undo`, `count_undo`. Does not live here: what undoing means (`sync.undoing`).

A row is taken once: whoever takes it undoes it, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select

from connector.store.database import Transaction
from connector.store.schema import undos


def note_undo(tx: Transaction, batch: str, user: str, at: datetime, before: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep how tasks were before they were acted on: key -> what is needed to undo it."""
    if before:
        rows = [{"batch": batch, "key": key, "user": user, "at": at, "before": dict(of)} for key, of in before.items()]
        tx.execute(insert(undos), rows)


def take_undo(tx: Transaction, batch: str, user: str, since: datetime, most: int) -> dict[str, dict[str, Any]]:
    """Return some of what a user did in a batch since an instant, and forget it: key -> how it was before."""
    query = select(undos.c.key, undos.c.before).where(undos.c.batch == batch, undos.c.user == user, undos.c.at >= since)
    found = {row.key: row.before for row in tx.execute(query.order_by(undos.c.key).limit(most))}
    if found:
        tx.execute(delete(undos).where(undos.c.batch == batch, undos.c.key.in_(list(found))))
    return found


def forget_undos(tx: Transaction, before: datetime) -> None:
    """Forget what was done before an instant."""
    tx.execute(delete(undos).where(undos.c.at < before))


def count_undo(tx: Transaction, batch: str, user: str, since: datetime) -> int:
    """Return of how many tasks a user may undo what they did in a batch."""
    query = select(func.count()).where(undos.c.batch == batch, undos.c.user == user, undos.c.at >= since)
    return int(tx.execute(query).scalar_one())
