"""Webhooks: who is told of lines of the ledger, up to which one they were, and when it is tried next.

Lives here: their rows. Does not live here: telling (`sync.webhooks`). The secret that signs
lies in the vault.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from connector.store.database import Transaction
from connector.store.schema_web import webhooks


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An address that is told of what happens; instants aware, UTC."""

    id: str
    url: str
    #: Address of the user who made it, and who sees what it is told.
    user: str
    #: Kinds of event; none means all.
    kinds: tuple[str, ...]
    created: datetime
    #: Number of the last line of the ledger that it was told, or that was not for it.
    position: int
    #: When it is tried next; None when nothing more is tried until somebody says so.
    due: datetime | None
    #: Tries in a row that failed, and why the last one did.
    attempts: int = 0
    problem: str | None = None


def insert_webhook(tx: Transaction, hook: Webhook) -> None:
    """Keep a new webhook."""
    names = ("id", "url", "user", "created", "position", "due", "attempts", "problem")
    tx.execute(insert(webhooks), {name: getattr(hook, name) for name in names} | {"kinds": list(hook.kinds)})


def list_webhooks(tx: Transaction, *, user: str | None = None) -> list[Webhook]:
    """Return the webhooks of all users or of one, oldest first."""
    query = select(webhooks).order_by(webhooks.c.created, webhooks.c.id)
    if user is not None:
        query = query.where(webhooks.c.user == user)
    return [_webhook(row) for row in tx.execute(query)]


def read_webhook(tx: Transaction, id_: str) -> Webhook | None:
    """Return a webhook; None when there is none of this id."""
    row = tx.execute(select(webhooks).where(webhooks.c.id == id_)).first()
    return None if row is None else _webhook(row)


def change_webhook(tx: Transaction, id_: str, **changed: Any) -> None:
    """Set columns of a webhook: `position`, `due`, `attempts`, `problem`."""
    tx.execute(update(webhooks).where(webhooks.c.id == id_).values(**changed))


def delete_webhook(tx: Transaction, id_: str) -> None:
    """Forget a webhook."""
    tx.execute(delete(webhooks).where(webhooks.c.id == id_))


def _webhook(row: Row[Any]) -> Webhook:
    return Webhook(
        id=row.id,
        url=row.url,
        user=row.user,
        kinds=tuple(row.kinds),
        created=row.created,
        position=row.position,
        due=row.due,
        attempts=row.attempts,
        problem=row.problem,
    )
